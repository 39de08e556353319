# SPDX-License-Identifier: BSD-3-Clause
"""tcp_service without a lab: its start and stop, and two of them over memif, no kernel between."""

import os
import pathlib
import signal
import subprocess

import pytest

from lab import TCP_SERVICE, Process, Service
from services import CHARGEN, DISCARD, ECHO, MB, versions

SERVER = {"ipv4": "192.0.2.1", "ipv6": "2001:db8::1"}
CLIENT = {"ipv4": "192.0.2.2", "ipv6": "2001:db8::2"}
SERVER_MAC, CLIENT_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"

pytestmark = pytest.mark.skipif(not os.access("/run", os.W_OK), reason="needs root for the EAL")


@pytest.fixture
def start():
    started = []

    def start_service(*options, kind=Service):
        started.append(kind([TCP_SERVICE, *map(str, options)], dict(os.environ), "tcp_service"))
        return started[-1]

    yield start_service
    for process in started:
        process.kill()


@pytest.fixture
def pair(start, tmp_path):
    """Starts the server's end, then the client's, of one memif cable."""
    socket = tmp_path / "memif"

    def vdev(role, mac):
        return (f"net_memif0,role={role},socket={socket},socket-abstract=no,mac={mac}")

    def start_server(*options):
        server = start("--vdev", vdev("server", SERVER_MAC), "--address", SERVER["ipv4"],
                       "--address", SERVER["ipv6"], *options)
        server.wait_for("ready")
        return server

    def start_client(*options):
        return start("--vdev", vdev("client", CLIENT_MAC), "--address", CLIENT["ipv4"],
                     "--address", CLIENT["ipv6"],
                     "--neighbour", f"{SERVER['ipv4']}={SERVER_MAC}",
                     "--neighbour", f"{SERVER['ipv6']}={SERVER_MAC}", *options)

    return start_server, start_client


def at(version, port):
    address = SERVER[version]
    return f"[{address}]:{port}" if version == "ipv6" else f"{address}:{port}"


def all_transferred(client, count=1):
    counts = client.finish(stop=False)
    assert (counts["transfers_ok"], counts["transfers_failed"]) == (count, 0)


# --- start and stop -------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("device", ["net_null0,no-rx=1", "net_ring0"])
def test_it_starts_and_stops_in_order(start, device, workers):
    service = start("--vdev", device, "--address", "192.0.2.1", "--service", "echo", "--listen", 7,
                    "--workers", workers)
    service.wait_for("ready")
    assert not pathlib.Path(f"/run/dpdk/tcp_service-{service.popen.pid}").exists()
    counts = service.finish()
    assert set(counts) >= {"connections_open", "buffers_out", "transfers_ok", "transfers_failed",
                           "counters"}
    assert counts["counters"]["worker_turns"] > 0
    assert not pathlib.Path(f"/run/dpdk/tcp_service-{service.popen.pid}").exists()


def test_sigusr1_asks_for_the_counts_and_sigint_stops(start):
    service = start("--vdev", "net_ring0", "--address", "192.0.2.1", "--service", "nul", "--listen", 7)
    service.wait_for("ready")
    first, second = service.counts(), service.counts()
    assert second["counters"]["worker_turns"] >= first["counters"]["worker_turns"] > 0
    service.send_signal(signal.SIGINT)
    assert service.wait() == 0
    service.next_json()


def test_it_ends_in_order_when_nobody_reads_any_more():
    with subprocess.Popen([TCP_SERVICE, "--vdev", "net_ring0", "--address", "192.0.2.1", "--service",
                           "echo", "--listen", "7"], stdout=subprocess.PIPE) as service:
        assert service.stdout.readline() == b"ready\n"
        service.stdout.close()
        service.send_signal(signal.SIGUSR1)
        service.send_signal(signal.SIGTERM)
        assert service.wait(60) == 0


