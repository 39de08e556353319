# SPDX-License-Identifier: BSD-3-Clause
"""SYN cookies a second from one worker, and what a flood of a million SYNs a second does to good clients

First the link is filled with SYNs of spoofed sources, as many as the gateway takes; of a thousandth
the handshake is completed and the greeting verified. Then a million a second come beside true clients,
each of which must have its greeting within five seconds.
"""

import time

from link import CLIENT, STRANGERS, link

FIGURES = {
    "cookies_per_second": ("1/s",),
    "cookie_worker_ns": ("ns",),            # the worker's CPU time by SYNs answered
    "cookie_turns_empty_share": ("share",),
    "cookie_generator_busy_share": ("share",),
    "good_lost_share": ("share",),
    "good_per_second": ("1/s",),
    "good_greeting_p99_ms": ("ms",),
    "flood_reached_per_second": ("1/s",),   # SYNs that found room on the link
    "flood_answered_per_second": ("1/s",),
    # Of its CPU, turns that found nothing included, from the generator's start to its end.
    "flood_worker_share": ("share",),
    "flood_worker_turns_empty_share": ("share",),
    "flood_generator_busy_share": ("share",),
}

SECONDS = 5             # each of the two
CONNS = 131_072         # three in four of them may be half open
SYN_RATE = 1_000_000
GOOD_RATE = 200
PATIENCE = 5            # seconds until a good client counts as lost
# 8 ms of the flood: where the machine gives a CPU to somebody else, that is not the gateway's loss.
RING = 8192


def empty_share(counters):
    return counters["worker_turns_empty"] / counters["worker_turns"]


def saturated(seconds, conns):
    with link() as it:
        gateway = it.gateway("--conns", conns)
        before = gateway.worker_seconds()
        told = it.generator("--syn-rate", "max", "--syn-network", STRANGERS, "--complete", 1000,
                            "--seconds", seconds).finish()
        busy = gateway.worker_seconds() - before
        counters = gateway.finish()["counters"]
    flood = told["flood"]
    cookies = counters["tcp_cookies_sent"]
    # The rest is kept in the table, and sent again as long as it is not acknowledged.
    of_cookies = cookies / (cookies + counters["tcp_passive_opens"] + counters["tcp_rto"])
    assert cookies, "no SYN was answered by a cookie"
    assert counters["tcp_cookies_good"], "no cookie came back"
    return {
        "cookies_per_second": flood["syn_acks_per_second"] * of_cookies,
        "cookie_worker_ns": busy * 1e9 / flood["syn_acks"],
        "cookie_turns_empty_share": empty_share(counters),
        "cookie_generator_busy_share": told["busy_share"],
    }


def beside_good_clients(seconds, conns):
    with link(RING) as it:
        gateway = it.gateway("--conns", conns)
        before, began = gateway.worker_seconds(), time.monotonic()
        told = it.generator("--syn-rate", SYN_RATE, "--syn-network", STRANGERS, "--address", CLIENT,
                            "--script", "nul", "--rate", GOOD_RATE, "--patience", PATIENCE,
                            "--at-once", 100_000, "--seconds", seconds).finish()
        busy, took = gateway.worker_seconds() - before, time.monotonic() - began
        counters = gateway.finish()["counters"]
    flood, clients = told["flood"], told["clients"]
    assert counters["tcp_cookies_good"], "no good client came by a cookie"
    return {
        "good_lost_share": 1 - clients["greeted"] / clients["opened"],
        "good_per_second": clients["opened"] / seconds,
        "good_greeting_p99_ms": clients["greeting_us"]["p99"] / 1000,
        "flood_reached_per_second":
            flood["syns_per_second"] - flood["frames_lost_per_second"],
        "flood_answered_per_second": flood["syn_acks_per_second"],
        "flood_worker_share": busy / took,
        "flood_worker_turns_empty_share": empty_share(counters),
        "flood_generator_busy_share": told["busy_share"],
    }


def run(options):
    seconds = options.seconds or SECONDS
    conns = options.connections or CONNS
    return saturated(seconds, conns) | beside_good_clients(seconds, conns)
