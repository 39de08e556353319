# SPDX-License-Identifier: BSD-3-Clause
"""Inputs that reach too little of a room are a failure, and told as one. Needs build-coverage."""

import pathlib
import re
import subprocess

TREE = pathlib.Path(__file__).resolve().parents[2]


def test_room_below_its_floor_is_named(tmp_path):
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    (inputs / "one").write_bytes(bytes(100))
    result = subprocess.run([TREE / "tests/fuzz/coverage.py", TREE / "build-coverage", tmp_path,
                             f"fuzz_net_input={inputs}", f"fuzz_tcp_input={inputs}", f"fuzz_smtp_feed={inputs}"],
                            text=True, capture_output=True)
    assert result.returncode == 1, result.stderr
    told = re.findall(r"^FAILED: inputs reach \d+\.\d % of (\w+)'s lines", result.stdout, re.MULTILINE)
    assert told == ["net", "tcp", "smtp", "relay", "control"]
    table = (tmp_path / "coverage.txt").read_text()
    assert "tcp/input.c" in table and "net/route.c" in table
