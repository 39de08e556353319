# SPDX-License-Identifier: BSD-3-Clause
"""What Debian's scanners find: nmap, hping3, and thc-ipv6's implementation6 with its watcher.

implementation6 sends 57 odd IPv6 packets, nearly all of them pings: the kernel's to answer, ours to
leave alone. Its judge here is a kernel without us on the next link: the lab's backend.
"""

import json
import re

import pytest

from conftest import one_worker
from lab import BACKEND, GATEWAY, PYTHON, Process, all_well, patiently
from services import SMTP, versions
from shield import Shield

CLOSED = 22

pytestmark = one_worker


@pytest.fixture(scope="module")
def service(lab):
    service = lab.start_service("--service", "echo", "--listen", SMTP)
    yield service
    lab.ended(service)
    service.finish()


@pytest.fixture
def still_well(lab, service):
    """Afterwards it serves as before, and holds nothing."""
    yield
    for address in GATEWAY.values():
        all_well(lab.peer("client", "echo-client", address, SMTP, "--bytes", 200000))
    service.wait_until_idle()


# --- nmap ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nmap(lab, service):
    """nmap's reports by version. It prints its verdict on the numbers only with -v."""
    scans = {version: lab.start("client", "nmap", *six, "-v", "-O", "-sS", "-n", "-Pn",
                                "--max-os-tries", 1, "-p", f"{CLOSED},{SMTP}", GATEWAY[version],
                                kind=Process, name="nmap")
             for version, six in (("ipv4", []), ("ipv6", ["-6"]))}
    for scan in scans.values():
        while scan.next_line(60) is not None:
            pass
        assert scan.wait() == 0, scan.story()
        lab.ended(scan)
    return {version: "\n".join(scan.seen) for version, scan in scans.items()}


@versions
def test_nmap_finds_the_service_open_and_the_kernels_port_closed(nmap, still_well, version):
    ports = dict(re.findall(r"^(\d+)/tcp +(\w+)", nmap[version], re.M))
    assert ports == {str(CLOSED): "closed", str(SMTP): "open"}, nmap[version]


def test_nmap_can_predict_neither_sequence_numbers_nor_ip_ids(nmap):
    report = nmap["ipv4"]
    luck = re.search(r"^TCP Sequence Prediction: Difficulty=(\d+) \(Good luck!\)$", report, re.M)
    # Eight times the binary logarithm of how much the steps differ: of 32 random bits some 260.
    assert luck and int(luck[1]) > 230, report
    ids = re.search(r"^IP ID Sequence Generation: (.*)$", report, re.M)[1]
    assert ids in ("All zeros", "Randomized"), report


def initial_numbers(report):
    """Of the six SYN probes of an IPv6 scan, which nmap does not judge: from its fingerprint, the
    answers' octets in hexadecimal, a pair that repeats written once with how often behind it."""
    fingerprint = "".join(re.findall(r"^OS:(.*)$", report, re.M))
    answers = re.findall(r"S[1-6]\(P=([^%]*)%", fingerprint)
    packets = [re.sub(r"(..)\{(\d+)\}", lambda m: m[1] * int(m[2]), answer) for answer in answers]
    return [int(packet[2 * 44:2 * 48], 16) for packet in packets]


def test_sequence_numbers_of_ipv6_cannot_be_told_from_those_before(nmap):
    """A number that follows a clock takes six steps of about the same size."""
    numbers = initial_numbers(nmap["ipv6"])
    assert len(numbers) == 6, nmap["ipv6"]
    steps = [(later - sooner) % (1 << 32) for sooner, later in zip(numbers, numbers[1:])]
    assert max(steps) - min(steps) > 1 << 24, numbers


# --- hping3 --------------------------------------------------------------------------------


@pytest.mark.parametrize("flags, answers", [
    (["-S"], {"SA"}), (["-A"], {"R"}), (["-F", "-P", "-U"], set()), ([], set())],
    ids=["syn", "ack", "christmas_tree", "none"])
def test_hping_gets_the_answers_of_the_rfc(lab, service, still_well, flags, answers):
    """RFC 9293 3.10.7.1 and 3.10.7.2, its flags without SYN, ACK or RST meeting silence."""
    done = lab.run("client", "hping3", "-n", "-c", 3, "-i", "u20000", "-p", SMTP, *flags,
                   GATEWAY["ipv4"])
    assert set(re.findall(r"flags=(\w*)", done.stdout)) == answers, done.stdout
    received = int(re.search(r"(\d+) packets received", done.stderr)[1])
    assert received == (3 if answers else 0), done.stderr


# --- implementation6 -----------------------------------------------------------------------

CASES = range(1, 58)
# What follows more headers than the shield looks through, or lies behind the end of the packet,
# may be TCP to our port, and a kernel that does look through them would answer it. Silence instead.
HIDDEN = {4: "128 hop-by-hop headers", 8: "128 destination headers",
          9: "2000 destination headers", 10: "8172 destination headers",
          48: "jumbo option size < 64k, length 0"}
