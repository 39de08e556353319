# SPDX-License-Identifier: BSD-3-Clause
"""Mail through the gateway to real servers behind it, and to one that misbehaves: SEMANTICS, Relay.

Our 250 is the server's; what it stores is what was sent with one Received field of ours in front; and
nothing that is wrong with a server bounces a mail.
"""

import json
import re
import time

import pytest

from backends import Dovecot, Hostile, MailStore, Postfix
from conftest import make_lab
from gateway import HONEST, Gateway, pool
from lab import BACKEND, GATEWAY, endpoint, patiently
from mails import (HARD, HEAD, SENDER, added_to, corpus, crowd, large, numbers_of, start_crowd, stuffed,
                   swaks)
from services import SMTP, versions

ANNA, OTTO, IDA, EMIL = (f"{user}@example.net" for user in ("anna", "otto", "ida", "emil"))
DIRECTORY = f"{ANNA}\n{OTTO}\n{EMIL}\n{IDA}"
FIRST, SECOND = "198.18.2.1", "198.18.2.2"
SECOND_POOL = pool("second", [f"{SECOND}:25"])
ID = r"\([0-9A-Za-z]{12}\)"
STORES_OWN = ["Return-Path", "Delivered-To"]  # fields of a mail store
EHLO, MAIL = "EHLO client.example", f"MAIL FROM:<{SENDER}>"
TEXT = HEAD + b"text\r\n"
LARGEST = 50_000_000
ROOMY = "{connections: 4K, connections_per_client: 1000, half_open_per_client: 1000}"


def rcpt(recipient):
    return f"RCPT TO:<{recipient}>"


@pytest.fixture
def start(gateway_lab, tmp_path):
    """Starts posternd with the pools given; where there is a second, it is Ida's."""
    def start_it(*pools, lab=gateway_lab, **more):
        directory = DIRECTORY + (" pool=second\n" if SECOND_POOL in pools else "\n")
        gateway = Gateway(lab, tmp_path, pools=pools or [pool()], directory=directory, **more)
        started.append(gateway)
        gateway.start()
        return gateway

    started = []
    yield start_it
    for gateway in started:
        if gateway.process in gateway.lab.processes:
            gateway.process.kill()
            gateway.lab.ended(gateway.process)


def send(gateway, message, *recipients, version="ipv4", sender=SENDER, is_declared=False):
    """The replies to MAIL, to each RCPT, to DATA if there is a recipient, and to the message if it was
    asked for. A message whose size is declared is held by the gateway until it is whole."""
    recipients = recipients or [ANNA]
    data = gateway.folder / "data"
    data.write_bytes(stuffed(message))
    mail = f"MAIL FROM:<{sender}>" + (f" SIZE={len(message)}" if is_declared else "")
    said, = gateway.talk(version, EHLO, mail, *map(rcpt, recipients), "DATA", f"@{data}",
                         options=["--timeout", "280"])
    said = [reply or "lost" for reply in said[2:]]  # without the greeting, and EHLO's
    asked = said[1:1 + len(recipients)]
    return said if any(reply.startswith("250") for reply in asked) else said[:1 + len(recipients)]


def is_delivered(gateway, message=TEXT, *recipients, **more):
    return send(gateway, message, *recipients, **more)[-1].startswith("250 ")


def is_put_off_with(status, replies):
    """Whether the last word is this, and nothing before it a bounce."""
    return replies[-1].startswith(status) and not any(reply[0] == "5" for reply in replies)


declared = pytest.mark.parametrize("is_declared", [False, True], ids=["streamed", "held"])


# --- what is stored --------------------------------------------------------------------------------


# Postfix itself puts an empty line in front of the first line that is no field, and the like.
POSTFIX_MENDS = {"msg_19", "msg_25", "msg_35", "msg_43"}


def swaks_all(gateway, messages, version):
    """Sends each by swaks."""
    data = gateway.folder / "data"
    for name, message in messages.items():
        data.write_bytes(stuffed(message))
        done = swaks(gateway.lab, GATEWAY[version], data, ANNA, source=HONEST[version])
        assert done.returncode == 0, (name, done, gateway.process.story())


