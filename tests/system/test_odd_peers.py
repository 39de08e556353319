# SPDX-License-Identifier: BSD-3-Clause
"""Peers that are within their rights and unlike a kernel, or without right and no reason to break."""

import pytest

from scapy.layers.inet import IP, IPOption_EOL, IPOption_NOP, IPOption_RR, TCP
from scapy.layers.inet6 import (IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting,
                                PadN)

from conftest import one_worker
from by_hand import add, option, payload
from services import CHARGEN, ECHO, NUL, versions

MSS_DEFAULT = {"ipv4": 536, "ipv6": 1220}
MSS_MIN = 216
MSS_OURS = {"ipv4": 1460, "ipv6": 1440}
NUL_GREETING, NUL_COMMAND, NUL_REPLY = 26, 6, 9

pytestmark = one_worker


@pytest.fixture(scope="module")
def service(lab, link):
    service = lab.start_service("--service", "echo", "--listen", ECHO,
                                "--service", "chargen", "--listen", CHARGEN,
                                "--service", "nul", "--listen", NUL)
    yield service
    lab.ended(service)
    link.leave()
    service.finish()


# --- the SYN -------------------------------------------------------------------------------


@versions
def test_explicit_congestion_notification_is_not_agreed_to(service, new_peer, version):
    peer = new_peer(version, ECHO)
    peer.send("SEC", options=[("MSS", 1460)])
    assert peer.hear().flags == "SA"


@versions
def test_bytes_on_a_syn_are_left_to_be_sent_again(service, new_peer, version):
    peer = new_peer(version, ECHO)
    peer.send("S", b"early", options=[("MSS", 1460)])
    synack = peer.hear()
    assert (synack.flags, synack.ack) == ("SA", add(peer.seq, 1))
    peer.seq = synack.ack
    peer.echo(b"early")


@versions
def test_a_syn_repeated_gets_the_same_answer(service, new_peer, version):
    peer = new_peer(version, ECHO)
    for _ in range(3):
        peer.send("S", options=[("MSS", 1460)])
    said = peer.heard()
    # What comes in one burst is answered once.
    assert 1 <= len(said) <= 3
    assert {(str(s.flags), s.seq, s.ack) for s in said} == {("SA", said[0].seq, add(peer.seq, 1))}


@versions
@pytest.mark.parametrize("offered, used", [
    (0, MSS_MIN), (1, MSS_MIN), (MSS_MIN - 1, MSS_MIN), (300, 300), (None, None), (65535, 65535)])
def test_segments_are_no_longer_than_the_mss_and_no_shorter_than_makes_sense(
        service, new_peer, version, offered, used):
    peer = new_peer(version, CHARGEN)
    synack = peer.open([("MSS", offered)] if offered is not None else [])
    assert option(synack, "MSS") == MSS_OURS[version]
    lengths = [len(payload(peer.hear())) for _ in range(4)]
    assert set(lengths) == {min(used or MSS_DEFAULT[version], MSS_OURS[version])}


@versions
def test_a_third_ack_with_a_wrong_number_is_reset_and_the_right_one_opens(
        service, new_peer, version):
    peer = new_peer(version, ECHO)
    peer.send("S", options=[("MSS", 1460)])
    peer.seq = peer.hear().ack
    peer.send("A", ack=add(peer.ack, 77))
    assert [(s.flags, s.seq) for s in peer.heard()] == [("R", add(peer.ack, 77))]
    assert peer.lives()


EXTENSIONS = {
    "ipv4": {"nothing": IP(options=[IPOption_NOP(), IPOption_EOL()]),
             "a route": IP(options=[IPOption_RR(routers=["192.0.2.1", "192.0.2.2"])])},
    "ipv6": {"nothing": IPv6(nh=0) / IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(4))]),
             "a route": IPv6(nh=60) / IPv6ExtHdrDestOpt(nh=43) /
             IPv6ExtHdrRouting(addresses=["2001:db8::1"], segleft=0)},
}


@versions
@pytest.mark.parametrize("what", ["nothing", "a route"])
def test_what_stands_between_ip_and_tcp_is_passed_over(service, new_peer, version, what):
    peer = new_peer(version, ECHO)
    for flags, octets in (("S", b""), ("A", b""), ("PA", b"octets")):
        packet = peer.packet(flags, octets)
        headers = EXTENSIONS[version][what].copy()
        headers.src, headers.dst = packet.src, packet.dst
        peer.link.send(headers / packet[TCP])
        if flags == "S":
            peer.seq = peer.hear().ack
    assert payload(peer.hear()) == b"octets"


