# SPDX-License-Identifier: BSD-3-Clause
"""Who does not see a conversation but sends into it: RFC 5961, and what a segment of no
conversation gets (RFC 9293 3.10.7.1)."""

import math
import time

import pytest

from conftest import one_worker
from lab import patiently
from by_hand import add
from services import ECHO, versions

WINDOW = 65535  # what our SYN offers; told again only with the first ACK of ours

CHALLENGE_EVERY_S = 0.064
RESETS_PERIOD_S = 0.1  # dataplane/tcp/budget.c
RESETS_A_PERIOD_MAX = 150

NOBODY = 24

MANY = 500  # in one go, and not too many for the receive ring of a worker that is not running

pytestmark = one_worker


@pytest.fixture(scope="module")
def service(lab, link):
    service = lab.start_service("--service", "echo", "--listen", ECHO)
    yield service
    lab.ended(service)
    link.leave()
    service.finish()


@pytest.fixture
def peer(service, new_peer, version):
    peer = new_peer(version, ECHO)
    peer.open()
    return peer


def is_challenge(said, peer):
    """One ACK that tells the true peer's numbers and nothing else."""
    return [(s.flags, s.seq, s.ack, bytes(s.payload)) for s in said] == [
        ("A", peer.ack, peer.seq, b"")]


# --- RST (3.2) -----------------------------------------------------------------------------


@versions
def test_a_reset_with_the_exact_number_ends_the_connection(peer):
    peer.send("R")
    assert peer.heard() == []
    peer.send("A")  # and the next segment is one of no connection
    assert [(s.flags, s.seq) for s in peer.heard()] == [("R", peer.ack)]


@versions
@pytest.mark.parametrize("beyond", [1, 1000, WINDOW - 1])
def test_a_reset_within_the_window_is_challenged(peer, counted, beyond):
    peer.send("R", seq=add(peer.seq, beyond))
    assert is_challenge(peer.heard(), peer)
    assert counted("tcp_challenge_acks") == 1
    assert peer.lives()


@versions
@pytest.mark.parametrize("beyond", [-1000, WINDOW + 2, 1 << 30, 1 << 31])
def test_a_reset_outside_the_window_is_met_with_silence(peer, counted, beyond):
    peer.send("R", seq=add(peer.seq, beyond))
    assert peer.heard() == []
    assert counted("tcp_challenge_acks") == 0
    assert peer.lives()


@versions
def test_the_true_peer_answers_a_challenge_with_a_reset_that_ends_it(peer):
    """It had restarted: its RST after the challenge bears the number we asked for (3.2)."""
    peer.send("R", seq=add(peer.seq, 77))
    challenge = peer.hear()
    peer.send("R", seq=challenge.ack)
    assert peer.heard() == []
    peer.send("A")
    assert [s.flags for s in peer.heard()] == ["R"]


# --- SYN (4.2) -----------------------------------------------------------------------------


@versions
@pytest.mark.parametrize("beyond", [-1, 0, 1000, 1 << 31], ids=["repeated", "exact", "within", "outside"])
def test_a_syn_in_a_connection_is_challenged(peer, counted, beyond):
    peer.send("S", seq=add(peer.seq, beyond), options=[("MSS", 1460)])
    assert is_challenge(peer.heard(), peer)
    assert counted("tcp_challenge_acks") == 1
    assert peer.lives()


@versions
def test_a_syn_and_ack_in_a_connection_is_challenged(peer):
    peer.send("SA")
    assert is_challenge(peer.heard(), peer)
    assert peer.lives()


# --- bytes (5.2) ---------------------------------------------------------------------------


@versions
@pytest.mark.parametrize("beyond", [1, 1 << 20, -(1 << 20), -(1 << 31)])
def test_bytes_with_an_ack_nobody_can_have_sent_are_challenged(peer, counted, beyond):
    peer.send("PA", b"forged", ack=add(peer.ack, beyond))
    assert is_challenge(peer.heard(), peer)
    assert counted("tcp_bad_ack") == 1
    assert peer.lives()  # and of the forged ones none came back


@versions
def test_bytes_with_an_old_ack_of_the_last_window_are_taken(peer):
    peer.echo(b"first")
    peer.ack, now = add(peer.ack, -3), peer.ack
    peer.say(b"late")
    peer.ack = now
    assert bytes(peer.hear().payload) == b"late"


# --- the limit (7) -------------------------------------------------------------------------


@versions
def test_challenges_are_limited_for_a_connection_and_not_for_its_neighbour(
        service, new_peer, version, counted):
    attacked, neighbour = new_peer(version, ECHO), new_peer(version, ECHO)
    attacked.open()
    neighbour.open()
    began = time.monotonic()
    attacked.link.send(attacked.packet("R", seq=add(attacked.seq, 1)), times=MANY)
    said = attacked.heard()
    lasted = time.monotonic() - began
    assert 1 <= len(said) <= 2 + lasted / CHALLENGE_EVERY_S
    assert counted("tcp_challenge_acks") == len(said)
    neighbour.send("R", seq=add(neighbour.seq, 1))
    assert is_challenge(neighbour.heard(), neighbour)
    assert attacked.lives() and neighbour.lives()


# --- no connection (RFC 9293 3.10.7.1) ------------------------------------------------------


@versions
@pytest.mark.parametrize("flags", ["A", "PA", "FA", "SA", "FPUA"])
def test_a_segment_of_no_connection_is_reset_by_the_number_it_acknowledged(
        service, new_peer, version, flags):
    stray = new_peer(version, ECHO)
    stray.send(flags, b"octets", ack=0x12345678)
    assert [(s.flags, s.seq, s.window) for s in stray.heard()] == [("R", 0x12345678, 0)]


@versions
@pytest.mark.parametrize("flags", ["R", "RA", "", "F", "PU", "FPU", "SF", "SR", "SFUP", "FRA"])
def test_nobody_answers_a_reset_or_flags_that_make_no_sense(service, new_peer, version, flags):
    stray = new_peer(version, ECHO)
    stray.send(flags, ack=0x12345678)
    assert stray.heard() == []


def await_a_reset(stray):
    def is_answered():
        stray.send("A")
        return stray.heard()

    patiently(is_answered, "a segment of no connection is reset")


@pytest.fixture
def answered_stray(service, new_peer, version):
    """Of no connection, in a period whose budget nobody has used up."""
    stray = new_peer(version, ECHO)
    await_a_reset(stray)
    return stray


@versions
def test_resets_are_limited(answered_stray, counted):
    stray = answered_stray
    began = time.monotonic()
    stray.link.send(stray.packet("A"), times=MANY)
    said = stray.heard()
    periods = 1 + math.ceil((time.monotonic() - began) / RESETS_PERIOD_S)
    assert 1 <= len(said) <= periods * RESETS_A_PERIOD_MAX
    assert {str(s.flags) for s in said} == {"R"}
    assert counted("tcp_no_connection") == MANY
    await_a_reset(stray)


@versions
def test_a_port_nobody_serves_is_the_kernels_to_refuse(service, new_peer, version, counted):
    stray = new_peer(version, NOBODY)
    stray.send("S", options=[("MSS", 1460)])
    refusal = stray.hear()
    assert (refusal.flags, refusal.ack) == ("RA", add(stray.seq, 1))
    assert counted("tcp_segments_in") == counted("tcp_no_listener") == 0