def is_stored_as_sent(message, stored, stores_own=()):
    """With one field of ours, and at most one of the store's, by its own name."""
    ours = [field for field in added_to(message, stored, stores_own) if b"by mx1.example.net" in field]
    return len(ours) == 1


def assert_maildir_stores_as_sent(server, gateway, messages, version):
    """One after the other, so that each file is known by when it came; maildirs keep LF."""
    for count, (name, message) in enumerate(messages.items(), 1):
        before = set(server.paths())
        swaks_all(gateway, {name: message}, version)
        server.wait_for_messages(count)
        path, = set(server.paths()) - before
        assert is_stored_as_sent(message, path.read_bytes().replace(b"\n", b"\r\n"), STORES_OWN), name


@versions
def test_postfix_stores_what_swaks_sent(gateway_lab, start, version):
    messages = {name: message for name, message in {**corpus(), **HARD}.items()
                if name not in POSTFIX_MENDS}
    with Postfix(gateway_lab, BACKEND[version]) as server:
        gateway = start(pool(servers=[endpoint(BACKEND[version], SMTP)]))
        assert_maildir_stores_as_sent(server, gateway, messages, version)
        gateway.stop()


def relayed_by_another(message):
    return b"Received: from client.example by other.example; Thu, 1 Jan 2026 00:00:00 +0000\r\n" + message


def behind_trace(stored):
    """What stands behind the fields that servers put in front."""
    return re.sub(rb"\A(?:(?:Return-Path|Delivered-To|Received):[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*)*", b"",
                  stored)


def test_postfix_mends_no_more_than_of_any_relay(gateway_lab, start, tmp_path):
    with Postfix(gateway_lab, FIRST) as server:
        gateway = start()
        for count, name in enumerate(sorted(POSTFIX_MENDS), 1):
            message = corpus()[name]
            (tmp_path / "direct").write_bytes(stuffed(relayed_by_another(message)))
            assert swaks(gateway_lab, FIRST, tmp_path / "direct", OTTO).returncode == 0
            swaks_all(gateway, {name: message}, "ipv4")
            stored = server.wait_for_messages(2 * count)
            by_us, direct = ({behind_trace(one.octets) for one in stored if one.recipients == [user]}
                             for user in ("anna", "otto"))
            assert by_us == direct and len(by_us) == count, name


@versions
def test_aiosmtpd_stores_what_swaks_sent(gateway_lab, start, version):
    messages = {**corpus(), **HARD}
    with MailStore(gateway_lab, BACKEND[version]) as server:
        gateway = start(pool(servers=[endpoint(BACKEND[version], SMTP)]))
        swaks_all(gateway, messages, version)
        stored = server.wait_for_messages(len(messages))
        for (name, message), one in zip(messages.items(), stored):
            assert len(added_to(message, one.octets)) == 1, name
            assert (one.sender, one.recipients) == (SENDER, [ANNA])
        gateway.stop()


def test_a_message_that_is_held_is_stored_as_it_was_sent(gateway_lab, start):
    messages = {name: message for name, message in HARD.items() if len(message) < 64 << 10}
    with MailStore(gateway_lab, FIRST) as server:
        gateway = start()
        for name, message in messages.items():
            assert is_delivered(gateway, message, ANNA, OTTO, is_declared=True), name
        for message, one in zip(messages.values(), server.wait_for_messages(len(messages))):
            assert len(added_to(message, one.octets)) == 1
            assert one.recipients == [ANNA, OTTO]


@pytest.mark.parametrize("kind", [Postfix, MailStore])
def test_fifty_megabytes_are_stored_as_they_were_sent(gateway_lab, start, kind):
    message = large(LARGEST)[:LARGEST - 2] + b"\r\n"
    with kind(gateway_lab, FIRST) as server:
        gateway = start()
        swaks_all(gateway, {"large": message}, "ipv4")
        stored, = server.wait_for_messages(1, timeout=60)
        assert is_stored_as_sent(message, stored.octets, STORES_OWN if kind is Postfix else ())


