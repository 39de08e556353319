# SPDX-License-Identifier: BSD-3-Clause
"""what net costs an ACK with timestamps, each way, and a flow (CPU time; checksums in software)"""

import re
import subprocess

from lab import BUILD

FIGURES = {f"{way}_{version}_ack_ns": ("ns",) for version in ("ipv4", "ipv6")
           for way in ("input", "output")} | {"owner_ns": ("ns",)}
# A card's hash, ours and DPDK's; and source ports whose answers come home, by workers.
FIGURES |= {f"rss_{version}_ns": ("ns", "rte_softrss_be") for version in ("ipv4", "ipv6")}
FIGURES |= {f"source_port_{workers}_{version}_ns": ("ns",) for version in ("ipv4", "ipv6")
            for workers in (2, 8, 32)}

# The program's name for a way, and how long it says an ACK is, without and with IP and Ethernet.
ROWS = {("net_output", 32): "output", ("net_input", 66): "input", ("net_input", 86): "input"}
ROUNDS_A_SECOND = 10_000


def run(options):
    rounds = str(ROUNDS_A_SECOND * (options.seconds or 20))
    said = subprocess.run([BUILD / "tests/bench/bench_net", rounds], text=True, capture_output=True)
    assert said.returncode == 0, said.stderr
    figures, version = {}, None
    for line in said.stdout.splitlines():
        if re.fullmatch(r"IPv[46]", line):
            version = line.lower()
        elif port := re.fullmatch(r"source port +(\d+) workers .* ([\d.]+) ns, .*", line):
            figures[f"source_port_{port[1]}_{version}_ns"] = float(port[2])
        row = re.fullmatch(r"(\w+) +(\d+) octets +([\d.]+) ns", line)
        if not row:
            continue
        if row[1] == "net_owner":
            figures["owner_ns"] = float(row[3])
        elif row[1] == "net_rss_hash":
            ours = float(row[3])
        elif row[1] == "rte_softrss_be":
            figures[f"rss_{version}_ns"] = (ours, float(row[3]))
        elif way := ROWS.get((row[1], int(row[2]))):
            figures[f"{way}_{version}_ack_ns"] = float(row[3])
    return figures
