# SPDX-License-Identifier: BSD-3-Clause
"""Runs of their own: connections we open to kernel servers, and a service with an end."""

import pytest

from lab import BACKEND, GATEWAY, all_well, endpoint
from services import CHARGEN, DISCARD, ECHO, MB, sizes, versions


@pytest.mark.parametrize("size", [1, 4 * MB])
def test_chargen_of_a_length_ends_with_fin(lab, processes, size):
    service = lab.start_service(*lab.service_options, "--service", "chargen", "--listen", CHARGEN,
                                "--bytes", size)
    for version in GATEWAY:
        all_well(lab.peer("client", "chargen-client", GATEWAY[version], CHARGEN, "--bytes", size,
                          "--to-end"))
    service.finish()


@versions
@sizes
def test_a_backend_receives_what_we_send(lab, processes, version, size):
    server = lab.start_peer("backend", "discard-server", BACKEND[version], DISCARD)
    active = lab.start_service(*lab.service_options, "--connect",
                               endpoint(BACKEND[version], DISCARD), "--bytes", size)
    counts = active.finish(timeout=90, stop=False)
    assert (counts["transfers_ok"], counts["transfers_failed"]) == (1, 0)
    server.stop()
    assert server.next_json() == {"accepted": 1, "open": 0, "octets": size, "resets": 0}


@versions
@sizes
def test_a_backends_echo_comes_back_whole(lab, processes, version, size):
    lab.start_peer("backend", "echo-server", BACKEND[version], ECHO)
    active = lab.start_service(*lab.service_options, "--connect",
                               endpoint(BACKEND[version], ECHO), "--bytes", size, "--receive")
    counts = active.finish(timeout=90, stop=False)
    assert (counts["transfers_ok"], counts["transfers_failed"]) == (1, 0)


@versions
def test_connections_to_a_backend_at_once_do_not_mix(lab, processes, version):
    lab.start_peer("backend", "echo-server", BACKEND[version], ECHO)
    active = lab.start_service(*lab.service_options, "--connect",
                               endpoint(BACKEND[version], ECHO), "--bytes", 100000, "--receive",
                               "--count", 200, "--parallel", 50)
    counts = active.finish(timeout=90, stop=False)
    assert (counts["transfers_ok"], counts["transfers_failed"]) == (200, 0)


def test_a_backend_that_refuses_is_a_failure(lab, processes):
    active = lab.start_service(*lab.service_options, "--connect",
                               endpoint(BACKEND["ipv4"], 4444), "--bytes", 10)
    assert active.wait() == 1
    assert active.next_json()["transfers_failed"] == 1