def test_a_message_larger_than_is_taken_reaches_nobody(gateway_lab, start):
    with Hostile(gateway_lab, FIRST) as server:
        gateway = start(limits="{connections: 4K, buffers: 4K, message_size: 1M}")
        assert send(gateway, large(2 << 20))[-1].startswith("552 5.3.4 ")
        assert server.count() == 0
        assert is_delivered(gateway)


@pytest.mark.parametrize("octet", [b"\0", b"\r"], ids=["NUL", "bare CR"])
@declared
def test_what_no_mail_may_have_is_refused_and_stored_nowhere(gateway_lab, start, octet, is_declared):
    with Hostile(gateway_lab, FIRST) as server:
        gateway = start()
        for message in [HEAD + b"a" + octet + b"b\r\n", large(100_000) + octet + b"b\r\n"]:
            said = send(gateway, message, is_declared=is_declared)
            assert said[-1].startswith("550 5.5.2 "), said
        assert server.count() == 0
        assert is_delivered(gateway)


def test_a_client_that_leaves_in_its_message_leaves_nothing(gateway_lab, start, tmp_path):
    (tmp_path / "part").write_bytes(large(200_000))
    with Hostile(gateway_lab, FIRST) as server:
        gateway = start()
        client = gateway.lab.start("client", "swaks", "--server", GATEWAY["ipv4"], "--from", SENDER, "--to",
                                   ANNA, "--data", f"@{tmp_path}/part", "--no-data-fixup", "--timeout", 60)
        patiently(lambda: "DATA" in server.commands(), "the server is asked for the message")
        client.kill()
        gateway.lab.ended(client)
        patiently(lambda: server.events("close"), "its connection is closed")
        assert server.count() == 0
        assert not any(octets.endswith(b"\r\n.\r\n") for octets in server.heard().values())


# --- who the client is -----------------------------------------------------------------------------


@versions
def test_our_received_field_names_the_client_and_has_the_reply_s_id(gateway_lab, start, version):
    with MailStore(gateway_lab, FIRST) as server:
        gateway = start()
        reply = send(gateway, TEXT, version=version)[-1]
        kept = re.fullmatch(r"250 2\.0\.0 kept as 1\.eml \((\w{12})\)", reply)
        assert kept, reply
        stored, = server.wait_for_messages(1)
        literal = {"ipv4": "[198.18.64.10]", "ipv6": "[IPv6:fd00:18:64:10::1]"}[version]
        field = added_to(TEXT, stored.octets)[0].decode()
        assert re.fullmatch(rf"Received: from client\.example \({re.escape(literal)}\)\r\n"
                            rf"\tby mx1\.example\.net with ESMTP id {kept[1]};\r\n\t[^\r\n]+ \+0000\r\n", field)


IDENTITIES = {"none": {}, "xclient": {},
              "proxy-v2": {"smtpd_upstream_proxy_protocol": "haproxy"}}


@versions
@pytest.mark.parametrize("identity", IDENTITIES)
def test_postfix_s_log_shows_the_client(gateway_lab, start, version, identity):
    others = {"ipv4": "198.18.64.77", "ipv6": "fd00:18:64:77::1"}
    with Postfix(gateway_lab, BACKEND[version], settings=IDENTITIES[identity]) as server:
        gateway = start(pool(servers=[endpoint(BACKEND[version], SMTP)], identity=identity))
        data = gateway.folder / "data"
        data.write_bytes(stuffed(TEXT))
        # One behind the other, so that a warm connection must not go on under the first one's name.
        clients = [HONEST[version], others[version], HONEST[version]]
        for source in clients:
            done = swaks(gateway.lab, GATEWAY[version], data, ANNA, source=source)
            assert done.returncode == 0, (done, server.log())
        server.wait_for_messages(len(clients))
        seen = re.findall(r"client=\S+\[([0-9a-f.:]+)\]", server.log())
        assert seen == (clients if identity != "none" else [GATEWAY[version]] * len(clients))


