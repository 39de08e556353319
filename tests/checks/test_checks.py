# SPDX-License-Identifier: BSD-3-Clause
"""Each check of the tree finds what it is there for: a violation is planted in a copy and must be named.

A check that finds nothing anywhere is worth nothing, and would go unnoticed.
"""

import json
import pathlib
import shlex
import shutil
import subprocess

import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ("bpf", "control", "dataplane", "include", "scripts", "tests", ".clang-format", ".clang-tidy")
HEAD = "/* SPDX-License-Identifier: BSD-3-Clause */\n/*\n * A planted file.\n */\n"


@pytest.fixture
def copy(tmp_path):
    """A copy of the tree's sources."""
    for name in FOLDERS:
        source = TREE / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name)
        else:
            shutil.copy2(source, tmp_path / name)
    return tmp_path


def run(tree, script, *arguments):
    """Exit status and output of a copy's check."""
    result = subprocess.run([tree / "scripts" / script, *arguments], text=True, capture_output=True)
    return result.returncode, result.stdout + result.stderr


def violations(tree):
    """What check-layers names."""
    return set(run(tree, "check-layers")[1].splitlines()[:-1])


def plant(tree, path, *lines):
    (tree / path).parent.mkdir(parents=True, exist_ok=True)
    (tree / path).write_text(HEAD + "\n".join(lines) + "\n")
    return len(HEAD.splitlines())


@pytest.mark.parametrize("path, include", [
    ("dataplane/base/planted.c", '"net/net.h"'),
    ("dataplane/base/planted.c", '"postern/routes.h"'),
    ("dataplane/base/planted.h", "<rte_mbuf.h>"),
    ("dataplane/net/planted.c", '"tcp/tcp.h"'),
    ("dataplane/net/planted.c", '"port/port.h"'),
    ("dataplane/net/planted.c", "<rte_ethdev.h>"),
    ("dataplane/net/planted.c", "<sys/socket.h>"),
    ("dataplane/tcp/planted.c", '"worker/worker.h"'),
    ("dataplane/tcp/planted.c", "<rte_cycles.h>"),
    ("dataplane/tcp/planted.c", "<time.h>"),
    ("dataplane/tcp/deeper/planted.c", "<pthread.h>"),
    ("dataplane/tcp/planted.c", '"../port/port.h"'),
    ("dataplane/tcp/planted.c", "PLANTED_HEADER"),
    ("dataplane/smtp/planted.c", '"tcp/tcp.h"'),
    ("dataplane/smtp/planted.c", "<rte_mbuf.h>"),
    ("dataplane/policy/planted.c", "<rte_rcu_qsbr.h>"),
    ("dataplane/relay/planted.c", '"policy/policy.h"'),
    ("dataplane/port/planted.c", '"net/net.h"'),
    ("dataplane/worker/planted.c", '"control/shield.h"'),
    ("control/planted.c", '"worker/worker.h"'),
    ("control/planted.c", "<rte_eal.h>"),
    ("bpf/planted.c", '"base/span.h"'),
    ("bpf/planted.c", "<stdio.h>"),
    ("include/postern/planted.h", '"base/span.h"'),
    ("include/postern/planted.h", "<rte_mbuf.h>"),
    ("include/postern/planted.h", "<sys/socket.h>"),
    ("tests/net/planted.c", '"tcp/tcp.h"'),
    ("tests/tcp/planted.c", '"port/port.h"'),
])
def test_forbidden_include_is_named(copy, path, include):
    before = violations(copy)
    above = plant(copy, path, "#include <stdint.h>", f"#include {include}")
    found = violations(copy) - before
    assert [violation.startswith(f"{path}:{above + 2}: ") for violation in found] == [True]
    assert run(copy, "check-layers")[0] == 1


def test_room_outside_the_table_is_named(copy):
    plant(copy, "dataplane/attic/planted.c", "#include <stdint.h>")
    status, output = run(copy, "check-layers")
    assert status == 1 and "dataplane/attic" in output


def test_tree_without_sources_does_not_pass(tmp_path):
    (tmp_path / "dataplane").mkdir()
    (tmp_path / "tests").mkdir()
    shutil.copytree(TREE / "scripts", tmp_path / "scripts")
    assert run(tmp_path, "check-layers")[0] == 1
    assert run(tmp_path, "check-statics", tmp_path / "build")[0] == 1


@pytest.mark.parametrize("path, text, complaint", [
    ("dataplane/base/planted.c", "int planted;\n", "names no license"),
    ("dataplane/base/planted.c", "// SPDX-License-Identifier: X\nint planted;\n", "what it is for"),
    ("dataplane/base/planted.c", HEAD + "/* TO" + "DO: later */\n", "line 5 leaves something to be done"),
    ("dataplane/base/planted.c", HEAD + "int planted; \n", "line 5 ends with white space"),
    ("scripts/planted", "#!/bin/sh\n# SPDX-License-Identifier: X\n", "cannot be run"),
])
def test_broken_promise_of_a_file_is_named(copy, path, text, complaint):
    (copy / path).write_text(text)
    status, output = run(copy, "check-tree")
    assert status == 1
    assert path in output and complaint in output


