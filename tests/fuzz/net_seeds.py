# SPDX-License-Identifier: BSD-3-Clause
"""Frames for fuzz_net_input, as scapy makes them, so that what the target takes for right is not its own opinion."""

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    HBHOptUnknown,
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
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
from scapy.packet import Raw

OUR_MAC, OTHER_MAC, PEER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:77"
OUR4, OUR6 = "192.0.2.25", "2001:db8::25"
PEER4, PEER6 = "203.0.113.7", "2001:db8:99::7"

# The octet of flags.
IP_GOOD, IP_BAD, TCP_GOOD, TCP_BAD, OTHER_PORT, REPAIR, OFFLOAD = (1 << n for n in range(7))
FOUND_GOOD = IP_GOOD | TCP_GOOD


def tcp(options=(), payload=b"", dport=25):
    segment = TCP(sport=40000, dport=dport, seq=1, ack=2, flags="PA", options=list(options))
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
    yield "ip4-active", ip4 / tcp(dport=21500)
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
        *((f"unreachable-{code}", ICMP(type=3, code=code)) for code in (1, 2, 3, 9, 10, 13)),
        ("too-big", ICMP(type=3, code=4, nexthopmtu=1400)),
        ("time-exceeded", ICMP(type=11)),
        ("parameter-problem", ICMP(type=12)),
        ("echo", ICMP(type=8)),
    ):
        yield "icmp4-" + name, IP(src="198.18.0.1", dst=OUR4) / icmp / bytes(ours(4))
    for name, icmp in (
        *((f"unreachable-{code}", ICMPv6DestUnreach(code=code)) for code in (0, 1, 4, 5, 6)),
        ("too-big", ICMPv6PacketTooBig(mtu=1400)),
        ("time-exceeded", ICMPv6TimeExceeded()),
        ("parameter-problem", ICMPv6ParamProblem()),
        ("unknown-header", ICMPv6ParamProblem(code=1)),
    ):
        yield "icmp6-" + name, IPv6(src="2001:db8:ff::1", dst=OUR6) / icmp / bytes(ours(6))


def peer4(**fields):
    return IP(**{"src": PEER4, "dst": OUR4, **fields})


def peer6(**fields):
    return IPv6(**{"src": PEER6, "dst": OUR6, **fields})


PEERS = ((4, peer4), (6, peer6))


def refused_addresses():
    for name, address in (("unspecified", "0.0.0.0"), ("loopback", "127.0.0.1"), ("group", "224.0.0.1"),
                          ("broadcast", "255.255.255.255"), ("ours", OUR4)):
        yield "ip4-from-" + name, peer4(src=address) / tcp()
    yield "ip4-from-class-e", peer4(src="240.0.0.1") / tcp()
    yield "ip4-to-another", peer4(dst=PEER4) / tcp()
    for name, address in (("unspecified", "::"), ("loopback", "::1"), ("group", "ff02::1"), ("ours", OUR6),
                          ("mapped", "::ffff:203.0.113.7")):
        yield "ip6-from-" + name, peer6(src=address) / tcp()
    yield "ip6-to-mapped", peer6(dst="::ffff:192.0.2.25") / tcp()


def refused_headers():
    yield "ip4-version", peer4(version=5) / tcp()
    yield "ip4-short-header", peer4(ihl=4) / tcp()
    yield "ip4-header-beyond-the-packet", peer4(ihl=6, len=20) / tcp()
    yield "ip4-packet-beyond-the-frame", peer4(len=1000) / tcp()
    yield "ip6-version", peer6(version=4) / tcp()
    yield "ip6-packet-beyond-the-frame", peer6(plen=1000) / tcp()
    for version, peer in PEERS:
        for offset in (4, 15):
            segment = tcp()
            segment.dataofs = offset
            yield f"ip{version}-tcp-offset-{offset}", peer() / segment


def extension(kind, *octets, units=0):
    """Of units of 8 octets more than the first; kind is what follows it."""
    return Raw(bytes([kind, units]) + bytes(octets).ljust(6 + 8 * units, b"\0"))


def refused_extensions():
    hop_by_hop, segment, routing, options = 0, 6, 43, 60
    for name, kind, headers in (
        ("pad1", options, extension(segment)),
        ("too-much-padding", options, extension(segment, units=7)),
        ("option-that-must-be-known", options, extension(segment, 0x5E, 0, 1, 2)),
        ("option-without-length", options, extension(segment, 1, 3, 0, 0, 0, 0x1E)),
        ("option-beyond-its-header", options, extension(segment, 0x1E, 5)),
        ("routing-not-done", routing, extension(segment, 4, 1)),
        ("hop-by-hop-second", options, extension(hop_by_hop, 1, 4) / extension(segment, 1, 4)),
        ("extension-beyond-the-packet", options, Raw(bytes([segment, 200]))),
    ):
        yield "ip6-" + name, peer6(nh=kind) / headers / tcp()
    yield "ip6-extension-without-length", peer6(nh=options) / Raw(bytes([segment]))


