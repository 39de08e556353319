#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A mail server that keeps what it is sent, by aiosmtpd. Says 'ready' when it listens.

    mail_store.py FOLDER PORT ADDRESS...

Before it says 250 a message is in FOLDER as N.eml, to the octet, its dots unstuffed; who it is from and
for is in N.json.
"""

import asyncio
import itertools
import json
import pathlib
import socket
import sys

from aiosmtpd.smtp import SMTP

BACKLOG = 4096
SIZE_MAX = 100 << 20
LINE_MAX = 1 << 20


class Store:
    def __init__(self, folder):
        self.folder = folder
        # One that starts again goes on counting.
        self.numbers = itertools.count(1 + len(list(folder.glob("*.json"))))

    async def handle_DATA(self, server, session, envelope):
        number = next(self.numbers)
        about = {"peer": session.peer[0], "from": envelope.mail_from, "to": envelope.rcpt_tos}
        (self.folder / f"{number}.json").write_text(json.dumps(about))
        unfinished = self.folder / f"{number}.unfinished"
        unfinished.write_bytes(envelope.original_content)
        unfinished.rename(self.folder / f"{number}.eml")
        return f"250 2.0.0 kept as {number}.eml"


class Server(SMTP):
    line_length_limit = LINE_MAX


async def main(folder, port, *addresses):
    store = Store(pathlib.Path(folder))
    server = await asyncio.get_running_loop().create_server(
        lambda: Server(store, hostname="store.example", data_size_limit=SIZE_MAX, enable_SMTPUTF8=True),
        addresses, int(port), family=socket.AF_UNSPEC, backlog=BACKLOG)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    asyncio.run(main(*sys.argv[1:]))
