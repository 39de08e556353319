# SPDX-License-Identifier: BSD-3-Clause
"""Guessers against posternd itself, and how soon after its last answer the kernel drops them.

posternd runs on AF_XDP in a lab, its one worker alone on a CPU, while control rebuilds a directory
over and over. Clients nobody has seen (tests/system/guesser.c), each from a /24 of its own so that
no prefix's verdict comes in between, guess one after the other, and go on with a frame every
EVERY_US. Of the N frames a client sent then, the last D were dropped, D being what its entry in the
kernel's map counts; so the first dropped one is known, and when it was sent. The time of a trial is
that less the time the last answer arrived at the client, below zero where it was dropped before.

The client leaves the CPU it shares with control to it between two frames, and has it at once when
one is due: it stands for a machine of its own. What no gateway can be blamed for is the time its
CPU is taken away, so a bare spinner has the worker's CPU before posternd starts and after it has
stopped, while another keeps the second CPU busy: the longest gap of each millisecond, of which a
trial has about one.
"""

import contextlib
import ipaddress
import json
import math
import pathlib
import signal
import subprocess
import tempfile
import threading

from backends import MailStore
from by_hand import GATEWAY_MAC, MAC
from gateway import POSTERND, Gateway
from lab import BACKEND, BY_HAND, GATEWAY, ROOT, Lab
from link import MAIN, WORKER, command
from services import SMTP

GUESSER = str(BY_HAND / "guesser")
NETWORK, STEP = ipaddress.ip_address("10.64.0.0"), 256
EVERY_US, AFTER_US = 100, 20000
ANSWERED_MAX = 4
BAR_MS, BAR_BESIDE_SPINNER_MS = 1, 0.3
REBUILD_EVERY_S = 0.2
PATIENCE_S = 600


def p99(values):
    return sorted(values)[math.ceil(0.99 * len(values)) - 1]


@contextlib.contextmanager
def new_lab():
    lab = Lab.new()
    try:
        lab.up()
        yield lab
    finally:
        lab.down()


# --- the machine ---------------------------------------------------------------------------------


def on_cpu(cpu, *words):
    return ["taskset", "-c", cpu, *words]


def spinner_gaps_ms(lab, ms):
    """Of each millisecond, the longest time a spinner on the worker's CPU did not run."""
    spinners = [lab.start("net", *command(*on_cpu(cpu, GUESSER, "--spin-ms", ms)), name="spinner")
                for cpu in (MAIN, WORKER)]
    gaps = [spinner.next_json(PATIENCE_S)["gaps_us"] for spinner in spinners][1]
    for spinner in spinners:
        assert spinner.wait() == 0, spinner.story()
        lab.ended(spinner)
    return [gap / 1000 for gap in gaps]


# --- the gateway ---------------------------------------------------------------------------------


def write_directory(path, recipients):
    with path.open("w") as directory:
        for first in range(0, recipients, 100_000):
            directory.writelines(f"u{n}@example.net\n"
                                 for n in range(first, min(first + 100_000, recipients)))


@contextlib.contextmanager
def running(lab, folder, recipients):
    gateway = Gateway(lab, folder, cores=f"[{MAIN}, {WORKER}]")
    gateway.config.write_text(gateway.config.read_text().replace(
        "clients: 4K", "clients: 64K, first_ttl: 1h"))
    write_directory(gateway.directory, recipients)
    with MailStore(lab, BACKEND["ipv4"]):
        gateway.process = lab.start("gw", *command(POSTERND, "-c", gateway.config), name="posternd")
        try:
            gateway.process.wait_for("ready", PATIENCE_S)
            yield gateway
        finally:
            status = gateway.process.stop(PATIENCE_S)
    assert status == 0, gateway.process.story()
    lab.ended(gateway.process)


@contextlib.contextmanager
def rebuilding(gateway):
    """Directories are read anew all the time: what is asked for meanwhile begins right after."""
    over = threading.Event()

    def ask():
        while True:
            gateway.process.send_signal(signal.SIGHUP)
            if over.wait(REBUILD_EVERY_S):
                break

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        yield
    finally:
        over.set()
        asker.join()


def rebuilds(gateway, recipients):
    wanted = f"directories read anew: {recipients} recipients"
    return sum(wanted in line for line in gateway.process.errors)


# --- trials --------------------------------------------------------------------------------------


def guess(lab, trials):
    """What guesser tells of each client."""
    done = lab.run("net", "chrt", "--fifo", 1, *on_cpu(
        MAIN, GUESSER, "gw", "--from-mac", MAC, "--to-mac", GATEWAY_MAC, "--from", NETWORK, "--to",
        GATEWAY["ipv4"], "--port", SMTP, "--clients", trials, "--step", STEP, "--every-us", EVERY_US,
        "--after-us", AFTER_US), timeout=PATIENCE_S)
    assert done.returncode == 0, done
    return [json.loads(line) for line in done.stdout.splitlines()]


def dropped(lab):
    """Frames the kernel dropped of each source that is flagged."""
    done = subprocess.run([ROOT / "scripts/lib/shield.py", "flagged"], text=True, capture_output=True,
                          env={**lab.env, "POSTERN_BPFFS": str(lab.bpffs)})
    assert done.returncode == 0, done.stderr
    return {network: int(drops) for network, drops in map(str.split, done.stdout.splitlines())}


def source(client):
    return f"{NETWORK + client['client'] * STEP + 1}/32"


def first_drop_ms(client, drops):
    sent = client["sent_us"]
    assert 1 <= client["answered"] <= ANSWERED_MAX, client
    assert 1 <= drops <= len(sent), f"{drops} frames of {len(sent)} were dropped: {client}"
    return (sent[len(sent) - drops] - client["answered_us"]) / 1000


def measure(trials, recipients, spin_ms):
    """Figures of one run."""
    with new_lab() as lab, tempfile.TemporaryDirectory(prefix="postern-bench-") as folder:
        gaps_ms = spinner_gaps_ms(lab, spin_ms)
        with running(lab, pathlib.Path(folder), recipients) as gateway:
            with rebuilding(gateway):
                clients = guess(lab, trials)
                rebuilt = rebuilds(gateway, recipients)
            drops = dropped(lab)
        gaps_ms += spinner_gaps_ms(lab, spin_ms)
    return {
        "answered_guesses_max": max(client["answered"] for client in clients),
        "first_drop_ms_p99": p99([first_drop_ms(client, drops[source(client)]) for client in clients]),
        "spinner_gap_ms_p99": p99(gaps_ms),
        "directories_rebuilt": rebuilt,
    }


def check_bar(figures):
    bar = max(BAR_MS, figures["spinner_gap_ms_p99"] + BAR_BESIDE_SPINNER_MS)
    assert figures["first_drop_ms_p99"] <= bar, f"the bar is at {bar} ms: {figures}"
    assert figures["directories_rebuilt"] > 0, f"no directory was rebuilt meanwhile: {figures}"
