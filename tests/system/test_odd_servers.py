# SPDX-License-Identifier: BSD-3-Clause
"""Servers we open connections to that are unlike a kernel."""

import pytest

from conftest import one_worker
from lab import endpoint
from by_hand import ADDRESS, add, payload
from services import DISCARD, versions

pytestmark = one_worker


@versions
@pytest.mark.parametrize("second", ["ACK", "SYN and ACK"])
def test_both_may_open_at_once(lab, link, new_peer, processes, version, second):
    """RFC 9293 3.5, figure 7: the SYNs cross. The peer then acknowledges ours, alone or with its
    own SYN again."""
    active = lab.start_service("--connect", endpoint(ADDRESS[version], DISCARD), "--bytes", 1000)
    peer, syn = await_syn(link, new_peer, version)
    peer.send("S", options=[("MSS", 1460)])
    answer = peer.hear()
    assert (answer.flags, answer.seq, answer.ack) == ("SA", syn.seq, add(peer.seq, 1))
    if second == "ACK":
        peer.seq = add(peer.seq, 1)
        peer.send("A")
    else:
        peer.send("SA")
        peer.seq = add(peer.seq, 1)
    assert len(payload(peer.hear())) == 1000  # at once
    receive_and_close(peer, 1000)
    counts = active.finish(stop=False)
    assert (counts["transfers_ok"], counts["transfers_failed"]) == (1, 0)


@versions
def test_the_window_of_the_peers_syn_is_read_unscaled(lab, link, new_peer, processes, version):
    """RFC 7323 2.2: with 7 bits it would be 12800 octets."""
    active = lab.start_service("--connect", endpoint(ADDRESS[version], DISCARD), "--bytes", 1000)
    peer, syn = await_syn(link, new_peer, version)
    assert syn.window == 65535
    peer.send("SA", options=[("MSS", 1460), ("WScale", 7)], window=100)
    peer.seq = add(peer.seq, 1)
    first = peer.hear()
    assert (first.ack, len(payload(first))) == (peer.seq, 100)
    receive_and_close(peer, 1000)
    assert active.finish(stop=False)["transfers_ok"] == 1


def await_syn(link, new_peer, version):
    """The peer an active open of ours speaks to."""
    def syns():
        return [flow for flow, said in link.said.items()
                if flow[:2] == (ADDRESS[version], DISCARD) and said and said[0].flags == "S"]

    while not syns():
        assert link.receive(5), "no SYN"
    peer = new_peer(version, syns()[0][2], sport=DISCARD)
    syn = peer.hear()
    assert {name for name, _ in syn.options} >= {"MSS", "WScale", "Timestamp", "SAckOK"}
    return peer, syn


def receive_and_close(peer, octets):
    while True:
        segment = peer.hear()
        peer.send("A")
        if "F" in str(segment.flags):
            break
    assert len(peer.received) == octets
    peer.say(b"", flags="FA")
    assert peer.hear().flags == "A"
