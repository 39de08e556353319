# SPDX-License-Identifier: BSD-3-Clause
"""A host on the gateway's link that is no kernel's: its frames are made by hand.

It sends and listens at the router's end of the gateway's cable and has a link address nobody else
has. A connection to us is answered at the link address its SYN came from, so what we say to it no
stack but this one hears.

Silence is not waited for: what was said is all that came before the answer to something sent
afterwards (Link.settle), since frames keep their order.
"""

import collections
import contextlib
import ctypes
import random
import select
import socket
import threading
import time

from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from lab import GATEWAY
from services import ECHO

MAC = "02:18:00:00:00:77"
GATEWAY_MAC = "02:18:00:00:00:25"
NETWORKS = {"ipv4": "192.0.2.0/24", "ipv6": "2001:db8::/32"}
ADDRESS = {"ipv4": "192.0.2.77", "ipv6": "2001:db8::77"}
VERSION_OF = {IP: "ipv4", IPv6: "ipv6"}

CLONE_NEWNET = 0x40000000
SOL_PACKET, PACKET_IGNORE_OUTGOING = 263, 23
ETH_P_ALL = 3
SO_RCVBUFFORCE = 33

MODULO = 1 << 32
PATIENCE_S = 10


def add(number, n):
    return (number + n) % MODULO


def in_namespace(name, call):
    """What call returns when it is called in a network namespace; sockets stay there."""
    results = []

    def run():
        libc = ctypes.CDLL(None, use_errno=True)
        with open(f"/run/netns/{name}", "rb") as namespace:
            if libc.setns(namespace.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), name)
        results.append(call())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return results[0]


def open_packet_socket(device):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
    sock.bind((device, ETH_P_ALL))
    sock.setblocking(False)
    return sock


def option(segment, name):
    """A TCP option's value, None when it is not there."""
    return dict(segment.options).get(name)


def payload(segment):
    return bytes(segment[Raw].load) if Raw in segment else b""


def taken(segment):
    """How many numbers it takes."""
    flags = str(segment.flags)
    return len(payload(segment)) + ("S" in flags) + ("F" in flags)


class Link:
    def __init__(self, lab, seed):
        self.lab = lab
        self.random = random.Random(seed)
        self.sock = in_namespace(f"postern-net-{lab.suffix}", lambda: open_packet_socket("gw"))
        self.said = collections.defaultdict(collections.deque)
        self.fences = {}
        self.ports = iter(self.random.sample(range(1024, 65536), 64512))
        # The gateway's kernel, and an active open of ours, answer by way of the router, who must
        # not tell them that there is no such host.
        for network in NETWORKS.values():
            lab.run("net", "ip", "route", "replace", "blackhole", network)

    def close(self):
        self.sock.close()
        for network in NETWORKS.values():
            self.lab.run("net", "ip", "route", "del", "blackhole", network)

    @staticmethod
    def ip(version, **fields):
        kind = IP if version == "ipv4" else IPv6
        return kind(**{"src": ADDRESS[version], "dst": GATEWAY[version], **fields})

    def send(self, packet, times=1):
        frame = bytes(Ether(src=MAC, dst=GATEWAY_MAC) / packet)
        for _ in range(times):
            while True:
                try:
                    self.sock.send(frame)
                    break
                except BlockingIOError:
                    select.select([], [self.sock], [], 1)

    def receive(self, timeout):
        """Files what has come by its flow; False: nothing came."""
        if not select.select([self.sock], [], [], timeout)[0]:
            return False
        with contextlib.suppress(BlockingIOError):
            for _ in range(64):
                frame = Ether(self.sock.recv(65536))
                for kind, version in VERSION_OF.items():
                    if kind in frame and TCP in frame[kind]:
                        self.file(version, frame[kind])
        return True

    def file(self, version, packet):
        segment = packet[TCP]
        if Raw in segment:  # what fills a short frame is none of it
            length = (packet.len - packet.ihl * 4 if version == "ipv4" else packet.plen)
            load = segment[Raw].load[:length - segment.dataofs * 4]
            segment.remove_payload()
            if load:
                segment.add_payload(Raw(load))
        elif segment.payload:
            segment.remove_payload()
        self.said[packet.dst, segment.dport, segment.sport].append(segment)

    def next(self, flow, timeout=PATIENCE_S):
        """The next segment we said to a flow; None: none came in time."""
        deadline = time.monotonic() + timeout
        while not self.said[flow]:
            left = deadline - time.monotonic()
            if left <= 0 or not self.receive(left):
                return None
        return self.said[flow].popleft()

    def settle(self, version):
        """Everything that arrived before has been dealt with, and what we said to it is here: our
        echo acknowledges octets that come a second time always, and at once."""
        if version not in self.fences:
            self.fences[version] = Peer(self, version, ECHO)
            self.fences[version].open()
        fence = self.fences[version]
        fence.send("A", b"\0", seq=add(fence.seq, -1))
        fence.hear()

    def leave(self):
        """Before the service ends: what settle needs is closed."""
        for fence in self.fences.values():
            fence.reset()
        self.fences.clear()