@versions
@pytest.mark.parametrize("header", [1, 2])
def test_the_client_is_whom_a_load_balancer_names(gateway_lab, start, version, header):
    true = {"ipv4": "203.0.113.9", "ipv6": "2001:db8::9"}[version]
    family = {1: {"ipv4": "TCP4", "ipv6": "TCP6"}, 2: {"ipv4": "AF_INET", "ipv6": "AF_INET6"}}[header]
    words = ["--proxy-version", header, "--proxy-family", family[version], "--proxy-source", true,
             "--proxy-source-port", 1234, "--proxy-dest", GATEWAY[version], "--proxy-dest-port", SMTP]
    with Postfix(gateway_lab, FIRST) as server:
        gateway = start(pool(identity="xclient"),
                        settings=['proxy_from: ["198.18.64.0/24", "fd00:18:64:10::/64"]'])
        data = gateway.folder / "data"
        data.write_bytes(stuffed(TEXT))
        done = swaks(gateway.lab, GATEWAY[version], data, ANNA, source=HONEST[version], options=words)
        assert done.returncode == 0, (done, server.log())
        server.wait_for_messages(1)
        assert re.findall(r"client=\S+\[([0-9a-f.:]+)\]", server.log()) == [true]


# --- LMTP ------------------------------------------------------------------------------------------


@versions
def test_dovecot_stores_what_swaks_sent(gateway_lab, start, version):
    messages = {**corpus(), **HARD}
    with Dovecot(gateway_lab, BACKEND[version]) as server:
        gateway = start(pool(servers=[endpoint(BACKEND[version], 24)], protocol="lmtp"))
        assert_maildir_stores_as_sent(server, gateway, messages, version)


def test_an_lmtp_server_gets_one_recipient_a_transaction(gateway_lab, start):
    with Dovecot(gateway_lab, FIRST) as server:
        gateway = start(pool(servers=[f"{FIRST}:24"], protocol="lmtp"))
        said = send(gateway, TEXT, ANNA, OTTO)
        assert [reply[:9] for reply in said[1:3]] == ["250 2.1.5", "452 4.5.3"], said
        assert said[-1].startswith("250 ")
        stored, = server.wait_for_messages(1)
        assert stored.recipients == ["anna"]


def test_an_lmtp_server_that_is_safe_gets_several(gateway_lab, start):
    with Dovecot(gateway_lab, FIRST) as server:
        gateway = start(pool(servers=[f"{FIRST}:24"], protocol="lmtp", many_recipients="true"))
        assert is_delivered(gateway, TEXT, ANNA, OTTO)
        stored = server.wait_for_messages(2)
        assert sorted(one.recipients[0] for one in stored) == ["anna", "otto"]


def test_what_an_lmtp_server_says_of_its_recipient_behind_the_dot_is_told(gateway_lab, start):
    with Hostile(gateway_lab, FIRST, lmtp=True, stages={f"dot {ANNA}": "452 4.2.2 anna's box is full"}):
        gateway = start(pool(protocol="lmtp"))
        said = send(gateway, TEXT)
        assert re.fullmatch(rf"452 4\.2\.2 anna's box is full {ID}", said[-1]), said
        assert is_delivered(gateway, TEXT, OTTO)


@declared
@pytest.mark.parametrize("reply", ["452 4.2.2 otto's box is full", "552 5.2.2 otto's box is full"])
def test_what_an_lmtp_server_takes_for_some_only_is_lost_to_nobody(gateway_lab, start, reply, is_declared):
    """It is put off for all. The next attempt goes through without the one, who then is heard alone."""
    with Hostile(gateway_lab, FIRST, lmtp=True, stages={f"dot {OTTO}": reply}) as server:
        gateway = start(pool(protocol="lmtp", many_recipients="true"))
        said = send(gateway, TEXT, ANNA, OTTO, EMIL, is_declared=is_declared)
        assert is_put_off_with("451 4.3.0 ", said), said
        said = send(gateway, TEXT, ANNA, OTTO, EMIL, is_declared=is_declared)
        assert [line[:9] for line in said[1:4]] == ["250 2.1.5", "451 4.3.0", "250 2.1.5"], said
        assert said[-1].startswith("250 ")
        assert send(gateway, TEXT, OTTO, is_declared=is_declared)[-1].startswith(reply)
        assert [one.recipients for one in server.messages()] == [[ANNA, OTTO, EMIL], [ANNA, EMIL], [OTTO]]
        # It was said of that message.
        server.plan(lmtp=True)
        assert is_delivered(gateway, TEXT, ANNA, OTTO, EMIL, is_declared=is_declared)


