#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Sends messages that all differ until each has been taken, whatever happens to the server meanwhile.

    chaos_crowd.py [--journal FILE] COUNT SOURCE[,SOURCE]... ADDRESS PORT

Each source has one conversation at a time, and takes the next message when it is rid of one. Some leave
in the middle of a message before they send it in earnest. Says `taken` as often as a message was; in
FILE it leaves a line of JSON for each attempt: the message's `number`, which attempt (`nth`), whether
the end of the message was sent (`ended`), and the `last` word on it, or why there was none.
"""

import argparse
import asyncio
import contextlib
import json
import math
import random
import socket

from mail_crowd import PAUSE_S, Refused, reply
from mails import SENDER, large, stuffed

SMALLEST, LARGEST = 200, 300_000
USERS = ["anna", "otto", "emil", "ida"]
LOST, UNCONNECTED, LEFT = "lost", "not connected", "left"
END = b".\r\n"
LEAVE_EVERY = 9  # messages, so that some of them are declared and some not
ALIVE_S, ALIVE_MAX = 1, 60  # how often a server that says nothing is asked whether it is there


def message(number, nth):
    """What is sent at an attempt, and no other time. As many are of 200 to 400 octets as of 100,000 to
    200,000."""
    size = SMALLEST * math.exp(random.Random(number).random() * math.log(LARGEST / SMALLEST))
    return f"X-Number: {number}\r\nX-Attempt: {nth}\r\n".encode() + large(int(size), seed=number)


def declares_size(number):
    return number % 2 == 0


def is_left(number, nth):
    """In its middle, if the attempt comes so far."""
    return number % LEAVE_EVERY == 0 and nth == 1


class Attempt:
    def __init__(self, number, nth):
        self.number, self.nth = number, nth
        self.message = message(number, nth)
        self.ended, self.last = False, LOST

    async def run(self, source, address, port):
        try:
            reader, writer = await asyncio.open_connection(address, port, local_addr=(source, 0))
        except OSError:
            self.last = UNCONNECTED
            return
        try:
            ask_whether_alive(writer.get_extra_info("socket"))
            await self.talk(reader, writer)
        except Refused as refusal:
            self.last = str(refusal)
        except OSError:
            self.last = LOST
        finally:
            writer.close()

    async def talk(self, reader, writer):
        size = f" SIZE={len(self.message)}" if declares_size(self.number) else ""
        recipient = f"{USERS[self.number % len(USERS)]}@example.net"
        await reply(reader, "220")
        for command, wanted in [("EHLO client.example", "250"), (f"MAIL FROM:<{SENDER}>{size}", "250"),
                                (f"RCPT TO:<{recipient}>", "250"), ("DATA", "354")]:
            writer.write(f"{command}\r\n".encode())
            await reply(reader, wanted)
        await self.send(writer, stuffed(self.message).removesuffix(END))
        if self.last != LEFT:
            self.last = (await reply(reader, "250")).strip()
            with contextlib.suppress(Refused, OSError):  # it is taken, whatever becomes of the goodbye
                writer.write(b"QUIT\r\n")
                await reply(reader, "221")

    async def send(self, writer, data):
        if is_left(self.number, self.nth):
            # At the end of a line, where a dot would be the message's end.
            lines = data.splitlines(keepends=True)
            writer.write(b"".join(lines[:random.Random(self.number).randrange(len(lines))]))
            self.last = LEFT
        else:
            writer.write(data)
        await writer.drain()
        if self.last != LEFT:
            self.ended = True
            writer.write(END)

    def story(self):
        return {"number": self.number, "nth": self.nth, "ended": self.ended, "last": self.last}


def ask_whether_alive(connection):
    """One that was killed says nothing, and the one in its place knows nothing of the connection."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in [(socket.TCP_KEEPIDLE, ALIVE_S), (socket.TCP_KEEPINTVL, ALIVE_S),
                          (socket.TCP_KEEPCNT, ALIVE_MAX)]:
        connection.setsockopt(socket.IPPROTO_TCP, option, value)


async def member(args, numbers, source):
    for number in numbers:
        nth, last = 0, LOST
        # A refusal for good is the last word, too.
        while last[0] not in "25":
            nth += 1
            attempt = Attempt(number, nth)
            await attempt.run(source, args.address, args.port)
            last = attempt.last
            args.journal.write(json.dumps(attempt.story()) + "\n")
            if last[0] not in "25":
                await asyncio.sleep(PAUSE_S)
        print("taken" if last[0] == "2" else last, flush=True)


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--journal", type=argparse.FileType("w"), default="-")
    parser.add_argument("count", type=int)
    parser.add_argument("sources")
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    args = parser.parse_args()
    numbers = iter(range(1, args.count + 1))
    await asyncio.gather(*(member(args, numbers, source) for source in args.sources.split(",")))
    args.journal.close()


if __name__ == "__main__":
    asyncio.run(main())
