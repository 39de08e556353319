# SPDX-License-Identifier: BSD-3-Clause
"""Mail clients nobody here wrote, and a scanner's scripts: each gets the answers of the directory, and
its mail to the server behind us."""

import re

import pytest

from backends import MailStore
from gateway import Gateway
from lab import BACKEND, CLIENT, GATEWAY, PYTHON, patiently
from services import SMTP, versions

SENDER = "a@client.example"
KNOWN, UNKNOWN = "anna@example.net", "nobody@example.net"
NO_SUCH = f"550 5.1.1 <{UNKNOWN}>: no such mailbox here"
DELIVERED = "250 2.0.0 kept as"

# An address of the client's for each, whose guess costs only that one.
SOURCES = {name: {"ipv4": f"198.18.64.{number}", "ipv6": f"fd00:18:64:{number}::1"} for number, name in
           enumerate(["swaks", "curl", "smtplib", "msmtp"], 20)}
SIX = {"ipv4": [], "ipv6": ["-6"]}
URL = {"ipv4": GATEWAY["ipv4"], "ipv6": f"[{GATEWAY['ipv6']}]"}


@pytest.fixture(scope="module")
def started(gateway_lab, tmp_path_factory):
    gateway = Gateway(gateway_lab, tmp_path_factory.mktemp("gateway"))
    gateway.directory.write_text(f"{KNOWN}\nroot@example.net\n")
    with MailStore(gateway_lab, BACKEND["ipv4"]) as gateway.store:
        gateway.start()
        # What the server offers is offered when it has been asked.
        patiently(lambda: "8BITMIME" in gateway.talk("ipv4", "EHLO client.example")[0][1],
                  "what the server offers is offered")
        yield gateway
        gateway.stop()


BODY = b"\r\n\r\n.hidden\r\nend\r\n"


@pytest.fixture
def mail(tmp_path):
    path = tmp_path / "mail"
    path.write_bytes(b"Subject: a test" + BODY)
    return path


@pytest.fixture
def delivered(started):
    """How many messages were stored since the test began, each with the body of mail."""
    before = started.store.count()

    def count():
        new = started.store.messages()[before:]
        assert all(message.octets.endswith((BODY, BODY + b"\r\n")) for message in new), new  # swaks's
        return len(new)
    return count


@versions
def test_swaks(started, delivered, mail, version):
    def swaks(recipient, *options):
        return started.lab.run("client", "swaks", *SIX[version], "--server", GATEWAY[version],
                               "--local-interface", SOURCES["swaks"][version], "--from", SENDER,
                               "--helo", "client.example", "--to", recipient, *options)

    done = swaks(KNOWN, "--quit-after", "RCPT")
    assert done.returncode == 0 and "<-  250 2.1.5 recipient ok" in done.stdout, done
    done = swaks(UNKNOWN)
    assert done.returncode == 24 and f"<** {NO_SUCH}" in done.stdout, done
    done = swaks(KNOWN, "--pipeline", "--data", f"@{mail}")
    assert done.returncode == 0 and f"<-  {DELIVERED}" in done.stdout, done
    assert delivered() == 1


@versions
def test_smtp_source(started, version):
    def source(recipient, *options):
        return started.lab.run("client", "smtp-source", *options, "-f", SENDER, "-t", recipient,
                               f"{URL[version]}:{SMTP}")

    done = source(UNKNOWN)
    assert done.returncode == 1 and f"recipient rejected: {NO_SUCH}" in done.stderr, done
    before = started.store.count()
    done = source(KNOWN, "-s", 20, "-m", 100)
    assert done.returncode == 0, done
    assert started.store.count() - before == 100


@versions
def test_curl(started, delivered, version, mail):
    def curl(recipient, *options):
        return started.lab.run("client", "curl", "-sS", "-v", "--interface",
                               SOURCES["curl"][version], f"smtp://{URL[version]}/client.example",
                               "--mail-from", SENDER, "--mail-rcpt", recipient, *options)

    done = curl(UNKNOWN, "-T", mail)
    assert done.returncode == 55 and f"< {NO_SUCH}" in done.stderr, done
    done = curl(KNOWN, "-T", mail)
    assert done.returncode == 0 and f"< {DELIVERED}" in done.stderr, done
    assert delivered() == 1


@versions
def test_msmtp(started, delivered, version, mail):
    def msmtp(recipient):
        return started.lab.run("client", "sh", "-c", 'mail=$1; shift; exec "$@" <"$mail"', "sh", mail,
                               "msmtp", "--file=/dev/null", f"--host={GATEWAY[version]}",
                               f"--source-ip={SOURCES['msmtp'][version]}", f"--port={SMTP}",
                               f"--from={SENDER}", "--domain=client.example", "--auth=off", "--tls=off",
                               recipient)

    done = msmtp(UNKNOWN)
    assert done.returncode == 65 and f"server message: {NO_SUCH}" in done.stderr, done
    assert msmtp(KNOWN).returncode == 0
    assert delivered() == 1


SENDMAIL = f"""
import smtplib, sys
server = smtplib.SMTP(sys.argv[1], {SMTP}, source_address=(sys.argv[2], 0), timeout=20)
try:
    print("refused:", *server.sendmail("{SENDER}", sys.argv[3:], b"Subject: a test" + {BODY}))
except smtplib.SMTPRecipientsRefused as fault:
    print(type(fault).__name__, *(f"{{code}} {{text.decode()}}" for code, text in fault.recipients.values()))
"""


@versions
def test_smtplib(started, delivered, version):
    def sendmail(*recipients):
        return started.lab.run("client", PYTHON, "-c", SENDMAIL, GATEWAY[version],
                               SOURCES["smtplib"][version], *recipients).stdout

    assert sendmail(UNKNOWN).startswith(f"SMTPRecipientsRefused {NO_SUCH}")
    assert sendmail(KNOWN, UNKNOWN) == f"refused: {UNKNOWN}\n"
    assert delivered() == 1


# --- a scanner -----------------------------------------------------------------------------------


def nmap(started, version, script, *options):
    done = started.lab.run("client", "nmap", *SIX[version], "-Pn", "-n", "-p", SMTP, "--script",
                           script, *options, GATEWAY[version])
    assert done.returncode == 0, done
    return done.stdout


@versions
def test_nmap_reads_the_greeting_of_ehlo(started, version):
    report = nmap(started, version, "smtp-commands")
    assert re.search(r"smtp-commands: mx1\.example\.net, PIPELINING, ENHANCEDSTATUSCODES, SIZE \d+, 8BITMIME, "
                     r"SMTPUTF8, LIMITS RCPTMAX=\d+", report), report


@versions
def test_nmap_finds_no_open_relay(started, version):
    report = nmap(started, version, "smtp-open-relay", "--script-args", "smtp.domain=client.example")
    assert "Server doesn't seem to be an open relay, all tests failed" in report, report


@versions
def test_nmap_that_looks_for_users_is_shut_out(started, version):
    """It asks for root, admin, administrator, webadmin, sysadmin, ... by RCPT, as the first is there."""
    report = nmap(started, version, "smtp-enum-users", "--script-args", "smtp.domain=example.net")
    found = re.search(r"smtp-enum-users: *\n(.*)", report, re.DOTALL)[1]
    assert re.match(r"\|   root\n\|_  Failed to issue RCPT TO:.*connection closed", found), report
    assert started.shut_out() == {{"ipv4": CLIENT["ipv4"], "ipv6": "fd00:18:1::/64"}[version]}
    started.control("shield", "unban", CLIENT[version])
