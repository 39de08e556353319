# SPDX-License-Identifier: BSD-3-Clause
"""what a worker's turn costs an ACK that came to its owner, or to another worker (median burst)"""

import re
import subprocess

from lab import BUILD

# What the program calls it, and we do.
ROWS = {"one worker": "alone", "keyed hash, at its owner": "keyed_at_home",
        "keyed hash, handed over": "keyed_handed_over", "card believed, at its owner": "card_at_home",
        "card not believed, at its owner": "bad_card_at_home",
        "card not believed, handed over": "bad_card_handed_over"}
FIGURES = {f"{row}_ipv{version}_ns": ("ns",) for version in (4, 6) for row in ROWS.values()}
BURSTS_A_SECOND = 5_000


def run(options):
    bursts = str(BURSTS_A_SECOND * (options.seconds or 2))
    said = subprocess.run([BUILD / "tests/bench/bench_steering", bursts], text=True, capture_output=True)
    assert said.returncode == 0, said.stderr
    rows = re.findall(r"^IPv([46]) (\S.*?) +([\d.]+) ns a segment$", said.stdout, re.MULTILINE)
    return {f"{ROWS[name]}_ipv{version}_ns": float(ns) for version, name, ns in rows}
