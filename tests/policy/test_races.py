# SPDX-License-Identifier: BSD-3-Clause
"""What workers and control share has no data race, says ThreadSanitizer; and one that is planted it finds.

Needs build-tsan.
"""

import os
import pathlib
import subprocess
import sys

import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TREE / "tests/common"))

from planted import Bug, linked  # noqa: E402

BUILD = TREE / "build-tsan"
FOLDER = "tests/policy"
TESTS = {"test_harvest_shared": ["300"], "test_recipients_shared": []}

BUGS = {
    "score_is_changed_without_looking": Bug(
        "policy/harvest.c", "return atomic_compare_exchange_strong(at, expected, desired);",
        "*(uint64_t *)at = desired;\n\treturn true;", "test_harvest_shared"),
    "entry_is_told_before_it_is_written": Bug(
        "policy/harvest_table.c", "atomic_store_explicit(&b->keys[p.slot], key, memory_order_release);",
        "*(uint64_t *)&b->keys[p.slot] = key;", "test_harvest_shared"),
    "digest_is_stored_beside_its_readers": Bug(
        "policy/recipients.c", "atomic_store_explicit(at, word, memory_order_release);",
        "*(uint32_t *)at = word;", "test_recipients_shared"),
}


def run(program, *words):
    # Where addresses are as random as can be the sanitizer finds no room for its shadow.
    return subprocess.run(["setarch", "--addr-no-randomize", program, *words], text=True, capture_output=True,
                          timeout=120, env={**os.environ, "TSAN_OPTIONS": "halt_on_error=1"})


@pytest.mark.parametrize("test", TESTS)
def test_threads_do_not_race(test):
    done = run(BUILD / FOLDER / test, *TESTS[test])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS)
def test_planted_race_is_found(bug, tmp_path):
    done = run(linked(bug, BUILD, FOLDER, tmp_path), *TESTS[bug.target])
    assert done.returncode != 0, done.stdout + done.stderr
    assert "WARNING: ThreadSanitizer: data race" in done.stderr, done.stdout + done.stderr
