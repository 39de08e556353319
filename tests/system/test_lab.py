# SPDX-License-Identifier: BSD-3-Clause
"""The lab itself, with the kernel in the gateway's place."""

import os
import subprocess

import pytest

from lab import BACKEND, GATEWAY, PYTHON, ROOT, Lab, all_well

BOTH = pytest.mark.parametrize("version", ["ipv4", "ipv6"])


@pytest.fixture(scope="module")
def kernel_lab():
    lab = Lab.new()
    try:
        lab.up()
        lab.start_peer("gw", "echo-server", "::", 7)
        yield lab
    finally:
        lab.down()


@pytest.fixture
def impaired(kernel_lab):
    yield kernel_lab
    kernel_lab.impair("client", "none")


def traces(lab):
    mounts = open("/proc/mounts", encoding="utf-8").read()
    return lab.namespaces(), lab.run_dir.exists(), lab.suffix in mounts


NO_TRACES = ([], False, False)


def test_a_lab_that_is_taken_down_leaves_nothing(new_lab):
    new_lab.up("--queues", "2")
    assert sorted(new_lab.namespaces()) == sorted(
        f"postern-{host}-{new_lab.suffix}" for host in ("client", "gw", "backend", "net"))
    new_lab.command("status")
    sleeper = new_lab.start("client", PYTHON, "-c", "print('ready', flush=True); input()")
    sleeper.wait_for("ready")
    new_lab.command("down")
    sleeper.wait(5)
    assert traces(new_lab) == NO_TRACES
    assert new_lab.command("status", check=False).returncode == 1


