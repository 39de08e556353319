# SPDX-License-Identifier: BSD-3-Clause
"""A flood of SYNs nobody completes: the kernel hears nothing of our port, whatever happens to the
data plane meanwhile, and who is honest is served."""

import signal
import time

import pytest

from conftest import one_worker
from lab import BY_HAND, GATEWAY, Service, all_well, patiently
from by_hand import GATEWAY_MAC, MAC
from services import SMTP
from shield import Shield

SERVICE = ["--service", "echo", "--listen", SMTP]
FLOOD_S = 10

# Networks the SYNs come from: far away, and the gateway's own link.
ANYWHERE = {"ipv4": "100.64.0.0/10", "ipv6": "2001:db8::/32"}
ON_LINK = {"ipv4": "198.18.0.0/24", "ipv6": "fd00:18::/64"}
ROUTER = {"198.18.0.254", "fd00:18::fe", "fe80::18:ff:fe00:fe"}

pytestmark = one_worker


def flood(lab, networks, seed, *options):
    """Begins to send; the SYNs bear a link address that is nobody's, so their answers go nowhere."""
    process = lab.start("net", BY_HAND / "syn_flood", "gw", "--from-mac", MAC, "--to-mac",
                        GATEWAY_MAC, "--port", SMTP, "--seed", seed, *options,
                        *(word for version, network in networks.items()
                          for word in ("--target", f"{GATEWAY[version]},{network}")))
    process.wait_for("ready")
    return process


def end_of_flood(lab, process):
    """How many it sent."""
    process.send_signal(signal.SIGTERM)
    told = process.next_json()
    assert process.wait() == 0
    lab.ended(process)
    assert told["refused"] == 0
    return told["sent"]


def kernel_tcp(lab):
    """The gateway's kernel's counters of TCP, of both versions of IP."""
    counters = {}
    for file in ("snmp", "netstat"):
        lines = lab.run("gw", "cat", f"/proc/net/{file}").stdout.splitlines()
        for names, values in zip(lines[::2], lines[1::2]):
            kind = names.split(":")[0]
            if kind in ("Tcp", "TcpExt"):
                counters |= {kind + name: int(value) for name, value in
                             zip(names.split()[1:], values.split()[1:])}
    return counters


@pytest.fixture
def watched_cable(lab):
    """Counts what the gateway says, at the router's end: RSTs, and who it asks the link for."""
    rules = """
        table netdev watch {
            counter resets { }
            counter questions { }
            chain in {
                type filter hook ingress device "gw" priority -1;
                tcp flags & rst == rst counter name resets
                arp operation request arp daddr ip != 198.18.0.254 counter name questions
                icmpv6 type nd-neighbor-solicit @th,64,128 != 0xfd0000180000000000000000000000fe \\
                    counter name questions
            }
        }"""
    done = lab.run("net", "nft", rules)
    assert done.returncode == 0, done.stderr

    def count(name):
        listed = lab.run("net", "nft", "list", "counter", "netdev", "watch", name).stdout
        return int(listed.split("packets")[1].split()[0])

    yield count
    lab.run("net", "nft", "delete table netdev watch")


def test_no_syn_for_our_port_reaches_the_kernel_while_the_data_plane_comes_and_goes(
        lab, processes, watched_cable, seed):
    service = lab.start_service(*SERVICE)
    shield = Shield(lab.bpffs)
    before = kernel_tcp(lab)

    def grows(name):
        wanted = shield.count(name) + 10000
        patiently(lambda: shield.count(name) >= wanted, f"{name} has grown")

    process = flood(lab, ANYWHERE, seed, "--seconds", 600)
    end = time.monotonic() + FLOOD_S
    while time.monotonic() < end:
        for end_it in (Service.stop, Service.kill):
            grows("redirect_smtp")
            end_it(service)
            lab.ended(service)
            grows("no_socket")
            service = lab.start_service(*SERVICE)
    grows("redirect_smtp")
    sent = end_of_flood(lab, process)

    after = kernel_tcp(lab)
    grown = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert grown == {}, f"of {sent} SYNs"
    assert watched_cable("resets") == 0
    all_well(lab.peer("client", "echo-client", GATEWAY["ipv4"], SMTP, "--bytes", 100000))
    service.wait_until_idle()
    service.finish()


def neighbours(lab):
    """Everybody of the link the gateway's kernel knows of, or asks for."""
    told = lab.run("gw", "ip", "-s", "neighbour", "show", "nud", "all", "dev", "mx0").stdout
    return {line.split()[0] for line in told.splitlines()}


def test_a_flood_from_our_own_link_asks_the_link_for_nobody(lab, processes, watched_cable, seed):
    """A passive connection answers to the link address its SYN came from."""
    service = lab.start_service(*SERVICE, "--conns", 2048)

    def cookies():
        return service.counts()["counters"]["tcp_cookies_sent"]

    before = neighbours(lab)
    process = flood(lab, ON_LINK, seed, "--seconds", 600, "--rate", 20000)
    patiently(cookies, "more handshakes are under way than there is memory for")
    for address in GATEWAY.values():
        all_well(lab.peer("client", "echo-client", address, SMTP, "--bytes", 100000, "--count", 20,
                          "--parallel", 4))
    assert end_of_flood(lab, process) > cookies() > 0
    assert neighbours(lab) - before <= ROUTER
    assert watched_cable("questions") == 0
    service.finish()