@declared
@pytest.mark.parametrize("otto_s, told", [("550 5.7.1 no raffles", "550 5.7.1 no lotteries"),
                                          ("452 4.2.2 otto's box is full", "451 4.3.0 ")])
def test_what_an_lmtp_server_takes_for_nobody_is_refused_for_good_if_it_is_for_all(
        gateway_lab, start, otto_s, told, is_declared):
    stages = {f"dot {ANNA}": "550 5.7.1 no lotteries", f"dot {OTTO}": otto_s}
    with Hostile(gateway_lab, FIRST, lmtp=True, stages=stages) as server:
        gateway = start(pool(protocol="lmtp", many_recipients="true"))
        said = send(gateway, TEXT, ANNA, OTTO, is_declared=is_declared)
        assert said[-1].startswith(told), said
        server.plan(lmtp=True)
        assert is_delivered(gateway, TEXT, ANNA, OTTO, is_declared=is_declared)


# --- refusals --------------------------------------------------------------------------------------


@declared
def test_a_content_filter_s_refusal_behind_the_dot_is_told_verbatim(gateway_lab, start, is_declared):
    rejects = {"header_checks": "regexp:/^Subject: .*lottery/ REJECT no lotteries here"}
    with Postfix(gateway_lab, FIRST, settings=rejects) as server:
        gateway = start()
        said = send(gateway, TEXT.replace(b"a test", b"a lottery"), is_declared=is_declared)
        assert re.fullmatch(rf"550 5\.7\.1 no lotteries here {ID}", said[-1]), said
        assert is_delivered(gateway, is_declared=is_declared)
        server.wait_for_messages(1)


@declared
def test_a_server_that_refuses_all_is_heard_itself(gateway_lab, start, is_declared):
    with Hostile(gateway_lab, FIRST, stages={"RCPT": "550 5.2.1 nobody reads this"}) as server:
        gateway = start()
        said = send(gateway, TEXT, ANNA, OTTO, is_declared=is_declared)
        assert [reply[:9] for reply in said[1:3]] == ["250 2.1.5"] * 2, said
        assert re.fullmatch(rf"550 5\.2\.1 nobody reads this {ID}", said[-1]), said
        assert len(said) == (5 if is_declared else 4)
        assert server.count() == 0


@declared
@pytest.mark.parametrize("reply", ["550 5.2.1 otto left", "450 4.2.1 otto is asleep"])
def test_a_server_that_refuses_one_is_heard_at_the_next_attempt(gateway_lab, start, reply, is_declared):
    """The one of three is refused or delayed as the server says, and the others' mail goes through
    once."""
    with Hostile(gateway_lab, FIRST, stages={f"RCPT {OTTO}": reply}) as server:
        gateway = start()
        said = send(gateway, TEXT, ANNA, OTTO, EMIL, is_declared=is_declared)
        assert is_put_off_with("451 4.3.0 ", said), said
        assert server.count() == 0
        said = send(gateway, TEXT, ANNA, OTTO, EMIL, is_declared=is_declared)
        assert [line[:9] for line in said[1:4]] == ["250 2.1.5", reply[:9], "250 2.1.5"], said
        assert re.fullmatch(rf"{re.escape(reply)} {ID}", said[2]), said
        assert said[-1].startswith("250 ")
        stored, = server.messages()
        assert stored.recipients == [ANNA, EMIL]
        # It was said of this sender's mail.
        server.plan()
        assert is_delivered(gateway, TEXT, OTTO, sender="other@client.example", is_declared=is_declared)


