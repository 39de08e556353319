# SPDX-License-Identifier: BSD-3-Clause
"""The servers that stand behind the gateway in other tests, spoken to without it: each stores what it
is sent, does what it is told to, and leaves nothing."""

import re

import pytest

from backends import LMTP, SMTP, Dovecot, Hostile, MailStore, Postfix, runs_in_group
from lab import BACKEND, CLIENT, patiently
from mails import (HARD, HEAD, SENDER, added_to, corpus, crowd, numbers_of, start_crowd, stuffed, swaks,
                   talk)
from services import versions

BOTH = [BACKEND["ipv4"], BACKEND["ipv6"]]
ANNA, OTTO = "anna@example.net", "otto@example.net"
EHLO, MAIL = "EHLO client.example", f"MAIL FROM:<{SENDER}>"


@pytest.fixture
def send(gateway_lab, tmp_path):
    """Sends a message to one of the servers, from another host."""
    def send_it(message, address, *recipients, options=(), host="client"):
        data = tmp_path / "data"
        data.write_bytes(stuffed(message))
        return swaks(gateway_lab, address, data, *(recipients or [ANNA]), host=host, options=options)
    return send_it


def rcpt(recipient):
    return f"RCPT TO:<{recipient}>"


# --- the stores ------------------------------------------------------------------------------------


@versions
def test_postfix_stores_what_it_is_sent(gateway_lab, send, version):
    message = HEAD + HARD["dots at line starts"]
    with Postfix(gateway_lab, *BOTH) as server:
        done = send(message, BACKEND[version])
        assert done.returncode == 0, done
        stored, = server.wait_for_messages(1)
        assert stored.recipients == ["anna"]
        received, = added_to(message, stored.octets, ["Return-Path", "Delivered-To"])
        assert f"[{CLIENT['ipv4']}]".encode() in received or CLIENT["ipv6"].encode() in received
        server.wait_for_log(f"client=unknown[{CLIENT[version]}]")


def test_postfix_believes_a_gateway_who_the_client_is(gateway_lab):
    with Postfix(gateway_lab, BOTH[0], settings={"smtpd_authorized_xclient_hosts": CLIENT["ipv4"]}) as server:
        said, = talk(gateway_lab, BOTH[0], EHLO, "XCLIENT ADDR=198.18.64.99 HELO=true.example", EHLO,
                     MAIL, rcpt(ANNA), "QUIT")
        assert [line[:3] for line in said] == ["220", "250", "220", "250", "250", "250", "221"], said
        server.wait_for_log("[198.18.64.99]")


def test_postfix_behind_a_content_filter_refuses_behind_the_dot(gateway_lab, send):
    rejects = {"header_checks": "regexp:/^Subject: .*lottery/ REJECT no lotteries here"}
    with Postfix(gateway_lab, BOTH[0], settings=rejects) as server:
        done = send(HEAD.replace(b"a test", b"a lottery") + b"text\r\n", BOTH[0])
        assert done.returncode == 26 and "<** 550 5.7.1 no lotteries here" in done.stdout, done
        assert send(HEAD + b"text\r\n", BOTH[0]).returncode == 0
        server.wait_for_messages(1)


@versions
def test_dovecot_stores_what_it_is_sent_by_lmtp(gateway_lab, send, version):
    message = HEAD + HARD["dots at line starts"]
    with Dovecot(gateway_lab, *BOTH) as server:
        done = send(message, BACKEND[version], ANNA, OTTO,
                    options=["--protocol", "LMTP", "--port", LMTP])
        assert done.returncode == 0, f"{done}\n{server.log()}"
        stored = server.wait_for_messages(2)
        assert sorted(message.recipients[0] for message in stored) == ["anna", "otto"]
        for one in stored:
            added_to(message, one.octets, ["Return-Path", "Delivered-To"])


@versions
def test_aiosmtpd_stores_every_octet(gateway_lab, send, version):
    messages = {**corpus(), **HARD}
    with MailStore(gateway_lab, *BOTH) as server:
        for name, message in messages.items():
            done = send(message, BACKEND[version], ANNA, OTTO, host="backend")
            assert done.returncode == 0, (name, done)
        stored = server.wait_for_messages(len(messages))
    assert [one.octets for one in stored] == list(messages.values())
    assert {(one.sender, *one.recipients) for one in stored} == {(SENDER, ANNA, OTTO)}


# --- the hostile one -------------------------------------------------------------------------------


@versions
def test_the_hostile_server_stores_every_octet(gateway_lab, send, version):
    messages = {**corpus(), **HARD}
    with Hostile(gateway_lab, *BOTH) as server:
        for name, message in messages.items():
            done = send(message, BACKEND[version], ANNA, host="backend")
            assert done.returncode == 0, (name, done)
        stored = server.wait_for_messages(len(messages))
        assert [one.octets for one in stored] == list(messages.values())
        assert {(one.sender, *one.recipients) for one in stored} == {(SENDER, ANNA)}
        assert server.open_at_once() == 1
        patiently(lambda: len(server.events("close")) == len(messages), "all connections are closed")


@pytest.mark.parametrize("stage", ["connect", "EHLO", "MAIL", "RCPT", f"RCPT {ANNA}", "DATA", "dot"])
def test_the_hostile_server_refuses_at_a_stage(gateway_lab, tmp_path, stage):
    (tmp_path / "data").write_bytes(stuffed(HEAD))
    lines = [EHLO, MAIL, rcpt(ANNA), "DATA", f"@{tmp_path}/data"]
    refused_at = ["connect", "EHLO", "MAIL", "RCPT", "DATA", "dot"].index(stage.split()[0])
    with Hostile(gateway_lab, BOTH[0], stages={stage: "450 4.7.9 not now\n"}) as server:
        said, = talk(gateway_lab, BOTH[0], *lines[:refused_at])
        assert said[-1] == "450 4.7.9 not now", said
        assert not any(line.startswith("450") for line in said[:-1])
        assert server.count() == (1 if stage == "dot" else 0)  # noted, whatever is said of it


