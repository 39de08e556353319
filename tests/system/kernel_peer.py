#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The other end of a test: the kernel's own TCP, as a client or a server.

    kernel_peer.py echo-client ADDRESS PORT --bytes N      sends N octets, wants the same back
    kernel_peer.py discard-client ADDRESS PORT --bytes N   sends N octets, wants FIN and no octet
    kernel_peer.py chargen-client ADDRESS PORT --bytes N   reads N octets of RFC 864; with --to-end
                                                           FIN must follow the last one
    kernel_peer.py many-connections ADDRESS PORT --count C opens C, uses all, then closes all
    kernel_peer.py echo-server | discard-server | greeting-server ADDRESS PORT
    kernel_peer.py syn ADDRESS PORT                        one connect; says how it ended; with
                                                           --greeting also what the server said
    kernel_peer.py knock ADDRESS PORT                      connects again and again until SIGTERM,
                                                           --wait seconds each; counts the ends
    kernel_peer.py ping ADDRESS                            ICMP echo, one answer

Clients take --count C connections, --parallel P at a time (1), --source IP, and fail what has not
ended after --timeout seconds. A client ends with one line of JSON {"ok", "failed", "errors",
"seconds"} and exits 0 when all went well; "each" has every connection's seconds but of
many-connections. A server says `ready`, and at SIGTERM the line {"accepted", "open", "octets",
"resets"}. --congestion NAME names the congestion control of either, instead of the system's.

What is sent depends on its position: a block of random octets of a prime length, over and over,
so that no power-of-two shift of it matches itself.
"""

import argparse
import collections
import errno
import json
import os
import random
import resource
import selectors
import signal
import socket
import struct
import sys
import time

BLOCK = 65521  # the largest prime below 64 KiB
CHUNK = 65521
GREETING = b"220 kernel\r\n"


def pattern(seed):
    block = random.Random(seed).randbytes(BLOCK)
    return memoryview(block + block)


def rfc864():
    """The character generator's lines, doubled so that any slice of one period is contiguous."""
    printable = bytes(range(32, 127))
    lines = b"".join((printable + printable)[i:i + 72] + b"\r\n" for i in range(95))
    return memoryview(lines + lines)


class Source:
    """An endless text of known period, readable at any position."""

    def __init__(self, doubled):
        self.doubled = doubled
        self.period = len(doubled) // 2

    def at(self, position, length):
        start = position % self.period
        return self.doubled[start:start + min(length, self.period)]

    def matches(self, position, octets):
        view = memoryview(octets)
        done = 0
        while done < len(view):
            part = self.at(position + done, len(view) - done)
            if view[done:done + len(part)] != part:
                return False
            done += len(part)
        return True


class Failure(Exception):
    pass


class Client:
    """One connection: what it has to send and what it wants to receive."""

    def __init__(self, args, number):
        self.to_send = 0 if args.mode == "chargen-client" else args.bytes
        self.to_receive = 0 if args.mode == "discard-client" else args.bytes
        self.stops_reading = args.mode == "chargen-client" and not args.to_end
        self.number = number
        self.source = args.text
        self.sent = 0
        self.received = 0
        self.connected = False
        self.said_end = False
        self.sock = open_socket(args)
        self.began = time.monotonic()
        error = self.sock.connect_ex((args.address, args.port))
        if error not in (0, errno.EINPROGRESS):
            raise Failure(os.strerror(error))

    def events(self):
        wants_to_write = not self.connected or not self.said_end
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if wants_to_write else 0)

    def step(self, events):
        """True when all is done."""
        if not self.connected:
            self.finish_connect()
        if events & selectors.EVENT_WRITE:
            self.write()
        return self.read() if events & selectors.EVENT_READ else False

    def finish_connect(self):
        error = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise Failure("connect: " + os.strerror(error))
        self.connected = True

    def write(self):
        while self.sent < self.to_send:
            part = self.source.at(self.sent, min(CHUNK, self.to_send - self.sent))
            try:
                self.sent += self.sock.send(part)
            except BlockingIOError:
                return
        if not self.said_end and not self.source_is_theirs():
            self.sock.shutdown(socket.SHUT_WR)
        self.said_end = True

    def source_is_theirs(self):
        return self.to_send == 0 and self.to_receive > 0

    def read(self):
        while True:
            limit = CHUNK
            if self.stops_reading:
                limit = min(CHUNK, self.to_receive - self.received)
            try:
                octets = self.sock.recv(limit)
            except BlockingIOError:
                return False
            if not octets:
                return self.ended()
            if self.received + len(octets) > self.to_receive:
                raise Failure(f"more than the {self.to_receive} octets expected")
            if not self.source.matches(self.received, octets):
                raise Failure(f"wrong octets after {self.received}")
            self.received += len(octets)
            if self.stops_reading and self.received == self.to_receive:
                return True

    def ended(self):
        if self.received < self.to_receive or self.sent < self.to_send:
            raise Failure("FIN " + self.progress())
        return True

    def progress(self):
        return (f"after {self.sent} of {self.to_send} sent, "
                f"{self.received} of {self.to_receive} received")


