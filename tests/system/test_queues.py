# SPDX-License-Identifier: BSD-3-Clause
"""An interface with two queues: a queue that nobody reads would lose its share of the mail."""

from lab import GATEWAY, all_well
from services import SMTP

ECHO_ON_SMTP = ["--service", "echo", "--listen", SMTP]


def rx_queues(lab):
    return int(lab.run("gw", "sh", "-c", "ls -d /sys/class/net/mx0/queues/rx-* | wc -l").stdout)


def echo(lab):
    all_well(lab.peer("client", "echo-client", GATEWAY["ipv4"], SMTP, "--bytes", 100000,
                      "--count", 100, "--parallel", 20))


def test_two_workers_read_two_queues_and_hand_over_what_is_not_theirs(clean):
    service = clean.start_service("--workers", 2, *ECHO_ON_SMTP)
    echo(clean)
    counts = service.finish()["counters"]
    assert counts["handover_out"] == counts["handover_in"] > 0
    # A veth does not say how it chooses the queue.
    assert counts["steering_agreed"] == counts["steering_disagreed"] == 0


def test_a_queue_without_a_socket_is_refused_at_start(clean):
    """The router's end sends on two queues, and the shield stays attached between two runs, so
    the driver will not give the second one up."""
    service = clean.start_service("--workers", 2, *ECHO_ON_SMTP)
    service.finish()
    service = clean.start_service(*ECHO_ON_SMTP, wait=False)
    assert service.wait() == 1
    said = "".join(service.errors).strip().splitlines()
    assert "queue" in said[-1] and "mx0" in said[-1], said
    assert rx_queues(clean) == 2


def test_a_queue_that_can_be_closed_is_closed(clean):
    clean.command("up", "--queues", "2", "--one-queue")
    assert rx_queues(clean) == 2
    service = clean.start_service(*ECHO_ON_SMTP)
    assert rx_queues(clean) == 1
    echo(clean)
    service.finish()
