# SPDX-License-Identifier: BSD-3-Clause
"""posternd is killed, the servers behind it are killed and stopped, and frames are lost, while clients
send and send again: SEMANTICS, Relay, 3 and 4.

Every message says which attempt of its client it is of, and no two attempts send the same octets. So
each that is stored is compared with what was sent then, and held against what the client heard.
"""

import collections
import json
import re

import pytest

from backends import MailStore, Postfix, Server
from chaos_crowd import LEFT, LOST, message
from conftest import make_lab
from gateway import Gateway, pool
from lab import GATEWAY, HERE, PYTHON
from mails import added_to
from services import SMTP

CLIENTS = 50
SOURCES = ",".join(f"198.18.64.{n}" for n in range(100, 100 + CLIENTS))
FIRST, SECOND = "198.18.2.1", "198.18.2.2"
DIRECTORY = "".join(f"{user}@example.net\n" for user in ("anna", "otto", "emil", "ida"))
LOSS = 2  # percent, either way, of either cable
STORES_OWN = ["Return-Path", "Delivered-To"]
ANSWER_LOST = "451 4.4.2 "  # the server's, to the end of a message that it may have stored
STALLED_S = 60
SAYS_IT_LATER_S = 0.1  # so that a server is killed with messages stored and not answered for
SOON_AGAIN = {"queue_run_delay": "1s", "minimal_backoff_time": "1s"}  # what is in Postfix's queue


@pytest.fixture(scope="module")
def chaos_lab():
    yield from make_lab("--queues", "2")


@pytest.fixture
def bad_cables(chaos_lab):
    for host in ["client", "backend"]:
        chaos_lab.impair(host, "--loss", LOSS)
    yield chaos_lab
    for process in list(chaos_lab.processes):
        process.kill()
        chaos_lab.ended(process)
    chaos_lab.heal()


@pytest.fixture
def servers(bad_cables):
    with MailStore(bad_cables, FIRST, delay_s=SAYS_IT_LATER_S) as store, \
            Postfix(bad_cables, SECOND, settings=SOON_AGAIN) as postfix:
        yield store, postfix


@pytest.fixture
def gateway(bad_cables, servers, tmp_path):
    gateway = Gateway(bad_cables, tmp_path, cores="[0, 0, 1]", directory=DIRECTORY,
                      pools=[pool(servers=[f"{FIRST}:{SMTP}", f"{SECOND}:{SMTP}"])])
    gateway.start()
    return gateway


# --- what happens ----------------------------------------------------------------------------------


def restart_gateway(gateway):
    gateway.kill()
    gateway.start()


def restart(server, end):
    end(server)
    server.start()


def blows(gateway, servers, count):
    """As many at the gateway as at the servers, in turn; a server is told to end, or is not even told."""
    ends = [Server.kill, Server.stop]
    for number in range(count):
        yield lambda: restart_gateway(gateway)
        yield lambda number=number: restart(servers[number % 2], ends[number // 2 % 2])


def await_taken(crowd, seen, count):
    """Until so many messages were; seen: how many there were before."""
    for _ in range(seen, count):
        said = crowd.next_line(STALLED_S)
        assert said == "taken", f"{said}\n{crowd.story()}"


def attempts_amid(gateway, servers, count, blows_each):
    """What became of each attempt, by the message's number and the attempt's."""
    journal = gateway.folder / "journal"
    crowd = gateway.lab.start("client", PYTHON, HERE / "chaos_crowd.py", "--journal", journal, count, SOURCES,
                              GATEWAY["ipv4"], SMTP, name="chaos_crowd")
    seen = 0
    for number, blow in enumerate(blows(gateway, servers, blows_each), 1):
        until = number * count // (2 * blows_each + 1)
        await_taken(crowd, seen, until)
        blow()
        seen = until
    await_taken(crowd, seen, count)
    assert crowd.wait() == 0, crowd.story()
    gateway.lab.ended(crowd)
    stories = map(json.loads, journal.read_text().splitlines())
    return {(story["number"], story["nth"]): story for story in stories}


# --- what is stored --------------------------------------------------------------------------------


def attempt_of(octets):
    number, nth = re.search(rb"^X-Number: (\d+)\r\nX-Attempt: (\d+)\r\n", octets, re.MULTILINE).groups()
    return int(number), int(nth)


def taken_by(server):
    """The attempts whose message the server took, as often as it did; each is stored whole.

    A Postfix that is killed between its delivery and the note of it delivers again: its own Received
    field is then the same, too."""
    taken, trace = [], set()
    for stored in server.stored():
        attempt = attempt_of(stored.octets)
        received = added_to(message(*attempt), stored.octets, STORES_OWN)
        assert sum(b"by mx1.example.net " in field for field in received) == 1, received
        if isinstance(server, MailStore) or tuple(received) not in trace:
            taken.append(attempt)
            trace.add(tuple(received))
    return taken


def was_taken(story):
    return story["last"].startswith("250 ")


def may_be_stored(story):
    """The message went out whole, and nobody said what became of it."""
    return story["ended"] and (story["last"] == LOST or story["last"].startswith(ANSWER_LOST))


def judge(attempts, taken, count):
    """How often a message was stored again, since the client could not know that it was."""
    assert sorted(number for (number, _), story in attempts.items() if was_taken(story)) == \
        list(range(1, count + 1))
    for attempt, story in attempts.items():
        assert not story["last"].startswith("5"), story
        if was_taken(story):
            assert taken[attempt] == 1, story
    for attempt, times in taken.items():
        story = attempts[attempt]
        assert times == 1 and (was_taken(story) or may_be_stored(story)), (times, story)
    return taken.total() - count


@pytest.mark.parametrize("count, blows_each", [
    pytest.param(1000, 3, id="1,000 messages, 3 kills, 3 restarts"),
    pytest.param(20_000, 20, marks=pytest.mark.long, id="20,000 messages, 20 kills, 20 restarts")])
def test_what_a_client_was_told_is_stored_is_stored_whole(gateway, servers, record_testsuite_property,
                                                          count, blows_each):
    attempts = attempts_amid(gateway, servers, count, blows_each)
    servers[1].wait_until_delivered()
    by_server = [collections.Counter(taken_by(server)) for server in servers]
    duplicates = judge(attempts, sum(by_server, collections.Counter()), count)
    outcomes = collections.Counter(" ".join(story["last"].split()[:2]) for story in attempts.values())
    unanswered = sum(map(may_be_stored, attempts.values()))
    record_testsuite_property("note", f"chaos: {count} messages in {len(attempts)} attempts, {duplicates} "
                              f"stored again of {unanswered} whose answer was lost; {dict(outcomes)}")
    # It was what it is meant to be.
    assert all(by_server) and outcomes[LOST] and outcomes[LEFT]
    gateway.stop()
