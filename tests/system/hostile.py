#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A mail server that does what it is told to, and notes all it hears. Says 'ready' when it listens.

    hostile.py FOLDER PORT ADDRESS...

FOLDER/plan.json says how it behaves from now on; who gives it another plan renames that one there.

    stages    what it does at a stage, by the stage's name: a reply in place of its own, or
              {"reply": TEXT, "octets": N, "delay_s": S, "then": "close" | "hang"}
                  reply    lines are separated by LF; "": none
                  octets   no more of the reply than these
                  then     close the connection, or read nothing more of it and say nothing
              connect, a command's name, message (behind 354), dot; RCPT and dot also for one recipient,
              "RCPT anna@example.net" (dot: LMTP only)
    keywords  what EHLO offers
    lmtp      LHLO, and an answer for each recipient behind the message
    proxy     a header of PROXY v2 comes first
    lenient   any of CR, LF, CRLF ends a line, a dot alone on one the message, NULs beside it or not

In FOLDER it leaves a line of JSON for each thing that happened (journal), every octet of each
connection (N.heard), and the messages as they were sent (N.message).
"""

import asyncio
import ipaddress
import itertools
import json
import pathlib
import re
import struct
import sys

BACKLOG = 4096
PIECE = 1 << 16
KEYWORDS = ["PIPELINING", "SIZE 104857600", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES",
            "XCLIENT NAME ADDR PORT PROTO HELO DESTADDR DESTPORT"]
PROXY_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
# The first line of a message may be the dot.
STRICT_END = re.compile(rb"(?:^|\r\n)\.\r\n")
LENIENT_END = re.compile(rb"(?:^|\r\n|\r|\n)\0*\.\0*(?:\r\n|\r|\n)")
END_MAX = 64  # octets of an end of data, if it comes in pieces
ANSWERS = {"EHLO": None, "LHLO": None, "HELO": "250 hostile.example", "MAIL": "250 2.1.0 fine",
           "RCPT": "250 2.1.5 fine", "DATA": "354 go on", "RSET": "250 2.0.0 fine",
           "NOOP": "250 2.0.0 fine", "QUIT": "221 2.0.0 bye", "XCLIENT": "220 hostile.example ESMTP"}


class Over(Exception):
    """The connection has come to its end."""


class Server:
    """What all connections have in common."""

    def __init__(self, folder):
        self.folder = folder
        self.journal = (folder / "journal").open("a", buffering=1, encoding="utf-8")
        # One that starts again goes on counting.
        self.connections, self.messages = (
            itertools.count(1 + len(list(folder.glob(f"*.{kind}")))) for kind in ("heard", "message"))
        self.open = 0
        self.read_plan, self.inode = {}, None

    def plan(self):
        path = self.folder / "plan.json"
        if path.stat().st_ino != self.inode:
            self.inode = path.stat().st_ino
            self.read_plan = json.loads(path.read_text())
        return self.read_plan

    def note(self, connection, event, **more):
        self.journal.write(json.dumps({"connection": connection, "event": event, **more}) + "\n")

    async def serve(self, reader, writer):
        number = next(self.connections)
        self.open += 1
        self.note(number, "open", peer=writer.get_extra_info("peername")[0], open=self.open)
        try:
            with (self.folder / f"{number}.heard").open("wb", buffering=0) as heard:
                await Conversation(self, number, reader, writer, heard).run()
        except (Over, OSError):
            pass
        finally:
            self.open -= 1
            self.note(number, "close")
            writer.close()


class Conversation:
    def __init__(self, server, number, reader, writer, heard):
        self.server, self.number = server, number
        self.reader, self.writer, self.heard = reader, writer, heard
        self.held = bytearray()
        self.client = {}  # as XCLIENT or PROXY names it
        self.sender, self.recipients = None, []

    @property
    def plan(self):
        return self.server.plan()

    async def run(self):
        if self.plan.get("proxy"):
            await self.proxy_header()
        await self.answer("connect", "220 hostile.example ESMTP")
        while True:
            await self.command((await self.line()).decode("latin-1"))

    # --- octets ---

    async def more(self):
        octets = await self.reader.read(PIECE)
        if not octets:
            raise Over
        self.heard.write(octets)
        self.held += octets

    async def take(self, length):
        while len(self.held) < length:
            await self.more()
        taken = bytes(self.held[:length])
        del self.held[:length]
        return taken

    async def line(self):
        ends = re.compile(rb"\r\n|\r|\n" if self.plan.get("lenient") else rb"\r\n")
        while not (end := ends.search(self.held)):
            await self.more()
        return (await self.take(end.end()))[:end.start()]

    async def message(self):
        """The message and its end of data."""
        ends, searched = LENIENT_END if self.plan.get("lenient") else STRICT_END, 0
        while not (end := ends.search(self.held, searched)):
            # ^ is the message's first octet and no other's.
            searched = max(0, len(self.held) - END_MAX)
            await self.more()
        return await self.take(end.end())

    async def proxy_header(self):
        head = await self.take(16)
        if head[:12] != PROXY_SIGNATURE:
            self.server.note(self.number, "no PROXY header")
            raise Over
        family, length = head[13], struct.unpack("!H", head[14:])[0]
        body = await self.take(length)
        size = {0x11: 4, 0x21: 16}.get(family, 0)
        if size:
            self.client = {"ADDR": str(ipaddress.ip_address(body[:size])),
                           "PORT": str(struct.unpack("!H", body[2 * size:2 * size + 2])[0])}

    # --- what it says ---

    async def answer(self, stage, usual, detail=None):
        """Does what the plan says of a stage, else the usual. The reply's code, 0 if there was none."""
        stages = self.plan.get("stages", {})
        planned = stages.get(f"{stage} {detail}" if detail else stage, stages.get(stage, {}))
        if isinstance(planned, str):
            planned = {"reply": planned}
        await asyncio.sleep(planned.get("delay_s", 0))
        reply = planned.get("reply", usual)
        octets = "".join(line + "\r\n" for line in reply.splitlines()).encode()
        self.writer.write(octets[:planned.get("octets", len(octets))])
        await self.writer.drain()
        if planned.get("then") == "close":
            raise Over
        if planned.get("then") == "hang":
            await asyncio.Event().wait()
        return int(reply[:3] or 0)

    def greeting_of_ehlo(self):
        lines = ["hostile.example", *self.plan.get("keywords", KEYWORDS)]
        return "\n".join([f"250-{line}" for line in lines[:-1]] + [f"250 {lines[-1]}"])

    # --- what it hears ---

    async def command(self, line):
        words = line.split()
        if not words:
            return
        verb = words[0].upper()
        self.server.note(self.number, "command", line=line)
        if verb not in ANSWERS:
            await self.answer(verb, "500 5.5.2 what")
        elif verb == "RCPT":
            await self.recipient(line)
        elif verb == "DATA":
            await self.data()
        else:
            code = await self.answer(verb, ANSWERS[verb] or self.greeting_of_ehlo())
            self.follow(verb, line, taken=200 <= code < 300)

    def follow(self, verb, line, taken):
        if verb == "MAIL" and taken:
            self.sender, self.recipients = address(line), []
        elif verb == "XCLIENT" and taken:
            self.client.update(word.split("=", 1) for word in line.split()[1:])
        elif verb == "QUIT":
            raise Over
        else:
            self.recipients = []

    async def recipient(self, line):
        if 200 <= await self.answer("RCPT", ANSWERS["RCPT"], address(line)) < 300:
            self.recipients.append(address(line))

    async def data(self):
        if await self.answer("DATA", ANSWERS["DATA"]) != 354:
            return
        await self.answer("message", "")
        octets = await self.message()
        name = f"{next(self.server.messages)}.message"
        (self.server.folder / name).write_bytes(octets)
        self.server.note(self.number, "message", file=name, octets=len(octets), client=self.client,
                         sender=self.sender, recipients=self.recipients)
        if self.plan.get("lmtp"):
            for recipient in self.recipients:
                await self.answer("dot", f"250 2.1.5 {recipient} stored", recipient)
        else:
            await self.answer("dot", "250 2.0.0 stored as it is")
        self.recipients = []


def address(line):
    found = re.search(r"<(.*?)>", line)
    return found[1] if found else ""


async def main(folder, port, *addresses):
    server = await asyncio.start_server(Server(pathlib.Path(folder)).serve, addresses, int(port),
                                        limit=PIECE, backlog=BACKLOG)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    asyncio.run(main(*sys.argv[1:]))