def test_a_refusal_is_no_evidence_of_guessing(gateway_lab, start):
    with Hostile(gateway_lab, FIRST, stages={"RCPT": "550 5.1.1 nobody is called so"}):
        gateway = start()
        for _ in range(3):
            for recipient in [ANNA, OTTO, IDA, EMIL]:
                said = send(gateway, TEXT, recipient)
                assert said[-1].startswith("550 5.1.1 nobody is called so"), said
        assert gateway.shut_out() == set()
        assert gateway.knock("ipv4", HONEST) == "open"


# --- servers that are wrong ------------------------------------------------------------------------

WRONG = {
    "connect 554": {"connect": "554 5.7.1 go away"},
    "EHLO 550": {"EHLO": "550 5.7.1 not you"},
    "XCLIENT 550": {"XCLIENT": "550 5.5.0 insufficient authorization"},
    "MAIL 530": {"MAIL": "530 5.7.0 authentication first"},
    "MAIL 554": {"MAIL": "554 5.7.1 no mail from there"},
    "RCPT 530": {"RCPT": "530 5.7.0 TLS first"},
    "RCPT 554": {"RCPT": "554 no"},
    "relay access denied": {"RCPT": "554 5.7.1 <anna@example.net>: Relay access denied"},
    "550 5.7.1 relay access denied": {"RCPT": "550 5.7.1 relay access denied"},
    "DATA 530": {"DATA": "530 5.7.0 authentication first"},
    "DATA 503": {"DATA": "503 5.5.1 MAIL first"},
}


@pytest.mark.parametrize("name", WRONG)
def test_a_server_that_is_suddenly_wrong_bounces_nothing_and_recovers(gateway_lab, start, name):
    with Hostile(gateway_lab, FIRST) as server:
        gateway = start(pool(identity="xclient"))
        assert is_delivered(gateway)
        server.plan(stages=WRONG[name])
        server.kill()  # a warm connection would know nothing of it
        server.start()
        for attempt in range(25):
            said = send(gateway, TEXT, ANNA, OTTO, is_declared=attempt % 2 == 1)
            assert is_put_off_with("4", said), (attempt, said)
        entry, = json.loads(gateway.control("--json", "pools"))["entries"]
        assert entry["state"] == "wrong", entry
        server.plan()
        patiently(lambda: is_delivered(gateway), "it is found to be well", timeout=60)


def test_a_server_that_is_not_there_puts_its_mail_off_and_is_found_again(gateway_lab, start):
    gateway = start()
    for _ in range(3):
        said = send(gateway, TEXT)
        assert said[-1].startswith("451 4.4.1 "), said
    with Hostile(gateway_lab, FIRST):
        patiently(lambda: is_delivered(gateway), "it is found", timeout=60)


def test_servers_of_a_pool_stand_in_for_each_other(gateway_lab, start):
    with Hostile(gateway_lab, FIRST) as first, Hostile(gateway_lab, SECOND) as second:
        gateway = start(pool(servers=[f"{FIRST}:25", f"{SECOND}:25"]))
        assert is_delivered(gateway)
        first.kill()
        for _ in range(3):
            assert is_delivered(gateway)
        first.start()
        second.kill()
        patiently(lambda: is_delivered(gateway), "the other is found again", timeout=60)


def wait_for_put_off(gateway, recipient, within):
    begun = time.monotonic()
    said = send(gateway, TEXT, recipient)
    assert said[-1].startswith(("451 4.4.1 ", "451 4.4.2 ")), said
    assert time.monotonic() - begun < within


@pytest.mark.long
def test_a_server_that_is_stopped_holds_up_nobody_else(gateway_lab, start):
    """The kernel still takes its connections."""
    with Hostile(gateway_lab, FIRST) as stopped, Hostile(gateway_lab, SECOND) as other:
        gateway = start(pool(), SECOND_POOL)
        assert is_delivered(gateway, TEXT, ANNA)
        with stopped.frozen():
            waiting = start_crowd(gateway_lab, GATEWAY["ipv4"], 10, 10, 1000, ANNA)
            for _ in range(20):
                assert is_delivered(gateway, TEXT, IDA)
            said = waiting.next_json(timeout=130)["replies"]
            gateway_lab.ended(waiting)
            assert set(said) <= {"451 4.4.1", "451 4.4.2"} and sum(said.values()) == 10, said
            wait_for_put_off(gateway, ANNA, within=110)
            assert is_delivered(gateway, TEXT, IDA)
        patiently(lambda: is_delivered(gateway, TEXT, ANNA), "it is found to be well", timeout=120)
        assert other.count() == 21


