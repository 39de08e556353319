# SPDX-License-Identifier: BSD-3-Clause
"""what arming a timer again costs among a million (CPU time)"""

import re
import subprocess

from lab import BUILD

FIGURES = {"rearm_in_order_ns": ("ns",), "rearm_at_random_ns": ("ns",), "fire_ns": ("ns",)}

ROWS = {"re-arm, in order": "rearm_in_order_ns", "re-arm, at random": "rearm_at_random_ns",
        "fire, all at once": "fire_ns"}


def run(options):
    timers = str(options.connections or 1_000_000)
    said = subprocess.run([BUILD / "tests/bench/bench_wheel", timers], text=True, capture_output=True)
    assert said.returncode == 0, said.stderr
    rows = re.findall(r"^(\S.*?) +([\d.]+) ns$", said.stdout, re.MULTILINE)
    return {ROWS[name]: float(ns) for name, ns in rows if name in ROWS}
