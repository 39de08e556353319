# SPDX-License-Identifier: BSD-3-Clause
"""One interface serves two stacks: what is not ours stays the kernel's."""

import re

import pytest

from lab import BACKEND, GATEWAY, all_well
from services import ECHO, SMTP, versions


@pytest.fixture
def service(lab, processes):
    service = lab.start_service(*lab.service_options, "--service", "echo", "--listen", SMTP)
    yield service
    service.finish()


@versions
def test_the_kernel_answers_ping(lab, service, version):
    for host in ("client", "backend", "net"):
        assert lab.peer(host, "ping", GATEWAY[version])["answers"] == 1


@versions
def test_the_kernel_resolves_and_is_resolved(lab, service, version):
    router = {"ipv4": "198.18.0.254", "ipv6": "fd00:18::fe"}[version]
    for host, device, whom in (("net", "gw", GATEWAY[version]), ("gw", "mx0", router)):
        lab.run(host, "ip", "neighbour", "flush", "dev", device)
        assert lab.peer(host, "ping", whom)["answers"] == 1
        found = lab.run(host, "ip", "neighbour", "show", whom).stdout
        assert re.search("lladdr 02:18:00:00:00:", found), found


@versions
def test_the_kernel_serves_and_opens_connections_of_its_own(lab, service, version):
    lab.start_peer("gw", "echo-server", "::", ECHO)
    lab.start_peer("backend", "echo-server", "::", ECHO)
    all_well(lab.peer("client", "echo-client", GATEWAY[version], ECHO, "--bytes", 1000000))
    all_well(lab.peer("gw", "echo-client", BACKEND[version], ECHO, "--bytes", 1000000))
    all_well(lab.peer("client", "echo-client", GATEWAY[version], SMTP, "--bytes", 1000000))


@versions
def test_nmap_finds_our_port_open_and_the_others_closed(lab, service, version):
    six = ["-6"] if version == "ipv6" else []
    report = lab.run("client", "nmap", *six, "-n", "-Pn", "-sS", "-p", "24-26", GATEWAY[version])
    ports = dict(re.findall(r"^(\d+)/tcp +(\w+)", report.stdout, re.M))
    assert ports == {"24": "closed", "25": "open", "26": "closed"}, report.stdout + report.stderr