@pytest.mark.parametrize("options, status, reason", [
    ([], 2, "nothing to do"),
    (["--nonsense"], 2, "--nonsense"),
    (["--af-xdp", "no-such-device"], 1, "no-such-device"),
    (["--vdev", "net_nonsense0", "--address", "192.0.2.1"], 1, "net_nonsense0"),
    (["--vdev", "net_ring0", "--address", "192.0.2.1", "--cores", "0,1023"], 1, "CPU 1023"),
])
def test_a_failure_is_one_line_and_a_status(start, options, status, reason):
    words = options + (["--service", "echo", "--listen", 7] if len(options) > 1 else [])
    service = start(*words, kind=Process)
    assert service.wait() == status
    assert len(service.errors) == 1 and reason in service.errors[0], service.story()
    assert service.next_line() is None
    assert not pathlib.Path(f"/run/dpdk/tcp_service-{service.popen.pid}").exists()


# --- two stacks of ours -------------------------------------------------------------------------


@versions
@pytest.mark.parametrize("size", [1, 64 * MB])
def test_an_echo_comes_back_whole(pair, version, size):
    start_server, start_client = pair
    server = start_server("--service", "echo", "--listen", ECHO)
    all_transferred(start_client("--connect", at(version, ECHO), "--bytes", size, "--receive"))
    server.finish()


def test_a_thousand_conversations_do_not_mix(pair):
    start_server, start_client = pair
    server = start_server("--service", "echo", "--listen", ECHO)
    all_transferred(start_client("--connect", at("ipv6", ECHO), "--bytes", 50000, "--receive",
                                 "--count", 1000, "--parallel", 50), 1000)
    assert server.finish()["counters"]["tcp_passive_opens"] == 1000


@pytest.mark.parametrize("size", [0, 1, 4 * MB])
def test_chargen_of_a_length_is_received_whole(pair, size):
    start_server, start_client = pair
    server = start_server("--service", "chargen", "--listen", CHARGEN, "--bytes", size)
    all_transferred(start_client("--connect", at("ipv4", CHARGEN), "--bytes", size,
                                 "--receive-only"))
    server.finish()


def test_chargen_without_end_stops_when_the_client_has_enough(pair):
    start_server, start_client = pair
    server = start_server("--service", "chargen", "--listen", CHARGEN)
    all_transferred(start_client("--connect", at("ipv4", CHARGEN), "--bytes", MB,
                                 "--receive-only", "--count", 5), 5)
    server.wait_until_idle()
    server.finish()


def test_a_small_window_and_send_queue_only_slow_an_echo_down(pair):
    """What cannot be sent stays unread, so the window closes and opens again and again."""
    start_server, start_client = pair
    server = start_server("--service", "echo", "--listen", ECHO, "--window", 3000,
                          "--send-queue", 1000)
    all_transferred(start_client("--connect", at("ipv4", ECHO), "--bytes", 40000, "--receive",
                                 "--window", 2500, "--count", 4, "--parallel", 4), 4)
    server.finish()


def test_a_port_nobody_listens_on_refuses(pair):
    start_server, start_client = pair
    server = start_server("--service", "discard", "--listen", DISCARD)
    client = start_client("--connect", at("ipv6", ECHO), "--bytes", 1)
    assert client.wait() == 1
    assert client.next_json()["transfers_failed"] == 1
    assert "refused" in client.errors[-1]
    server.finish()


def test_a_stop_resets_what_is_under_way_and_loses_no_buffer(pair):
    """A full ring may swallow a reset, which nobody sends again: such a client ends idle."""
    start_server, start_client = pair
    server = start_server("--service", "chargen", "--listen", CHARGEN)
    client = start_client("--connect", at("ipv4", CHARGEN), "--bytes", 1 << 50, "--receive-only",
                          "--count", 40, "--parallel", 40, "--idle-timeout", 5)
    client.wait_for("ready")
    while server.counts()["connections_open"] < 40:
        assert server.running() and client.running()
    server.finish()
    assert client.wait() == 1
    counts = client.next_json()
    assert (counts["transfers_failed"], counts["connections_open"], counts["buffers_out"]) == (40, 0, 0)
    assert "reset" in client.errors[-1]