def test_input_of_a_fuzzer_is_held_to_no_form(copy):
    plant = copy / "tests/fuzz/regressions/fuzz_planted/input"
    plant.parent.mkdir(parents=True)
    plant.write_text("no license \nand no end")
    assert run(copy, "check-tree")[0] == 0


@pytest.fixture
def objects(tmp_path):
    """A function that compiles a text as an object of the room base, as a release build leaves it."""
    shutil.copytree(TREE / "scripts", tmp_path / "scripts")
    folder = tmp_path / "build/dataplane/base/libbase.a.p"
    folder.mkdir(parents=True)

    def compile_object(text):
        plant(tmp_path, "dataplane/base/planted.c", text)
        subprocess.run(["/usr/bin/gcc", "-O2", "-fPIC", "-c", tmp_path / "dataplane/base/planted.c",
                        "-o", folder / "planted.c.o"], check=True)
        return run(tmp_path, "check-statics", tmp_path / "build")
    return compile_object


@pytest.mark.parametrize("text, section", [
    ("int planted;", ".bss"),
    ("int planted = 1;", ".data"),
    ("static int planted; int count(void) { return ++planted; }", ".bss"),
    ("int count(void) { static int planted = 7; return ++planted; }", ".data"),
    ("static _Thread_local int planted; int count(void) { return ++planted; }", ".tbss"),
    ('const char *planted[] = {"a"};', ".data.rel"),
    ("__attribute__((visibility(\"hidden\"))) int planted;", ".bss"),
])
def test_writable_static_is_named(objects, text, section):
    status, output = objects(text)
    assert status == 1
    assert "planted.c.o: planted" in output and section in output


def test_constants_are_no_writable_statics(objects):
    status, output = objects('const char *const planted[] = {"a"}; const int one = 1;')
    assert (status, output) == (0, "1 objects, 0 faults\n")


def test_room_without_objects_is_named(objects, tmp_path):
    plant(tmp_path, "dataplane/net/planted.c", "int nothing(void);")
    status, output = objects("int planted(void) { return 1; }")
    assert status == 1 and "dataplane/net" in output


def test_misformatted_file_is_named(copy):
    plant(copy, "dataplane/base/planted.c", "int  planted( void ) {return 1;}")
    result = subprocess.run(["clang-format", "--dry-run", "-Werror", "dataplane/base/planted.c"],
                            cwd=copy, capture_output=True, text=True)
    assert result.returncode != 0 and "planted.c" in result.stderr


@pytest.fixture
def tidy(tmp_path):
    """A function that runs check-tidy over a tree of one file, compiled with the flags given."""
    shutil.copytree(TREE / "scripts", tmp_path / "scripts")
    shutil.copy2(TREE / ".clang-tidy", tmp_path)
    build = tmp_path / "build"
    build.mkdir()

    def run_tidy(text, *flags, files=("dataplane/base/planted.c",)):
        plant(tmp_path, "dataplane/base/planted.c", text)
        (build / "compile_commands.json").write_text(json.dumps([
            {"directory": str(build), "file": f"../{name}",
             "command": shlex.join(["clang", *flags, "-o", "planted.o", "-c", f"../{name}"])}
            for name in files]))
        return run(tmp_path, "check-tidy", build)
    return run_tidy


FAULTY = "int planted(int a);\nint planted(int a)\n{\n\tif (a)\n\t\t;\n\treturn 1 / (a - a);\n}"
FLAGGED = ("#ifdef PLANTED\nint planted(void);\nint planted(void)\n{\n\tint *p = 0;\n\n\treturn *p;\n}\n"
           "#endif\nint fine;")


def test_finding_is_named_every_time(tidy):
    for _ in range(2):
        status, output = tidy(FAULTY)
        assert status == 1 and "planted.c" in output and "1 with findings" in output


def test_clean_file_is_looked_at_again_when_text_or_flags_change(tidy):
    for _ in range(2):
        assert tidy(FLAGGED)[0] == 0
    assert tidy(FLAGGED, "-DPLANTED")[0] == 1
    assert tidy(FLAGGED)[0] == 0
    assert tidy(FAULTY)[0] == 1


def test_finding_in_generated_code_is_not_ours(tidy, tmp_path):
    (tmp_path / "build/generated.h").write_text(
        "static inline int generated(int *p)\n{\n\tif (!p)\n\t\treturn *p;\n\treturn 0;\n}\n")
    text = '#include "generated.h"\nint use(void);\nint use(void)\n{\n\treturn generated(0);\n}'
    assert tidy(text, "-I.")[0] == 0
    assert tidy(text.replace("generated(0)", "*(int *)0 + generated(0)"), "-I.")[0] == 1


def test_file_in_no_target_is_named(tidy):
    status, output = tidy(FLAGGED, files=())
    assert status == 1 and "in no target" in output
