# SPDX-License-Identifier: BSD-3-Clause
"""Thousands of conversations, all open at once: every answer right, nothing left of them, and a verdict
ends those it is about."""

import json
from itertools import chain

import pytest

from lab import BY_HAND, GATEWAY, endpoint, patiently
from services import SMTP, versions

FEW, MANY = 2000, 10000
TIMEOUT = 120
EACH = 3  # a client's
NETWORK = {"ipv4": "198.18.64.0", "ipv6": "fd00:18:64::"}
# Far from those, and the clients of it that guess: the fourth guess is the last of each.
GUESSERS = {"ipv4": "198.18.127.0/24", "ipv6": "fd00:18:64:ff00::/56"}
GUESSING = {"ipv4": [f"198.18.127.{n}" for n in range(201, 204)],
            "ipv6": [f"fd00:18:64:ff{n:02x}::1" for n in range(201, 204)]}
ALLOWED = "[198.18.64.0/18, \"fd00:18:64::/48\"]"

GREETING = "220 mx1.example.net "
UNTIL_ALL_ARE_ASKED = [
    ("EHLO client.example", "250 LIMITS RCPTMAX=1000"),
    ("MAIL FROM:<a@client.example>", "250 2.1.0 "),
    ("RCPT TO:<anna@example.net>", "250 2.1.5 "),
    ("RCPT TO:<nobody@example.net>", "550 5.1.1 <nobody@example.net>: no such mailbox here")]
UNTIL_ALL_ARE_GONE = [("RSET", "250 2.0.0 "), ("QUIT", "221 2.0.0 ")]
DIALOGUE = [*UNTIL_ALL_ARE_ASKED, *UNTIL_ALL_ARE_GONE]
# What want of memory, or a client shut out, would be counted as.
WANTS = ["smtp_no_session", "smtp_no_envelope", "smtp_no_page", "smtp_no_piece", "mail_replies_lost",
         "mail_turned_away", "mail_verdicts", "tcp_resets_out", "tcp_resets_in", "tcp_aborts",
         "tcp_client_over", "port_no_buffer"]
OCTETS = sum(len(said) + len("\r\n") for said, _ in DIALOGUE)


def start_roomy(gateway, harvest=""):
    """As large as posternd makes itself unless told otherwise."""
    config = gateway.config.read_text()
    for small, large in {", clients: 4K, filter: 64K": harvest,
                         "limits: {connections: 4K, buffers: 4K}\n": ""}.items():
        assert small in config
        config = config.replace(small, large)
    gateway.config.write_text(config)
    gateway.start()


def connections(gateway):
    return json.loads(gateway.control("--json", "status"))["connections"]


def clients(gateway):
    """Open connections but those to the server behind."""
    pools = json.loads(gateway.control("--json", "pools"))["entries"]
    return connections(gateway)["open"] - sum(server["connections"] for server in pools)


def counters(gateway):
    return json.loads(gateway.control("--json", "counters"))


def begin(gateway, version, network, count, each, *parts):
    """Clients that are all greeted and then wait for our word, as they do behind each part."""
    parts = [word for part in parts for word in ["-", *chain(*part)]]
    crowd = gateway.lab.start("client", BY_HAND / "conversations", "--from", network, "--count", count,
                              "--each", each, "--timeout", TIMEOUT, endpoint(GATEWAY[version], SMTP),
                              GREETING, *parts)
    crowd.wait_for("held", TIMEOUT)
    return crowd


def end(crowd):
    """What it said."""
    crowd.say("go on")
    said = crowd.next_json(TIMEOUT)
    assert crowd.wait() == 0
    return said


@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.long)])
@versions
def test_thousands_of_conversations_an_octet_a_write_leave_nothing(gateway, version, count):
    """Each asks for somebody who does not exist: the verdict on their network would be just, so its
    operator has allowed it."""
    start_roomy(gateway, f", allow: {ALLOWED}")
    resident = [gateway.memory()]
    crowd = begin(gateway, version, NETWORK[version], count, EACH, UNTIL_ALL_ARE_ASKED,
                  UNTIL_ALL_ARE_GONE)
    patiently(lambda: clients(gateway) == count, "all are open at once")
    resident.append(gateway.memory())
    crowd.say("go on")
    crowd.wait_for("held", TIMEOUT)
    assert clients(gateway) == count
    resident.append(gateway.memory())
    said = end(crowd)
    assert (said["conversations"], said["octets"]) == (count, count * OCTETS)
    greeted, asked = ((octets - resident[0]) // count for octets in resident[1:])
    print(f"{said['ms']} ms; resident octets a conversation: {greeted} when greeted, {asked} when asked")

    patiently(lambda: clients(gateway) == 0, "every connection is closed")
    assert connections(gateway)["buffers"] == 0
    counted = counters(gateway)
    assert counted["smtp_conversations"] == counted["smtp_ended"] == count
    assert counted["smtp_commands"] == count * len(DIALOGUE)
    assert counted["smtp_recipients_asked"] == 2 * count
    assert counted["smtp_recipients_taken"] == count
    assert {name: counted[name] for name in WANTS if counted[name]} == {}
    gateway.stop()


@versions
def test_the_verdict_on_a_network_ends_its_conversations_and_no_others(gateway, version):
    network, members = GUESSERS[version], 100
    start_roomy(gateway)
    others = begin(gateway, version, NETWORK[version], MANY, 1, [("QUIT", "221 ")])
    its = begin(gateway, version, network.split("/")[0], members, 1, [("", "421 4.7.1 ")])
    patiently(lambda: clients(gateway) == MANY + members, "all are open at once")
    for guesser in GUESSING[version]:
        gateway.talk(version, "EHLO client.example", "MAIL FROM:<a@client.example>",
                     *(f"RCPT TO:<guess{n}@example.net>" for n in range(4)),
                     source={version: guesser})
    gateway.wait_for_log(f"{network} shut out for 300 s")
    patiently(lambda: clients(gateway) == MANY, "the network's conversations end")
    assert counters(gateway)["mail_swept"] == members
    assert end(its)["conversations"] == members
    assert end(others)["conversations"] == MANY
    patiently(lambda: clients(gateway) == 0, "every connection is closed")
    gateway.stop()
