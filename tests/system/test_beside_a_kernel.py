# SPDX-License-Identifier: BSD-3-Clause
"""Our TCP and a kernel's in the same place, serving the same client over the same bad cable.

The client echoes 2 MB, both ways at once, at 5 % loss each way; in blocks of eight at a time, ours
and the kernel's in turn, since what a machine does meanwhile makes medians of the same runs differ.
The kernel's ends all use Reno and hand over single segments: a lost super-packet would be one loss of
many segments, and our end has the congestion control of RFC 5681 and no other.
"""

import statistics
import time

import pytest

from lab import GATEWAY, Lab, all_well
from services import ECHO

KERNELS_ECHO = 1007  # beside ours, on the gateway's own kernel

TRANSFER = 2000000
LOSS_PERCENT = 5
AT_ONCE = 8
BLOCKS = 100  # 400 transfers of ours and 400 of the kernel's, of either version
BLOCK_S = 120

WORST_RATIO = 1.5

RENO = ["--congestion", "reno"]


@pytest.fixture
def lossy_lab():
    lab = Lab.new()
    try:
        lab.up("--single-segments")
        gateway = lab.run("gw", "ip", "link", "set", "mx0", "gso_max_segs", 1)
        assert gateway.returncode == 0, gateway.stderr
        # What was learnt of the path in one transfer is no help to the next.
        for host in ("client", "gw"):
            lab.run(host, "sysctl", "-qw", "net.ipv4.tcp_no_metrics_save=1")
        lab.impair("client", "--loss", LOSS_PERCENT)
        yield lab
    finally:
        lab.down()


@pytest.mark.long
def test_at_loss_we_are_not_half_as_slow_again_as_a_kernel(lossy_lab, capsys):
    lab = lossy_lab
    service = lab.start_service("--service", "echo", "--listen", ECHO)
    lab.start_peer("gw", "echo-server", "::", KERNELS_ECHO, *RENO)
    began = time.monotonic()
    seconds = {version: {ECHO: [], KERNELS_ECHO: []} for version in GATEWAY}

    def block(version, port):
        told = all_well(lab.peer("client", "echo-client", GATEWAY[version], port, "--bytes", TRANSFER,
                                 "--count", AT_ONCE, "--parallel", AT_ONCE, *RENO, timeout=BLOCK_S))
        seconds[version][port] += told["each"]

    versions = list(GATEWAY)
    for i in range(BLOCKS):
        # Neither always comes first.
        for port in (ECHO, KERNELS_ECHO) if i // 2 % 2 else (KERNELS_ECHO, ECHO):
            block(versions[i % 2], port)
    lasted = time.monotonic() - began

    def median(port, *of):
        return statistics.median(s for version in of for s in seconds[version][port])

    with capsys.disabled():
        for of in (["ipv4"], ["ipv6"], versions):
            ours, kernels = median(ECHO, *of), median(KERNELS_ECHO, *of)
            print(f"\n{' and '.join(of)}: median {ours:.3f} s ours, {kernels:.3f} s the kernel's, "
                  f"ratio {ours / kernels:.2f}", end="")
        print(f"\n{BLOCKS * AT_ONCE} transfers each in {lasted:.0f} s")
    counts = lab.dropped("client")
    assert min(counts["dropped_in"], counts["dropped_out"]) > BLOCKS * AT_ONCE * 100, counts
    service.wait_until_idle()
    service.finish()
    for version in versions:
        assert median(ECHO, version) <= WORST_RATIO * median(KERNELS_ECHO, version)
