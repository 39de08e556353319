# SPDX-License-Identifier: BSD-3-Clause
"""what net costs an ACK with timestamps, each way (CPU time; checksums in software)"""

import re
import subprocess

from lab import BUILD

FIGURES = {f"{way}_{version}_ack_ns": ("ns",) for version in ("ipv4", "ipv6")
           for way in ("input", "output")} | {"owner_ns": ("ns",)}

# The program's name for a way, and how long it says an ACK is, without and with IP and Ethernet.
ROWS = {("net_output", 32): "output", ("net_input", 66): "input", ("net_input", 86): "input"}
ROUNDS_A_SECOND = 10_000


def run(options):
    rounds = str(ROUNDS_A_SECOND * (options.seconds or 20))
    said = subprocess.run([BUILD / "tests/bench/bench_net", rounds], text=True, capture_output=True)
    assert said.returncode == 0, said.stderr
    figures, version = {}, None
    for line in said.stdout.splitlines():
        row = re.fullmatch(r"(net_\w+) +(\d+) octets +([\d.]+) ns", line)
        if not row:
            version = line.lower()
        elif row[1] == "net_owner":
            figures["owner_ns"] = float(row[3])
        elif way := ROWS.get((row[1], int(row[2]))):
            figures[f"{way}_{version}_ack_ns"] = float(row[3])
    return figures
