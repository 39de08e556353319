# SPDX-License-Identifier: BSD-3-Clause
"""Seeds of the target of relay's next hops: what servers say, good and bad ones."""

LMTP, XCLIENT, PROXY_V2, THREE, MANY, NONE, NOTIFIES, LITTLE_ROOM, RESETS = (
    0x01, 0x02, 0x04, 0x08, 0x10, 0x18, 0x20, 0x40, 0x80)
SIZE, EIGHT_BIT, UTF8, TRACED, BOUNCE, OVER_IPV4, NAMELESS, QUITS = (1 << bit for bit in range(8))
ENDS_AT_ONCE, RESETS_IDLE = 0x40, 0x80
FULL = SIZE | EIGHT_BIT | TRACED
END_OF_WRITE = b"\xfe"
MANY_RECIPIENTS = 70

GREETING = b"220 mx.example.net ESMTP\r\n"
ALL = ("PIPELINING", "SIZE 10240000", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING", "ENHANCEDSTATUSCODES",
       "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT")


def offers(*words):
    lines = ("mx.example.net", *words)
    return b"".join(b"250%s%s\r\n" % (b" " if line is lines[-1] else b"-", line.encode()) for line in lines)


def seed(*writes, first=0, second=0, third=1, fourth=3):
    return bytes([first, second, third, fourth]) + END_OF_WRITE.join(writes)


def repeated(write, times):
    return [write] * times


# Behind EHLO: a transaction of one recipient that is delivered, one that is refused, and the end.
TAKEN = (b"250 2.1.0 ok\r\n250 2.1.5 ok\r\n", b"354 go\r\n", b"250 2.0.0 queued\r\n")
AGAIN = (b"250 flushed\r\n250 ok\r\n250 ok\r\n", b"354 go\r\n", b"554-5.6.0 no\r\n554 5.6.0 never\r\n",
         b"250 flushed\r\n550 5.7.1 not you\r\n503 no\r\n", b"250 flushed\r\n", b"221 bye\r\n")


def good_servers():
    hello = GREETING, offers(*ALL)
    for name, first, second in (("plain", 0, 0), ("full", NOTIFIES, FULL), ("bounce", 0, BOUNCE), ("utf8", 0, UTF8)):
        yield name, seed(*hello, *TAKEN, *AGAIN, first=first, second=second)
        yield name + "-little", seed(*hello, *TAKEN, *AGAIN, first=first | LITTLE_ROOM, second=second)
        yield name + "-not-offered", seed(GREETING, offers("PIPELINING"), *TAKEN, *AGAIN, first=first, second=second)
    one_by_one = [reply + b"\r\n" for write in (*TAKEN, *AGAIN) for reply in write.split(b"\r\n")[:-1]]
    yield "one-by-one", seed(GREETING, offers(), *one_by_one)
    yield "one-by-one-little", seed(GREETING, offers(), *one_by_one, first=LITTLE_ROOM)
    yield "headers", seed(*hello, *TAKEN, second=TRACED, third=2)
    yield "lmtp", seed(*hello, b"250 ok\r\n250 1\r\n550 2\r\n250 3\r\n", b"354 go\r\n", b"452 full\r\n", b"250 ok\r\n",
                       first=LMTP | THREE)
    yield "lmtp-taken", seed(*hello, b"250 ok\n250 1\n250 2\n250 3\n", b"354\n", b"250\n250\n250 last\n",
                             first=LMTP | THREE, fourth=ENDS_AT_ONCE)
    yield "lmtp-too-many", seed(*hello, *TAKEN, b"250 another\r\n", first=LMTP)
    yield "lmtp-go-on", seed(*hello, *TAKEN[:2], b"354 go\r\n", first=LMTP)
    yield "many", seed(*hello, b"250 ok\r\n" * 30, *repeated(b"250 ok\r\n" * 20, 3), b"354 go\r\n", b"250 ok\r\n",
                       first=MANY)
    yield "many-refused", seed(*hello, b"451 no\r\n" + b"503 no\r\n" * 63, b"250 ok\r\n", first=MANY)
    yield "many-too-soon", seed(*hello, b"250 ok\r\n" * MANY_RECIPIENTS, first=MANY)
    yield "no-recipient", seed(*hello, b"250 ok\r\n", b"250 ok\r\n", first=NONE)
    yield "resets", seed(*hello, TAKEN[0], b"250 ok\r\n", first=RESETS)
    yield "resets-idle", seed(*hello, b"250 ok\r\n", *TAKEN, fourth=RESETS_IDLE)
    yield "quits", seed(*hello, b"221 bye\r\n", second=QUITS)


