# SPDX-License-Identifier: BSD-3-Clause
"""The service with the shape of a mail conversation and no content: a greeting of 26 octets, a
command of 6, a reply of 9, FIN."""

import pytest

from conftest import one_worker
from lab import GATEWAY, PYTHON
from services import versions

NUL = 25

# Connects, reads the greeting, sends each part and reads what is due for it, then wants the end.
DIALOGUE = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
def expect(n):
    got = b""
    while len(got) < n:
        part = s.recv(n - len(got))
        assert part, f"the end after {len(got)} of {n} octets"
        got += part
    assert got == bytes(n), got
expect(26)
for part in sys.argv[3].split(","):
    octets, reply = map(int, part.split(":"))
    s.sendall(bytes(octets))
    expect(reply)
if sys.argv[4] == "shut":
    s.shutdown(socket.SHUT_WR)
assert s.recv(1) == b"", "more than was due"
print("well")
"""

pytestmark = one_worker


@pytest.fixture(scope="module")
def service(lab):
    service = lab.start_service("--service", "nul", "--listen", NUL)
    yield service
    lab.ended(service)
    service.finish()


@versions
@pytest.mark.parametrize("parts, end", [
    ("6:9", "listen"),          # one command: its reply, then FIN
    ("18:27", "listen"),        # three at once
    ("2:0,3:0,1:9", "listen"),  # one in pieces
    ("5:0", "shut"),            # half a command is never answered
], ids=["one", "three", "pieces", "half"])
def test_nul_answers_a_command_and_closes(lab, service, version, parts, end):
    done = lab.run("client", PYTHON, "-c", DIALOGUE, GATEWAY[version], NUL, parts, end)
    assert done.stdout == "well\n", done.stderr
