#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Says lines to an SMTP server, one behind the other's reply, by Python's smtplib.

    smtp_client.py [--source IP] [--hold] [--connections N] [--piece N] ADDRESS PORT LINE...

A line that is @FILE stands for the octets of that file, which are sent as they are, with --piece no
more than N at a time; it is left out unless the last reply was 354. Prints the replies, the greeting first, as a JSON list of "CODE TEXT", the lines of one joined by \\n;
null where the connection ended instead. With --hold it then says `held`, and what the server says of
its own accord next. With --connections N-1 others are greeted before, and what each of them is told
at the end is printed as a second list.
"""

import argparse
import json
import pathlib
import smtplib
import socket


def reply(server):
    try:
        code, text = server.getreply()
    except smtplib.SMTPServerDisconnected:
        return None
    return f"{code} {text.decode()}"


def connect(args):
    server = smtplib.SMTP(timeout=args.timeout, source_address=(args.source, 0) if args.source else None)
    code, text = server.connect(args.address, args.port)
    return server, f"{code} {text.decode()}"


def send_file(server, path, piece):
    octets = pathlib.Path(path).read_bytes()
    server.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for at in range(0, len(octets), piece or len(octets)):
        server.sock.sendall(octets[at:at + piece] if piece else octets)


def say(server, line, piece):
    try:
        if line.startswith("@"):
            send_file(server, line[1:], piece)
        else:
            server.putcmd(line)
    except (smtplib.SMTPServerDisconnected, OSError):
        return None
    return reply(server)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--source")
    parser.add_argument("--timeout", type=float, default=20)
    parser.add_argument("--hold", action="store_true")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--piece", type=int)
    parser.add_argument("lines", nargs="*")
    args = parser.parse_args()
    others = [connect(args)[0] for _ in range(args.connections - 1)]
    server, greeting = connect(args)
    said = [greeting]
    for line in args.lines:
        if said[-1] is not None and (line[0] != "@" or said[-1].startswith("354")):
            said.append(say(server, line, args.piece))
    print(json.dumps(said), flush=True)
    if others:
        print(json.dumps([reply(other) for other in others]), flush=True)
    if args.hold:
        print("held", flush=True)
        print(json.dumps(reply(server)), flush=True)


if __name__ == "__main__":
    main()
