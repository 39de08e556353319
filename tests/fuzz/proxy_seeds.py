# SPDX-License-Identifier: BSD-3-Clause
"""Seeds of the target of load balancers' headers: PROXY, version 1 and 2, good and bad ones."""

import socket
import struct

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL, PROXY = 0x20, 0x21
UNSPECIFIED, TCP4, UDP4, TCP6, UNIX, UNIX_DATAGRAM = 0x00, 0x11, 0x12, 0x21, 0x31, 0x32
MORE_MAX = 2048

ADDRESSES = {
    TCP4: socket.inet_aton("203.0.113.9") + socket.inet_aton("192.0.2.25") + struct.pack(">HH", 40000, 25),
    TCP6: socket.inet_pton(socket.AF_INET6, "2001:db8::9") + socket.inet_pton(socket.AF_INET6, "2001:db8::25")
          + struct.pack(">HH", 40000, 25),
    UNIX: bytes(216), UNIX_DATAGRAM: bytes(216), UDP4: bytes(12), UNSPECIFIED: b"",
}
TLV = b"\x04\x00\x05hello"


def octets(version, family, more, length=None):
    return SIGNATURE + struct.pack(">BBH", version, family, len(more) if length is None else length) + more


LINES = ("TCP4 203.0.113.9 192.0.2.25 40000 25", "TCP6 2001:db8::9 2001:db8::25 40000 25",
         "TCP6 ::ffff:203.0.113.9 2001:db8::25 0 65535", "UNKNOWN", "UNKNOWN ", "UNKNOWN x y z", "UNKNOWNS",
         "TCP4 203.0.113.9 192.0.2.25 040000 25", "TCP4 203.0.113.9 192.0.2.25 40000 65536",
         "TCP4 203.0.113.9 192.0.2.25 40000 2x", "TCP4 203.0.113.9 192.0.2.25 123456 25",
         "TCP4 203.0.113.9 192.0.2.25 40000 ", "TCP4 203.0.113.9 192.0.2.25  25", "TCP4 203.0.113.9 192.0.2.25 40000 /",
         "TCP4 203.0.113.9 192.0.2.25 40000 25 26", "TCP4 203.0.113.9 192.0.2.25 40000", "TCP4 203.0.113.9 192.0.2.25",
         "TCP4 203.0.113.9 2001:db8::25 40000 25", "TCP4 2001:db8::9 192.0.2.25 40000 25",
         "TCP6 203.0.113.9 192.0.2.25 40000 25", "TCP6 2001:db8::9%1 2001:db8::25 40000 25",
         "TCP4 203.0.113.9\0x 192.0.2.25 40000 25", "TCP4 " + "9" * 60 + " 192.0.2.25 40000 25",
         "UDP4 203.0.113.9 192.0.2.25 40000 25", "", "TCP4")


def proxy_seeds():
    """(name, octets): what a load balancer says first."""
    for number, line in enumerate(LINES):
        header = b"PROXY " + line.encode() + b"\r\n"
        yield f"line-{number}", header
        yield f"line-{number}-cut", header[:-1]
        yield f"line-{number}-more", header + b"EHLO client.example\r\n"
    for length in range(104, 109):
        yield f"line-of-{length}", b"PROXY UNKNOWN ".ljust(length - 2, b"x") + b"\r\n"
        yield f"line-without-end-{length}", b"PROXY UNKNOWN ".ljust(length, b"x")
        yield f"line-without-lf-{length}", b"PROXY UNKNOWN ".ljust(length - 1, b"x") + b"\r"
    yield "line-bare-cr", b"PROXY UNKNOWN\rx\r\n"
    yield "line-bare-lf", b"PROXY TCP4 203.0.113.9 192.0.2.25 40000 25\n"
    yield "hello", b"EHLO client.example\r\n"
    yield "nothing", b""
    for family, more in ADDRESSES.items():
        for version in (LOCAL, PROXY, 0x11, 0x22):
            yield f"octets-{version:x}-{family:x}", octets(version, family, more)
        yield f"octets-{family:x}-more", octets(PROXY, family, more + TLV) + b"EHLO client.example\r\n"
        yield f"octets-{family:x}-short", octets(PROXY, family, more[:-1])
        yield f"octets-{family:x}-cut", octets(PROXY, family, more)[:-1]
    yield "octets-longest", octets(PROXY, TCP4, ADDRESSES[TCP4].ljust(MORE_MAX, b"\0"))
    yield "octets-too-long", octets(PROXY, TCP4, ADDRESSES[TCP4], MORE_MAX + 1)
    yield "octets-mapped", octets(PROXY, TCP6, (bytes(10) + b"\xff\xff" + bytes(4)) * 2 + bytes(4))
    yield "octets-family", octets(PROXY, 0x41, bytes(36))
    for cut in range(len(SIGNATURE) + 4):
        yield f"octets-cut-{cut}", octets(LOCAL, UNSPECIFIED, b"")[:cut]
