# SPDX-License-Identifier: BSD-3-Clause
"""what the kernel spends on a SYN from a flagged source, a thousand of whom come in turn (veth)

The CPU time of the receiving end's NAPI thread by frames dropped, ours and the baseline's in turn, at a
thousand flagged sources or with --large a hundred thousand. Frames are the kernel's own from
BPF_PROG_TEST_RUN, as fast as they go. All of it is in namespaces that end with the program.
"""

import os
import subprocess

from lab import BUILD
from link import command

FIGURES = {"flagged_drop_ns": ("ns", "ipset + iptables raw")}

SOURCES, SOURCES_LARGE = 1000, 100_000
SECONDS = 4     # of each

PROGRAM = BUILD / "tests/bench/bench_shield"
FRAMES = BUILD / "tests/bench/flagged.bpf.o"


def run(options):
    assert os.geteuid() == 0, "needs root"
    sources = SOURCES_LARGE if options.large else SOURCES
    said = subprocess.run(command(PROGRAM, FRAMES, sources, options.seconds or SECONDS), text=True,
                          capture_output=True)
    assert said.returncode == 0, said.stderr.strip()
    ours, theirs = map(float, said.stdout.split())
    return {"flagged_drop_ns": (ours, theirs)}
