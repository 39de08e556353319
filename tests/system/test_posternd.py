# SPDX-License-Identifier: BSD-3-Clause
"""posternd itself: from its command line to its end, on AF_XDP, with smtplib for a client."""

import contextlib
import json
import os
import signal
import socket
import subprocess

import pytest

from backends import MailStore
from conftest import make_lab
from gateway import GUESSER, HONEST, POSTERNCTL, POSTERND, VERDICT, Gateway
from lab import BACKEND, GATEWAY, PYTHON, patiently
from mails import SMTP_CLIENT
from services import SMTP, versions
from shield import Shield, ShieldError


TAKES_MAIL = "posternd: mx0: mail is taken at 198.18.0.25, fd00:18::25\n"


@pytest.fixture
def forgiven(gateway):
    yield
    for verdict in VERDICT.values():
        with contextlib.suppress(ShieldError):
            Shield(gateway.lab.bpffs).unflag(verdict)


# --- the command line ------------------------------------------------------------------------------


def posternd(*words):
    return subprocess.run([POSTERND, *map(str, words)], text=True, capture_output=True, timeout=60)


def fails(done, status, says):
    assert done.returncode == status, done
    assert done.stderr.count("\n") == 1 and says in done.stderr, done.stderr
    assert done.stdout == ""


def test_a_command_line_without_a_configuration_makes_no_sense():
    fails(posternd(), 2, "-c FILE is missing")
    fails(posternd("-c", "x", "y"), 2, "'y'")
    fails(posternd("--nonsense"), 2, "nonsense")


def test_help_and_version_are_told():
    assert posternd("--help").stdout.startswith("usage: posternd -c FILE")
    assert posternd("--version").stdout.startswith("posternd ")


def test_what_is_in_force_is_shown_and_is_a_configuration(gateway):
    shown = posternd("-c", gateway.config, "--show")
    assert shown.returncode == 0 and shown.stderr == "", shown
    assert "first_ttl: 5m" in shown.stdout
    gateway.config.write_text(shown.stdout)
    assert posternd("-c", gateway.config, "--show").stdout == shown.stdout


def test_a_configuration_that_is_not_sound_is_refused_with_line_and_field(gateway):
    text = gateway.config.read_text()
    gateway.config.write_text(text.replace("pool: mailstore", "pool: nowhere"))
    for words in [["-c", gateway.config], ["-c", gateway.config, "-t"]]:
        fails(posternd(*words), 1,
              f"posternd: {gateway.config}:5: domains[0].pool: there is no pool nowhere")


def test_what_is_not_built_yet_is_refused(gateway):
    with gateway.config.open("a") as config:
        config.write("tls: {certificates: []}\n")
    fails(posternd("-c", gateway.config, "-t"), 1, ':12: there is no key "tls" here')


def test_a_sound_configuration_is_said_to_be_one_and_nothing_starts(gateway):
    done = posternd("-c", gateway.config, "-t")
    assert done.returncode == 0 and done.stderr == "", done
    assert done.stdout == f"{gateway.config}: sound; 2 recipients of 1 domains\n"
    assert not gateway.socket.exists()


def test_what_may_be_meant_otherwise_is_said_and_is_no_error(gateway):
    gateway.config.write_text(gateway.config.read_text().replace(
        "{device: mx0}", "{device: mx0, backend_ports: none}"))
    done = posternd("-c", gateway.config, "-t")
    assert done.returncode == 0, done
    assert done.stderr == ("posternd: backend_ports is none: no mail can be delivered, and all of it "
                           "is put off\n")


def test_a_directory_that_is_not_sound_is_refused_with_its_line(gateway):
    gateway.directory.write_text("anna@example.net\nnonsense\n")
    fails(posternd("-c", gateway.config, "-t"), 1,
          f"{gateway.directory}:2: the address is malformed (1 of 2 lines are bad)")


def test_an_interface_that_is_not_there_is_named(gateway):
    gateway.config.write_text(gateway.config.read_text().replace("mx0", "mx7"))
    fails(gateway.lab.run("gw", POSTERND, "-c", gateway.config), 1, "posternd: mx7: ")
    assert not gateway.socket.exists()


MANY_ADDRESSES = """
ip link add mx0 type veth peer name away
for n in $(seq 33); do ip address add 198.18.0.$n/24 dev mx0; done
exec "$@"
"""


