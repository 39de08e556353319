# SPDX-License-Identifier: BSD-3-Clause
"""Window scale, timestamps and PAWS, as a peer that looks closely sees them (RFC 7323)."""

import pytest

from conftest import one_worker
from by_hand import MODULO, add, option, payload
from services import CHARGEN, DISCARD, ECHO, versions

NOW = 1 << 30  # the peer's clock

pytestmark = one_worker


@pytest.fixture(scope="module")
def service(lab, link):
    service = lab.start_service("--service", "echo", "--listen", ECHO,
                                "--service", "discard", "--listen", DISCARD,
                                "--service", "chargen", "--listen", CHARGEN)
    yield service
    lab.ended(service)
    link.leave()
    service.finish()


@pytest.fixture
def peer(service, new_peer, version):
    """One with timestamps."""
    peer = new_peer(version, ECHO)
    peer.open(ts=NOW)
    return peer


def echoed(segment):
    return option(segment, "Timestamp")[1]


# --- agreed on (3.2) -----------------------------------------------------------------------


@versions
def test_timestamps_are_agreed_on_only_when_offered(service, new_peer, version):
    with_none = new_peer(version, ECHO)
    assert option(with_none.open(), "Timestamp") is None
    assert option(with_none.echo(b"octets"), "Timestamp") is None
    # Of a peer that did not offer them they are not listened to (3.2), nor answered.
    assert option(with_none.echo(b"octets", options=[("Timestamp", (1, 2))]), "Timestamp") is None
    assert with_none.lives()

    with_some = new_peer(version, ECHO)
    assert echoed(with_some.open(ts=NOW)) == NOW
    assert echoed(with_some.echo(b"octets")) == NOW


@versions
def test_a_third_ack_without_timestamps_opens(service, new_peer, version):
    peer = new_peer(version, ECHO)
    peer.open(ts=NOW, third={"options": []})
    assert peer.lives()


@versions
def test_a_segment_without_timestamps_is_taken_where_they_were_agreed_on(peer):
    """RFC 7323 3.2 lets us drop it; a middle box that strips them must not cost a conversation."""
    answer = peer.echo(b"without", options=[])
    assert echoed(answer) == NOW  # ours go on
    assert peer.lives()


@versions
def test_our_clock_does_not_run_backward(peer):
    clocks = []
    for _ in range(20):
        clocks.append(option(peer.echo(b"tick"), "Timestamp")[0])
    assert all((later - sooner) % MODULO < 10000 for sooner, later in zip(clocks, clocks[1:]))


@versions
def test_every_connection_has_a_clock_of_its_own(service, new_peer, version):
    """RFC 7323 5.4: nobody learns how long we have been up."""
    clocks = [option(new_peer(version, ECHO).open(ts=NOW), "Timestamp")[0] for _ in range(8)]
    assert max(clocks) - min(clocks) > 1 << 20


# --- what is echoed (4.3) ------------------------------------------------------------------


@versions
def test_the_earliest_segment_a_delayed_ack_covers_is_echoed(service, new_peer, version):
    """The second begins beyond the last ACK sent."""
    peer = new_peer(version, DISCARD)
    peer.open(ts=NOW)
    peer.say(b"octets")
    peer.hear()  # at once: it tells more of a window than our SYN did
    for _ in range(20):
        packets = []
        for _ in range(2):
            peer.ts += 10
            packets.append(peer.packet("PA", b"octets"))
            peer.seq = add(peer.seq, 6)
        for packet in packets:
            peer.link.send(packet)
        answer = peer.hear()
        if answer.ack == peer.seq:
            break
        peer.hear()  # one of us is too slow, and each got its own
    assert (answer.ack, echoed(answer)) == (peer.seq, peer.ts - 10)


@versions
def test_what_comes_ahead_of_a_gap_is_not_echoed_and_what_fills_it_is(peer):
    peer.ts = NOW + 30
    peer.send("PA", b"later", seq=add(peer.seq, 5))
    ahead = peer.hear()
    assert (ahead.ack, echoed(ahead)) == (peer.seq, NOW)
    peer.ts = NOW + 20  # it was sent before
    peer.send("PA", b"first")
    peer.seq = add(peer.seq, 10)
    filled = peer.hear()
    assert (filled.ack, echoed(filled)) == (peer.seq, NOW + 20)
    peer.ts = NOW + 40
    assert peer.lives()


