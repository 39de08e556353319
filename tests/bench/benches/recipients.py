# SPDX-License-Identifier: BSD-3-Clause
"""what a recipient costs in memory, and a hit in bursts of 32, among ten million

With --large a hundred million; the baseline, which would need 6 GB for them, stays at ten million. Of
the time of a hit its hash is part, on both sides; what is changed beside it is 10,000 a second by
another thread, and visible to this one so long after it was begun. Building is reading a directory's
lines. Turns are those of posternd's worker in which frames moved, by its thread's CPU time, while
sixteen clients of the generator name recipients, one a segment: while nothing else happens, and while
posternd reads the whole directory anew, again and again.
"""

import json
import signal
import subprocess
import time

from lab import BUILD
from link import CLIENT, command, link

BASELINE = "rte_hash, 16-byte SipHash key"
FIGURES = {
    "bytes_per_recipient": ("octets", BASELINE),
    "burst_hit_ns": ("ns", BASELINE),
    "burst_hit_beside_changes_ns": ("ns", "unchanged"),
    "changes_per_second": ("1/s",),
    "change_visible_ms_p99": ("ms",),
    "build_seconds": ("s",),
    "turn_p999_us": ("us", "quiet"),
    "turn_p999_us_quiet": ("us",),
}

COUNT, COUNT_LARGE = 10_000_000, 100_000_000
SECONDS = 1     # of each look-up
TURN_SECONDS = 4
TIMES = 3       # in turn
AT_ONCE = 8         # conversations, so at most so many recipients a turn
ADDRESSES = 16      # so that a port is free again before its turn comes
LONGEST = 600       # the generator's time
PIECE = 100_000     # lines written at once


def measured(*words):
    """What the program says, by metric."""
    said = subprocess.run(command(BUILD / "tests/bench/bench_recipients", *words), text=True,
                          capture_output=True)
    assert said.returncode == 0, said.stderr.strip() or f"exit status {said.returncode}"
    return {row["metric"]: row for row in map(json.loads, said.stdout.splitlines())}


def write_directory(path, count):
    """As the generator names them."""
    with path.open("w") as directory:
        for first in range(0, count, PIECE):
            directory.writelines(f"user{n:07}@example.net\n"
                                 for n in range(first, min(count, first + PIECE)))


def per_mille_us(turns, per_mille):
    """Of counts a 100 ns; the time that so many in a thousand did not exceed."""
    wanted, seen = sum(turns) * per_mille / 1000, 0
    assert wanted, "no frame moved"
    for step, count in enumerate(turns):
        seen += count
        if seen >= wanted:
            return (step + 1) / 10


class Turns:
    """Counts of a gateway's turns while something goes on, over several times."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.counts = [0] * len(gateway.turns())

    def beside(self, what):
        before = self.gateway.turns()
        what()
        self.counts = [count + now - then for count, now, then in
                       zip(self.counts, self.gateway.turns(), before)]


class Replacing:
    """Directories read anew, one behind the other."""

    def __init__(self, gateway, count):
        self.gateway, self.count, self.times = gateway, count, 0

    def go_on(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.times += 1
            self.gateway.send_signal(signal.SIGHUP)
            self.gateway.wait_for_log(f"directories read anew: {self.count} recipients", self.times)


def turn_times(count, seconds):
    with link() as it:
        directory = it.folder / "recipients"
        write_directory(directory, count)
        gateway = it.posternd(directory)
        generator = it.generator("--address", f"{CLIENT}+{ADDRESSES}", "--script", "rcpt",
                                 "--at-once", AT_ONCE, "--names", count, "--seconds", LONGEST)
        quiet, busy, replacing = Turns(gateway), Turns(gateway), Replacing(gateway, count)
        time.sleep(seconds)  # what is used for the first time costs its pages
        for _ in range(TIMES):
            quiet.beside(lambda: time.sleep(seconds))
            busy.beside(lambda: replacing.go_on(seconds))
        generator.send_signal(signal.SIGTERM)
        assert generator.finish()["clients"]["well"], "the generator had ended before"
        assert gateway.stop() == 0, gateway.story()
    quiet_us, busy_us = (per_mille_us(turns.counts, 999) for turns in (quiet, busy))
    return {"turn_p999_us": (busy_us, quiet_us), "turn_p999_us_quiet": quiet_us}


def run(options):
    return costs(options) | turn_times(options.connections or COUNT, options.seconds or TURN_SECONDS)


def costs(options):
    seconds = options.seconds or SECONDS
    rows = measured(options.connections or COUNT, seconds, TIMES)
    baselines = {metric: row.get("baseline_median") for metric, row in rows.items()}
    if options.large:
        rows = measured(COUNT_LARGE, seconds, TIMES, "--no-baseline")
        baselines["burst_hit_beside_changes_ns"] = rows["burst_hit_ns"]["median"]
    return {metric: (rows[metric]["median"], baselines[metric]) if len(figure) > 1
            else rows[metric]["median"] for metric, figure in FIGURES.items() if metric in rows}
