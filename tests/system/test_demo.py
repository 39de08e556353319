# SPDX-License-Identifier: BSD-3-Clause
"""scripts/demo: shows what it says, again and again, and takes down what it set up."""

import os
import signal
import subprocess

import pytest

from lab import BUILD, ROOT, as_at_a_terminal

pytestmark = pytest.mark.skipif(BUILD != ROOT / "build", reason="the demonstration uses build/")


def demo(lab, **more):
    return subprocess.Popen([ROOT / "scripts/demo"], env=lab.env, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                            preexec_fn=as_at_a_terminal, **more)


def is_gone(lab):
    return not lab.namespaces() and not lab.run_dir.exists()


def test_it_shows_all_and_leaves_nothing_twice(new_lab):
    for _ in range(2):
        with demo(new_lab) as run:
            told = run.communicate(timeout=120)[0]
        assert run.returncode == 0, told
        for shown in ("RCPT TO:<anna@example.net>\n    <-  250 2.1.5",
                      "RCPT TO:<anno@example.net>\n    <** 550 5.1.1", "<** 421 4.7.1",
                      "250 2.0.0 kept as 1.eml (", "| Received: from client.example ([198.18.66.5])",
                      "    | Subject: hello\n    | \n    | This came through the gateway.\n",
                      "198.18.66.6  shut out  harvest", "stopped in order"):
            assert shown in told
        assert is_gone(new_lab)


def test_interrupted_it_leaves_nothing(new_lab):
    with demo(new_lab, start_new_session=True) as run:
        for line in run.stdout:
            if "guesses:" in line:
                break
        os.killpg(run.pid, signal.SIGINT)
        told = run.communicate(timeout=60)[0]
    assert run.returncode == 130, told
    assert is_gone(new_lab)


def test_killed_it_is_cleared_away_by_the_next(new_lab):
    with demo(new_lab, start_new_session=True) as run:
        for line in run.stdout:
            if "guesses:" in line:
                break
        os.killpg(run.pid, signal.SIGKILL)
    assert not is_gone(new_lab)
    with demo(new_lab) as run:
        told = run.communicate(timeout=120)[0]
    assert run.returncode == 0, told
    assert is_gone(new_lab)


def test_a_lab_of_somebody_else_is_left_alone(new_lab):
    new_lab.up()
    with demo(new_lab) as run:
        told = run.communicate(timeout=60)[0]
    assert run.returncode == 1 and "the lab is up" in told
    new_lab.command("status")
