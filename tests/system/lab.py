# SPDX-License-Identifier: BSD-3-Clause
"""The lab and what runs in it, as a test sees them.

Every wait is for an event and has an end; every process is ended by its own PID.
"""

import itertools
import json
import os
import pathlib
import queue
import re
import signal
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = pathlib.Path(os.environ.get("POSTERN_BUILD", ROOT / "build")).resolve()
PYTHON = sys.executable
PEER = str(HERE / "kernel_peer.py")
TCP_SERVICE = str(BUILD / "tests" / "tcp_service")
SANITIZED_SERVICE = str(ROOT / "build-asan" / "tests" / "tcp_service")
BY_HAND = BUILD / "tests" / "system"  # programs that send what no kernel would

GATEWAY = {"ipv4": "198.18.0.25", "ipv6": "fd00:18::25"}
BACKEND = {"ipv4": "198.18.2.1", "ipv6": "fd00:18:2::1"}
CLIENT = {"ipv4": "198.18.1.1", "ipv6": "fd00:18:1::1"}  # its own address; it has many


def endpoint(address, port):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def patiently(condition, what, timeout=10):
    """Asks until the condition holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.01)


def as_at_a_terminal():
    """In a child that is to be interrupted. What runs in a script's background has SIGINT ignored,
    and so has all that it starts: bash cannot trap what was ignored when it began."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Process:
    """A command in the lab, its standard output read line by line."""

    def __init__(self, argv, env, name):
        self.name = name
        self.lines = queue.Queue()
        self.seen = []
        self.errors = []
        self.popen = subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, text=True,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.readers = [threading.Thread(target=self._read_output, daemon=True),
                        threading.Thread(target=self._read_errors, daemon=True)]
        for reader in self.readers:
            reader.start()

    def _read_output(self):
        for line in self.popen.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def _read_errors(self):
        for line in self.popen.stderr:
            self.errors.append(line)

    def next_line(self, timeout=30):
        """The next line, or None at the end of the output."""
        try:
            line = self.lines.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"{self.name} said nothing for {timeout} s\n{self.story()}") from None
        if line is not None:
            self.seen.append(line)
        return line

    def wait_for(self, wanted, timeout=30):
        while (line := self.next_line(timeout)) != wanted:
            assert line is not None, f"{self.name} ended before '{wanted}'\n{self.story()}"

    def next_json(self, timeout=30):
        while (line := self.next_line(timeout)) is not None:
            if line.startswith("{"):
                return json.loads(line)
        raise AssertionError(f"{self.name} ended without its counts\n{self.story()}")

    def say(self, line):
        self.popen.stdin.write(line + "\n")
        self.popen.stdin.flush()

    def send_signal(self, number):
        self.popen.send_signal(number)

    def running(self):
        return self.popen.poll() is None

    def wait(self, timeout=60):
        """The exit status; a process that does not end is a failure, and ended."""
        try:
            status = self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end in {timeout} s\n{self.story()}") from None
        for reader in self.readers:
            reader.join(10)
        return status

    def stop(self, timeout=30):
        if self.running():
            self.send_signal(signal.SIGTERM)
        return self.wait(timeout)

    def kill(self):
        if self.running():
            self.popen.kill()
        self.popen.wait()

    def story(self):
        return (f"--- {self.name}: standard output\n" + "\n".join(self.seen[-20:]) +
                f"\n--- {self.name}: standard error\n" + "".join(self.errors[-40:]))


class Service(Process):
    """build/tests/tcp_service in the gateway's namespace."""

    all_handed_over = False  # every frame arrives at a worker that is not its flow's owner

    def counts(self):
        """What it counts now, without stopping it."""
        self.send_signal(signal.SIGUSR1)
        return self.next_json()

    def wait_until_idle(self):
        """The peers are done; the last ACKs may still be on their way."""
        patiently(lambda: self.counts()["connections_open"] == 0, "every connection is closed")
        assert self.counts()["buffers_out"] == 0, self.story()

    def finish(self, timeout=60, stop=True):
        """Ends it and checks that it ended clean. Its last counts."""
        status = self.stop(timeout) if stop else self.wait(timeout)
        counts = self.next_json()
        assert status == 0, f"exit status {status}\n{self.story()}"
        assert counts["connections_open"] == 0, self.story()
        assert counts["buffers_out"] == 0, self.story()
        if self.all_handed_over:
            of = counts["counters"]
            corrupt = sum(of[name] for name in of if name.startswith("net_"))
            handed = of["handover_out"] + of["handover_full"]
            assert of["port_rx_frames"] - corrupt <= handed <= of["port_rx_frames"], self.story()
        return counts


