# SPDX-License-Identifier: BSD-3-Clause
"""What one client may have, over two workers that share its connections."""

from lab import GATEWAY, all_well, patiently
from services import ECHO

LIMIT = 20
SERVICE = ["--workers", 2, "--client-conns", LIMIT, "--client-half-open", LIMIT // 2,
           "--service", "echo", "--listen", ECHO]
OTHERS = ["198.18.64.1", "198.18.64.2"]


def test_a_client_has_no_more_than_its_limit_and_others_all_of_theirs(clean):
    service = clean.start_service(*SERVICE)
    crowd = clean.start_peer("client", "many-connections", GATEWAY["ipv4"], ECHO, "--bytes", 100,
                             "--count", LIMIT, "--parallel", LIMIT // 2, "--hold", wait_for="open")
    patiently(lambda: service.counts()["connections_open"] == LIMIT, "all are open")
    more = clean.peer("client", "echo-client", GATEWAY["ipv4"], ECHO, "--bytes", 100,
                      "--count", 10)
    assert (more["ok"], more["failed"]) == (0, 10), more
    assert service.counts()["counters"]["tcp_client_over"] == 10
    for other in OTHERS:
        all_well(clean.peer("client", "echo-client", GATEWAY["ipv4"], ECHO, "--bytes", 100,
                            "--count", LIMIT, "--parallel", LIMIT // 2, "--source", other))
    crowd.say("go on")
    all_well(crowd.next_json())
    service.wait_until_idle()
    all_well(clean.peer("client", "echo-client", GATEWAY["ipv4"], ECHO, "--bytes", 100,
                        "--count", 10 * LIMIT, "--parallel", LIMIT // 2))
    counts = service.finish()["counters"]
    assert counts["tcp_client_over"] == 10
    assert counts["tcp_client_refused"] == 0
    assert counts["handover_out"] > 0  # both workers had their share


def test_ipv6_clients_are_networks(clean):
    service = clean.start_service(*SERVICE)
    crowd = clean.start_peer("client", "many-connections", GATEWAY["ipv6"], ECHO, "--bytes", 100,
                             "--count", LIMIT, "--parallel", LIMIT // 2, "--hold",
                             "--source", "fd00:18:64::1", wait_for="open")
    patiently(lambda: service.counts()["connections_open"] == LIMIT, "all are open")
    for source, ok in (("fd00:18:64::2", 0), ("fd00:18:64:1::2", 1)):
        result = clean.peer("client", "echo-client", GATEWAY["ipv6"], ECHO, "--bytes", 100,
                            "--source", source)
        assert result["ok"] == ok, (source, result)
    crowd.say("go on")
    all_well(crowd.next_json())
    service.finish()