def test_a_server_that_reads_no_further_costs_no_more_than_its_windows(gateway_lab, start, tmp_path):
    (tmp_path / "large").write_bytes(stuffed(large(20 << 20)))
    with Hostile(gateway_lab, FIRST, stages={"message": {"then": "hang"}}) as stuck, \
            Hostile(gateway_lab, SECOND) as other:
        gateway = start(pool(), SECOND_POOL)
        assert is_delivered(gateway, TEXT, IDA)
        before = gateway.memory()
        clients = [gateway.lab.start("client", "swaks", "--server", GATEWAY["ipv4"], "--from", SENDER, "--to",
                                     ANNA, "--data", f"@{tmp_path}/large", "--no-data-fixup",
                                     "--suppress-data", "--timeout", 60) for _ in range(4)]
        patiently(lambda: stuck.commands().count("DATA") == 4, "the server is asked for all", timeout=30)
        for _ in range(20):
            assert is_delivered(gateway, large(100_000), IDA)
        assert gateway.memory() - before < 16 << 20
        assert other.count() == 21 and stuck.count() == 0
        assert all(client.running() for client in clients)


# --- the limit of connections ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_queues():
    yield from make_lab("--queues", "2")


def test_two_workers_open_no_more_connections_than_allowed(two_queues, start):
    count, limit = 200, 3
    with Hostile(two_queues, FIRST, stages={"dot": {"delay_s": 0.05}}) as server:
        gateway = start(pool(connections=limit), lab=two_queues, cores="[0, 0, 1]", limits=ROOMY)
        said = crowd(two_queues, GATEWAY["ipv4"], count, 40, 2000, ANNA, "--again", 120)
        assert said["replies"] == {"250 2.0.0": count}, said
        stored = [one.octets for one in server.messages()]
        assert sorted(numbers_of(stored, 2000)) == list(range(1, count + 1))
        assert 1 < server.open_at_once() <= limit
        gateway.stop()


def test_pools_are_listed_drained_and_restored(gateway_lab, start):
    with Hostile(gateway_lab, FIRST) as first, Hostile(gateway_lab, SECOND) as second:
        gateway = start(pool(servers=[f"{FIRST}:25", f"{SECOND}:25"]))
        listed = gateway.control("pools")
        assert re.search(rf"^mailstore +{FIRST}:25 +well", listed, re.MULTILINE), listed
        gateway.control("pools", "drain", "mailstore", f"{FIRST}:25")
        assert re.search(rf"^mailstore +{FIRST}:25 +drained", gateway.control("pools"), re.MULTILINE)
        assert all(is_delivered(gateway) for _ in range(4))
        assert (first.count(), second.count()) == (0, 4)
        gateway.control("pools", "restore", "mailstore", f"{FIRST}:25")
        gateway.control("pools", "drain", "mailstore", f"{SECOND}:25")
        assert is_delivered(gateway)
        assert first.count() == 1


# --- smuggling -------------------------------------------------------------------------------------

ENDS = {
    "LF . LF": b"\n.\n", "LF . CRLF": b"\n.\r\n", "CRLF . LF": b"\r\n.\n", "CR . CR": b"\r.\r",
    "CRLF . CR": b"\r\n.\r", "CR . CRLF": b"\r.\r\n", "LF . CR": b"\n.\r",
    "CRLF . CRCRLF": b"\r\n.\r\r\n", "NUL before": b"\r\n\0.\r\n", "NUL behind": b"\r\n.\0\r\n",
}
EVIL = "evil@client.example"
SMUGGLED = f"MAIL FROM:<{EVIL}>\r\n{rcpt(OTTO)}\r\nDATA\r\n".encode() + HEAD + b"smuggled\r\n.\r\n"
# The last octet may be a line's CR.
BARE = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)|\0")