class Lab:
    """One lab, by its suffix. A test run's labs are t<PID>x<number>."""

    numbers = itertools.count(1)

    @classmethod
    def new(cls):
        return cls(f"t{os.getpid()}x{next(cls.numbers)}")

    def __init__(self, suffix):
        self.suffix = suffix
        self.run_dir = pathlib.Path(f"/run/postern-{suffix}")
        self.bpffs = self.run_dir / "bpf"
        self.env = {"LSAN_OPTIONS": f"suppressions={HERE}/lsan.supp:print_suppressions=0",
                    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
                    **os.environ, "POSTERN_LAB_SUFFIX": suffix, "POSTERN_BUILD": str(BUILD)}
        self.processes = []
        self.impaired = set()

    def command(self, *words, check=True, timeout=60):
        done = subprocess.run([str(ROOT / "scripts" / "lab"), *words], env=self.env, text=True,
                              capture_output=True, timeout=timeout)
        if check and done.returncode != 0:
            raise AssertionError(f"scripts/lab {' '.join(words)}: {done.stderr}{done.stdout}")
        return done

    def up(self, *options):
        self.command("up", *options)

    def down(self):
        for process in self.processes:
            process.kill()
        self.processes.clear()
        self.command("down")

    def namespaces(self):
        return [name for name in os.listdir("/run/netns") if name.endswith("-" + self.suffix)]

    def _argv(self, host, words):
        return [str(ROOT / "scripts" / "lab"), "exec", host, *map(str, words)]

    def run(self, host, *words, timeout=60):
        return subprocess.run(self._argv(host, words), env=self.env, text=True,
                              capture_output=True, timeout=timeout)

    def start(self, host, *words, kind=Process, name=None):
        process = kind(self._argv(host, words), self.env, name or str(words[0]))
        self.processes.append(process)
        return process

    def ended(self, process):
        self.processes.remove(process)

    def peer(self, host, *words, timeout=60):
        """Runs kernel_peer.py to its end. What it printed last, read as JSON where it is."""
        done = self.run(host, PYTHON, PEER, *words, "--timeout", timeout, timeout=timeout + 30)
        assert done.stdout, f"kernel_peer.py {words}: {done.stderr}"
        last = done.stdout.splitlines()[-1]
        return json.loads(last) if last.startswith("{") else last

    def start_peer(self, host, *words, wait_for="ready"):
        process = self.start(host, PYTHON, PEER, *words, name=f"{words[0]} in {host}")
        if wait_for:
            process.wait_for(wait_for)
        return process

    def start_service(self, *options, wait=True, program=TCP_SERVICE):
        service = self.start("gw", program, "--af-xdp", "mx0", "--bpffs", self.bpffs, *options,
                             kind=Service, name="tcp_service")
        service.all_handed_over = "--only-owner" in options
        if wait:
            service.wait_for("ready")
        return service

    def impair(self, host, *words):
        self.impaired.add(host)
        self.command("impair", host, *map(str, words))

    def heal(self):
        for host in self.impaired:
            self.command("impair", host, "none")
        self.impaired.clear()

    def dropped(self, host):
        return {name: int(number) for name, number in
                (line.split() for line in self.command("dropped", host).stdout.splitlines())}


def all_well(result):
    """For a client's last line."""
    assert result["failed"] == 0, result
    return result


def remove_abandoned():
    """Labs whose test run was killed before it could take them down."""
    names = os.listdir("/run/netns") if os.path.isdir("/run/netns") else []
    found = {m[1]: int(m[2]) for name in [*names, *os.listdir("/run")]
             if (m := re.fullmatch(r"postern-(?:\w+-)?(t(\d+)x\d+)", name))}
    for suffix, pid in found.items():
        if not os.path.exists(f"/proc/{pid}"):
            Lab(suffix).down()
