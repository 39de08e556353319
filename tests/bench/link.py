# SPDX-License-Identifier: BSD-3-Clause
"""A gateway and the generator at the two ends of a memif link, as a bench sees them.

Every wait is for an event and has an end; whatever happens, the programs end and their folder goes.
"""

import array
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

from lab import BUILD, TCP_SERVICE, Process, Service, endpoint, patiently

GENERATOR = str(BUILD / "tests" / "bench" / "generator")
POSTERND = str(BUILD / "tests" / "bench" / "posternd_turns")
GATEWAY = "fd00:18::25"
CLIENT = "fd00:18:1::1"
STRANGERS = "fd00:18:f::"    # a /64
GATEWAY_MAC, CLIENT_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
PORT = 25
RING = 1024
PATIENCE = 10   # seconds, with a program that was told to end

# One worker, and clients that may do as they like; the server behind it is the generator, too.
CONFIG = """\
hostname: mx1.example.net
cores: {cores}
interfaces: [{{vdev: "{vdev}", addresses: ["{address}"], neighbours: ["{server}={server_mac}"]}}]
domains: [{{name: example.net, recipients: {directory}, pool: mailstore}}]
pools: [{{name: mailstore, servers: ["[{server}]:25"]}}]
harvest: {{mode: observe}}
limits: {{connections_per_client: 0, half_open_per_client: 0}}
control: {{socket: {folder}/control.sock}}
"""

CPUS = sorted(os.sched_getaffinity(0))
MAIN, WORKER, FAR_END = (CPUS[i % len(CPUS)] for i in range(3))

# Ours alone: in a session of its own, so that an interruption reaches us and we end it in order; and
# told to end when we are dead.
ALONE = ["setsid", "setpriv", "--pdeathsig", "TERM"]
# Before whatever else the machine does; where there are autogroups, a session's weight is theirs.
FIRST = ["sh", "-c", '{ echo -19 >/proc/self/autogroup; } 2>/dev/null; exec nice -n -19 "$@"', "sh"]


def command(*words):
    return ALONE + (FIRST if os.geteuid() == 0 else []) + [str(word) for word in words]


class Gateway(Service):
    """tcp_service with one worker, alone on a CPU."""

    def memory(self):
        """Octets of memory: what is private, its share of what is not, and huge pages. Files mapped
        are not in it: of those the share hangs on who else runs on this machine."""
        rollup = pathlib.Path(f"/proc/{self.popen.pid}/smaps_rollup").read_text()
        kilobytes = dict(re.findall(r"^(\w+): +(\d+) kB$", rollup, re.MULTILINE))
        return 1024 * sum(int(kilobytes[name]) for name in (
            "Pss_Anon", "Pss_Shmem", "Private_Hugetlb", "Shared_Hugetlb"))

    def worker_seconds(self):
        """CPU time of the worker's thread."""
        for task in pathlib.Path(f"/proc/{self.popen.pid}/task").iterdir():
            if (task / "comm").read_text().startswith("rte-worker"):
                return int((task / "schedstat").read_text().split()[0]) / 1e9
        raise AssertionError("the gateway has no worker")


class Posternd(Gateway):
    """posternd with one worker, whose turns are counted by the time they take."""

    turns_path = None

    def turns(self):
        """How many took so many steps of 100 ns."""
        return array.array("Q", self.turns_path.read_bytes())

    def wait_for_log(self, wanted, times, timeout=120):
        patiently(lambda: sum(wanted in line for line in list(self.errors)) >= times,
                  f"posternd says '{wanted}'", timeout)


class Generator(Process):
    def finish(self, timeout=120):
        """Its counts, once it has ended with all verified."""
        status = self.wait(timeout)
        counts = self.next_json() if status in (0, 1) else None
        assert status == 0, self.errors[-1].strip() if self.errors else f"exit status {status}"
        return counts


class Link:
    """One memif link, its programs and its folder. ring: frames on it, each way, a power of two."""

    def __init__(self, ring):
        self.ring_log = ring.bit_length() - 1
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="postern-bench-"))
        self.processes = []

    def close(self):
        # In order: a program killed while it starts leaves DPDK's folder behind.
        for process in reversed(self.processes):
            if process.running():
                process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.popen.wait(PATIENCE)
            process.kill()
        shutil.rmtree(self.folder)

    def _vdev(self, role, mac):
        return (f"net_memif0,role={role},socket={self.folder}/memif,socket-abstract=no,mac={mac},"
                f"rsize={self.ring_log}")

    def _start(self, kind, program, *words, **env):
        process = kind(command(program, *words), {**os.environ, **env}, pathlib.Path(program).name)
        self.processes.append(process)
        process.wait_for("ready", 120)
        return process

    def gateway(self, *words, service="nul"):
        return self._start(Gateway, TCP_SERVICE, "--vdev", self._vdev("server", GATEWAY_MAC),
                           "--address", GATEWAY, "--service", service, "--listen", PORT,
                           "--cores", f"{MAIN},{WORKER}", *words)

    def posternd(self, directory):
        config, turns = self.folder / "postern.yaml", self.folder / "turns"
        config.write_text(CONFIG.format(cores=f"[{MAIN}, {WORKER}]", folder=self.folder,
                                        vdev=self._vdev("server", GATEWAY_MAC), address=GATEWAY,
                                        server=CLIENT, server_mac=CLIENT_MAC, directory=directory))
        process = self._start(Posternd, POSTERND, "-c", config, POSTERN_TURNS=str(turns))
        process.turns_path = turns
        return process

    def generator(self, *words):
        return self._start(Generator, GENERATOR, "--vdev", self._vdev("client", CLIENT_MAC),
                           "--target", endpoint(GATEWAY, PORT), "--target-mac", GATEWAY_MAC,
                           "--cpu", FAR_END, *words)


@contextlib.contextmanager
def link(ring=RING):
    it = Link(ring)
    try:
        yield it
    finally:
        it.close()