def test_the_hostile_server_refuses_one_recipient_and_takes_the_other(gateway_lab):
    with Hostile(gateway_lab, BOTH[0], stages={f"RCPT {OTTO}": "550 5.1.1 who"}) as server:
        said, = talk(gateway_lab, BOTH[0], EHLO, MAIL, rcpt(ANNA), rcpt(OTTO), "QUIT")
        assert [line[:3] for line in said[3:]] == ["250", "550", "221"]
        assert server.commands() == [EHLO, MAIL, rcpt(ANNA), rcpt(OTTO), "QUIT"]


def test_the_hostile_server_closes_in_the_middle_of_a_reply(gateway_lab):
    with Hostile(gateway_lab, BOTH[0], stages={"MAIL": {"octets": 2, "then": "close"}}):
        said, = talk(gateway_lab, BOTH[0], EHLO, MAIL)
        assert said[-1] == "25 ", said


def test_the_hostile_server_reads_nothing_more(gateway_lab, tmp_path):
    (tmp_path / "data").write_bytes(stuffed(HEAD))
    with Hostile(gateway_lab, BOTH[0], stages={"message": {"then": "hang"}}) as server:
        talk(gateway_lab, BOTH[0], EHLO, MAIL, rcpt(ANNA), "DATA")
        client = gateway_lab.start("client", "swaks", "--server", BOTH[0], "--to", ANNA, "--data",
                                   f"@{tmp_path}/data", "--no-data-fixup", "--timeout", 1)
        assert client.wait() == 26, client.story()
        gateway_lab.ended(client)
        assert server.count() == 0 and not server.events("close")
        server.plan()
        assert talk(gateway_lab, BOTH[0], EHLO)[0][-1].startswith("250")


SMUGGLED = b"text%sMAIL FROM:<x@evil.example>\r\nRCPT TO:<otto@example.net>\r\nDATA\r\nsecond\r\n.\r\n"


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n",
                                 b"\r\n\0.\r\n", b"\r\n.\0\r\n"])
@pytest.mark.parametrize("piece", [[], ["--piece", "1"]], ids=["at once", "an octet a time"])
def test_the_lenient_server_can_be_smuggled_to(gateway_lab, tmp_path, end, piece):
    (tmp_path / "data").write_bytes(HEAD + SMUGGLED % end)
    for lenient, messages in [(True, 2), (False, 1)]:
        with Hostile(gateway_lab, BOTH[0], lenient=lenient) as server:
            talk(gateway_lab, BOTH[0], EHLO, MAIL, rcpt(ANNA), "DATA", f"@{tmp_path}/data",
                 *["NOOP"] * 4, options=piece)  # it reads as many replies as there can be
            patiently(lambda: server.count() == messages, f"{messages} messages")
            assert end in server.heard()[1]


def test_the_hostile_server_answers_for_each_recipient_by_lmtp(gateway_lab, send):
    plan = {"lmtp": True, "stages": {f"dot {OTTO}": "452 4.2.2 full"}}
    with Hostile(gateway_lab, BOTH[0], **plan):
        done = send(HEAD, BOTH[0], ANNA, OTTO, options=["--protocol", "LMTP", "--port", SMTP])
        assert re.search(r"<-  250 2\.1\.5 anna\S+ stored\n.*452 4\.2\.2 full", done.stdout, re.DOTALL), done


# --- the end ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Postfix, Dovecot, MailStore, Hostile])
def test_a_server_leaves_nothing_after_a_failure(gateway_lab, kind):
    with pytest.raises(ZeroDivisionError), kind(gateway_lab, BOTH[0]) as server:
        folder, group = server.folder, server.process.popen.pid
        with server.frozen():
            1 / 0
    assert not folder.exists()
    assert not list(runs_in_group(group))
    assert not gateway_lab.processes


@pytest.mark.parametrize("kind", [Postfix, Dovecot, MailStore, Hostile])
def test_a_server_that_was_killed_starts_again(gateway_lab, send, kind):
    options = ["--protocol", "LMTP", "--port", LMTP] if kind is Dovecot else []
    with kind(gateway_lab, BOTH[0]) as server:
        assert send(HEAD + b"first\r\n", BOTH[0], options=options).returncode == 0
        server.wait_for_messages(1)
        server.kill()
        server.start()
        assert send(HEAD + b"second\r\n", BOTH[0], options=options).returncode == 0
        server.wait_for_messages(2)


# --- many ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [MailStore, Hostile])
def test_a_crowd_s_mail_is_stored_whole(gateway_lab, kind):
    count, size = 300, 5000
    with kind(gateway_lab, BOTH[0]) as server:
        said = crowd(gateway_lab, BOTH[0], count, 20, size, ANNA)
        assert said == {"replies": {"250 2.0.0": count}, "attempts": count}
        stored = server.wait_for_messages(count)
    assert sorted(numbers_of([one.octets for one in stored], size)) == list(range(1, count + 1))


def test_a_crowd_comes_again_when_it_is_put_off(gateway_lab):
    with Hostile(gateway_lab, BOTH[0], stages={"MAIL": "451 4.3.0 later"}) as server:
        client = start_crowd(gateway_lab, BOTH[0], 5, 5, 100, ANNA, "--again", 60)
        patiently(lambda: len(server.events("command")) > 20, "many attempts")
        server.plan()
        said = client.next_json()
        assert client.wait() == 0
        gateway_lab.ended(client)
        assert said["replies"] == {"250 2.0.0": 5} and said["attempts"] > 5
        assert server.count() == 5