# Options of lengths that are not theirs: a list that cannot be read to its end makes the header
# impossible, one that can is read and what is wrong in it passed over.
UNREADABLE = {
    "length_0": "0200 05b4", "length_1": "0201 05b4", "beyond_the_header": "0206 05b4",
    "no_length": "01010102", "timestamp_beyond_the_header": "080a 00000001 0101",
}
READABLE = {
    "mss_of_3": "0203 05 00", "mss_of_2": "0202 0101", "scale_of_2": "0302 0101",
    "scale_of_4": "0304 0700", "timestamp_of_2": "0802 0101", "sack_permitted_of_4": "0404 0000",
    "sack_blocks": "050a 00000001 00000002 0101", "unknown": "fd04 1234", "end_at_once": "00ffffff",
    "nothing_but_nops": "01010101",
}


def with_options(peer, flags, octets, **fields):
    """A packet whose options are just these octets."""
    raw = bytes.fromhex(octets)
    assert len(raw) % 4 == 0
    return peer.packet(flags, raw, dataofs=5 + len(raw) // 4, options=[], **fields)


@versions
@pytest.mark.parametrize("octets", UNREADABLE.values(), ids=UNREADABLE)
def test_a_syn_whose_options_cannot_be_read_is_dropped(service, new_peer, version, counted, octets):
    peer = new_peer(version, ECHO)
    peer.link.send(with_options(peer, "S", octets))
    assert peer.heard() == []
    assert counted("tcp_bad_header") == 1


@versions
@pytest.mark.parametrize("octets", READABLE.values(), ids=READABLE)
def test_an_option_of_a_length_not_its_own_is_passed_over(service, new_peer, version, octets):
    peer = new_peer(version, CHARGEN)
    peer.link.send(with_options(peer, "S", octets))
    synack = peer.hear()
    agreed = [option(synack, name) for name in ("WScale", "SAckOK", "Timestamp")]
    assert (synack.flags, agreed) == ("SA", [None, None, None])
    peer.seq = synack.ack
    peer.send("A")
    assert len(payload(peer.hear())) == MSS_DEFAULT[version]


@versions
@pytest.mark.parametrize("octets", UNREADABLE.values(), ids=UNREADABLE)
def test_a_segment_whose_options_cannot_be_read_changes_nothing(
        service, new_peer, version, counted, octets):
    peer = new_peer(version, ECHO)
    peer.open()
    peer.link.send(with_options(peer, "RA", octets))
    assert peer.heard() == []
    assert counted("tcp_bad_header") == 1
    assert peer.lives()


# --- in a conversation ---------------------------------------------------------------------


@versions
@pytest.mark.parametrize("urgent", [1, 3, 6, 7, 65535])
def test_urgent_bytes_are_delivered_in_line(service, new_peer, version, urgent):
    """RFC 6093 6."""
    peer = new_peer(version, ECHO)
    peer.open()
    peer.echo(b"urgent", flags="PAU", urgptr=urgent)
    peer.echo(b"not so")


@versions
def test_congestion_bits_that_were_not_agreed_on_mean_nothing(service, new_peer, version):
    peer = new_peer(version, ECHO)
    peer.open()
    assert peer.echo(b"octets", flags="PAEC").flags == "PA"


@versions
def test_a_segment_partly_beyond_the_window_is_taken_up_to_its_edge(service, new_peer, version):
    peer = new_peer(version, ECHO)
    peer.open()
    # The window is 65535 octets from the first on.
    edge = add(peer.seq, 65535)
    peer.send("PA", b"x" * 100, seq=add(edge, -40))
    said = peer.heard()
    assert [(s.flags, s.ack) for s in said] == [("A", peer.seq)]
    assert peer.lives()


@versions
def test_what_came_ahead_of_a_gap_is_reported_the_newest_first(service, new_peer, version):
    """RFC 2018 4; three blocks at most, the rest of the room being for timestamps."""
    peer = new_peer(version, ECHO)
    peer.open([("MSS", 1460), ("SAckOK", b"")])
    starts = [add(peer.seq, 100 * i) for i in (1, 5, 3, 7)]
    for start in starts:
        peer.send("PA", bytes(10), seq=start)
    edges = [(start, add(start, 10)) for start in reversed(starts)]
    reported = option(peer.heard()[-1], "SAck")
    assert reported[:2] == edges[0]
    assert set(zip(reported[::2], reported[1::2])) <= set(edges) and len(reported) == 6


@versions
@pytest.mark.parametrize("octets", [b"", b"\0"], ids=["empty", "garbage"])
def test_a_keepalive_is_answered(service, new_peer, version, octets):
    """RFC 9293 3.8.4: one number before the window, with an octet or without."""
    peer = new_peer(version, ECHO)
    peer.open()
    peer.send("A", octets, seq=add(peer.seq, -1))
    assert [(s.flags, s.seq, s.ack) for s in peer.heard()] == [("A", peer.ack, peer.seq)]
    assert peer.lives()


@versions
def test_a_shut_window_is_probed_and_the_bytes_come_when_it_opens(service, new_peer, version):
    peer = new_peer(version, CHARGEN)
    peer.open(window=0)
    probe = peer.hear()  # after a timeout of at least 200 ms
    assert (probe.seq, len(payload(probe))) == (add(peer.ack, -1), 0)
    peer.send("A", window=0)
    probe = peer.hear()
    assert (probe.seq, len(payload(probe))) == (add(peer.ack, -1), 0)
    peer.send("A", window=100)
    assert len(payload(peer.hear())) == 100


@versions
def test_our_bytes_are_sent_again_until_they_are_acknowledged(service, new_peer, version):
    peer = new_peer(version, ECHO)
    peer.open()
    peer.say(b"once")
    first, again = peer.hear(), peer.hear()
    assert payload(first) == payload(again) == b"once"
    assert first.seq == again.seq
    assert peer.lives()


# --- TIME-WAIT -----------------------------------------------------------------------------


@pytest.fixture
def waiting(service, new_peer, version):
    """A peer we closed first on, so that we are in TIME-WAIT."""
    peer = new_peer(version, NUL)
    peer.open(ts=1 << 30)
    return close_first(peer)


@pytest.fixture
def waiting_without_timestamps(service, new_peer, version):
    peer = new_peer(version, NUL)
    peer.open()
    return close_first(peer)


def close_first(peer):
    while len(peer.received) < NUL_GREETING:
        peer.hear()
    peer.say(bytes(NUL_COMMAND))
    while "F" not in str(peer.hear().flags):
        pass
    assert len(peer.received) == NUL_GREETING + NUL_REPLY
    peer.say(b"", flags="FA")
    assert (peer.hear().ack, peer.expected) == (peer.seq, peer.seq)
    return peer


@versions
def test_a_fin_that_comes_again_is_acknowledged_again(waiting):
    for _ in range(3):
        waiting.send("FA", seq=add(waiting.seq, -1))
        assert [(s.flags, s.ack) for s in waiting.heard()] == [("A", waiting.seq)]


@versions
def test_a_reset_does_not_cut_time_wait_short(waiting):
    """RFC 1337."""
    waiting.send("R")
    assert waiting.heard() == []
    waiting.send("FA", seq=add(waiting.seq, -1))
    assert [(s.flags, s.ack) for s in waiting.heard()] == [("A", waiting.seq)]


@versions
@pytest.mark.parametrize("numbers_beyond, time_beyond", [(1000, 0), (1000, 5), (-100000, 5)])
def test_a_new_syn_reopens_when_its_numbers_or_its_time_are_beyond(
        waiting, numbers_beyond, time_beyond):
    """RFC 6191."""
    old = waiting.ack
    waiting.seq = add(waiting.seq, numbers_beyond)
    waiting.ts += time_beyond
    synack = waiting.open(ts=waiting.ts)
    assert 0 < add(synack.seq, -old) < 1 << 31  # ours are beyond, too (RFC 9293 3.4.1)
    while len(payload(waiting.hear())) < NUL_GREETING:
        pass


@versions
def test_a_new_syn_without_timestamps_reopens_by_its_numbers(waiting_without_timestamps):
    peer = waiting_without_timestamps
    peer.seq = add(peer.seq, 1)
    peer.open()
    while len(payload(peer.hear())) < NUL_GREETING:
        pass


@versions
def test_an_old_syn_is_challenged(waiting):
    waiting.send("S", seq=add(waiting.seq, -100000), options=[
        ("MSS", 1460), ("Timestamp", (waiting.ts - 1, 0))])
    assert [(s.flags, s.seq, s.ack) for s in waiting.heard()] == [("A", waiting.ack, waiting.seq)]
    waiting.send("FA", seq=add(waiting.seq, -1))  # it is in TIME-WAIT still
    assert [s.flags for s in waiting.heard()] == ["A"]


@versions
def test_an_old_syn_without_timestamps_is_challenged(waiting_without_timestamps):
    peer = waiting_without_timestamps
    peer.send("S", seq=add(peer.seq, -100000), options=[("MSS", 1460)])
    assert [(s.flags, s.seq, s.ack) for s in peer.heard()] == [("A", peer.ack, peer.seq)]