def identities():
    hello = GREETING, offers(*ALL)
    for name, second in ("ipv6", 0), ("ipv4", OVER_IPV4), ("nameless", NAMELESS):
        yield f"xclient-{name}", seed(*hello, *hello, *TAKEN, b"250 ok\r\n220 mx\r\n", hello[1], *TAKEN,
                                      first=XCLIENT, second=second)
        yield f"proxy-{name}", seed(*hello, *TAKEN, first=PROXY_V2, second=second)
    for at in range(16):
        yield f"xclient-address-{at}", seed(*hello, GREETING, first=XCLIENT, third=0x10 | at)
    yield "xclient-little", seed(*hello, *hello, *TAKEN, b"250 ok\r\n", b"220 mx\r\n", hello[1], *TAKEN,
                                 first=XCLIENT | LITTLE_ROOM)
    yield "xclient-addr-only", seed(GREETING, offers("XCLIENT ADDR"), GREETING, offers(), b"550 no\r\n", b"250 ok\r\n",
                                    first=XCLIENT)
    yield "xclient-not-offered", seed(GREETING, offers("XCLIENT NAME"), first=XCLIENT)
    yield "xclient-refused", seed(*hello, b"550 no\r\n", first=XCLIENT)
    yield "xclient-hello-refused", seed(*hello, GREETING, b"550 no\r\n", first=XCLIENT)
    yield "xclient-no-utf8", seed(*hello, GREETING, offers(), first=XCLIENT, second=UTF8)


# What may stand in place of any reply.
BAD = (b"421 4.3.2 going\r\n", b"354 go\r\n", b"250 ok\r\n", b"451 later\r\n", b"550 no\r\n", b"500 what\r\n",
       b"199 x\r\n", b"600 x\r\n", b"25x\r\n", b"250x\r\n", b"250\rx\r\n", b"250-x\r\n251 x\r\n", b"\r\n", b"25",
       b"250-a\r\r\n250 b\r\n", b"220-x\r\n220\r\n", b"250-" + b"x" * 4096 + b"\r\n",
       b"250-x\n" * 256 + b"250 x\n", b"250 " + b"x" * 2000 + b"\n")


def bad_servers():
    dialogue = [GREETING, offers(*ALL), b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"250 ok\r\n", b"250 reset\r\n"]
    for number, reply in enumerate(BAD):
        for at in range(len(dialogue)):
            yield f"bad-{number}-{at}", seed(*dialogue[:at], reply, *dialogue[at + 1:])
            yield f"early-{number}-{at}", seed(*dialogue[:at], dialogue[at] + reply, *dialogue[at + 1:],
                                               fourth=3 | ENDS_AT_ONCE)
        yield f"message-{number}", seed(*dialogue[:5], b"", reply)
        yield f"part-{number}", seed(*dialogue[:4], dialogue[4] + reply[:2], reply[2:])


SIZES = ("SIZE", "SIZE 0", "SIZE 1x", "SIZE 18446744073709551615", "SIZE 18446744073709551616",
         "SIZE 99999999999999999999", "size\t1", "SIZE  7 8", "")


def hop_seeds():
    """(name, octets): the head, what the server says."""
    yield from good_servers()
    yield from identities()
    yield from bad_servers()
    for number, word in enumerate(SIZES):
        for shift in 0, 60:
            yield f"size-{number}-{shift}", seed(GREETING, offers(word), second=SIZE, third=shift)
    yield "helo", seed(GREETING, b"502 what\r\n", b"250-mx\r\n250 PIPELINING\r\n", *TAKEN)
    yield "helo-refused", seed(GREETING, b"500 what\r\n", b"500 what\r\n")
    yield "long-hello", seed(GREETING, offers("x" * 1400, "DSN", "y" * 200, "8BITMIME"), *TAKEN)
