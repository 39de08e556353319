# SPDX-License-Identifier: BSD-3-Clause
"""Seeds of the targets of control: what it reads from files and from its socket."""

import struct

HEAD = b"pstnhrv\0" + struct.pack("=II", 1, 0x01020304)
MASK = (1 << 64) - 1


def siphash13(k0, k1, octets):
    """A chunk's sum, as base/siphash.c has it."""
    v0, v1, v2, v3 = (k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D,
                      k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573)

    def rotate(x, n):
        return (x << n | x >> (64 - n)) & MASK

    def rounds(n):
        nonlocal v0, v1, v2, v3
        for _ in range(n):
            v0 = (v0 + v1) & MASK
            v1 = rotate(v1, 13) ^ v0
            v0 = rotate(v0, 32)
            v2 = (v2 + v3) & MASK
            v3 = rotate(v3, 16) ^ v2
            v0 = (v0 + v3) & MASK
            v3 = rotate(v3, 21) ^ v0
            v2 = (v2 + v1) & MASK
            v1 = rotate(v1, 17) ^ v2
            v2 = rotate(v2, 32)

    padded = octets + b"\0" * (7 - len(octets) % 8) + bytes([len(octets) & 0xFF])
    for word, in struct.iter_unpack("<Q", padded):
        v3 ^= word
        rounds(1)
        v0 ^= word
    v2 ^= 0xFF
    rounds(3)
    return v0 ^ v1 ^ v2 ^ v3


def chunk(number, records):
    return struct.pack("=IIQ", number, len(records), siphash13(number, len(records), records)) + records


def record(key, score=0, minute=30000000 & 0x3FFFFF, until=0, counts=0):
    return struct.pack("=QQQQ", key, score & 0xFFFF | minute << 28, until, counts)


def checkpoint_seeds():
    """(name, octets): the kind, then records, or a file of them."""
    records = {
        "v4": record(0xFFFFFFFFC0000207, score=-8000, counts=1 << 48),
        "v4-prefix": record(0xFFFFFFFE00C00002, score=9000, until=1800000300),
        "v6": record(0x20010DB800010002, score=3000, until=1800000300 << 32),
        "v6-prefix": record(0x4020010DB8000100),
    }
    for name, octets in records.items():
        yield "records-" + name, b"\0" + octets
    everything = b"".join(records.values())
    yield "records-all", b"\0" + everything
    yield "file-empty", b"\1" + HEAD + chunk(0, b"")
    yield "file", b"\1" + HEAD + chunk(0, everything) + chunk(1, b"")
    yield "file-two-chunks", b"\1" + HEAD + chunk(0, records["v4"]) + chunk(1, records["v6"]) + chunk(2, b"")
    # The first chunk is good: nothing of it may be left.
    yield "file-torn", b"\1" + HEAD + chunk(0, records["v4"])
    yield "file-no-key", b"\1" + HEAD + chunk(0, records["v4"]) + chunk(1, record(0)) + chunk(2, b"")
    yield "file-other-version", b"\1" + HEAD[:8] + struct.pack("=II", 2, 0x01020304)
