# SPDX-License-Identifier: BSD-3-Clause
"""The counting of tests: what ran is counted once, what broke is never counted as passed."""

import json
import pathlib
import subprocess

import pytest

RESULTS = pathlib.Path(__file__).resolve().parents[2] / "scripts/lib/results.py"

GOOD = "[==========] Running 2 test(s).\n[ RUN      ] a\n[       OK ] a\n[ RUN      ] b\n[       OK ] b\n"
BAD = "[ RUN      ] a\n[       OK ] a\n[ RUN      ] b\n[  FAILED  ] b\n[ RUN      ] c\n[  SKIPPED ] c\n"
BROKEN_OFF = "[ RUN      ] a\n[       OK ] a\n[ RUN      ] b\n"


def count(kind, path):
    result = subprocess.run([RESULTS, kind, path], text=True, capture_output=True, check=True)
    lines = result.stdout.splitlines()
    return tuple(map(int, lines[-1].split())), "\n".join(lines[:-1])


def meson(tmp_path, **test):
    entry = {"name": "postern:base / thing", "stdout": "", "stderr": "", "result": "OK", "returncode": 0}
    (tmp_path / "log.json").write_text(json.dumps({**entry, **test}) + "\n")
    return count("meson", tmp_path / "log.json")


@pytest.mark.parametrize("test, counts", [
    (dict(stdout=GOOD), (2, 0, 0)),
    (dict(stdout="fine"), (1, 0, 0)),
    (dict(stdout=BAD, result="FAIL", returncode=1), (1, 1, 1)),
    (dict(stdout=BAD), (1, 1, 1)),
    (dict(stdout=BROKEN_OFF, result="FAIL", returncode=-6), (1, 1, 0)),
    (dict(stdout=GOOD, result="FAIL", returncode=1), (2, 1, 0)),
    (dict(stdout=GOOD, result="TIMEOUT", returncode=-15), (2, 1, 0)),
    (dict(stdout="[ RUN      ] a\n"), (0, 1, 0)),
    (dict(stdout=BROKEN_OFF), (1, 1, 0)),
    (dict(stdout="no root\n", result="SKIP", returncode=77), (0, 0, 1)),
    (dict(result="ERROR", returncode=99), (0, 1, 0)),
])
def test_meson_log_is_counted_by_test_cases(tmp_path, test, counts):
    assert meson(tmp_path, **test)[0] == counts


def test_failed_case_is_named_with_its_output(tmp_path):
    _, text = meson(tmp_path, stdout=BAD, stderr="0x1 != 0x2", result="FAIL", returncode=1)
    assert "FAILED: base / thing: FAIL, exit status 1 b" in text and "0x1 != 0x2" in text


def test_skipped_program_is_named_with_its_reason(tmp_path):
    _, text = meson(tmp_path, stdout="needs BPF\n", result="SKIP", returncode=77)
    assert text == "skipped: base / thing: needs BPF"


def test_pytest_report_is_counted(tmp_path):
    report = tmp_path / "report.xml"
    report.write_text(
        '<testsuites><testsuite><properties><property name="note" value="7 of 8"/></properties>'
        '<testcase classname="m" name="a"/>'
        '<testcase classname="m" name="b"><failure message="assert 1 == 2">where</failure></testcase>'
        '<testcase classname="m" name="c"><error message="fixture broke">why</error></testcase>'
        '<testcase classname="m" name="d"><skipped message="needs root"/></testcase>'
        '</testsuite></testsuites>')
    counts, text = count("junit", report)
    assert counts == (1, 2, 1)
    assert "FAILED: m::b: assert 1 == 2" in text and "skipped: m::d: needs root" in text
    assert "note: 7 of 8" in text
