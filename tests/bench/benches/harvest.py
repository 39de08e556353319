# SPDX-License-Identifier: BSD-3-Clause
"""who is flagged over ten virtual days (simulated), and how soon the kernel drops a guesser (posternd in a lab)

2,000 honest senders, with --large 100,000, deliver to 10,000 recipients each while 5 % of those they ask
for are unknown; strangers, guessers, probers, innocent bouncers, providers that hit traps, senders of
stale lists and of lists on many connections come beside them, as many as their promises need. A run has
a seed of its own. What is promised (the figures of tests/bench/bench_harvest.c) must hold, or there are
no figures.

Then a thousand guessers, one after the other, meet posternd while it rebuilds a directory of 10 M
(tests/bench/live_harvest.py): the first dropped frame is to come within 1 ms of the last answer, or of
what a bare spinner loses at times on that machine and 0.3 ms. With --connections all of it is small, and
there is no such bar.
"""

import itertools
import json
import os
import subprocess

import live_harvest
from lab import BUILD
from link import command

FIGURES = {
    "recipients_simulated": ("recipients",),
    "filter_megabytes": ("MB",),                # of one day of either kind
    "filter_share": ("share",),                 # of its bits set at the end of a day
    "unknown_filter_share": ("share",),
    "entries_used": ("entries",),
    "entries_evicted_with_credit": ("entries",),
    "honest_flagged": ("senders",),
    "honest_flagged_at_first_contact": ("senders",),
    "honest_flagged_in_an_outage": ("senders",),
    "honest_sender_limited": ("senders",),      # established: one envelope sender for a while
    "answered_guesses_max": ("guesses",),
    "guessers_within_6": ("share",),
    "guessers_within_14": ("share",),
    "prober_unknown_answered_max": ("recipients",),
    "prober_long_transaction_median": ("recipients",),
    "parallel_list_flagged_share_2": ("share",),    # on so many connections, at first contact
    "parallel_list_flagged_share_4": ("share",),
    "parallel_list_flagged_share_20": ("share",),
    "parallel_list_with_credit_flagged_share": ("share",),
    "parallel_prober_unknown_answered": ("recipients",),    # one transaction after the other opened
    "parallel_prober_unknown_answered_any_order": ("recipients",),
    "lender_unknown_answered": ("recipients",),     # to who knows a hundred
    "innocent_bouncers_dropped": ("senders",),
    "providers_dropped_for_two_traps": ("senders",),
    "resenders_flagged": ("senders",),
    "answered_to_a_24": ("guesses",),
    "answered_to_a_48": ("guesses",),
    "first_drop_ms_p99": ("ms",),               # from the last answer on; below 0: before it
    "spinner_gap_ms_p99": ("ms",),
    "directories_rebuilt": ("directories",),    # during the trials
}

SENDERS, SENDERS_LARGE = 2000, 100_000
TRIALS, RECIPIENTS, SPIN_MS = 1000, 10_000_000, 4000
SMALL = 20, 100_000, 500

seeds = itertools.count(1)


def simulated(options):
    senders = options.connections or (SENDERS_LARGE if options.large else SENDERS)
    environment = dict(os.environ, POSTERN_SEED=str(next(seeds)))
    said = subprocess.run(command(BUILD / "tests/bench/bench_harvest", senders), text=True,
                          capture_output=True, env=environment)
    assert said.returncode == 0, said.stderr.strip() or f"exit status {said.returncode}"
    return {row["metric"]: row["value"] for row in map(json.loads, said.stdout.splitlines())}


def live(options):
    if options.connections:
        return live_harvest.measure(*SMALL)
    figures = live_harvest.measure(TRIALS, RECIPIENTS, SPIN_MS)
    live_harvest.check_bar(figures)
    return figures


def run(options):
    assert os.geteuid() == 0, "needs root"
    simulation, lab = simulated(options), live(options)
    values = simulation | lab
    values["answered_guesses_max"] = max(part["answered_guesses_max"] for part in (simulation, lab))
    return {metric: values[metric] for metric in FIGURES}
