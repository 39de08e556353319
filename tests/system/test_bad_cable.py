# SPDX-License-Identifier: BSD-3-Clause
"""The same octets over cables that lose, corrupt, duplicate, delay and reorder."""

import pytest

from lab import BACKEND, GATEWAY, all_well, endpoint
from services import DISCARD, ECHO, SERVICES

TRANSFER = 2000000
HALF = 20

SOURCES = {"ipv4": ["198.18.1.1", "198.18.77.1"], "ipv6": ["fd00:18:1::1", "fd00:18:64:77::1"]}

# What the relay does; what must have happened for the test to mean anything.
CABLES = {
    "corruption": (["--corrupt", 1], "corrupted"),
    "duplication": (["--duplicate", 5], "duplicated"),
    "delay_and_reordering": (["--delay", 5, "--jitter", 5, "--reorder", 5], "reordered"),
}
cables = pytest.mark.parametrize("cable", CABLES)


@pytest.fixture
def service(lab, processes):
    service = lab.start_service(*lab.service_options, *SERVICES)
    yield service
    service.finish()


def both_versions(lab, count, size, parallel, timeout):
    """Clients of both versions at once; each half of the connections."""
    clients = [lab.start_peer("client", "echo-client", GATEWAY[version], ECHO, "--bytes", size,
                              "--count", count, "--parallel", parallel, "--timeout", timeout,
                              wait_for=None)
               for version in GATEWAY]
    return [all_well(client.next_json(timeout + 10)) for client in clients]


def test_forty_transfers_each_way_at_five_percent_loss_each_way(lab, service):
    lab.impair("client", "--loss", 5)
    both_versions(lab, HALF, TRANSFER, HALF, 120)
    counts = lab.dropped("client")
    # 80 MB each way are 55,000 full frames.
    assert counts["dropped_in"] > 2000, counts
    assert counts["dropped_out"] > 2000, counts


def test_forty_transfers_to_a_backend_at_five_percent_loss_each_way(lab, processes):
    lab.start_peer("backend", "echo-server", "::", ECHO)
    lab.impair("backend", "--loss", 5)
    for version in BACKEND:
        active = lab.start_service(*lab.service_options, "--connect",
                                   endpoint(BACKEND[version], ECHO), "--bytes", TRANSFER,
                                   "--receive", "--count", HALF, "--parallel", HALF)
        counts = active.finish(timeout=120, stop=False)
        assert (counts["transfers_ok"], counts["transfers_failed"]) == (HALF, 0)
    counts = lab.dropped("backend")
    assert counts["dropped_in"] > 2000, counts
    assert counts["dropped_out"] > 2000, counts


@cables
def test_clients_behind_a_bad_cable_get_whole_octets(lab, service, seed, cable):
    options, what = CABLES[cable]
    lab.impair("client", *options, "--seed", seed)
    both_versions(lab, 5, TRANSFER, 5, 90)
    assert lab.dropped("client")[what] > 100


@cables
def test_backends_behind_a_bad_cable_get_whole_octets(lab, processes, seed, cable):
    options, what = CABLES[cable]
    lab.start_peer("backend", "echo-server", "::", ECHO)
    lab.impair("backend", *options, "--seed", seed)
    active = lab.start_service(*lab.service_options, "--connect", endpoint(BACKEND["ipv6"], ECHO),
                               "--bytes", TRANSFER, "--receive", "--count", 10, "--parallel", 5)
    counts = active.finish(timeout=90, stop=False)
    assert (counts["transfers_ok"], counts["transfers_failed"]) == (10, 0)
    assert lab.dropped("backend")[what] > 100


def test_everything_at_once(lab, service, seed):
    lab.impair("client", "--loss", 3, "--corrupt", 1, "--duplicate", 2, "--reorder", 3,
               "--delay", 2, "--jitter", 2, "--seed", seed)
    both_versions(lab, 10, 500000, 10, 90)
    counts = lab.dropped("client")
    assert min(counts[what] for what in ("dropped_in", "dropped_out", "corrupted", "duplicated",
                                         "reordered")) > 50, counts


def test_many_handshakes_and_closes_at_five_percent_loss(lab, service):
    lab.impair("client", "--loss", 5)
    both_versions(lab, 500, 300, 100, 90)


@pytest.mark.long
def test_uploads_and_downloads_at_ten_percent_loss(lab, service):
    lab.impair("client", "--loss", 10)
    both_versions(lab, HALF, TRANSFER, HALF, 600)
    all_well(lab.peer("client", "discard-client", GATEWAY["ipv4"], DISCARD, "--bytes", TRANSFER,
                      "--count", HALF, "--parallel", 10, timeout=600))
