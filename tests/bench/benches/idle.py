# SPDX-License-Identifier: BSD-3-Clause
"""the memory an open connection holds while nobody says anything (IPv6; TCP and the test's service)

The gateway's memory with N connections open and silent, 100,000 or with --large a million, less that
of a gateway with room for one. Rings and pools are of one size in both and were all written to. Each
connection answers afterwards.
"""

import signal

from lab import patiently
from link import CLIENT, RING, STRANGERS, link

FIGURES = {
    "bytes_per_conversation": ("octets",),
    "megabytes_in_all": ("MB",),
}

N, N_LARGE = 100_000, 1_000_000
OPENING_SECONDS = 10    # for all of them
PORTS = 64_512          # of one of the clients' addresses


def memory_without(seconds):
    """Of a gateway with room for one connection, once every buffer of the link was used."""
    with link() as it:
        gateway = it.gateway("--conns", 1)
        generator = it.generator("--syn-rate", 20_000, "--syn-network", STRANGERS, "--seconds", seconds)

        def all_used():
            of = gateway.counts()["counters"]
            return min(of["port_rx_frames"], of["port_tx_frames"]) > 2 * RING

        patiently(all_used, "every buffer of the link was used", 60)
        octets = gateway.memory()
        generator.send_signal(signal.SIGTERM)
        generator.finish()
        gateway.finish()
        return octets


def memory_with(n, seconds):
    with link() as it:
        gateway = it.gateway("--conns", n)
        generator = it.generator(
            "--address", f"{CLIENT}+{n // PORTS + 1}", "--script", "nul-held", "--conversations", n,
            "--rate", max(n // seconds, 1), "--at-once", 256, "--patience", 30,
            "--seconds", min(seconds + 300, 600))
        generator.wait_for("held", seconds + 60)
        patiently(lambda: gateway.counts()["buffers_out"] == 0, "no buffer is held", 30)
        octets = gateway.memory()
        counts = gateway.counts()
        assert counts["connections_open"] == n, f"{counts['connections_open']} of {n} are open"
        assert counts["buffers_out"] == 0, f"{counts['buffers_out']} buffers are held"
        generator.send_signal(signal.SIGUSR1)
        clients = generator.finish(300)["clients"]
        assert clients["well"] == n, f"of {n} conversations {clients['well']} went well: {clients}"
        gateway.finish()
        return octets


def run(options):
    n = options.connections or (N_LARGE if options.large else N)
    seconds = options.seconds or OPENING_SECONDS
    without = memory_without(seconds + 60)
    whole = memory_with(n, seconds)
    return {"bytes_per_conversation": (whole - without) / n, "megabytes_in_all": whole / 1e6}
