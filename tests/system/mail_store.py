#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A mail server that keeps what it is sent, by aiosmtpd. Says 'ready' when it listens.

    mail_store.py [--delay SECONDS] FOLDER PORT ADDRESS...

Before it says 250, with --delay by so long, a message is in FOLDER as N.eml, to the octet, its dots unstuffed; who it is from and
for is in N.json.
"""

import argparse
import asyncio
import itertools
import json
import pathlib
import socket

from aiosmtpd.smtp import SMTP

BACKLOG = 4096
SIZE_MAX = 100 << 20
LINE_MAX = 1 << 20


class Store:
    def __init__(self, folder, delay_s):
        self.folder, self.delay_s = folder, delay_s
        # One that starts again goes on counting.
        self.numbers = itertools.count(1 + len(list(folder.glob("*.json"))))

    async def handle_DATA(self, server, session, envelope):
        number = next(self.numbers)
        about = {"peer": session.peer[0], "from": envelope.mail_from, "to": envelope.rcpt_tos}
        (self.folder / f"{number}.json").write_text(json.dumps(about))
        unfinished = self.folder / f"{number}.unfinished"
        unfinished.write_bytes(envelope.original_content)
        unfinished.rename(self.folder / f"{number}.eml")
        await asyncio.sleep(self.delay_s)
        return f"250 2.0.0 kept as {number}.eml"


class Server(SMTP):
    line_length_limit = LINE_MAX


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay", type=float, default=0)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("port", type=int)
    parser.add_argument("addresses", nargs="+")
    args = parser.parse_args()
    store = Store(args.folder, args.delay)
    server = await asyncio.get_running_loop().create_server(
        lambda: Server(store, hostname="store.example", data_size_limit=SIZE_MAX, enable_SMTPUTF8=True),
        args.addresses, args.port, family=socket.AF_UNSPEC, backlog=BACKLOG)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
