# SPDX-License-Identifier: BSD-3-Clause
"""Who reaches the data plane, who reaches the kernel, and who reaches nobody."""

import pytest

from conftest import one_worker
from lab import BACKEND, GATEWAY, all_well, endpoint, patiently
from services import DISCARD, SMTP, versions
from shield import Shield

SSH = 22
GREETING = "220 kernel"
STRANGER = {"ipv4": "198.18.64.66", "ipv6": "fd00:18:64:66::1"}
NEIGHBOUR = {"ipv4": "198.18.64.67", "ipv6": "fd00:18:64:67::1"}
VERDICT = {"ipv4": "198.18.64.66/32", "ipv6": "fd00:18:64:66::/64"}
A_SOURCE_PORT = 20005

pytestmark = one_worker


@pytest.fixture
def service(lab, processes):
    service = lab.start_service("--service", "echo", "--listen", SMTP,
                                "--backend", endpoint(BACKEND["ipv4"], DISCARD))
    yield service
    if service.running():
        service.finish()


@pytest.fixture
def shield(lab, service):
    return Shield(lab.bpffs)


@pytest.fixture
def verdict(shield, version):
    shield.flag(VERDICT[version], 600)
    yield
    shield.unflag(VERDICT[version])


def knock(lab, version, source, port=SMTP, timeout=0.5, greeting=()):
    return lab.peer("client", "syn", GATEWAY[version], port, "--source", source, *greeting,
                    timeout=timeout)


@versions
def test_a_flagged_address_does_not_reach_smtp(lab, shield, verdict, version):
    before = shield.count("drop_flagged")
    assert knock(lab, version, STRANGER[version]) == "silence"
    assert shield.count("drop_flagged") > before
    assert knock(lab, version, NEIGHBOUR[version], timeout=5) == "open"


@versions
def test_a_flagged_address_still_reaches_the_kernels_ssh(lab, shield, verdict, version):
    lab.start_peer("gw", "greeting-server", "::", SSH)
    assert knock(lab, version, STRANGER[version], SSH, 5, ["--greeting"]) == GREETING
    assert lab.peer("client", "ping", GATEWAY[version], "--source",
                    STRANGER[version])["answers"] == 1


@versions
def test_a_verdict_that_has_expired_is_none(lab, shield, version):
    shield.flag(VERDICT[version], 1)
    # The first SYN is dropped, the kernel's second, a second later, comes through.
    before = shield.count("drop_flagged")
    assert knock(lab, version, STRANGER[version], timeout=10) == "open"
    assert shield.count("drop_flagged") == before + 1
    shield.unflag(VERDICT[version])


@versions
def test_the_allowlist_spares(lab, shield, verdict, version):
    shield.allow(f"{STRANGER[version]}/{32 if version == 'ipv4' else 128}")
    before = shield.count("spared")
    assert knock(lab, version, STRANGER[version], timeout=5) == "open"
    assert shield.count("spared") > before
    shield.disallow(f"{STRANGER[version]}/{32 if version == 'ipv4' else 128}")


def test_a_network_can_be_flagged(lab, shield):
    for network, inside, outside, version in (
            ("198.18.70.0/24", "198.18.70.200", "198.18.71.200", "ipv4"),
            ("fd00:18:64:4400::/56", "fd00:18:64:44ff::9", "fd00:18:64:4500::9", "ipv6")):
        shield.flag(network, 600)
        assert knock(lab, version, inside) == "silence"
        assert knock(lab, version, outside, timeout=5) == "open"
        shield.unflag(network)


@versions
def test_a_verdict_cuts_a_conversation_short(lab, service, shield, version):
    crowd = lab.start_peer("client", "many-connections", GATEWAY[version], SMTP, "--bytes", 100,
                           "--source", STRANGER[version], "--hold", "--timeout", 3,
                           wait_for="open")
    shield.flag(VERDICT[version], 600)
    crowd.say("go on")
    assert crowd.next_json()["failed"] == 1
    crowd.wait()
    # The kernel still repeats what nobody has acknowledged.
    shield.unflag(VERDICT[version])
    service.wait_until_idle()


