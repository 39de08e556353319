# SPDX-License-Identifier: BSD-3-Clause
"""what a recipient costs in memory, and a hit in bursts of 32, among ten million

With --large a hundred million; the baseline, which would need 6 GB for them, stays at ten million. Of
the time of a hit its hash is part, on both sides; what is changed beside it is 10,000 a second by
another thread. Building is reading a directory's lines.
"""

import json
import subprocess

from lab import BUILD
from link import command

BASELINE = "rte_hash, 16-byte SipHash key"
FIGURES = {
    "bytes_per_recipient": ("octets", BASELINE),
    "burst_hit_ns": ("ns", BASELINE),
    "burst_hit_beside_changes_ns": ("ns", "unchanged"),
    "build_seconds": ("s",),
}

COUNT, COUNT_LARGE = 10_000_000, 100_000_000
SECONDS = 1     # of each
TIMES = 3       # in turn


def measured(*words):
    """What the program says, by metric."""
    said = subprocess.run(command(BUILD / "tests/bench/bench_recipients", *words), text=True,
                          capture_output=True)
    assert said.returncode == 0, said.stderr.strip() or f"exit status {said.returncode}"
    return {row["metric"]: row for row in map(json.loads, said.stdout.splitlines())}


def run(options):
    seconds = options.seconds or SECONDS
    rows = measured(options.connections or COUNT, seconds, TIMES)
    baselines = {metric: row.get("baseline_median") for metric, row in rows.items()}
    if options.large:
        rows = measured(COUNT_LARGE, seconds, TIMES, "--no-baseline")
        baselines["burst_hit_beside_changes_ns"] = rows["burst_hit_ns"]["median"]
    return {metric: (rows[metric]["median"], baselines[metric]) if len(figure) > 1
            else rows[metric]["median"] for metric, figure in FIGURES.items()}
