# SPDX-License-Identifier: BSD-3-Clause
"""A million spoilt segments between those of good conversations (mutants.c), as fast as they go."""

import os

import pytest

from conftest import one_worker
from lab import BY_HAND, GATEWAY, SANITIZED_SERVICE, all_well
from by_hand import GATEWAY_MAC, MAC
from services import DISCARD, ECHO, NUL
from shield import Shield

COUNT = 1000000
COUNT_SANITIZED = 100000

SERVICES = ["--service", "echo", "--listen", ECHO, "--service", "discard", "--listen", DISCARD,
            "--service", "nul", "--listen", NUL, "--idle-timeout", 2]
FROM = {"ipv4": "192.0.2.0", "ipv6": "2001:db8::"}

MUTATIONS = ("bits", "cut", "flags", "options", "numbers", "headers")

# What a segment can be found to be.
OFTEN = {"net_malformed", "net_bad_checksum", "net_not_tcp", "tcp_segments_in", "tcp_bad_header",
         "tcp_no_connection", "tcp_passive_opens", "tcp_established", "tcp_closed", "tcp_resets_in",
         "tcp_resets_out", "tcp_unacceptable", "tcp_paws", "tcp_bad_ack", "tcp_challenge_acks",
         "tcp_out_of_order"}
SELDOM = {"net_bad_source", "tcp_duplicate_data", "tcp_retransmits"}
# And by a table that is full most of the time.
OFTEN_WHEN_FULL = {"tcp_table_full", "tcp_syn_full", "tcp_cookies_sent", "tcp_cookies_good",
                   "tcp_cookies_bad"}

pytestmark = one_worker


def throw(lab, count, seed):
    """What mutants tells of itself."""
    mutants = lab.start("net", BY_HAND / "mutants", "gw", "--from-mac", MAC, "--to-mac", GATEWAY_MAC,
                        *(word for version in GATEWAY for word in
                          ("--from", FROM[version], "--to", GATEWAY[version])),
                        *(word for port in (ECHO, DISCARD, NUL) for word in ("--port", port)),
                        "--count", count, "--seed", seed, name="mutants")
    told = mutants.next_json(120)
    assert mutants.wait() == 0
    lab.ended(mutants)
    spoilt = [told["mutations"][version] for version in GATEWAY]
    assert sum(of["spoilt"] for of in spoilt) == count
    assert all(of[name] > count / 10 for of in spoilt for name in MUTATIONS), told
    assert all(of["wrong_checksum"] > count / 50 for of in spoilt), told
    assert (told["refused"], told["opened"] > count / 500) == (0, True), told
    return told


def stands(lab, service, count, seed, often, seldom=frozenset()):
    """Whether it takes so many and is none the worse for it."""
    shield = Shield(lab.bpffs)
    before, shielded = service.counts()["counters"], shield.counters()
    throw(lab, count, seed)
    for address in GATEWAY.values():
        all_well(lab.peer("client", "echo-client", address, ECHO, "--bytes", 1000000))
    service.wait_until_idle()
    after = service.finish()["counters"]
    grown = {name: after[name] - before[name] for name in often | seldom}
    assert all(grown[name] > count / 10000 for name in often), grown
    assert all(grown[name] > 0 for name in seldom), grown
    for name in ("drop_malformed", "drop_fragment"):
        assert shield.count(name) > shielded[name]
    return True


def test_a_million_spoilt_segments_leave_it_as_it_was(lab, processes, seed):
    assert stands(lab, lab.start_service(*SERVICES), COUNT, seed, OFTEN, SELDOM)


@pytest.mark.skipif(not os.path.exists(SANITIZED_SERVICE), reason="build-asan is not built")
@pytest.mark.parametrize("conns, found", [
    (16384, (OFTEN, SELDOM)), (400, (OFTEN | OFTEN_WHEN_FULL,))], ids=["roomy", "full"])
def test_a_sanitized_build_finds_nothing_wrong_with_them(lab, processes, seed, conns, found):
    service = lab.start_service(*SERVICES, "--conns", conns, program=SANITIZED_SERVICE)
    assert stands(lab, service, COUNT_SANITIZED, seed, *found)