@versions
def test_a_flagged_backend_still_serves_us(lab, processes, version):
    lab.start_peer("backend", "discard-server", BACKEND[version], DISCARD)
    active = lab.start_service("--connect", endpoint(BACKEND[version], DISCARD), "--bytes", 100000,
                               "--count", 1)
    assert active.finish(stop=False)["transfers_ok"] == 1
    Shield(lab.bpffs).flag(BACKEND[version], 600)
    active = lab.start_service("--connect", endpoint(BACKEND[version], DISCARD), "--bytes", 100000)
    assert active.finish(stop=False)["transfers_ok"] == 1
    Shield(lab.bpffs).unflag(BACKEND[version])


def test_only_a_backend_reaches_our_source_ports(lab, service, shield):
    """The backend's SYN to a source port of ours is answered by the data plane, which knows no
    such connection; anybody else's by the kernel, and the data plane never sees it."""
    def counts():
        return (shield.count("redirect_backend"),
                service.counts()["counters"]["tcp_no_connection"])

    def syn(host, source, source_port):
        return lab.peer(host, "syn", GATEWAY["ipv4"], A_SOURCE_PORT, "--source", source,
                        "--source-port", source_port, timeout=5)

    before = counts()
    assert syn("client", "198.18.1.1", DISCARD) == "refused"
    assert syn("client", "198.18.64.9", 40000) == "refused"
    assert syn("backend", "198.18.2.2", DISCARD) == "refused"
    assert syn("backend", "198.18.2.1", DISCARD + 1) == "refused"
    assert counts() == before
    lab.peer("backend", "syn", GATEWAY["ipv4"], A_SOURCE_PORT, "--source", "198.18.2.1",
             "--source-port", DISCARD, timeout=0.5)
    assert shield.count("redirect_backend") > before[0]


def test_killed_under_traffic_it_goes_on_dropping_and_nobody_is_reset(lab, service, shield):
    version = "ipv4"
    shield.flag(VERDICT[version], 600)
    flagged = lab.start_peer("client", "knock", GATEWAY[version], SMTP, "--source",
                             STRANGER[version])
    honest = lab.start_peer("client", "knock", GATEWAY[version], SMTP, "--source",
                            NEIGHBOUR[version], "--wait", 0.2)

    def grows(name, by):
        wanted = shield.count(name) + by
        patiently(lambda: shield.count(name) >= wanted, f"{name} has grown by {by}")

    grows("drop_flagged", 10)
    grows("redirect_smtp", 10)
    for _ in range(3):
        service.kill()
        grows("drop_flagged", 10)
        grows("no_socket", 3)
        # Its first SYN meets nobody; the kernel sends another after a second.
        unanswered = shield.count("no_socket")
        patient = lab.start_peer("client", "syn", GATEWAY[version], SMTP, "--timeout", 30,
                                 wait_for=None)
        patiently(lambda: shield.count("no_socket") > unanswered, "a SYN has been dropped")
        service = lab.start_service("--service", "echo", "--listen", SMTP)
        assert patient.next_line() == "open"
        grows("drop_flagged", 10)
    all_well(lab.peer("client", "echo-client", GATEWAY[version], SMTP, "--bytes", 1000000))
    flagged.stop()
    assert set(flagged.next_json()) == {"silence"}
    honest.stop()
    assert set(honest.next_json()) == {"silence", "open"}
    shield.unflag(VERDICT[version])
    service.finish()


def test_a_clean_end_leaves_the_shield_in_place(lab, service, shield):
    shield.flag(VERDICT["ipv4"], 600)
    service.finish()
    before = shield.counters()
    assert knock(lab, "ipv4", STRANGER["ipv4"]) == "silence"
    assert knock(lab, "ipv4", NEIGHBOUR["ipv4"]) == "silence"
    after = shield.counters()
    assert after["drop_flagged"] > before["drop_flagged"]
    assert after["no_socket"] > before["no_socket"]
    shield.unflag(VERDICT["ipv4"])
