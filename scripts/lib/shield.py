#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Look at the shield's pinned maps, and flag a source by hand, with bpftool.

    shield.py flag SOURCE SECONDS     drop it: an IPv4 address or /24, an IPv6 address's /64, or a
                                      /64, /56 or /48
    shield.py unflag SOURCE
    shield.py drops SOURCE            frames the kernel dropped of it since it was flagged
    shield.py flagged                 all that are in the map, a 'SOURCE drops' a line
    shield.py allow NETWORK           spare it, whatever the verdict; any length
    shield.py disallow NETWORK
    shield.py counters                what became of all frames, a 'name number' a line

Maps are looked for in $POSTERN_BPFFS/maps, default the plain lab's. Layouts: postern/shield_map.h.
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

HEADER = pathlib.Path(__file__).resolve().parents[2] / "include/postern/shield_map.h"


class ShieldError(Exception):
    pass


def enum_words(name):
    body = re.search(rf"enum {name} \{{(.*?)\}}", HEADER.read_text(), re.DOTALL)[1]
    return re.findall(r"^\s*SHIELD_(\w+),", body, re.MULTILINE)


def mapped(network):
    """The 16 octets and the prefix length of a network, IPv4 in mapped form."""
    octets, length = network.network_address.packed, network.prefixlen
    if network.version == 4:
        return bytes(10) + b"\xff\xff" + octets, length + 96
    return octets, length


def network_of(octets, length):
    """The network that is mapped to these."""
    if octets[:12] == bytes(10) + b"\xff\xff":
        octets, length = octets[12:], length - 96
    return ipaddress.ip_network((octets, length))


def source_network(text):
    """What a source is flagged at: an IPv6 address alone stands for its /64."""
    network = ipaddress.ip_network(text)
    return network.supernet(new_prefix=64) if network.prefixlen == 128 else network


def hexadecimal(octets):
    return ["hex"] + [f"{octet:02x}" for octet in octets]


def octets_of(words):
    return bytes(int(word, 16) for word in words)


class Shield:
    """The pinned maps below one bpffs."""

    def __init__(self, bpffs):
        self.maps = pathlib.Path(bpffs) / "maps"

    def flag(self, source, seconds):
        network = source_network(source)
        level = f"V{network.version}_{network.prefixlen}"
        if level not in enum_words("shield_level"):
            raise ShieldError(f"nobody can be flagged at the length of {network}")
        expiry_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + int(float(seconds) * 1e9)
        self._update("flagged", self._source_key(network), struct.pack("=QQ", expiry_ns, 0))
        # The level's bit last, so that it is never set for nothing.
        config = self._lookup("config", bytes(4))
        levels = struct.unpack("=I", config[:4])[0] | 1 << enum_words("shield_level").index(level)
        self._update("config", bytes(4), struct.pack("=I", levels) + config[4:])

    def unflag(self, source):
        self._delete("flagged", self._source_key(source_network(source)))

    def drops(self, source):
        value = self._lookup("flagged", self._source_key(source_network(source)))
        return struct.unpack("=QQ", value)[1]

    def flagged(self):
        """The frames dropped of each, by its network."""
        found = {}
        for entry in self._bpftool("dump", "flagged"):
            key, value = octets_of(entry["key"]), octets_of(entry["value"])
            network = network_of(key[:16], struct.unpack("=I", key[16:])[0])
            found[str(network)] = struct.unpack("=QQ", value)[1]
        return found

    def allow(self, network):
        octets, length = mapped(ipaddress.ip_network(network))
        self._update("allow", struct.pack("=I", length) + octets,
                     struct.pack("=QII", 0, length, 0))

    def disallow(self, network):
        octets, length = mapped(ipaddress.ip_network(network))
        self._delete("allow", struct.pack("=I", length) + octets)

    def counters(self):
        """Sums over the CPUs by the header's names, in small letters."""
        names = enum_words("shield_counter")
        entries = self._bpftool("dump", "counters")
        return {name.lower(): sum(struct.unpack("=Q", octets_of(cpu["value"]))[0]
                                  for cpu in entry["values"])
                for entry, name in zip(entries, names)}

    def count(self, name):
        return self.counters()[name]

    @staticmethod
    def _source_key(network):
        octets, length = mapped(network)
        return octets + struct.pack("=I", length)

    def _update(self, name, key, value):
        self._bpftool("update", name, "key", *hexadecimal(key), "value", *hexadecimal(value))

    def _delete(self, name, key):
        self._bpftool("delete", name, "key", *hexadecimal(key))

    def _lookup(self, name, key):
        return octets_of(self._bpftool("lookup", name, "key", *hexadecimal(key))["value"])

    def _bpftool(self, verb, name, *words):
        result = subprocess.run(["bpftool", "--json", "map", verb, "pinned", self.maps / name,
                                 *words], text=True, capture_output=True)
        answer = json.loads(result.stdout) if result.stdout.strip() else {}
        if result.returncode:
            fault = answer.get("error") if isinstance(answer, dict) else None
            raise ShieldError(fault or result.stderr.strip())
        return answer


COMMANDS = {"flag": 2, "unflag": 1, "drops": 1, "flagged": 0, "allow": 1, "disallow": 1, "counters": 0}


def main():
    word, arguments = (sys.argv + [""])[1], sys.argv[2:]
    if COMMANDS.get(word) != len(arguments):
        sys.exit(__doc__)
    shield = Shield(os.environ.get("POSTERN_BPFFS", "/run/postern-lab/bpf"))
    try:
        answer = getattr(shield, word)(*arguments)
    except (ShieldError, ValueError) as error:
        sys.exit(f"shield.py: {error}")
    if isinstance(answer, dict):
        print(*(f"{name} {number}" for name, number in answer.items()), sep="\n")
    elif answer is not None:
        print(answer)


if __name__ == "__main__":
    main()
