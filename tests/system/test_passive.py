# SPDX-License-Identifier: BSD-3-Clause
"""Octets from and to kernel clients, over a good cable."""

import pytest

from lab import GATEWAY, all_well
from services import CHARGEN, DISCARD, ECHO, SERVICES, sizes, versions

@pytest.fixture(scope="module")
def service(lab):
    service = lab.start_service(*lab.service_options, *SERVICES)
    yield service
    lab.ended(service)
    service.finish()


@versions
@sizes
def test_echo_returns_what_the_client_sent(lab, service, version, size):
    all_well(lab.peer("client", "echo-client", GATEWAY[version], ECHO, "--bytes", size))


@versions
@sizes
def test_discard_takes_all_and_closes_after_the_client(lab, service, version, size):
    all_well(lab.peer("client", "discard-client", GATEWAY[version], DISCARD, "--bytes", size))


@versions
@sizes
def test_chargen_sends_its_lines_until_the_client_has_enough(lab, service, version, size):
    all_well(lab.peer("client", "chargen-client", GATEWAY[version], CHARGEN, "--bytes", size))


@versions
def test_an_empty_connection_is_closed_in_order(lab, service, version):
    all_well(lab.peer("client", "echo-client", GATEWAY[version], ECHO, "--bytes", 0,
                      "--count", 20, "--parallel", 5))


@versions
def test_conversations_at_once_do_not_mix(lab, service, version):
    source = {"ipv4": "198.18.99.1", "ipv6": "fd00:18:64:99::1"}[version]
    all_well(lab.peer("client", "echo-client", GATEWAY[version], ECHO, "--bytes", 200000,
                      "--count", 200, "--parallel", 50, "--source", source))


@versions
def test_a_client_that_goes_away_mid_stream_costs_nothing(lab, service, version):
    """The kernel resets a connection that is closed with unread octets."""
    all_well(lab.peer("client", "chargen-client", GATEWAY[version], CHARGEN, "--bytes", 100000,
                      "--count", 50, "--parallel", 10))
    service.wait_until_idle()
