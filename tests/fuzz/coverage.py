#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What of the rooms the inputs of the fuzz targets reach, and whether that is enough.

    coverage.py BUILD LOGS TARGET=FOLDER...      BUILD: made with -Dfuzz=true -Dcoverage=true

Replays the inputs in each FOLDER (a TARGET may be given several times) without changing any, and prints a line
a room: the share of its lines and branches that were reached. LOGS gets a table by files (coverage.txt) and the
sources with how often each line was run (coverage.lines). Exits 1 if a room is below its floor.
"""

import collections
import json
import os
import pathlib
import subprocess
import sys

TREE = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = {"net": "dataplane/net", "tcp": "dataplane/tcp", "smtp": "dataplane/smtp", "relay": "dataplane/relay",
           "control": "control"}
# Of control, what reads what it is given; the rest is files, sockets and the kernel. Of relay, the talk with a next
# hop or a load balancer; nobody outside says anything to the rest.
READERS = {
    "control": ("config.c", "config_schema.c", "config_types.c", "methods.c"),
    "relay": ("hop.c", "hop_command.c", "hop_reply.c", "proxy.c", "proxy_header.c"),
}

# Percent of lines and of branches: a point less than ten seconds from the seeds alone reach on two busy cores (98.8 and
# 97.3, which the seeds reach by themselves; 97.9 and 93.3; 96.5 and 93.4; 100 and 98.0; 92.5 and 77.6). What no input can reach is
# memory that is not there when tcp or smtp starts, and a call against their contract.
FLOORS = {
    "net": (98, 96),
    "tcp": (97, 92),
    "smtp": (95, 92),
    "relay": (99, 97),
    "control": (88, 70),
}
KERNELS = {"route.c"}  # looks at what the kernel says, at no frame


def run(*command, **more):
    result = subprocess.run(command, text=True, capture_output=True, **more)
    if result.returncode:
        sys.exit(f"FAILED: {' '.join(map(str, command[:4]))}: exit status {result.returncode}\n"
                 f"{result.stdout[-2000:]}{result.stderr[-2000:]}")
    return result.stdout


def replay(build, logs, inputs):
    """Runs each target on its folders; returns what llvm-cov must be told of programs and counts."""
    raw = []
    for target, folders in inputs.items():
        raw.append(logs / f"{target}.profraw")
        run(build / "tests/fuzz" / target, "-runs=0", "-timeout=10", *folders,
            env={**os.environ, "LLVM_PROFILE_FILE": str(raw[-1])})
    run("llvm-profdata", "merge", "-sparse", *raw, "-o", logs / "coverage.profdata")
    programs = [build / "tests/fuzz" / target for target in inputs]
    others = [word for program in programs[1:] for word in ("-object", program)]
    return [programs[0], *others, f"-instr-profile={logs / 'coverage.profdata'}"]


def sources(room):
    return sorted(path for path in (TREE / FOLDERS[room]).glob("*.[ch]")
                  if path.name in READERS.get(room, (path.name,)))


def is_measured(path):
    return (path.parent.name in FLOORS and path.name not in KERNELS
            and path in sources(path.parent.name))


def summaries(what):
    """room -> file -> (lines, lines reached, branches, branches reached)"""
    rooms = {room: {} for room in FLOORS}
    report = json.loads(run("llvm-cov", "export", "-summary-only", *what))
    for file in report["data"][0]["files"]:
        path = pathlib.Path(os.path.normpath(file["filename"]))
        if is_measured(path):
            lines, branches = file["summary"]["lines"], file["summary"]["branches"]
            rooms[path.parent.name][path.name] = (lines["count"], lines["covered"],
                                                  branches["count"], branches["covered"])
    return rooms


def percent(reached, count):
    return 100.0 * reached / count if count else 0.0


def line(name, counts):
    lines, reached, branches, taken = counts
    return (f"{name:32} {reached:5} of {lines:5} lines {percent(reached, lines):6.1f} %"
            f" {taken:5} of {branches:5} branches {percent(taken, branches):6.1f} %")


def table(rooms):
    for room, files in rooms.items():
        for name, counts in sorted(files.items()):
            yield line(f"{room}/{name}", counts)
        for path in sources(room):
            if path.suffix == ".c" and path.name not in files:
                yield f"{room}/{path.name:28} in no target"


def reach_their_floors(rooms):
    """Prints the rooms, each."""
    enough = True
    for room, files in rooms.items():
        lines, reached, branches, taken = (sum(column) for column in zip(*files.values())) if files else [0] * 4
        measured = (percent(reached, lines), percent(taken, branches))
        text = f"inputs reach {measured[0]:.1f} % of {room}'s lines and {measured[1]:.1f} % of its branches"
        if all(share >= floor for share, floor in zip(measured, FLOORS[room])):
            print(f"note: {text}")
        else:
            print("FAILED: {}, less than {} and {} %".format(text, *FLOORS[room]))
            enough = False
    return enough


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    build, logs = map(pathlib.Path, sys.argv[1:3])
    inputs = collections.defaultdict(list)
    for word in sys.argv[3:]:
        target, _, folder = word.partition("=")
        inputs[target].append(folder)
    what = replay(build.resolve(), logs, inputs)
    rooms = summaries(what)
    (logs / "coverage.txt").write_text("\n".join(table(rooms)) + "\n")
    (logs / "coverage.lines").write_text(run("llvm-cov", "show", *what, "-ignore-filename-regex=/(base|include|tests)/"))
    sys.exit(0 if reach_their_floors(rooms) else 1)


if __name__ == "__main__":
    main()