def test_more_addresses_than_are_served_are_told_of(gateway):
    fails(subprocess.run(["unshare", "--net", "sh", "-c", MANY_ADDRESSES, "sh", POSTERND, "-c",
                          gateway.config], text=True, capture_output=True, timeout=60),
          1, "posternd: mx0: more addresses than are served")


# --- mail ------------------------------------------------------------------------------------------


@versions
def test_the_directory_answers_for_a_recipient(running, version):
    said, = running.talk(version, "EHLO client.example", "MAIL FROM:<a@client.example>",
                         "RCPT TO:<anna@example.net>", "RCPT TO:<Anna+list@EXAMPLE.net>",
                         "RCPT TO:<nobody@example.net>", "RCPT TO:<postmaster@example.net>",
                         "RCPT TO:<Postmaster>", "RCPT TO:<anna@elsewhere.example>", "QUIT")
    assert said[0].startswith("220 mx1.example.net")
    assert said[1].startswith("250 mx1.example.net") and "SIZE 52428800" in said[1]
    codes = [line[:9] for line in said[2:]]
    assert codes == ["250 2.1.0", "250 2.1.5", "250 2.1.5", "550 5.1.1", "250 2.1.5", "250 2.1.5",
                     "550 5.7.1", "221 2.0.0"], said


@versions
def test_a_guesser_is_answered_four_times_and_dropped(running, forgiven, version):
    said, = running.guess(version)
    answered = [line for line in said if line and line.startswith("550 5.1.1")]
    assert 1 <= len(answered) <= 4, said
    assert said[-1] is None or said[-1].startswith("421 4.7.1"), said
    assert running.knock(version, GUESSER) == "silence"
    assert running.rcpt(version, "anna@example.net").startswith("250 ")
    running.wait_for_log(f"{VERDICT[version]} shut out for 300 s")