def open_socket(args):
    sock = socket.socket(args.family, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    set_congestion(sock, args)
    if args.source or args.source_port:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((args.source or "", args.source_port))
    return sock


def set_congestion(sock, args):
    if args.congestion:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, args.congestion.encode())


def run_clients(args):
    selector = selectors.DefaultSelector()
    deadline = time.monotonic() + args.timeout
    errors, started, each = [], 0, []
    under_way = {}

    def end(client, error=None):
        selector.unregister(client.sock)
        client.sock.close()
        del under_way[client.number]
        if error is None:
            each.append(round(time.monotonic() - client.began, 6))
        else:
            errors.append(f"connection {client.number}: {error}")

    while (started < args.count or under_way) and time.monotonic() < deadline:
        while started < args.count and len(under_way) < args.parallel:
            started += 1
            client = Client(args, started)
            under_way[client.number] = client
            selector.register(client.sock, client.events(), client)
        for key, events in selector.select(max(0, deadline - time.monotonic())):
            client = key.data
            try:
                if client.step(events):
                    end(client)
                else:
                    selector.modify(client.sock, client.events(), client)
            except (Failure, OSError) as error:
                end(client, f"{error} {client.progress()}")
    for client in list(under_way.values()):
        end(client, "hung " + client.progress())
    return len(each), args.count - len(each), errors, each


class Crowd:
    """Many connections that are all open at once, then all used, then all closed."""

    def __init__(self, args):
        self.args = args
        self.selector = selectors.DefaultSelector()
        self.deadline = time.monotonic() + args.timeout
        self.socks = []

    def wait(self, pending, events, what, step, total):
        """Calls step for each of pending as it becomes ready, until none is left."""
        for sock in pending:
            self.selector.register(sock, events)
        left = len(pending)
        while left > 0:
            ready = self.selector.select(max(0, self.deadline - time.monotonic()))
            if not ready and time.monotonic() >= self.deadline:
                raise Failure(f"{what}: {left} of {total} hung")
            for key, _ in ready:
                if step(key.fileobj):
                    self.selector.unregister(key.fileobj)
                    left -= 1

    def open(self):
        args = self.args
        for first in range(0, args.count, args.parallel):
            some = []
            for _ in range(first, min(args.count, first + args.parallel)):
                sock = open_socket(args)
                self.socks.append(sock)
                error = sock.connect_ex((args.address, args.port))
                if error not in (0, errno.EINPROGRESS):
                    raise Failure("connect: " + os.strerror(error))
                some.append(sock)
            self.wait(some, selectors.EVENT_WRITE, "connect", self.connected, args.count)

    @staticmethod
    def connected(sock):
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise Failure("connect: " + os.strerror(error))
        return True

    def use(self):
        received = collections.Counter()
        text = self.args.text
        length = self.args.bytes

        def step(sock):
            octets = sock.recv(CHUNK)
            if not octets:
                raise Failure("FIN before the echo was complete")
            position = received[sock]
            if not text.matches(position + sock.fileno(), octets):
                raise Failure("wrong octets")
            received[sock] += len(octets)
            return received[sock] == length

        for first in range(0, len(self.socks), self.args.parallel):
            some = self.socks[first:first + self.args.parallel]
            for sock in some:
                # Each says something else, so that an answer on the wrong one is noticed.
                if sock.send(text.at(sock.fileno(), length)) != length:
                    raise Failure("a first segment was not taken whole")
            self.wait(some, selectors.EVENT_READ, "echo", step, len(self.socks))

    def close(self):
        def step(sock):
            if sock.recv(1):
                raise Failure("octets after the echo")
            return True

        for first in range(0, len(self.socks), self.args.parallel):
            some = self.socks[first:first + self.args.parallel]
            for sock in some:
                sock.shutdown(socket.SHUT_WR)
            self.wait(some, selectors.EVENT_READ, "close", step, len(self.socks))
        for sock in self.socks:
            sock.close()