SEEN_OF_HIDDEN = {8, 9, 48}  # those of them the watcher can tell

FRAGMENTS_LIMIT = "net.ipv6.ip6frag_high_thresh"  # octets

TARGETS = {"gw": ("fd00:18::", GATEWAY["ipv6"]), "backend": ("fd00:18:2::", BACKEND["ipv6"])}

# Runs every case against every target, each from a source of its own: a kernel limits its errors by
# destination. Several at once, as an unanswered case takes seconds; not all, as each has but seconds
# to see its answer.
ALL_CASES = """
import concurrent.futures, json, subprocess, sys
AT_ONCE = 16
def run(job):
    case, (device, network, target) = job
    return subprocess.run(
        ["atk6-implementation6", "-p", "-s", f"{network}6:{case}", device, target, str(case)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
jobs = [(case, word.split(",")) for case in range(int(sys.argv[1]), int(sys.argv[2]))
        for word in sys.argv[3:]]
with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
    told = pool.map(run, jobs)
    print(json.dumps({f"{device} {case}": text for (case, (device, *_)), text in zip(jobs, told)}))
"""


@pytest.fixture
def sources(lab):
    """Addresses to send each case from."""
    def change(verb):
        lines = [f"address {verb} {network}6:{case}/64 dev {device} {'nodad' * (verb == 'add')}"
                 for case in CASES for device, (network, _) in TARGETS.items()]
        done = lab.run("net", "sh", "-c", 'printf "%s\\n" "$@" | ip -6 -batch -', "ip", *lines)
        assert done.returncode == 0, done.stderr

    change("add")
    yield
    change("del")


def watcher(lab, host, device):
    """implementation6d, once it sees something."""
    def sees_something():
        lab.run("net", "atk6-implementation6", "-p", device, TARGETS[device][1], 5)
        return not process.lines.empty()

    process = lab.start(host, "atk6-implementation6d", "mx0" if host == "gw" else "eth0")
    process.next_line()  # that it waits, which it says before it does
    patiently(sees_something, "implementation6d watches")
    return process


def cases_seen(lab, process):
    process.kill()
    lab.ended(process)
    while process.next_line() is not None:
        pass
    return {int(number) for number in re.findall(r"test case #(\d+)", "\n".join(process.seen))}


def verdicts(lab):
    """Of each device's target, by case: its name and what became of it."""
    found = {device: {} for device in TARGETS}
    done = lab.run("net", PYTHON, "-c", ALL_CASES, CASES.start, CASES.stop, *(
        f"{device},{network},{target}" for device, (network, target) in TARGETS.items()), timeout=240)
    assert done.returncode == 0, done.stderr
    for job, text in json.loads(done.stdout).items():
        device, case = job.split()
        line = re.search(r"^Test +(\d+): (.*?)\t+(.*)$", text, re.M)
        assert line and line[1] == case, f"{job}: {text}"
        found[device][int(case)] = (line[2].strip(), line[3])
    return found


@pytest.fixture
def room_for_fragments(lab):
    """In the kernel beside us. Those of a million mutants wait a minute for the rest of their packets
    and fill all it has for that, and then it takes no others."""
    def sysctl(*words):
        done = lab.run("gw", "sysctl", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    limit = int(sysctl("-n", FRAGMENTS_LIMIT))
    sysctl("-w", f"{FRAGMENTS_LIMIT}={2 * limit}")
    yield
    sysctl("-w", f"{FRAGMENTS_LIMIT}={limit}")


def test_odd_ipv6_is_answered_as_by_a_kernel_alone(
        lab, service, sources, room_for_fragments, still_well):
    shield = Shield(lab.bpffs)
    before = shield.counters()
    watchers = [watcher(lab, "gw", "gw"), watcher(lab, "backend", "backend")]
    found = verdicts(lab)
    seen, seen_without_us = [cases_seen(lab, process) for process in watchers]
    after = shield.counters()

    ours, kernels = found["gw"], found["backend"]
    different = {case: (ours[case], kernels[case]) for case in CASES if ours[case] != kernels[case]}
    assert set(different) <= set(HIDDEN), different
    for case, name in HIDDEN.items():
        assert ours[case] == (name, "FAILED - no reply")
    answered = [case for case in CASES if ours[case][1] == "PASSED - we got a reply"]
    refused = [case for case in CASES if "error reply" in ours[case][1]]
    assert len(answered) > 10 and len(refused) > 10, ours

    assert SEEN_OF_HIDDEN <= seen_without_us and not seen & set(HIDDEN), (seen, seen_without_us)
    dropped = sum(after[name] - before[name] for name in ("drop_malformed", "drop_fragment"))
    assert dropped >= len(HIDDEN)