@pytest.mark.parametrize("bare_lf", ["normalize", "reject"])
@pytest.mark.parametrize("piece", [None, 1, 7])
@declared
def test_nothing_is_smuggled_to_a_server_that_takes_any_end(gateway_lab, start, bare_lf, piece,
                                                            is_declared):
    with Hostile(gateway_lab, FIRST, lenient=True) as server:
        gateway = start(settings=[f"bare_lf: {bare_lf}"])
        data = gateway.folder / "data"
        taken = 0
        for name, end in ENDS.items():
            data.write_bytes(TEXT + b"end" + end + SMUGGLED)
            size = f" SIZE={data.stat().st_size}" if is_declared else ""
            said, = gateway.talk("ipv4", EHLO, MAIL + size, rcpt(ANNA), "DATA", f"@{data}", "QUIT",
                                 options=["--piece", str(piece)] if piece else [])
            has_no_more_than_bare_lf = not re.search(rb"\r(?!\n)|\0", end)
            wanted = "250 " if has_no_more_than_bare_lf and bare_lf == "normalize" else "550 5.5.2 "
            assert said[-2].startswith(wanted), (name, said)
            assert said[-1].startswith("221 "), (name, said)  # one reply a message
            taken += wanted == "250 "
            assert server.count() == taken, (name, server.commands())
        assert not any(EVIL in line for line in server.commands())
        for octets in server.heard().values():
            assert not BARE.search(octets), octets


# --- many ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count, at_once, size", [(200, 200, 1 << 20), (5000, 50, 2000)],
                         ids=["200 of 1 MiB at once", "5,000 small ones"])
def test_one_worker_delivers_many(gateway_lab, start, count, at_once, size):
    with Hostile(gateway_lab, FIRST) as server:
        gateway = start(limits=ROOMY)
        said = crowd(gateway_lab, GATEWAY["ipv4"], count, at_once, size, ANNA)
        assert said == {"replies": {"250 2.0.0": count}, "attempts": count}
        assert server.count() == count
        assert sorted(numbers_of((one.octets for one in server.messages()), size)) == \
            list(range(1, count + 1))
        gateway.stop()


# --- a mail server for a client --------------------------------------------------------------------

OTHER_GATEWAY = "198.18.0.26"


@pytest.fixture
def two_addresses(gateway_lab):
    """As one who publishes two has them."""
    gateway_lab.run("gw", "ip", "address", "add", f"{OTHER_GATEWAY}/24", "dev", "mx0")
    yield
    gateway_lab.run("gw", "ip", "address", "del", f"{OTHER_GATEWAY}/24", "dev", "mx0")


def test_postfix_delivers_one_mail_to_recipients_in_two_pools(gateway_lab, start, two_addresses, tmp_path):
    """The second pool's recipient is put off by one address, and delivered for at the other."""
    to_gateway = {"virtual_mailbox_domains": "", "mynetworks": "198.18.1.0/24",
                  "smtp_bind_address": "198.18.64.30",
                  "transport_maps": f"regexp:/@example\\.net$/ smtp:[{GATEWAY['ipv4']}],[{OTHER_GATEWAY}]"}
    (tmp_path / "mail").write_bytes(stuffed(TEXT))
    with Hostile(gateway_lab, FIRST) as first, Hostile(gateway_lab, SECOND) as second, \
            Postfix(gateway_lab, "198.18.1.1", host="client", settings=to_gateway) as sender:
        start(pool(), SECOND_POOL)
        done = swaks(gateway_lab, "198.18.1.1", tmp_path / "mail", ANNA, OTTO, IDA)
        assert done.returncode == 0, (done, sender.log())
        for server, recipients in [(first, [ANNA, OTTO]), (second, [IDA])]:
            stored, = server.wait_for_messages(1)
            assert sorted(stored.recipients) == recipients
            assert added_to(TEXT, stored.octets)
        patiently(lambda: sender.log().count("status=sent") == 3, "Postfix is rid of all three")
        assert "status=deferred" not in sender.log() and "status=bounced" not in sender.log()