@versions
def test_a_blind_segment_far_ahead_in_time_does_not_shut_the_peer_out(peer):
    """Its number is good and its ACK is not (RFC 5961 5.2)."""
    peer.send("PA", b"forged", ack=add(peer.ack, 1 << 20),
              options=peer.timestamp(add(NOW, MODULO // 2 - 1)))
    assert [s.ack for s in peer.heard()] == [peer.seq]
    assert peer.lives()


# --- PAWS (5.3) ----------------------------------------------------------------------------


@versions
def test_bytes_with_an_old_timestamp_are_dropped_and_acknowledged(peer, counted):
    peer.send("PA", b"old", options=peer.timestamp(NOW - 1))
    said = peer.heard()
    assert [(s.flags, s.seq, s.ack, payload(s)) for s in said] == [("A", peer.ack, peer.seq, b"")]
    assert echoed(said[0]) == NOW
    assert counted("tcp_paws") == 1
    assert peer.lives()


@versions
def test_an_equal_timestamp_is_not_old(peer, counted):
    assert peer.lives()
    assert counted("tcp_paws") == 0


@versions
def test_the_clock_may_pass_the_end_of_its_numbers(service, new_peer, version, counted):
    peer = new_peer(version, ECHO)
    peer.open(ts=MODULO - 5)
    peer.ts = 5
    assert echoed(peer.echo(b"beyond zero")) == 5
    peer.send("PA", b"old", options=peer.timestamp(MODULO - 5))
    assert [s.ack for s in peer.heard()] == [peer.seq]
    assert counted("tcp_paws") == 1


@versions
def test_a_reset_is_exempt_from_paws(peer, counted):
    peer.send("R", options=peer.timestamp(NOW - 1000))
    assert peer.heard() == []
    assert counted("tcp_paws") == 0
    peer.send("A")
    assert [s.flags for s in peer.heard()] == ["R"]


@versions
def test_a_fin_with_an_old_timestamp_ends_nothing(peer):
    peer.send("FA", options=peer.timestamp(NOW - 1))
    assert [(s.flags, s.ack) for s in peer.heard()] == [("A", peer.seq)]
    assert peer.lives()


# --- window scale (2) ----------------------------------------------------------------------


@versions
def test_a_scale_is_offered_only_to_who_offers_one(service, new_peer, version):
    assert option(new_peer(version, ECHO).open(), "WScale") is None
    assert option(new_peer(version, ECHO).open([("WScale", 0)]), "WScale") is not None


@versions
def test_the_window_of_our_syn_is_never_scaled_and_later_ones_are(service, new_peer, version):
    plain, scaled = new_peer(version, ECHO), new_peer(version, ECHO)
    assert plain.open().window == 65535
    assert plain.echo(b"octets").window == 65535
    synack = scaled.open([("WScale", 7)])
    scale = option(synack, "WScale")
    assert (synack.window, scale > 0) == (65535, True)
    assert scaled.echo(b"octets").window << scale > 65535


def most_in_flight(peer, window, expected):
    """The most octets that come while nothing is acknowledged. That its congestion window allows
    them takes some rounds, and that not more come shows in one more."""
    flights = []
    while len(flights) < 20 and not [octets for octets in flights[:-1] if octets > expected - 1000]:
        while (segment := peer.link.next(peer.flow, 0.05)) is not None:
            peer.note(segment)
        flights.append(add(peer.ack, -peer.told))
        peer.send("A", window=window)
    return max(flights)


@versions
@pytest.mark.parametrize("scale, window, octets", [
    (None, 5000, 5000), (0, 5000, 5000), (3, 1000, 8000), (14, 1, 1 << 14), (255, 1, 1 << 14)])
def test_the_peers_windows_are_read_with_its_scale(
        service, new_peer, version, scale, window, octets):
    """2.3: a scale above 14 is 14."""
    options = [("MSS", 1000)] + ([("WScale", scale)] if scale is not None else [])
    peer = new_peer(version, CHARGEN)
    peer.open(options, window=window)
    # What is left of the window when less than a segment fits waits for more (silly windows).
    assert octets - 1000 < most_in_flight(peer, window, octets) <= octets
