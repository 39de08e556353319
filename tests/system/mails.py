# SPDX-License-Identifier: BSD-3-Clause
"""Messages that a relay could spoil, and clients to send them with."""

import json
import pathlib
import random
import re

from lab import HERE, PYTHON

CORPUS = pathlib.Path("/usr/lib/python3.11/test/test_email/data")  # libpython3.11-testsuite's
SMTP_CLIENT = str(HERE / "smtp_client.py")
SENDER = "sender@client.example"
HEAD = b"From: <sender@client.example>\r\nTo: <anna@example.net>\r\nSubject: a test\r\n\r\n"


def corpus():
    """The email package's own messages by their names, as they go over a wire."""
    return {path.stem: path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            for path in sorted(CORPUS.glob("msg_*.txt"))}


def large(size, seed=1):
    """Lines of any 7-bit text, so that a piece in a wrong place is seen."""
    text = random.Random(seed).randbytes(size * 3 // 4).hex()[:size].encode()
    return HEAD + b"".join(text[at:at + 76] + b"\r\n" for at in range(0, len(text), 76))


def numbered(number, size):
    """One of many that differ."""
    return f"X-Number: {number}\r\n".encode() + large(size, seed=number)


HARD = {
    "dots at line starts": HEAD + b".\r\n..\r\n...\r\n.text\r\n. \r\ntext.\r\n.\r\n\r\n.\r\n",
    "dots from the first line on": b".Subject: odd\r\n\r\n.\r\n",
    "lines of 998 octets": HEAD + (b"x" * 998 + b"\r\n") * 3,
    "lines of over 998 octets": HEAD + b"".join(b"y" * n + b"\r\n" for n in (999, 1000, 2047, 2048,
                                                                            2049, 9000, 30000)),
    "8-bit": HEAD + bytes(n for n in range(1, 256) if n not in b"\r\n") * 3 + b"\r\n",
    "a field of 900 octets": b"X-Long: " + b"z" * 900 + b"\r\n" + HEAD + b"text\r\n",
    "no body": HEAD[:-2],
    "nothing": b"",
    "empty lines": HEAD + b"\r\n" * 500,
}


def stuffed(message):
    """What is sent behind 354 (RFC 5321, 4.5.2)."""
    return (b"\r\n" + message).replace(b"\r\n.", b"\r\n..")[len(b"\r\n"):] + b".\r\n"


def unstuffed(data):
    """The message of what was sent behind 354."""
    assert data.endswith(b".\r\n"), data[-20:]
    text = (b"\r\n" + data[:-len(b".\r\n")]).replace(b"\r\n.", b"\r\n")
    return text[len(b"\r\n"):]


def fields(text):
    """The fields of a piece of a header, folded lines with theirs."""
    assert text == b"" or text.endswith(b"\r\n"), text
    found = re.findall(rb"[^\r\n]+\r\n(?:[ \t][^\r\n]*\r\n)*", text)
    assert b"".join(found) == text, text
    return found


def added_to(message, stored, allowed=()):
    """The Received fields in front of a message that is otherwise stored as it was sent; a mail store's
    other fields are named."""
    assert stored.endswith(message), \
        f"spoilt: {len(message)} octets sent, {len(stored)} stored\n{stored[:600]}"
    added = fields(stored[:len(stored) - len(message)])
    names = [field.split(b":")[0].decode() for field in added]
    assert set(names) <= {"Received", *allowed}, names
    return [field for field, name in zip(added, names) if name == "Received"]


def numbers_of(stored, size):
    """Which of the numbered were stored, each checked to be whole."""
    for message in stored:
        number = int(re.search(rb"^X-Number: (\d+)\r\n", message, re.MULTILINE)[1])
        added_to(numbered(number, size), message)
        yield number


# --- clients ---------------------------------------------------------------------------------------


def talk(lab, address, *lines, host="client", port=25, options=()):
    """What is answered to each line, by smtp_client.py."""
    done = lab.run(host, PYTHON, SMTP_CLIENT, *options, address, port, *lines, timeout=300)
    assert done.stdout, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def swaks(lab, address, data, *recipients, source=None, host="client", options=()):
    """data: a file of what is sent behind 354. What became of it."""
    return lab.run(host, "swaks", *(["-6"] if ":" in address else []), "--server", address,
                   *(["--local-interface", source] if source else []), "--helo", "client.example",
                   "--from", SENDER, "--to", ",".join(recipients), "--data", f"@{data}",
                   "--no-data-fixup", "--suppress-data", "--timeout", 120, *options, timeout=300)


def start_crowd(lab, address, count, at_once, size, recipients, *options, port=25):
    """mail_crowd.py, whose last line is next_json's."""
    return lab.start("client", PYTHON, HERE / "mail_crowd.py", *options, count, at_once, size,
                     recipients, address, port, name="mail_crowd")


def crowd(lab, *words, timeout=300):
    """What it says at its end."""
    client = start_crowd(lab, *words)
    said = client.next_json(timeout)
    assert client.wait() == 0, client.story()
    lab.ended(client)
    return said