def test_down_ends_what_its_parent_reaps_at_once(new_lab):
    new_lab.up()
    script = f"'{ROOT}/scripts/lab' exec gw {PYTHON} -c 'print(\"ready\", flush=True); input()'; echo reaped"
    with subprocess.Popen(["/bin/sh", "-c", script], env=new_lab.env, text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as shell:
        assert shell.stdout.readline() == "ready\n"
        new_lab.command("down")
        assert shell.stdout.readline() == "reaped\n"
    assert traces(new_lab) == NO_TRACES


def test_up_and_down_can_be_said_twice(new_lab):
    new_lab.up()
    assert "is up already" in new_lab.command("up").stdout
    assert "is up already" not in new_lab.command("up", "--queues", "3").stdout
    queues = new_lab.run("gw", "sh", "-c", "ls -d /sys/class/net/mx0/queues/rx-* | wc -l")
    assert queues.stdout.strip() == "3"
    new_lab.down()
    new_lab.down()
    assert traces(new_lab) == NO_TRACES


def test_a_lab_that_cannot_be_set_up_is_removed_again(new_lab, tmp_path):
    broken = tmp_path / "ethtool"
    broken.write_text("#!/bin/sh\necho ethtool: cannot >&2\nexit 1\n")
    broken.chmod(0o755)
    new_lab.env["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
    done = new_lab.command("up", check=False)
    assert done.returncode == 1
    assert "could not be set up" in done.stderr
    assert traces(new_lab) == NO_TRACES


def test_a_half_built_lab_is_replaced(new_lab):
    os.makedirs(new_lab.run_dir / "lab")
    new_lab.up()
    new_lab.command("status")
    os.remove(new_lab.run_dir / "lab" / "up")
    new_lab.up()
    assert new_lab.peer("client", "ping", GATEWAY["ipv4"])["answers"] == 1


def test_a_mount_of_somebody_else_is_left_alone(new_lab):
    os.makedirs(new_lab.bpffs)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", new_lab.bpffs], check=True)
    try:
        new_lab.command("down")
        assert new_lab.bpffs.is_mount()
    finally:
        subprocess.run(["umount", new_lab.bpffs], check=True)
    new_lab.down()
    assert traces(new_lab) == NO_TRACES


def test_a_gateway_in_service_keeps_its_folder(new_lab):
    """Without a suffix, in mounts of our own; nothing is there to be taken down."""
    script = ("mount -t tmpfs tmpfs /run && mkdir -p /run/postern/bpf && "
              "mount -t bpf bpf /run/postern/bpf && mkdir /run/postern/bpf/maps && "
              f"{ROOT}/scripts/lab down && test -d /run/postern/bpf/maps")
    env = {name: value for name, value in new_lab.env.items() if name != "POSTERN_LAB_SUFFIX"}
    done = subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
                          env=env, text=True, capture_output=True, timeout=60)
    assert done.returncode == 0, done


def test_errors_say_what_is_wrong(new_lab):
    assert "not up" in new_lab.command("exec", "gw", "true", check=False).stderr
    new_lab.up()
    assert "no host" in new_lab.command("exec", "moon", "true", check=False).stderr
    for what in ("--loss", "--corrupt"):
        assert "percentage" in new_lab.command("impair", "client", what, "101",
                                               check=False).stderr
    assert "only client backend" in new_lab.command("impair", "gw", "--loss", "1",
                                                    check=False).stderr


@BOTH
def test_every_host_reaches_the_gateway(kernel_lab, version):
    for host in ("client", "backend", "net"):
        assert kernel_lab.peer(host, "ping", GATEWAY[version])["answers"] == 1
    assert kernel_lab.peer("gw", "ping", BACKEND[version])["answers"] == 1


@pytest.mark.parametrize("version, source", [
    ("ipv4", "198.18.64.1"), ("ipv4", "198.18.127.254"),
    ("ipv6", "fd00:18:64::1"), ("ipv6", "fd00:18:64:ffff::9")])
def test_the_client_has_many_addresses(kernel_lab, version, source):
    all_well(kernel_lab.peer("client", "echo-client", GATEWAY[version], 7, "--bytes", 1000,
                             "--source", source))


@BOTH
def test_frames_reach_the_gateway_with_whole_checksums(kernel_lab, version):
    """A partial checksum is one the sender's card would have finished: XDP would see nonsense."""
    sniffer = kernel_lab.start("gw", PYTHON, "-c", SNIFFER, name="sniffer")
    sniffer.wait_for("ready")
    all_well(kernel_lab.peer("client", "echo-client", GATEWAY[version], 7, "--bytes", 300000))
    sniffer.say("")
    counts = sniffer.next_json()
    sniffer.wait()
    kernel_lab.ended(sniffer)
    assert counts["frames"] > 100
    assert counts["partial"] == 0
    assert counts["longest"] <= 1514


# PACKET_AUXDATA's tp_status bit 3 is TP_STATUS_CSUMNOTREADY.
SNIFFER = """
import json, select, socket, struct, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind(("mx0", 0))
s.setsockopt(263, 8, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
frames = partial = longest = 0
print("ready", flush=True)
while True:
    readable = select.select([s, sys.stdin], [], [])[0]
    if s in readable:
        data, aux, _, address = s.recvmsg(65600, 256)
        if address[2] != socket.PACKET_OUTGOING:
            frames += 1
            longest = max(longest, len(data))
            partial += bool(struct.unpack("I", aux[0][2][:4])[0] & 8)
    elif sys.stdin in readable:
        break
print(json.dumps(dict(frames=frames, partial=partial, longest=longest)))
"""


def echo(lab, count=10, size=1000000, parallel=5):
    return all_well(lab.peer("client", "echo-client", GATEWAY["ipv4"], 7, "--bytes", size,
                             "--count", count, "--parallel", parallel))


def test_loss_is_real_and_counted(impaired):
    impaired.impair("client", "--loss", 5)
    echo(impaired)
    counts = impaired.dropped("client")
    # 10 MB each way are 6,900 full frames, and as many ACKs at the most.
    assert 200 < counts["dropped_in"] < 2000, counts
    assert 200 < counts["dropped_out"] < 2000, counts


def test_the_relay_impairs_as_it_is_told(impaired):
    impaired.impair("client", "--corrupt", 1, "--duplicate", 2, "--reorder", 4, "--seed", 42)
    echo(impaired)
    counts = impaired.dropped("client")
    frames = counts["relayed"]
    assert frames > 10000, counts
    for what, share in (("corrupted", 0.01), ("duplicated", 0.02), ("reordered", 0.04)):
        assert 0.5 * share < counts[what] / frames < 1.5 * share, counts
    assert counts["overflowed"] == counts["refused"] == 0, counts


def test_the_relay_delays(impaired):
    quick = impaired.peer("client", "ping", GATEWAY["ipv4"])
    impaired.impair("client", "--delay", 40, "--jitter", 5)
    slow = impaired.peer("client", "ping", GATEWAY["ipv4"])
    assert quick["first_ms"] < 40
    assert slow["first_ms"] >= 80


def test_the_relay_duplicates(impaired):
    impaired.impair("client", "--duplicate", 100)
    result = impaired.peer("client", "ping", GATEWAY["ipv4"], "--linger", timeout=1)
    # The request twice, each answer twice.
    assert result["answers"] == 4


def test_a_healed_host_is_well(impaired):
    impaired.impair("client", "--loss", 100)
    assert impaired.peer("client", "ping", GATEWAY["ipv4"], timeout=0.3)["answers"] == 0
    impaired.impair("client", "--delay", 1)
    impaired.impair("client", "none")
    echo(impaired, count=2)
    counts = impaired.dropped("client")
    assert counts == {"dropped_in": 0, "dropped_out": 0}


def test_many_connections_at_once(kernel_lab):
    all_well(kernel_lab.peer("client", "many-connections", GATEWAY["ipv4"], 7, "--bytes", 100,
                             "--count", 10000, "--parallel", 500))
