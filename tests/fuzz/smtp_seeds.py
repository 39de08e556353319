# SPDX-License-Identifier: BSD-3-Clause
"""Seeds of the targets of SMTP: addresses, and what the clients of tests/dialogues say."""

import pathlib
import re

PATHS = (
    "<>",
    "<Postmaster>",
    "<user@Example.NET>",
    "<@a.example,@b.example:user@example.net>",
    '<"quoted\\"pair\\\\ and blank"@example.net>',
    '<"dot.string"@example.net>',
    "<jörg@bücher.example>",
    "<user@[192.0.2.1]>",
    "<user@[IPv6:2001:db8::ffff:192.0.2.1]>",
    "<user@[tag:content]>",
)
REFUSED_PATHS = (
    "user@example.net",
    "<user@example.net",
    "<@a.example,b.example:user@example.net>",
    "<@a.example;user@example.net>",
    "<.user@example.net>",
    "<user..name@example.net>",
    '<"open@example.net>',
    '<"\\',
    '<"control\x01"@example.net>',
    '<"\xff"@example.net>',
    "<\xe0\x80\x80@example.net>",
    "<user@-example.net>",
    "<user@example-.net>",
    "<user@example..net>",
    f"<user@{'x' * 64}.example>",
    f"<{'x' * 65}@example.net>",
    f"<user@{'x.' * 127}example>",
    "<user@[192.0.2.256]>",
    "<user@[192.0.2]>",
    "<user@[192.0.2.1>",
    "<user@[IPv6:2001:db8:1:2:3:4:5:6:7]>",
    "<user@[IPv6:2001:db8::1::2]>",
    "<user@[IPv6:12345::]>",
    "<user@[IPv6:2001:db8:1:2:3:4:5:]>",
    "<user@[IPv6:1:2:3:4:5:6:7:192.0.2.1]>",
    "<user@[tag-:content]>",
    "<user@[:content]>",
    "<user@[tag:]>",
    "<user@[t_g:content]>",
)
# Of each length of UTF-8, the first and the last, and what is none.
UTF8 = ("c2a0", "dfbf", "e0a080", "ed9fbf", "efbfbf", "f0908080", "f3bfbfbf", "f48fbfbf",
        "80", "c0af", "c280", "c3", "e08080", "eda080", "e282", "f0808080", "f0908041", "f4908080", "f5808080")


def smtp_address_seeds():
    """(name, octets): kind, the path."""
    for number, path in enumerate(PATHS):
        for kind in 0, 1:
            yield f"path-{number}-{kind}", bytes([kind]) + path.encode()
    for number, path in enumerate(REFUSED_PATHS):
        yield f"refused-{number}", b"\1" + path.encode("latin-1")
    for digits in UTF8:
        yield f"utf8-{digits}", b"\1<" + bytes.fromhex(digits) + b"@" + bytes.fromhex(digits) + b".example>"
        yield f"utf8-quoted-{digits}", b"\1<\"" + bytes.fromhex(digits) + b"\"@example>"


DIALOGUES = pathlib.Path(__file__).resolve().parents[1] / "dialogues"
ESCAPE = re.compile(r"\\x([0-9a-fA-F]{2})|\\(.)")
REPETITION = re.compile(r"\{(\d+):([^}]*)\}")
LETTERS = {"r": "\r", "n": "\n", "t": "\t", "0": "\0"}
OFFERS = ("starttls", "size", "8bitmime", "smtputf8", "dsn", "one-domain")
LITTLE_MEMORY, NORMALIZE = 0x40, 0x80
NEEDS_TLS, TLS_READY, LITTLE_ROOM, SMALL_MESSAGES, STRESS, SPEAKS_EARLY, IS_HELD = (1 << bit for bit in range(7))
END_OF_WRITE, PAUSE, NEXT_HOPS = b"\xfe", b"\xfd", b"\xfc"
CLIENTS = {"client: needs TLS": NEEDS_TLS, "client: speaks early": SPEAKS_EARLY, "O: stress": STRESS, "O: hold": IS_HELD}


def octets(text):
    """A text of a dialogue; repetitions are kept short, the fuzzer is to find the rest."""
    text = REPETITION.sub(lambda found: found[2] * min(int(found[1]), 3000), text)
    text = ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else LETTERS.get(found[2], found[2]), text)
    return text.encode("latin-1", "replace")