def refused_quotes():
    """Errors about what is no segment of ours."""
    unreachable4, unreachable6 = ICMP(type=3, code=1), ICMPv6DestUnreach()
    tcp_header = TCP(sport=25, dport=40000)
    for name, quote in (
        ("of-another", IP(src=PEER4, dst=OUR4) / tcp_header),
        ("fragment", IP(src=OUR4, dst=PEER4, flags="MF") / tcp_header),
        ("of-udp", IP(src=OUR4, dst=PEER4, len=40) / UDP()),
        ("too-short-for-tcp", IP(src=OUR4, dst=PEER4, len=30) / tcp_header),
        ("of-no-version", IP(src=OUR4, dst=PEER4, version=5) / tcp_header),
        ("cut-in-ip", bytes(ours(4))[:12]),
        ("cut-in-tcp", bytes(ours(4))[:24]),
    ):
        yield "icmp4-quotes-" + name, peer4() / unreachable4 / bytes(quote)
    for name, quote in (
        ("of-another", IPv6(src=PEER6, dst=OUR6) / tcp_header),
        ("of-udp", IPv6(src=OUR6, dst=PEER6, plen=40) / UDP()),
        ("too-short-for-tcp", IPv6(src=OUR6, dst=PEER6, plen=10) / tcp_header),
        ("from-mapped", IPv6(src="::ffff:192.0.2.25", dst=PEER6) / tcp_header),
        ("to-mapped", IPv6(src=OUR6, dst="::ffff:203.0.113.7") / tcp_header),
        ("of-no-version", IPv6(src=OUR6, dst=PEER6, version=4) / tcp_header),
        ("cut-in-ip", bytes(ours(6))[:24]),
        ("cut-in-tcp", bytes(ours(6))[:44]),
    ):
        yield "icmp6-quotes-" + name, peer6() / unreachable6 / bytes(quote)


def refused_errors():
    for name, mtu in (("none", 0), ("too-small", 67)):
        yield "icmp4-mtu-" + name, peer4() / ICMP(type=3, code=4, nexthopmtu=mtu) / bytes(ours(4))
    yield "icmp6-mtu-too-small", peer6() / ICMPv6PacketTooBig(mtu=1279) / bytes(ours(6))
    yield "icmp6-echo", peer6() / ICMPv6EchoRequest()
    yield "icmp4-cut", peer4(proto=1) / Raw(b"\x03\x01\0\0")
    yield "icmp6-cut", peer6(nh=58) / Raw(b"\x01\x01\0\0")
    yield "icmp6-in-ip4", peer4(proto=58) / Raw(b"\x01\x01\0\0\0\0\0\0")


def spoilt_checksums():
    """(name, flags, packet): by the interface's word or by our own sum."""
    for version, peer in PEERS:
        segment = tcp()
        segment.chksum = 1
        for name, flags in (("ours", 0), ("bad", TCP_BAD), ("intact", TCP_GOOD | TCP_BAD)):
            yield f"ip{version}-tcp-checksum-{name}", flags, peer() / segment
    for name, flags in (("ours", 0), ("bad", IP_BAD), ("intact", IP_GOOD | IP_BAD)):
        yield f"ip4-checksum-{name}", flags, peer4(chksum=1) / tcp()
    yield "icmp4-checksum", 0, peer4() / ICMP(type=3, code=1, chksum=1) / bytes(ours(4))
    yield "icmp6-checksum", 0, peer6() / ICMPv6DestUnreach(cksum=1) / bytes(ours(6))


def refused_frames():
    """(name, frame): what ends before its headers do, or is not for us."""
    for name, packet in (("ip4", peer4() / tcp()), ("ip6", peer6() / tcp())):
        frame = bytes(ethernet() / packet)
        for end in (10, 24, len(frame) - 8):
            yield f"{name}-frame-of-{end}", frame[:end]
    yield "tag-cut", bytes(ethernet() / Dot1Q(vlan=5))[:16]
    yield "arp", bytes(Ether(dst=OUR_MAC, src=PEER_MAC, type=0x0806)) + b"\0" * 28
    yield "to-another", bytes(ethernet("02:00:00:00:00:99") / peer4() / tcp())
    yield "from-a-group", bytes(Ether(dst=OUR_MAC, src="03:00:00:00:00:77") / peer4() / tcp())


def net_refused_seeds():
    for packets in (refused_addresses, refused_headers, refused_extensions, refused_quotes, refused_errors):
        for name, packet in packets():
            yield name, bytes([REPAIR, 0, 0, 0]) + bytes(ethernet() / packet)
    for name, flags, packet in spoilt_checksums():
        yield name, bytes([flags, 0, 0, 0]) + bytes(ethernet() / packet)
    for name, frame in refused_frames():
        yield name, bytes([0, 0, 0, 0]) + frame


def net_input_seeds():
    """(name, octets): flags, three cuts, the frame."""
    for name, packet in net_packets():
        frame = bytes(ethernet() / packet)
        yield name, bytes([REPAIR, 0, 0, 0]) + frame
        yield name + "-offload", bytes([REPAIR | OFFLOAD, 0, 0, 0]) + frame
        yield name + "-found-good", bytes([FOUND_GOOD, 0, 0, 0]) + frame
        yield name + "-padded", bytes([0, 0, 0, 0]) + frame + b"\0" * 12
        yield name + "-chained", bytes([REPAIR, min(len(frame) - 1, 120), 3, 1]) + frame
        yield name + "-chained-padding", bytes([0, min(len(frame) - 1, 120), 4, 4]) + frame + b"\0" * 12
    for name, tags in (
        ("8100", Dot1Q(vlan=5, prio=3)),
        ("88a8", Dot1AD(vlan=5)),
        ("88a8-8100", Dot1AD(vlan=5) / Dot1Q(vlan=6)),
        ("8100-8100", Dot1Q(vlan=5) / Dot1Q(vlan=6)),
        ("three", Dot1AD(vlan=5) / Dot1Q(vlan=6) / Dot1Q(vlan=7)),
    ):
        yield "tags-" + name, bytes([REPAIR, 0, 0, 0]) + bytes(ethernet() / tags / IP(src=PEER4, dst=OUR4) / tcp())
    yield "other-port", bytes([OTHER_PORT, 0, 0, 0]) + bytes(ethernet(OTHER_MAC) / IP(src=PEER4, dst=OUR4) / tcp())
    yield from net_refused_seeds()
