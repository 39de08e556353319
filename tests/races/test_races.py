# SPDX-License-Identifier: BSD-3-Clause
"""What workers and control share has no data race, says ThreadSanitizer; and one that is planted it finds.

Needs build-tsan.
"""

import dataclasses
import os
import pathlib
import subprocess
import sys

import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TREE / "tests/common"))

from planted import Bug, linked  # noqa: E402

BUILD = TREE / "build-tsan"
TESTS = {
    "policy/test_harvest_shared": ["300"],
    "policy/test_recipients_shared": [],
    "relay/test_pools_shared": ["20000"],
    "relay/test_refusals_shared": ["20000"],
}

BUGS = {
    "score_is_changed_without_looking": Bug(
        "policy/harvest.c", "return atomic_compare_exchange_strong(at, expected, desired);",
        "*(uint64_t *)at = desired;\n\treturn true;", "policy/test_harvest_shared"),
    "entry_is_told_before_it_is_written": Bug(
        "policy/harvest_table.c", "atomic_store_explicit(&b->keys[p.slot], key, memory_order_release);",
        "*(uint64_t *)&b->keys[p.slot] = key;", "policy/test_harvest_shared"),
    "digest_is_stored_beside_its_readers": Bug(
        "policy/recipients.c", "atomic_store_explicit(at, word, memory_order_release);",
        "*(uint32_t *)at = word;", "policy/test_recipients_shared"),
    "health_is_changed_without_looking": Bug(
        "relay/pools.c", "while (changed != word && !swap(&s->health, &word, changed));",
        "while (0);\n\t*(uint64_t *)&s->health = changed;", "relay/test_pools_shared"),
    "error_is_written_beside_its_readers": Bug(
        "relay/pools.c", "whole_write(s->error, words, ERROR_WORDS);",
        "for (unsigned i = 0; i < ERROR_WORDS; i++)\n\t\t((uint64_t *)s->error)[i] = words[i];",
        "relay/test_pools_shared"),
    "refusal_is_written_beside_its_readers": Bug(
        "relay/refusals.c", "whole_write(e->words, words, WORDS);",
        "for (unsigned i = 0; i < WORDS; i++)\n\t\t((uint64_t *)e->words)[i] = words[i];",
        "relay/test_refusals_shared"),
}


def run(program, *words):
    # Where addresses are as random as can be the sanitizer finds no room for its shadow.
    return subprocess.run(["setarch", "--addr-no-randomize", program, *words], text=True, capture_output=True,
                          timeout=120, env={**os.environ, "TSAN_OPTIONS": "halt_on_error=1"})


@pytest.mark.parametrize("test", TESTS)
def test_threads_do_not_race(test):
    done = run(BUILD / "tests" / test, *TESTS[test])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS)
def test_planted_race_is_found(bug, tmp_path):
    room, target = bug.target.split("/")
    planted = dataclasses.replace(bug, target=target)
    done = run(linked(planted, BUILD, f"tests/{room}", tmp_path), *TESTS[bug.target])
    assert done.returncode != 0, done.stdout + done.stderr
    assert "WARNING: ThreadSanitizer: data race" in done.stderr, done.stdout + done.stderr
