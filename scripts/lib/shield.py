#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Look at the shield's pinned maps, and flag a source by hand, with bpftool.

    shield.py flag ADDRESS SECONDS    drop it: an IPv4 address, or an IPv6 address's /64
    shield.py unflag ADDRESS
    shield.py drops ADDRESS           frames the kernel dropped of it since it was flagged
    shield.py counters                what became of all frames, a 'name number' a line

Maps are looked for in $POSTERN_BPFFS/maps, default /run/postern/bpf. Layouts: postern/shield_map.h.
"""

import ipaddress
import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import time

MAPS = pathlib.Path(os.environ.get("POSTERN_BPFFS", "/run/postern/bpf")) / "maps"
HEADER = pathlib.Path(__file__).resolve().parents[2] / "include/postern/shield_map.h"
LEVEL_BIT = {128: 0, 64: 2}  # enum shield_level, by prefix length


def bpftool(*words):
    result = subprocess.run(["bpftool", "--json", "map", *words], text=True, capture_output=True)
    answer = json.loads(result.stdout) if result.stdout.strip() else {}
    if result.returncode:
        fault = answer.get("error") if isinstance(answer, dict) else None
        sys.exit(f"shield.py: {fault or result.stderr.strip()}")
    return answer


def hexadecimal(octets):
    return ["hex"] + [f"{octet:02x}" for octet in octets]


def octets(words):
    return bytes(int(word, 16) for word in words)


def source_key(text):
    """struct shield_source and its prefix length."""
    address = ipaddress.ip_address(text)
    if address.version == 4:
        return bytes(10) + b"\xff\xff" + address.packed + struct.pack("=I", 128), 128
    return address.packed[:8] + bytes(8) + struct.pack("=I", 64), 64


def flag(address, seconds):
    key, prefix_len = source_key(address)
    expiry_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + int(float(seconds) * 1e9)
    bpftool("update", "pinned", MAPS / "flagged", "key", *hexadecimal(key),
            "value", *hexadecimal(struct.pack("=QQ", expiry_ns, 0)))
    # The level's bit last, so that it is never set for nothing.
    zero = hexadecimal(bytes(4))
    config = octets(bpftool("lookup", "pinned", MAPS / "config", "key", *zero)["value"])
    levels, rest = struct.unpack("=I", config[:4])[0] | 1 << LEVEL_BIT[prefix_len], config[4:]
    bpftool("update", "pinned", MAPS / "config", "key", *zero,
            "value", *hexadecimal(struct.pack("=I", levels) + rest))


def unflag(address):
    bpftool("delete", "pinned", MAPS / "flagged", "key", *hexadecimal(source_key(address)[0]))


def drops(address):
    key = hexadecimal(source_key(address)[0])
    value = octets(bpftool("lookup", "pinned", MAPS / "flagged", "key", *key)["value"])
    print(struct.unpack("=QQ", value)[1])


def counters():
    body = re.search(r"enum shield_counter \{(.*?)\}", HEADER.read_text(), re.DOTALL)[1]
    names = re.findall(r"^\s*SHIELD_(\w+),", body, re.MULTILINE)
    for entry, name in zip(bpftool("dump", "pinned", MAPS / "counters"), names):
        total = sum(struct.unpack("=Q", octets(cpu["value"]))[0] for cpu in entry["values"])
        print(name.lower(), total)


COMMANDS = {"flag": (flag, 2), "unflag": (unflag, 1), "drops": (drops, 1), "counters": (counters, 0)}


def main():
    command, count = COMMANDS.get(sys.argv[1] if len(sys.argv) > 1 else "", (None, 0))
    if command is None or len(sys.argv) != 2 + count:
        sys.exit(__doc__)
    command(*sys.argv[2:])


if __name__ == "__main__":
    main()
