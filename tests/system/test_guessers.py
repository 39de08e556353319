# SPDX-License-Identifier: BSD-3-Clause
"""Clients nobody has seen before, who guess recipients (guesser.c): over many connections, from a
whole prefix at once, and through two workers. What they learn is bounded; then the kernel drops them.
"""

import ipaddress
import json

import pytest

from backends import MailStore
from by_hand import GATEWAY_MAC, MAC
from conftest import make_lab
from gateway import Gateway
from lab import BACKEND, BY_HAND, CLIENT, GATEWAY, patiently
from services import SMTP, versions
from shield import Shield

CONNECTIONS, RECIPIENTS = 10, 20
AFTER_US, EVERY_US = 20000, 100
ACKS = AFTER_US // EVERY_US

# All addresses are the client's own, so that by its kernel it can ask whether one is served.
LONER = {"ipv4": "198.18.72.0", "ipv6": "fd00:18:64:4800::"}
LONER_ADDRESS = {"ipv4": "198.18.72.1", "ipv6": "fd00:18:64:4800::1"}
LONER_VERDICT = {"ipv4": "198.18.72.1/32", "ipv6": "fd00:18:64:4800::/64"}
LONER_NEIGHBOUR = {"ipv4": "198.18.72.2", "ipv6": "fd00:18:64:4801::1"}

CROWD = {"ipv4": ["198.18.73.0", "--clients", 250, "--at-once", 250],
         "ipv6": ["fd00:18:64::", "--clients", 5000, "--at-once", 500, "--step", 13,
                  "--patience-ms", 500]}
CROWD_VERDICT = {"ipv4": "198.18.73.0/24", "ipv6": "fd00:18:64::/48"}
CROWD_ANSWERED = {"ipv4": 14, "ipv6": 28}
# One of the prefix that did not come with the others, nor anybody of its /56.
LATE = {"ipv4": ["198.18.73.0", "--first", 253], "ipv6": ["fd00:18:64:ff00::"]}
LATE_ADDRESS = {"ipv4": "198.18.73.254", "ipv6": "fd00:18:64:ff00::1"}
CROWD_NEIGHBOUR = {"ipv4": "198.18.74.1", "ipv6": CLIENT["ipv6"]}

PREFIXES = ["198.18.72.0/24", *CROWD_VERDICT.values()]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    lab = make_lab("--queues", "2")
    gateway = Gateway(next(lab), tmp_path_factory.mktemp("gateway"), cores="[0, 0, 1]")
    with MailStore(gateway.lab, BACKEND["ipv4"]):
        gateway.start()
        yield gateway
        gateway.stop()
    lab.close()


@pytest.fixture
def forgiven(gateway):
    yield
    for network in {*shut_out(gateway), *PREFIXES}:
        gateway.control("shield", "unban", network)


def guess(gateway, version, *words):
    """What guesser tells of each client."""
    done = gateway.lab.run("net", BY_HAND / "guesser", "gw", "--from-mac", MAC, "--to-mac",
                           GATEWAY_MAC, "--to", GATEWAY[version], "--port", SMTP, "--recipients",
                           RECIPIENTS, "--from", *words, timeout=120)
    assert done.returncode == 0, done
    return [json.loads(line) for line in done.stdout.splitlines()]


def total(clients, what):
    return sum(client[what] for client in clients)


def shut_out(gateway):
    """By posternctl."""
    return {str(ipaddress.ip_network(network)) for network in gateway.shut_out()}


def agreed(gateway):
    """Who is shut out, once the kernel's map and posternctl say the same."""
    shield = Shield(gateway.lab.bpffs)
    patiently(lambda: set(shield.flagged()) == shut_out(gateway),
              "the kernel's map and posternctl agree")
    return shut_out(gateway)


def is_served(gateway, version, address):
    said = gateway.talk(version, "EHLO client.example", "MAIL FROM:<a@client.example>",
                        "RCPT TO:<anna@example.net>", "QUIT", source={version: address})[0]
    assert said[3].startswith("250 2.1.5"), said
    return True


def goes_on_unheard(gateway, version, verdict, *words):
    """Who is shut out goes on, and each of its frames is counted where the verdict stands."""
    shield = Shield(gateway.lab.bpffs)
    before = shield.drops(verdict)
    client, = guess(gateway, version, *words, "--connections", CONNECTIONS, "--after-us", AFTER_US,
                    "--every-us", EVERY_US)
    assert client["greeted"] == 0 and len(client["sent_us"]) == ACKS
    assert shield.drops(verdict) == before + CONNECTIONS + ACKS
    listed = json.loads(gateway.control("--json", "shield", "list"))["entries"]
    assert [entry["kernel"]["drops"] for entry in listed
            if ipaddress.ip_network(entry["address"]) == ipaddress.ip_network(verdict)] == [
                before + CONNECTIONS + ACKS]
    return True


def counter(gateway, name):
    return json.loads(gateway.control("--json", "counters"))[name]


@versions
def test_a_client_with_ten_connections_has_four_guesses_answered(gateway, forgiven, version):
    handed_over = counter(gateway, "handover_out")
    client, = guess(gateway, version, LONER[version], "--connections", CONNECTIONS)
    assert counter(gateway, "handover_out") > handed_over
    assert client["greeted"] == client["shut_out"] == CONNECTIONS, client
    assert client["answered"] == 4, client
    assert agreed(gateway) == {LONER_VERDICT[version]}
    assert goes_on_unheard(gateway, version, LONER_VERDICT[version], LONER[version])
    assert is_served(gateway, version, LONER_NEIGHBOUR[version])
    gateway.control("shield", "unban", LONER_ADDRESS[version])
    assert is_served(gateway, version, LONER_ADDRESS[version])
    assert agreed(gateway) == set()


@versions
def test_a_prefix_full_of_clients_has_hardly_more_answered(gateway, forgiven, version):
    clients = guess(gateway, version, *CROWD[version])
    most = CROWD_ANSWERED[version]
    assert most / 2 <= total(clients, "answered") <= most
    assert max(client["answered"] for client in clients) <= 4
    assert total(clients, "greeted") == total(clients, "shut_out") > 0
    verdict = CROWD_VERDICT[version]
    assert verdict in agreed(gateway)
    assert all(ipaddress.ip_network(network).subnet_of(ipaddress.ip_network(verdict))
               for network in agreed(gateway))
    assert goes_on_unheard(gateway, version, verdict, *LATE[version])
    assert is_served(gateway, version, CROWD_NEIGHBOUR[version])
    gateway.control("shield", "unban", verdict)
    assert is_served(gateway, version, LATE_ADDRESS[version])
    assert verdict not in agreed(gateway)
