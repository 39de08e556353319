# SPDX-License-Identifier: BSD-3-Clause
"""who is flagged over ten virtual days: guessers soon, honest senders hardly ever (simulated, with its promises)

2,000 honest senders, with --large 100,000, deliver to 10,000 recipients each while 5 % of those they ask
for are unknown; strangers, guessers, probers, innocent bouncers, providers that hit traps, senders of
stale lists and of lists on many connections come beside them, as many as their promises need. A run has
a seed of its own. What is promised (the figures of tests/bench/bench_harvest.c) must hold, or there are
no figures.
"""

import itertools
import json
import os
import subprocess

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
}

SENDERS, SENDERS_LARGE = 2000, 100_000

seeds = itertools.count(1)


def run(options):
    senders = options.connections or (SENDERS_LARGE if options.large else SENDERS)
    environment = dict(os.environ, POSTERN_SEED=str(next(seeds)))
    said = subprocess.run(command(BUILD / "tests/bench/bench_harvest", senders), text=True,
                          capture_output=True, env=environment)
    assert said.returncode == 0, said.stderr.strip() or f"exit status {said.returncode}"
    values = {row["metric"]: row["value"] for row in map(json.loads, said.stdout.splitlines())}
    return {metric: values[metric] for metric in FIGURES}
