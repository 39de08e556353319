# SPDX-License-Identifier: BSD-3-Clause
"""A bug planted in a copy of a room's file, for checks that must find it.

All but the file with the bug is taken from a build that is there.
"""

import dataclasses
import json
import pathlib
import shlex
import subprocess

TREE = pathlib.Path(__file__).resolve().parents[2]


@dataclasses.dataclass
class Bug:
    """In a file of the folder, what stands once becomes what shall not; and the target that must see it."""
    file: str
    right: str
    wrong: str
    target: str
    folder: str = "dataplane"


def run(words, build):
    result = subprocess.run(words, cwd=build, text=True, capture_output=True)
    assert result.returncode == 0, result.stdout + result.stderr


def compiled(bug, build, folder):
    """The object of the file with the bug in it."""
    path = TREE / bug.folder / bug.file
    text = path.read_text()
    assert text.count(bug.right) == 1, f"{bug.file} has changed: this bug can no longer be planted"
    planted = folder / path.name
    planted.write_text(text.replace(bug.right, bug.wrong))
    # A test may compile it too, in its own way.
    entry, = (entry for entry in json.loads((build / "compile_commands.json").read_text())
              if (build / entry["file"]).resolve() == path and entry["output"].startswith(f"{bug.folder}/"))
    words = [str(planted) if word == entry["file"] else word for word in shlex.split(entry["command"])]
    words[words.index("-o") + 1] = str(planted.with_suffix(".o"))
    run(words, build)
    return planted.with_suffix(".o")


def linked(bug, build, where, folder):
    """The target of build/where, with an object that comes before the room's own of the same name."""
    instead = compiled(bug, build, folder)
    commands = subprocess.run(["ninja", "-t", "commands", f"{where}/{bug.target}"], cwd=build, text=True,
                              capture_output=True, check=True).stdout.splitlines()
    words = shlex.split(commands[-1])
    output = words.index("-o") + 1
    words[output:output + 1] = [str(folder / bug.target), str(instead)]
    run(words, build)
    return folder / bug.target
