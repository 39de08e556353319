# SPDX-License-Identifier: BSD-3-Clause
"""The shield's pinned maps (include/postern/shield_map.h) through bpftool."""

import ipaddress
import json
import re
import struct
import subprocess
import time

from lab import ROOT


def enum_of(name):
    text = (ROOT / "include/postern/shield_map.h").read_text(encoding="utf-8")
    body = re.sub(r"/\*.*?\*/", "", re.search(rf"enum {name} {{(.*?)}}", text, re.S)[1], flags=re.S)
    return [word.strip() for word in body.split(",") if word.strip()]


COUNTERS = enum_of("shield_counter")
LEVELS = enum_of("shield_level")


def mapped(network):
    """The 16 octets and the prefix length of a network in mapped form."""
    octets, length = network.network_address.packed, network.prefixlen
    if network.version == 4:
        return b"\0" * 10 + b"\xff\xff" + octets, length + 96
    return octets, length


class Shield:
    def __init__(self, lab):
        self.maps = lab.bpffs / "maps"

    def _bpftool(self, *words):
        done = subprocess.run(["bpftool", "-j", "map", *map(str, words)], text=True, timeout=30,
                              capture_output=True, check=False)
        assert done.returncode == 0, f"bpftool map {words}: {done.stdout}{done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() else None

    def _update(self, name, key, value):
        self._bpftool("update", "pinned", self.maps / name, "key", "hex", *key.hex(" ").split(),
                      "value", "hex", *value.hex(" ").split())

    def _delete(self, name, key):
        self._bpftool("delete", "pinned", self.maps / name, "key", "hex", *key.hex(" ").split())

    def flag(self, network, seconds=600):
        network = ipaddress.ip_network(network)
        octets, length = mapped(network)
        expiry = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + int(seconds * 1e9)
        self._update("flagged", octets + struct.pack("=I", length), struct.pack("=QQ", expiry, 0))
        self._use_level(f"SHIELD_V{network.version}_{network.prefixlen}")

    def unflag(self, network):
        octets, length = mapped(ipaddress.ip_network(network))
        self._delete("flagged", octets + struct.pack("=I", length))

    def allow(self, network):
        octets, length = mapped(ipaddress.ip_network(network))
        self._update("allow", struct.pack("=I", length) + octets,
                     struct.pack("=QII", 0, length, 0))

    def disallow(self, network):
        octets, length = mapped(ipaddress.ip_network(network))
        self._delete("allow", struct.pack("=I", length) + octets)

    def _use_level(self, level):
        config = self.maps / "config"
        found = self._bpftool("lookup", "pinned", config, "key", "hex", *["00"] * 4)
        value = bytearray(int(octet, 16) for octet in found["value"])
        levels, = struct.unpack_from("=I", value)
        struct.pack_into("=I", value, 0, levels | 1 << LEVELS.index(level))
        self._update("config", b"\0" * 4, bytes(value))

    def counters(self):
        """Sums over the CPUs, by the names of the header without their prefix."""
        sums = {}
        for entry in self._bpftool("dump", "pinned", self.maps / "counters"):
            number, = struct.unpack("=I", bytes(int(octet, 16) for octet in entry["key"]))
            sums[COUNTERS[number].removeprefix("SHIELD_")] = sum(
                int.from_bytes(bytes(int(octet, 16) for octet in cpu["value"]), "little")
                for cpu in entry["values"])
        return sums

    def count(self, name):
        return self.counters()[name]
