# SPDX-License-Identifier: BSD-3-Clause
"""scripts/test itself: what fails, runs nothing or leaves something behind does not pass."""

import os
import pathlib
import select
import shutil
import subprocess

import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]
WITH_OWN_MOUNTS = pytest.mark.skipif(
    subprocess.run(["/usr/bin/unshare", "--mount", "true"], capture_output=True).returncode != 0,
    reason="needs root and mount namespaces")
FORGETS_A_PROCESS = """
import subprocess
def test_forgets():
    subprocess.Popen(["/usr/bin/sleep", "300"], start_new_session=True)
"""
FORGETS_A_NAMESPACE = """
import subprocess
def test_forgets():
    subprocess.run(["/usr/sbin/ip", "netns", "add", "planted"], check=True)
"""


@pytest.fixture
def run_checks(tmp_path):
    """A function that runs scripts/test over a tree whose only tests are the text given."""
    shutil.copytree(TREE / "scripts", tmp_path / "scripts")
    (tmp_path / "tests/checks").mkdir(parents=True)
    (tmp_path / ".ci").mkdir()

    def run(text, *arguments, **environment):
        (tmp_path / "tests/checks/test_planted.py").write_text(text)
        result = subprocess.run([tmp_path / "scripts/test", "--only", "checks", *arguments], text=True,
                                capture_output=True, env={**os.environ, **environment})
        return result.returncode, result.stdout.splitlines()
    return run


# What apt is asked for on a machine that has nothing.
FRESH_MACHINE = """
. scripts/lib/setup.sh
dpkg-query() { return 1; }
debconf-set-selections() { cat >/dev/null; }
id() { echo 0; }
dpkg() { echo /etc/init.d/planted; }
update-rc.d() { echo "update-rc.d $*" >&2; }
apt-get() {
	local words=$* path
	echo "apt-get $words"
	[[ $words == *DPkg::Path=* ]] || return 0
	path=${words##*DPkg::Path=}
	path=${path%% *}
	PATH=$path type -p invoke-rc.d deb-systemd-invoke | xargs readlink >&2
}
install_packages """


def on_a_fresh_machine(*sections):
    return subprocess.run(["/bin/bash", "-c", FRESH_MACHINE + " ".join(sections)], cwd=TREE, check=True,
                          text=True, capture_output=True)


def asked_of_apt(*sections):
    return on_a_fresh_machine(*sections).stdout.splitlines()[-1].split()


def test_to_build_no_mail_server_is_installed():
    asked = asked_of_apt("build")
    assert {"libdpdk-dev", "bpftool"} <= set(asked)
    assert not {"postfix", "msmtp", "nmap", "libcmocka-dev"} & set(asked)


def test_to_test_all_is_installed_and_nothing_that_is_there_removed():
    asked = asked_of_apt("build", "test")
    assert {"libdpdk-dev", "postfix", "dovecot-lmtpd", "libcmocka-dev", "--no-remove"} <= set(asked)


def test_what_is_installed_to_test_with_starts_neither_now_nor_with_the_machine():
    done = on_a_fresh_machine("test")
    assert done.stderr.splitlines()[-3:] == ["/bin/true", "/bin/true", "update-rc.d planted disable"], done


def test_passing_tests_pass(run_checks):
    status, lines = run_checks("def test_a(): pass\ndef test_b(): pass\n")
    assert (status, lines[-1]) == (0, "2 passed, 0 failed")


def test_caller_s_environment_changes_nothing(run_checks):
    status, lines = run_checks("def test_a(): pass\n", CI="true", PATH="/nonexistent:/usr/bin",
                               PYTHONPATH="/nonexistent", PYTEST_ADDOPTS="--nonsense", CC="nonsense")
    assert (status, lines[-1]) == (0, "1 passed, 0 failed")


def test_failing_test_fails_and_is_shown(run_checks):
    status, lines = run_checks("def test_a(): pass\ndef test_b(): assert 'this' == 'that'\n")
    assert (status, lines[-1]) == (1, "1 passed, 1 failed")
    assert any("test_planted::test_b" in line for line in lines)
    assert any("assert 'this' == 'that'" in line for line in lines)


def test_skipped_test_is_counted_and_named(run_checks):
    status, lines = run_checks("import pytest\ndef test_a(): pass\n"
                               "def test_b(): pytest.skip('no BPF here')\n")
    assert (status, lines[-1]) == (0, "1 passed, 0 failed, 1 skipped")
    assert any("test_b: no BPF here" in line for line in lines)


def test_note_of_a_tier_that_passed_is_shown(run_checks, tmp_path):
    (tmp_path / "scripts/check-layers").write_text("#!/bin/bash\necho 'note: 7 of 8'\necho 'and more'\n")
    status, lines = run_checks("def test_a(): pass\n", "--only", "layers")
    assert (status, lines[-1]) == (0, "2 passed, 0 failed")
    assert "note: 7 of 8" in lines and "and more" not in lines


def test_no_test_is_a_failure(run_checks):
    status, lines = run_checks("")
    assert (status, lines[-1]) == (1, "0 passed, 1 failed")


def test_tree_that_does_not_build_is_a_failure(run_checks):
    status, lines = run_checks("def test_a(): pass\n", "--only", "rooms")
    assert (status, lines[-1]) == (1, "1 passed, 1 failed")


def ends(process):
    """Whether a killed process ends soon, reaped or not."""
    try:
        fd = os.pidfd_open(int(process))
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], 10)[0])
    finally:
        os.close(fd)


@WITH_OWN_MOUNTS
@pytest.mark.parametrize("text, trace", [
    (FORGETS_A_PROCESS, "sleep 300"),
    (FORGETS_A_NAMESPACE, "/run/netns/planted"),
], ids=["process", "namespace"])
def test_trace_left_behind_is_a_failure(run_checks, text, trace):
    status, lines = run_checks(text)
    assert (status, lines[-1]) == (1, "1 passed, 1 failed")
    left = [line for line in lines if trace in line]
    assert len(left) == 1
    if trace.startswith("sleep"):
        assert ends(left[0].split()[0])