def run_crowd(args):
    crowd = Crowd(args)
    try:
        crowd.open()
        if args.hold:
            print("open", flush=True)
            sys.stdin.readline()
        crowd.use()
        crowd.close()
    except (Failure, OSError) as error:
        return 0, args.count, [str(error)], []
    return args.count, 0, [], []


class Server:
    def __init__(self, args):
        self.args = args
        self.selector = selectors.DefaultSelector()
        self.pending = {}
        self.accepted = self.octets = self.resets = 0
        self.listener = socket.socket(args.family, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        set_congestion(self.listener, args)  # what it accepts inherits it
        self.listener.bind((args.address, args.port))
        self.listener.listen(16384)
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.wake, self.waker = socket.socketpair()
        self.waker.setblocking(False)
        signal.set_wakeup_fd(self.waker.fileno())
        signal.signal(signal.SIGTERM, lambda *_: None)
        self.selector.register(self.wake, selectors.EVENT_READ)

    def run(self):
        print("ready", flush=True)
        while True:
            for key, events in self.selector.select():
                if key.fileobj is self.wake:
                    return
                if key.fileobj is self.listener:
                    self.accept()
                else:
                    self.serve(key.fileobj, events)

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except BlockingIOError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.accepted += 1
            self.pending[sock] = collections.deque()
            if self.args.mode == "greeting-server":
                sock.send(GREETING)
            self.selector.register(sock, selectors.EVENT_READ)

    def serve(self, sock, events):
        try:
            self.exchange(sock, events)
        except (ConnectionResetError, BrokenPipeError):
            self.resets += 1
            self.drop(sock)

    def exchange(self, sock, events):
        pending = self.pending[sock]
        if events & selectors.EVENT_READ:
            octets = sock.recv(CHUNK)
            self.octets += len(octets)
            if not octets or self.args.mode == "echo-server":
                pending.append(octets)
        while pending:
            if not pending[0]:
                self.drop(sock)
                return
            try:
                sent = sock.send(pending[0])
            except BlockingIOError:
                break
            rest = memoryview(pending.popleft())[sent:]
            if rest:
                pending.appendleft(rest)
        # While it does not take our octets, none of its own are read: memory stays bounded.
        self.selector.modify(sock, selectors.EVENT_WRITE if pending else selectors.EVENT_READ)

    def drop(self, sock):
        self.selector.unregister(sock)
        sock.close()
        del self.pending[sock]


def run_server(args):
    server = Server(args)
    server.run()
    print(json.dumps({"accepted": server.accepted, "open": len(server.pending),
                      "octets": server.octets, "resets": server.resets}), flush=True)
    return 0


def attempt(args, seconds):
    """How one connection attempt ends: open, refused, silence, or the kernel's word for it."""
    with open_socket(args) as sock:
        sock.settimeout(seconds)
        try:
            sock.connect((args.address, args.port))
            if args.greeting:
                return sock.recv(CHUNK).decode().strip()
            return "open"
        except ConnectionRefusedError:
            return "refused"
        except TimeoutError:
            return "silence"
        except OSError as error:
            return error.strerror


def run_syn(args):
    print(attempt(args, args.timeout))
    return 0


def run_knock(args):
    ends = collections.Counter()
    go_on = True

    def stop(*_):
        nonlocal go_on
        go_on = False

    signal.signal(signal.SIGTERM, stop)
    print("ready", flush=True)
    while go_on:
        ends[attempt(args, args.wait)] += 1
    print(json.dumps(ends), flush=True)
    return 0


def checksum(octets):
    total = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def run_ping(args):
    v6 = args.family == socket.AF_INET6
    protocol = socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP
    request, reply = (128, 129) if v6 else (8, 0)
    sock = socket.socket(args.family, socket.SOCK_RAW, protocol)
    if args.source:
        sock.bind((args.source, 0))
    body = struct.pack("!HH", os.getpid() & 0xffff, 1) + bytes(range(56))
    message = struct.pack("!BBH", request, 0, 0) + body
    if not v6:  # the kernel does it for ICMPv6
        message = struct.pack("!BBH", request, 0, checksum(message)) + body
    deadline = time.monotonic() + args.timeout
    sock.sendto(message, (args.address, 0))
    answers = 0
    first = None
    # With --linger every answer counts, so that duplicates show.
    while (left := deadline - time.monotonic()) > 0 and (answers == 0 or args.linger):
        sock.settimeout(left)
        try:
            packet, _ = sock.recvfrom(2048)
        except TimeoutError:
            break
        icmp = packet if v6 else packet[(packet[0] & 15) * 4:]
        if icmp[0] == reply and icmp[4:] == body:
            answers += 1
            first = first or time.monotonic() - (deadline - args.timeout)
    print(json.dumps({"answers": answers, "first_ms": first and round(first * 1000, 3)}))
    return 0 if answers else 1


def run_client_mode(args):
    start = time.monotonic()
    ok, failed, errors, each = (run_crowd if args.mode == "many-connections" else run_clients)(args)
    print(json.dumps({"ok": ok, "failed": failed, "errors": errors[:10],
                      "seconds": round(time.monotonic() - start, 3), "each": each}), flush=True)
    return 0 if failed == 0 else 1


MODES = {
    "echo-client": run_client_mode, "discard-client": run_client_mode,
    "chargen-client": run_client_mode, "many-connections": run_client_mode,
    "echo-server": run_server, "discard-server": run_server, "greeting-server": run_server,
    "syn": run_syn, "knock": run_knock, "ping": run_ping,
}


def parse(argv):
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("mode", choices=MODES)
    p.add_argument("address")
    p.add_argument("port", type=int, nargs="?", default=0)
    p.add_argument("--bytes", type=int, default=0)
    p.add_argument("--count", type=int, default=1)
    p.add_argument("--parallel", type=int, default=1)
    p.add_argument("--source")
    p.add_argument("--source-port", type=int, default=0)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--timeout", type=float, default=60)
    p.add_argument("--to-end", action="store_true")
    p.add_argument("--linger", action="store_true")
    p.add_argument("--greeting", action="store_true")
    p.add_argument("--congestion")
    p.add_argument("--wait", type=float, default=0.05)
    p.add_argument("--hold", action="store_true",
                   help="many-connections: says `open` when all are, waits for a line on stdin")
    args = p.parse_args(argv)
    args.family = socket.AF_INET6 if ":" in args.address else socket.AF_INET
    args.text = Source(rfc864() if args.mode == "chargen-client" else pattern(args.seed))
    return args


def main(argv):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    args = parse(argv)
    return MODES[args.mode](args)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