class Peer:
    """One end of a conversation with us. seq is the next number it sends, ack the next it
    expects; with timestamps (ts is its clock) they stand in every segment."""

    def __init__(self, link, version, port, address=None, sport=None):
        self.link = link
        self.version = version
        self.port = port
        self.address = address or ADDRESS[version]
        self.sport = sport or next(link.ports)
        self.flow = (self.address, self.sport, port)
        self.seq = link.random.randrange(MODULO)
        self.ack = 0
        self.ts = None  # not agreed on
        self.ts_echo = 0
        self.expected = self.seq  # the next number we expect, as far as we told
        self.told = 0  # the last ACK it sent
        self.received = b""  # in order

    def packet(self, flags, octets=b"", **fields):
        fields = {"seq": self.seq, "ack": self.ack if "A" in flags else 0, "window": 65535, **fields}
        if self.ts is not None:
            fields.setdefault("options", self.timestamp())
        segment = TCP(sport=self.sport, dport=self.port, flags=flags, **fields)
        return self.link.ip(self.version, src=self.address) / segment / octets

    def timestamp(self, value=None, echo=None):
        return [("NOP", None), ("NOP", None), ("Timestamp", (
            self.ts if value is None else value, self.ts_echo if echo is None else echo))]

    def send(self, flags, octets=b"", **fields):
        packet = self.packet(flags, octets, **fields)
        self.told = packet.ack
        self.link.send(packet)

    def say(self, octets, flags="PA", **fields):
        """Sends what comes next."""
        self.send(flags, octets, **fields)
        self.seq = add(self.seq, len(octets) + ("F" in flags))

    def note(self, segment):
        if "S" in str(segment.flags):
            self.ack = segment.seq
        if segment.seq == self.ack:
            self.ack = add(self.ack, taken(segment))
            self.received += payload(segment)
        if "A" in str(segment.flags):
            self.expected = segment.ack
        if self.ts is not None and option(segment, "Timestamp"):
            self.ts_echo = option(segment, "Timestamp")[0]
        return segment

    def hear(self, timeout=PATIENCE_S):
        """The next segment to us, which must come."""
        segment = self.link.next(self.flow, timeout)
        assert segment is not None, f"nothing for port {self.sport} in {timeout} s"
        return self.note(segment)

    def heard(self):
        """All that was said to what was sent until now, the ACK that may be late not awaited."""
        self.link.settle(self.version)
        said = self.link.said[self.flow]
        return [self.note(said.popleft()) for _ in range(len(said))]

    def open(self, options=(("MSS", 1460),), ts=None, window=65535, third=None):
        """The three segments of a handshake. Our SYN and ACK."""
        options = list(options)
        if ts is not None:
            options.append(("Timestamp", (ts, 0)))
        self.send("S", options=options, window=window)
        synack = self.hear()
        assert synack.flags == "SA" and synack.ack == add(self.seq, 1), synack.summary()
        self.seq = synack.ack
        if ts is not None:
            self.ts, self.ts_echo = ts, option(synack, "Timestamp")[0]
        self.send("A", window=window, **(third or {}))
        return synack

    def echo(self, octets, **fields):
        """Says something to the echo and gets it back. The last segment of it."""
        self.received = b""
        self.say(octets, **fields)
        while len(self.received) < len(octets):
            segment = self.hear()
        assert self.received == octets
        return segment

    def lives(self):
        """Whether the conversation still works: it says something and gets it back."""
        self.echo(b"still there?")
        return True

    def reset(self):
        """Whether or not the last thing it said was acknowledged yet."""
        for number in {self.expected, self.seq}:
            self.send("R", seq=number)
