#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Sends many messages at once, each over a connection of its own: mails.numbered, from 1 on.

    mail_crowd.py [--source IP]... [--again SECONDS] COUNT AT_ONCE SIZE RECIPIENT[,RECIPIENT]... ADDRESS PORT

Says, as JSON, how often each reply (code and enhanced code) was the last word on a message: `replies`;
and how many attempts there were: `attempts`. With --again what is put off by a 4xx, or lost without an
answer, is tried again until it has taken that long in all.
"""

import argparse
import asyncio
import collections
import itertools
import json
import time

from mails import SENDER, numbered, stuffed

REPLY_S = 250  # longer than the gateway waits for a server
PAUSE_S = 0.2


class Refused(Exception):
    """A reply that ends an attempt."""


async def reply(reader, wanted):
    line = (await asyncio.wait_for(reader.readline(), REPLY_S)).decode()
    while line[3:4] == "-":
        line = (await asyncio.wait_for(reader.readline(), REPLY_S)).decode()
    if not line.startswith(wanted):
        raise Refused(line.strip() or "lost")
    return line


async def talk(reader, writer, args, message):
    await reply(reader, "220")
    commands = [("EHLO client.example", "250"), (f"MAIL FROM:<{SENDER}>", "250"),
                *((f"RCPT TO:<{recipient}>", "250") for recipient in args.recipients.split(",")),
                ("DATA", "354")]
    for command, wanted in commands:
        writer.write(f"{command}\r\n".encode())
        await reply(reader, wanted)
    writer.write(stuffed(message))
    await writer.drain()
    taken = await reply(reader, "250")
    writer.write(b"QUIT\r\n")
    await reply(reader, "221")
    return taken


async def attempt(args, source, message):
    """The reply that decided."""
    try:
        reader, writer = await asyncio.open_connection(
            args.address, args.port, local_addr=(source, 0) if source else None)
    except OSError:
        return "not connected"
    try:
        return await talk(reader, writer, args, message)
    except Refused as refusal:
        return str(refusal)
    except (OSError, asyncio.TimeoutError):
        return "lost"
    finally:
        writer.close()


class Crowd:
    def __init__(self, args):
        self.args = args
        self.sources = itertools.cycle(args.source or [None])
        self.numbers = iter(range(1, args.count + 1))
        self.replies, self.attempts = collections.Counter(), 0
        self.end = time.monotonic() + args.again

    async def member(self):
        """Takes the next message whenever it is done with one."""
        for number in self.numbers:
            self.replies[await self.send(numbered(number, self.args.size))] += 1

    async def send(self, message):
        while True:
            self.attempts += 1
            said = await attempt(self.args, next(self.sources), message)
            if said[0] in "25" or time.monotonic() > self.end:
                return " ".join(said.split()[:2])
            await asyncio.sleep(PAUSE_S)


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("at_once", type=int)
    parser.add_argument("size", type=int)
    parser.add_argument("recipients")
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--source", action="append")
    parser.add_argument("--again", type=float, default=0)
    crowd = Crowd(parser.parse_args())
    await asyncio.gather(*(crowd.member() for _ in range(crowd.args.at_once)))
    print(json.dumps({"replies": crowd.replies, "attempts": crowd.attempts}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
