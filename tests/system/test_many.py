# SPDX-License-Identifier: BSD-3-Clause
"""Ten thousand connections: open at once, used, closed, and nothing left of them."""

from lab import BACKEND, GATEWAY, all_well, endpoint, patiently
from services import ECHO, versions

COUNT = 10000


@versions
def test_ten_thousand_connections_leave_nothing(lab, processes, version):
    service = lab.start_service(*lab.service_options, "--service", "echo", "--listen", ECHO)
    crowd = lab.start_peer("client", "many-connections", GATEWAY[version], ECHO, "--bytes", 500,
                           "--count", COUNT, "--parallel", 500, "--hold", "--timeout", 90,
                           wait_for="open")
    # The client is sure a little before us: its last ACKs are on their way.
    patiently(lambda: service.counts()["connections_open"] == COUNT, "all are open at once")
    crowd.say("go on")
    all_well(crowd.next_json(90))
    service.wait_until_idle()
    counts = service.finish()
    assert counts["counters"]["tcp_passive_opens"] >= COUNT
    assert counts["connections_in_table"] == 0


def test_thousands_of_connections_to_a_backend_leave_nothing(lab, processes):
    """More than there are source ports: those in TIME-WAIT are opened from again."""
    count, ports = 3000, 600
    lab.start_peer("backend", "echo-server", BACKEND["ipv4"], ECHO)
    active = lab.start_service(*lab.service_options, "--connect", endpoint(BACKEND["ipv4"], ECHO),
                               "--bytes", 100, "--receive", "--count", count, "--parallel", 100,
                               "--active-ports", f"20000-{20000 + ports - 1}")
    counts = active.finish(timeout=90, stop=False)
    assert (counts["transfers_ok"], counts["transfers_failed"]) == (count, 0)
    assert counts["connections_in_table"] == 0
    # The kernel sent its FIN after ours, so that every TIME-WAIT was ours.
    assert counts["counters"]["tcp_time_wait_reused"] >= count - ports
