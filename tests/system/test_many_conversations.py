# SPDX-License-Identifier: BSD-3-Clause
"""Thousands of conversations, all open at once, each an octet a write: every answer right, and nothing
left of them.

The clients are of one network, and each asks for somebody who does not exist: the network's verdict
would be just, so its operator has allowed it.
"""

import json
import pathlib
import re
from itertools import chain

import pytest

from lab import BY_HAND, GATEWAY, endpoint, patiently
from services import SMTP, versions

FEW, MANY = 2000, 10000
TIMEOUT = 120
EACH = 3  # a client's
NETWORK = {"ipv4": "198.18.64.0", "ipv6": "fd00:18:64::"}
ALLOWED = "[198.18.64.0/18, \"fd00:18:64::/48\"]"

GREETING = "220 mx1.example.net "
UNTIL_ALL_ARE_ASKED = [
    ("EHLO client.example", "250 LIMITS RCPTMAX=1000"),
    ("MAIL FROM:<a@client.example>", "250 2.1.0 "),
    ("RCPT TO:<anna@example.net>", "250 2.1.5 "),
    ("RCPT TO:<nobody@example.net>", "550 5.1.1 <nobody@example.net>: no such mailbox here")]
UNTIL_ALL_ARE_GONE = [("RSET", "250 2.0.0 "), ("QUIT", "221 2.0.0 ")]
DIALOGUE = [*UNTIL_ALL_ARE_ASKED, *UNTIL_ALL_ARE_GONE]
# What want of memory, or a client shut out, would be counted as.
WANTS = ["smtp_no_session", "smtp_no_envelope", "smtp_no_page", "smtp_no_piece", "mail_replies_lost",
         "mail_turned_away", "mail_verdicts", "tcp_resets_out", "tcp_resets_in", "tcp_aborts",
         "tcp_client_over", "port_no_buffer"]
OCTETS = sum(len(said) + len("\r\n") for said, _ in DIALOGUE)


# As large as posternd makes them unless told otherwise.
ROOMY = {"clients: 4K, filter: 64K": f"allow: {ALLOWED}", "limits: {connections: 4K, buffers: 4K}\n": ""}


@pytest.fixture
def roomy_gateway(gateway):
    config = gateway.config.read_text()
    for small, large in ROOMY.items():
        assert small in config
        config = config.replace(small, large)
    gateway.config.write_text(config)
    gateway.start()
    return gateway


def connections(gateway):
    return json.loads(gateway.control("--json", "status"))["connections"]


def counters(gateway):
    return json.loads(gateway.control("--json", "counters"))


def memory(gateway):
    """Octets resident."""
    status = pathlib.Path(f"/proc/{gateway.process.popen.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) << 10


def begin(gateway, version, count):
    """Clients that wait for us when all are greeted, and when all are answered for their recipients."""
    return gateway.lab.start("client", BY_HAND / "conversations", "--from", NETWORK[version],
                             "--count", count, "--each", EACH, "--timeout", TIMEOUT,
                             endpoint(GATEWAY[version], SMTP), GREETING, "-",
                             *chain(*UNTIL_ALL_ARE_ASKED), "-", *chain(*UNTIL_ALL_ARE_GONE))


@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.long)])
@versions
def test_thousands_of_conversations_an_octet_a_write_leave_nothing(roomy_gateway, version, count):
    gateway, resident = roomy_gateway, [memory(roomy_gateway)]
    crowd = begin(gateway, version, count)
    for _ in ("greeted", "asked"):
        crowd.wait_for("held", TIMEOUT)
        patiently(lambda: connections(gateway)["open"] == count, "all are open at once")
        resident.append(memory(gateway))
        crowd.say("go on")
    said = crowd.next_json(TIMEOUT)
    assert crowd.wait() == 0
    assert (said["conversations"], said["octets"]) == (count, count * OCTETS)
    greeted, asked = ((octets - resident[0]) // count for octets in resident[1:])
    print(f"{said['ms']} ms; resident octets a conversation: {greeted} when greeted, {asked} when asked")

    patiently(lambda: connections(gateway)["open"] == 0, "every connection is closed")
    assert connections(gateway)["buffers"] == 0
    counted = counters(gateway)
    assert counted["smtp_conversations"] == counted["smtp_ended"] == counted["tcp_closed"] == count
    assert counted["smtp_commands"] == count * len(DIALOGUE)
    assert counted["smtp_recipients_asked"] == 2 * count
    assert counted["smtp_recipients_taken"] == count
    assert {name: counted[name] for name in WANTS if counted[name]} == {}
    gateway.stop()
