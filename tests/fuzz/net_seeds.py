# SPDX-License-Identifier: BSD-3-Clause
"""Frames for fuzz_net_input, as scapy makes them, so that what the target takes for right is not its own opinion."""

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    HBHOptUnknown,
    ICMPv6DestUnreach,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
    RouterAlert,
)
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether

OUR_MAC, OTHER_MAC, PEER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:77"
OUR4, OUR6 = "192.0.2.25", "2001:db8::25"
PEER4, PEER6 = "203.0.113.7", "2001:db8:99::7"

REPAIR = 1 << 5
OFFLOAD = 1 << 6
OTHER_PORT = 1 << 4
FOUND_GOOD = 1 << 0 | 1 << 2


def tcp(options=(), payload=b""):
    segment = TCP(sport=40000, dport=25, seq=1, ack=2, flags="PA", options=list(options))
    return segment / payload if payload else segment


def ours(version):
    """The segment of ours that an ICMP error quotes."""
    header = IP(src=OUR4, dst=PEER4, flags="DF", id=0) if version == 4 else IPv6(src=OUR6, dst=PEER6)
    return header / TCP(sport=25, dport=40000, seq=0x01020304)


def ethernet(mac=OUR_MAC):
    return Ether(dst=mac, src=PEER_MAC)


def net_packets():
    """(name, packet) of everything net tells apart."""
    ip4, ip6 = IP(src=PEER4, dst=OUR4), IPv6(src=PEER6, dst=OUR6)
    syn_options = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1, 0)), ("NOP", None), ("WScale", 7)]
    pad = PadN(optdata=b"\0" * 4)
    yield "ip4", ip4 / tcp()
    yield "ip4-payload", ip4 / tcp(payload=b"EHLO client.example\r\n")
    yield "ip4-syn", ip4 / tcp(options=syn_options)
    yield "ip4-options", IP(src=PEER4, dst=OUR4, options=b"\x07\x07\x04\0\0\0\0\0") / tcp()
    yield "ip4-fragment", IP(src=PEER4, dst=OUR4, flags="MF") / tcp(payload=b"x" * 16)
    yield "ip4-udp", ip4 / UDP(dport=53)
    yield "ip6", ip6 / tcp()
    yield "ip6-payload", ip6 / tcp(payload=b"MAIL FROM:<>\r\n")
    yield "ip6-syn", ip6 / tcp(options=syn_options)
    yield "ip6-hop-by-hop", ip6 / IPv6ExtHdrHopByHop(options=[RouterAlert(), PadN()]) / tcp()
    yield "ip6-unknown-option", ip6 / IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=0x1E, optdata=b"abcd")]) / tcp()
    yield "ip6-routing", ip6 / IPv6ExtHdrRouting(type=4, addresses=[]) / tcp()
    yield "ip6-fragment", ip6 / IPv6ExtHdrFragment(m=1) / tcp()
    yield "ip6-all", (
        ip6
        / IPv6ExtHdrHopByHop(options=[pad])
        / IPv6ExtHdrDestOpt(options=[pad])
        / IPv6ExtHdrRouting(type=4, addresses=[])
        / IPv6ExtHdrDestOpt(options=[pad])
        / tcp(payload=b"x")
    )
    many = ip6
    for _ in range(9):
        many = many / IPv6ExtHdrDestOpt(options=[pad])
    yield "ip6-too-many", many / tcp()
    for name, icmp in (
        ("unreachable", ICMP(type=3, code=1)),
        ("too-big", ICMP(type=3, code=4, nexthopmtu=1400)),
        ("time-exceeded", ICMP(type=11)),
        ("parameter-problem", ICMP(type=12)),
        ("echo", ICMP(type=8)),
    ):
        yield "icmp4-" + name, IP(src="198.18.0.1", dst=OUR4) / icmp / bytes(ours(4))
    for name, icmp in (
        ("unreachable", ICMPv6DestUnreach()),
        ("too-big", ICMPv6PacketTooBig(mtu=1400)),
        ("time-exceeded", ICMPv6TimeExceeded()),
        ("parameter-problem", ICMPv6ParamProblem()),
    ):
        yield "icmp6-" + name, IPv6(src="2001:db8:ff::1", dst=OUR6) / icmp / bytes(ours(6))


def net_input_seeds():
    """(name, octets): flags, three cuts, the frame."""
    for name, packet in net_packets():
        frame = bytes(ethernet() / packet)
        yield name, bytes([REPAIR, 0, 0, 0]) + frame
        yield name + "-offload", bytes([REPAIR | OFFLOAD, 0, 0, 0]) + frame
        yield name + "-found-good", bytes([FOUND_GOOD, 0, 0, 0]) + frame
        yield name + "-padded", bytes([0, 0, 0, 0]) + frame + b"\0" * 12
        yield name + "-chained", bytes([REPAIR, min(len(frame) - 1, 120), 3, 1]) + frame
    for name, tags in (
        ("8100", Dot1Q(vlan=5, prio=3)),
        ("88a8", Dot1AD(vlan=5)),
        ("88a8-8100", Dot1AD(vlan=5) / Dot1Q(vlan=6)),
        ("8100-8100", Dot1Q(vlan=5) / Dot1Q(vlan=6)),
        ("three", Dot1AD(vlan=5) / Dot1Q(vlan=6) / Dot1Q(vlan=7)),
    ):
        yield "tags-" + name, bytes([REPAIR, 0, 0, 0]) + bytes(ethernet() / tags / IP(src=PEER4, dst=OUR4) / tcp())
    yield "other-port", bytes([OTHER_PORT, 0, 0, 0]) + bytes(ethernet(OTHER_MAC) / IP(src=PEER4, dst=OUR4) / tcp())