def test_who_does_not_read_what_is_told_holds_up_nobody(gateway, forgiven):
    """Its standard error is a pipe that is full."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write, bytes(4096))
    os.set_blocking(write, True)
    words = ["sh", "-c", f"exec {POSTERND} -c {gateway.config} 2>/proc/{os.getpid()}/fd/{write}"]
    gateway.process = gateway.lab.start("gw", *words, name="posternd")
    gateway.process.wait_for("ready")
    for version in VERDICT:
        gateway.guess(version)
        patiently(lambda: VERDICT[version].removesuffix("/32") in gateway.shut_out(), "a verdict")
        assert gateway.knock(version, GUESSER) == "silence"
    gateway.stop()
    os.close(read)
    os.close(write)


# --- directories anew ------------------------------------------------------------------------------


def test_a_hangup_reads_the_directories_anew(running):
    assert running.rcpt("ipv4", "otto@example.net").startswith("550 5.1.1")
    running.directory.write_text("otto@example.net\n")
    running.process.send_signal(signal.SIGHUP)
    running.wait_for_log("directories read anew: 1 recipients of 1 domains")
    assert running.rcpt("ipv4", "otto@example.net").startswith("250 2.1.5")
    assert running.rcpt("ipv6", "anna@example.net").startswith("550 5.1.1")


def test_a_broken_directory_leaves_the_old_one(running):
    running.directory.write_text("otto@example.net\nnonsense\n")
    running.process.send_signal(signal.SIGHUP)
    running.wait_for_log(f"directories stay as they were: {running.directory}:2: ")
    assert running.rcpt("ipv4", "anna@example.net").startswith("250 2.1.5")


@pytest.mark.parametrize("text", ["", "otto@example.net"], ids=["empty", "cut off"])
def test_a_directory_the_exporter_had_no_room_for_leaves_the_old_one(running, text):
    running.directory.write_text(text)
    running.process.send_signal(signal.SIGHUP)
    running.wait_for_log(f"directories stay as they were: {running.directory}:")
    assert running.rcpt("ipv4", "anna@example.net").startswith("250 2.1.5")


def test_an_operator_hears_what_a_reload_came_to(running):
    running.directory.write_text("anna@example.net\notto@example.net\n")
    running.control("reload")
    assert running.rcpt("ipv4", "otto@example.net").startswith("250 2.1.5")
    running.directory.write_text("nonsense\n")
    done = running.lab.run("gw", POSTERNCTL, "--socket", running.socket, "reload")
    assert done.returncode == 1 and f"{running.directory}:1: the address" in done.stderr, done
    running.wait_for_log(f"directories stay as they were: {running.directory}:1: ")


def test_one_broken_directory_of_two_puts_off_its_own_mail_alone(gateway):
    broken = gateway.directory.with_name("broken")
    broken.write_text("ida@example.org\nnonsense\n")
    gateway.config.write_text(gateway.config.read_text().replace(
        "pools:", f"  - {{name: example.org, recipients: {broken}, pool: mailstore}}\npools:"))
    done = posternd("-c", gateway.config, "-t")
    assert done.returncode == 1 and "1 of 2 directories cannot be loaded" in done.stderr, done
    gateway.start()
    gateway.wait_for_log(f"{broken}:2: the address is malformed")
    assert gateway.rcpt("ipv4", "anna@example.net").startswith("250 2.1.5")
    assert gateway.rcpt("ipv4", "nobody@example.net").startswith("550 5.1.1")
    assert gateway.rcpt("ipv4", "ida@example.org").startswith("451 4.4.3")
    gateway.stop()


# --- the end, and after it -------------------------------------------------------------------------


def test_it_stops_clean(running):
    conversation = running.lab.start("client", PYTHON, SMTP_CLIENT, "--hold", "--source",
                                     HONEST["ipv4"], GATEWAY["ipv4"], SMTP, "EHLO client.example")
    conversation.wait_for("held")
    running.stop()
    assert conversation.next_line().startswith('"421 4.3.2')
    conversation.wait()
    assert not running.socket.exists()
    assert running.state.exists()
    assert not [name for name in (os.listdir("/run/dpdk") if os.path.isdir("/run/dpdk") else [])
                if name.startswith("posternd")]
    assert [line for line in running.process.errors if "posternd:" in line] == [TAKES_MAIL]


def endless(directory):
    """Makes it what takes minutes to read."""
    os.truncate(directory, 1 << 40)


def test_a_stop_does_not_wait_for_directories_that_are_read_anew(running):
    endless(running.directory)
    running.process.send_signal(signal.SIGHUP)
    running.stop()
    assert not running.socket.exists()


def test_a_stop_does_not_wait_for_directories_at_a_start_either(gateway):
    endless(gateway.directory)
    process = gateway.lab.start("gw", POSTERND, "-c", gateway.config, name="posternd")
    patiently(gateway.socket.exists, "the socket is there")
    assert process.stop() == 0, process.story()
    gateway.lab.ended(process)
    assert [line for line in process.errors if line.startswith("posternd:")] == \
        ["posternd: told to stop before it was ready\n"], process.story()


@versions
def test_a_flagged_client_stays_flagged_over_a_restart(running, forgiven, version):
    running.guess(version)
    assert running.knock(version, GUESSER) == "silence"
    running.stop()
    assert running.knock(version, GUESSER) == "silence"
    # What the kernel forgets, the checkpoint knows.
    Shield(running.lab.bpffs).unflag(VERDICT[version])
    running.start()
    assert running.knock(version, GUESSER) == "silence"
    assert running.rcpt(version, "anna@example.net").startswith("250 ")
    running.stop()


def test_a_checkpoint_that_is_torn_is_told_of_and_moved_aside(gateway):
    gateway.state.write_bytes(b"torn")
    gateway.start()
    gateway.wait_for_log(str(gateway.state))
    assert gateway.state.with_name("harvest.bad").read_bytes() == b"torn"
    gateway.stop()
    told = [line for line in gateway.process.errors if line != TAKES_MAIL]
    assert len(told) == 1, gateway.process.story()


def test_a_second_one_leaves_the_first_alone(running):
    fails(running.lab.run("gw", POSTERND, "-c", running.config), 1,
          f"posternd: control socket {running.socket}: Address already in use")
    assert running.rcpt("ipv4", "anna@example.net").startswith("250 ")


def test_another_with_the_same_bpffs_leaves_the_first_alone(running, tmp_path):
    text = running.config.read_text()
    other = tmp_path / "other.yaml"
    other.write_text(text.replace("control.sock", "other.sock"))
    fails(running.lab.run("gw", POSTERND, "-c", other), 1,
          f"posternd: {running.lab.bpffs}: another posternd has this shield")
    assert running.rcpt("ipv4", "anna@example.net").startswith("250 ")


def test_who_was_killed_is_followed_by_another(running):
    running.kill()
    running.start()
    assert running.rcpt("ipv4", "anna@example.net").startswith("250 ")
    running.stop()


def test_the_control_socket_answers(running):
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(10)
        control.connect(str(running.socket))
        control.sendall(b'{"jsonrpc": "2.0", "id": 1, "method": "version"}\n')
        answer = json.loads(control.makefile().readline())
    assert "result" in answer, answer


def test_the_service_manager_is_told(gateway, tmp_path):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(30)
        gateway.lab.env["NOTIFY_SOCKET"] = str(path)
        try:
            gateway.start()
            assert manager.recv(100) == b"READY=1"
            gateway.stop()
            assert manager.recv(100) == b"STOPPING=1"
        finally:
            del gateway.lab.env["NOTIFY_SOCKET"]


# --- the shield and the interface ------------------------------------------------------------------


def test_the_shield_is_taken_off_when_that_is_asked_for(running):
    detach = [POSTERND, "-c", running.config, "--detach"]
    fails(running.lab.run("gw", *detach), 1, "another posternd has this shield")
    assert running.knock("ipv4", HONEST) == "open"
    running.stop()
    assert running.knock("ipv4", HONEST) == "silence"
    done = running.lab.run("gw", *detach)
    assert (done.returncode, done.stderr) == (0, "posternd: mx0: the shield is off\n"), done
    assert running.knock("ipv4", HONEST) == "refused"
    running.start()
    assert running.rcpt("ipv4", "anna@example.net").startswith("250 ")


def test_a_shield_of_an_earlier_start_is_told_of(new_lab, tmp_path):
    new_lab.up()
    gateway = Gateway(new_lab, tmp_path)
    gateway.start()
    gateway.stop()
    new_lab.run("gw", "ip", "link", "add", "mx9", "type", "veth", "peer", "name", "mx9p")
    for device in ["mx9", "mx9p"]:
        new_lab.run("gw", "ip", "link", "set", device, "up")
    text = gateway.config.read_text()
    gateway.config.write_text(text.replace("device: mx0", "device: mx9, addresses: [198.18.9.25]"))
    gateway.start()
    gateway.wait_for_log("mx0 has the shield of an earlier start")
    gateway.stop()


def test_an_address_that_comes_is_told_of(running):
    running.lab.run("gw", "ip", "address", "add", "198.18.0.99/24", "dev", "mx0")
    running.wait_for_log("mx0: its addresses are 198.18.0.25, 198.18.0.99, fd00:18::25 by now; until "
                         "a restart mail is taken at 198.18.0.25, fd00:18::25")
    running.lab.run("gw", "ip", "address", "delete", "198.18.0.99/24", "dev", "mx0")
    assert running.rcpt("ipv4", "anna@example.net").startswith("250 ")


def test_it_ends_when_its_interface_is_gone(new_lab, tmp_path):
    new_lab.up()
    gateway = Gateway(new_lab, tmp_path)
    gateway.start()
    new_lab.run("gw", "ip", "link", "delete", "mx0")
    assert gateway.process.wait() == 1, gateway.process.story()
    assert gateway.process.errors[-1] == "posternd: mx0: the interface is gone\n"


def test_queues_that_are_set_are_told_of(new_lab, tmp_path):
    new_lab.up("--queues", "2", "--one-queue")
    gateway = Gateway(new_lab, tmp_path)
    gateway.start()
    gateway.wait_for_log("mx0: its 2 receive queues are set to 1")
    gateway.stop()


# --- several workers -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_queues():
    yield from make_lab("--queues", "2")


def test_a_verdict_ends_the_guessers_conversations_with_every_worker(two_queues, tmp_path):
    gateway = Gateway(two_queues, tmp_path, cores="[0, 0, 1]")
    with MailStore(two_queues, BACKEND["ipv4"]):
        gateway.start()
        said, others = gateway.guess("ipv4", "--connections", 8)
        assert said[-1] is None or said[-1].startswith("421 4.7.1"), said
        assert [line and line[:9] for line in others] == ["421 4.7.1"] * 7, others
        gateway.stop()