def dialogues():
    """(name, lines) of every dialogue of tests/dialogues."""
    for path in sorted(DIALOGUES.glob("*.txt")):
        for dialogue in path.read_text().split("\n== ")[1:]:
            name, *lines = dialogue.splitlines()
            yield name, lines


OF_SENDER = ("SIZE=99999999999999999999", "SIZE=1x", "SIZ=1", "SIZES=1", "ENVID=a=b", "ENVID=a+2", "ENVID=a+ZZ",
             "ENVID=a+2Z", "ENVID=a+aa", "ENVID=", "RET=FULL", "RET=BODY", "BODY=8bitmime", "BODY=9", "SMTPUTF8=1",
             "=1")
OF_RECIPIENT = ("NOTIFY=FAILURE,DELAY,SUCCESS", "NOTIFY=NEVER,DELAY", "NOTIFY=", "NOTIFY=,", "notify=never",
                "ORCPT=rfc822;user+40example.net", "ORCPT=rfc822", "ORCPT=;a", "ORCPT=rfc822;", "ORCPT=r+66c;a",
                "ORCPT=r=c;a", "ORCPT=rfc822;a+2", "ORCPT=rfc822;a=b", "ORCPT=utf-8;\xc3\xa9")
# An enhanced code that is none, and what is no text.
SAID = ("5", "5.", "5.1", "5.1.", "5.1.1", "5..1 text", "5.1.1text", "5.1234.1 text", "5.1.1234 text", "5.x.1",
        "4.1.1 other class", "5.1.1 \xc3\xa9\xff\x01", "5.1.1 " + "x" * 600, "5.1.1 " + "\xc3\xa9" * 300, "")


SENDERS = range(12)  # by whom the target chooses what becomes of a message


def conversation(of_sender="", of_recipient="", sender=0):
    says = ("EHLO client.example", f"MAIL FROM:<{sender}@b.example>{of_sender}",
            f"RCPT TO:<user@example.net>{of_recipient}", "DATA")
    return "".join(line + "\r\n" for line in says).encode("latin-1") + END_OF_WRITE + b"text\r\n.\r\n"


def conversations():
    """(name, what a client writes, what its next hop says)"""
    for number, word in enumerate(OF_SENDER):
        yield f"of-sender-{number}", conversation(of_sender=" " + word), b""
    for number, word in enumerate(OF_RECIPIENT):
        yield f"of-recipient-{number}", conversation(of_recipient=" " + word), b""
    for number, text in enumerate(SAID):
        for sender in SENDERS:
            yield f"said-{number}-{sender}", conversation(sender=sender), NEXT_HOPS + text.encode("latin-1")


def smtp_feed_seeds():
    """(name, octets): the head, what the client of a dialogue writes, what its next hop says."""
    for name, written, said in conversations():
        yield name, bytes([0b111110 | NORMALIZE, TLS_READY, 1, 7]) + written + said
    for name, lines in dialogues():
        offers, flags, written, said = 0b11110, TLS_READY, b"", b""
        for line in lines:
            flags |= CLIENTS.get(line, 0)
            if line.startswith("offer: "):
                offers = sum(1 << OFFERS.index(word) for word in line.split()[1:] if word in OFFERS)
            elif line.startswith("T: "):
                written += PAUSE + bytes([min(int(line[3:]), 255)])
            elif found := re.match(r"(?:delivery|data|recipient): .*?\b([245]\d\d) (.*)", line):
                said = NEXT_HOPS + octets(found[2])
            elif found := re.match(r"C(\+?)([:|]) ?(.*)", line):
                written += b"" if found[1] or not written else END_OF_WRITE
                written += octets(found[3]) + (b"\r\n" if found[2] == ":" else b"")
        yield name, bytes([offers | NORMALIZE, flags, 1, 7]) + written + said
        yield name + "-reject", bytes([offers, flags | LITTLE_ROOM | SMALL_MESSAGES, 1, 0]) + written + said
        yield name + "-little", bytes([offers | NORMALIZE | LITTLE_MEMORY, flags, 1, 90]) + written + said
