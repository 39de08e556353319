# SPDX-License-Identifier: BSD-3-Clause
"""Brings labs up for the tests that ask for one, and takes them down whatever happens."""

import os
import random
import signal
import sys

import pytest

from backends import MailStore
from by_hand import Link, Peer
from gateway import Gateway
from lab import BACKEND, Lab, remove_abandoned, ROOT

sys.path.insert(0, str(ROOT / "scripts" / "lib"))  # shield.py

# What the gateway can be: the lab's options, tcp_service's options.
SETUPS = {
    "one_worker": ([], []),
    # Every frame arrives at worker 0's queue and belongs to worker 1.
    "two_workers_all_frames_at_the_wrong_one":
        (["--queues", "2", "--one-queue"], ["--workers", "2", "--only-owner", "1"]),
}


def why_not():
    if os.geteuid() != 0:
        return "system tier: needs root for network namespaces and AF_XDP"
    if "\tbpf\n" not in open("/proc/filesystems", encoding="ascii").read():
        return "system tier: this kernel has no BPF file system"
    return None


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="also the tests that take minutes")


def pytest_configure(config):
    def end(*_):
        raise KeyboardInterrupt("told to end")

    # A test run that is told to end takes its labs down.
    signal.signal(signal.SIGTERM, end)


def pytest_collection_modifyitems(config, items):
    if reason := why_not():
        for item in items:
            item.add_marker(pytest.mark.skip(reason=reason))
    if not config.getoption("--long") and not config.option.markexpr:
        long = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


def pytest_sessionfinish(session, exitstatus):
    if exitstatus == 0 and why_not():
        session.exitstatus = 77


def pytest_sessionstart(session):
    if not why_not():
        remove_abandoned()


@pytest.fixture(scope="session")
def seed():
    value = int(os.environ.get("POSTERN_SEED") or random.randrange(1 << 31))
    print(f"POSTERN_SEED={value}")
    return value


@pytest.fixture
def new_lab():
    """A lab that is not up yet, for tests of the lab itself."""
    lab = Lab.new()
    yield lab
    lab.down()


@pytest.fixture(scope="session", params=SETUPS)
def lab(request):
    options, lab_service = SETUPS[request.param]
    lab = Lab.new()
    lab.service_options = lab_service
    try:
        lab.up(*options)
        yield lab
    finally:
        lab.down()


@pytest.fixture
def processes(lab):
    """Ends what a test started in the lab, and heals what it impaired."""
    before = list(lab.processes)
    yield
    for process in [p for p in lab.processes if p not in before]:
        process.kill()
        lab.ended(process)
    lab.heal()


@pytest.fixture(scope="module")
def wide_lab():
    """An interface with two queues, for two workers that share the flows."""
    lab = Lab.new()
    try:
        lab.up("--queues", "2")
        yield lab
    finally:
        lab.down()


@pytest.fixture
def clean(wide_lab):
    yield wide_lab
    for process in list(wide_lab.processes):
        process.kill()
        wide_lab.ended(process)


@pytest.fixture(scope="module")
def link(lab, seed):
    """Frames by hand."""
    link = Link(lab, seed)
    yield link
    link.close()


@pytest.fixture
def counted(service, link):
    """How much a counter of the service's has grown since the test began; it serves echo."""
    link.settle("ipv4")  # what was sent before is counted before
    before = service.counts()["counters"]
    return lambda name: service.counts()["counters"][name] - before[name]


@pytest.fixture
def new_peer(link):
    """Makes peers whose frames are made by hand, and resets what they leave open."""
    peers = []

    def make(version, port, **more):
        peers.append(Peer(link, version, port, **more))
        return peers[-1]

    yield make
    for peer in peers:
        peer.reset()


# For tests that do not vary with the number of workers.
one_worker = pytest.mark.parametrize("lab", ["one_worker"], indirect=True)


# --- posternd ------------------------------------------------------------------------------


def make_lab(*options):
    lab = Lab.new()
    try:
        lab.up(*options)
        yield lab
    finally:
        lab.down()


@pytest.fixture(scope="module")
def gateway_lab():
    yield from make_lab()


@pytest.fixture
def gateway(gateway_lab, tmp_path):
    """With a server behind it, or it would put all mail off."""
    with MailStore(gateway_lab, BACKEND["ipv4"]):
        yield Gateway(gateway_lab, tmp_path)
        for process in list(gateway_lab.processes):
            process.kill()
            gateway_lab.ended(process)


@pytest.fixture
def running(gateway):
    gateway.start()
    return gateway
