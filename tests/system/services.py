# SPDX-License-Identifier: BSD-3-Clause
"""What several tests have in common: ports, services, sizes, versions of IP."""

import pytest

ECHO, DISCARD, CHARGEN, SMTP, NUL = 7, 9, 19, 25, 26

SERVICES = ["--service", "echo", "--listen", ECHO, "--service", "discard", "--listen", DISCARD,
            "--service", "chargen", "--listen", CHARGEN]

MB = 1 << 20

versions = pytest.mark.parametrize("version", ["ipv4", "ipv6"])
sizes = pytest.mark.parametrize("size", [1, 1024, MB, 64 * MB])
