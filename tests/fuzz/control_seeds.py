# SPDX-License-Identifier: BSD-3-Clause
"""Seeds of the targets of control: what it reads from files and from its socket."""

import struct

HEAD = b"pstnhrv\0" + struct.pack("=II", 2, 0x01020304)
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
    yield "file-other-version", b"\1" + HEAD[:8] + struct.pack("=II", 1, 0x01020304)


CONFIG = """\
hostname: MX1.example.net
cores: [1, 2, 3]
interfaces:
  - device: eth0
    addresses: [192.0.2.25, "2001:db8::25"]
    backend_ports: 20000-28191
    mtu: 1400
listen: [25, 2525]
domains:
  - name: Example.NET
    recipients: /etc/postern/example.net.recipients
    pool: mailstore
    subaddress: "+"
    bad_lines: 0.001
  - {name: example.org, recipients: /r, pool: archive, case: exact, catch_all: true}
pools:
  - name: mailstore
    protocol: smtp
    servers: ["198.51.100.10:25", "[2001:db8::10]:2500 weight=3"]
    identity: xclient
    connections: 20
  - {name: archive, protocol: lmtp, servers: ["198.51.100.11:24"], identity: proxy-v2, many_recipients: true}
harvest: {mode: observe, first_ttl: 10m, longest_ttl: 2h, clients: 64K, filter: 1M, honest_unknown: 0.05,
          state: /var/lib/postern/state, allow: ["203.0.113.0/24", "2001:db8:1::/48", 192.0.2.1]}
limits: {message_size: 20M, recipients: 500, held: 8M}
control: {socket: /run/postern/control.sock}
shield: {bpffs: /run/postern/bpf}
buffered_max: 32K
proxy_from: [192.0.2.128/25, "2001:db8:5::/48"]
bare_lf: reject
huge_pages: true
"""


def config_seeds():
    """(name, octets): a whole file, and parts of it that say something each."""
    yield "whole", CONFIG.encode()
    yield "vdev", CONFIG.replace("device: eth0", 'vdev: "net_tap0"\n    neighbours: ["192.0.2.1=02:00:00:00:00:01"]').encode()
    yield "pci", CONFIG.replace("device: eth0", 'pci: "0000:01:00.0"').encode()
    lines = CONFIG.splitlines(keepends=True)
    for number, line in enumerate(lines):
        yield f"without-{number}", "".join(lines[:number] + lines[number + 1:]).encode()
        yield f"twice-{number}", "".join(lines[:number] + [line] + lines[number:]).encode()
    yield "alias", b"hostname: &a x\nlisten: *a\n"
    yield "two-documents", b"hostname: x\n---\nhostname: y\n"
    yield "tab", b"hostname:\tx\n\t- y\n"
    yield "deep", b"[" * 200


DIRECTORY_LINES = (
    b"anna@a.example\n",
    b"Otto@A.example class=trap\r\n",
    b"full@a.example class=over-quota pool=3\n",
    b"old@a.example pool=1 # gone soon\n",
    b"\n# a remark\n \t\n",
    b'"quoted \\" one"@a.example\n',
    b"anna@a.example class=moved\nanna@a.example\n",
    b"\"needless\"@a.example\nneedless@a.example\n",
    b"other@b.example\nnobody\n@a.example\na@b@a.example\n",
    b"anna+list@a.example\nanna-x@a.example\n",
    b"j\xc3\xb6rg@a.example\n",
    b"x" * 65 + b"@a.example\n",
    b"x" * 64 + b"@" + b"d" * 300 + b"\n",
    b"last@a.example",
)


def directory_seeds():
    """(name, octets): the domain's rules, the lines."""
    for number, lines in enumerate(DIRECTORY_LINES):
        for rules in range(4):
            yield f"lines-{number}-{rules}", bytes([rules]) + lines
    yield "all", b"\2" + b"".join(DIRECTORY_LINES)
    yield "many", b"\0" + b"".join(b"user%d@a.example\n" % i for i in range(200))


def request(method, params="", more=""):
    params = f',"params":[{params}]' if params else ""
    return f'{{"jsonrpc":"2.0","id":1,"method":"{method}"{params}{more}}}\n'.encode()


def rpc_seeds():
    """(name, octets): requests, a line each."""
    networks = ("192.0.2.7", "192.0.2.0/24", "2001:db8:1:2::9", "2001:db8:1:2::/64", "2001:db8::/48", "192.0.2.0/23")
    for method in "version", "status", "counters", "pools.list", "shield.list", "reload":
        yield method, request(method)
    for number, network in enumerate(networks):
        everything = [request("shield.add", f'"{network}","10m"'), request("shield.list", "7"),
                      request("shield.explain", f'"{network.split("/")[0]}"'), request("shield.unban", f'"{network}"'),
                      request("shield.list", "2,3")]
        yield f"shield-{number}", b"".join(everything)
        yield f"explain-{number}", everything[2]
    for number, address in enumerate(("anna@example.net", "postmaster@example.net", "a@b@c", "x@example.org",
                                      "\\\"a b\\\"@example.net", "postmaster")):
        yield f"lookup-{number}", request("recipients.lookup", f'"{address}"')
    for number, server in enumerate(("198.51.100.10:25", "[2001:DB8::10]:2500", "198.51.100.10:26", "198.51.100.10")):
        yield f"pools-{number}", b"".join([request("pools.drain", f'"mailstore","{server}"'), request("pools.list", "1,1"),
                                           request("status"), request("pools.restore", f'"mailstore","{server}"')])
    yield "pools-nowhere", request("pools.drain", '"nowhere","198.51.100.10:25"') + request("pools.restore", '"mailstore"')
    yield "bad-params", request("shield.add", '1,{"a":null}') + request("status", "1") + request("shield.list", "-1")
    yield "notification", b'{"jsonrpc":"2.0","method":"version"}\n'
    yield "string-id", b'{"jsonrpc":"2.0","id":"x","method":"version"}\n'
    yield "no-request", b'[]\n{}\n{"jsonrpc":"1.0"}\n\n'
    yield "cut-within-a-character", request("x" * 99 + "\\u00e9")
    yield "cut-address", request("recipients.lookup", '"' + "x" * 319 + '\\u00e9@"')
