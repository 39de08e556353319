# SPDX-License-Identifier: BSD-3-Clause
"""What scripts/install puts where, and whether a service manager and the kernel let it run so."""

import os
import re
import shutil
import signal
import subprocess

import pytest

from lab import ROOT, Lab

UNITS = "usr/local/lib/systemd/system"
INSTALLED = {
    "usr/local/sbin/posternd": 0o755,
    "usr/local/bin/posternctl": 0o755,
    f"{UNITS}/posternd.service": 0o644,
    f"{UNITS}/run-postern-bpf.mount": 0o644,
    "etc/postern/postern.yaml": 0o640,
    "etc/postern/example.net.recipients": 0o600,
}


def install(destination):
    return subprocess.run([ROOT / "scripts" / "install", "--destdir", destination], check=True,
                          text=True, capture_output=True, timeout=600).stdout


def files_below(folder):
    return {str(path.relative_to(folder)): path.stat().st_mode & 0o777
            for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed")
    install(folder)
    return folder


@pytest.fixture
def example(installed, tmp_path):
    """The example configuration, its directory where it was installed to."""
    text = (installed / "etc/postern/postern.yaml").read_text()
    path = tmp_path / "postern.yaml"
    path.write_text(text.replace("/etc/postern", str(installed / "etc/postern")))
    return path


@pytest.fixture
def unit(installed):
    return (installed / UNITS / "posternd.service").read_text()


def test_all_is_installed_and_nothing_else(installed):
    assert files_below(installed) == INSTALLED


def test_the_list_of_who_exists_is_nobodys_but_roots(installed):
    assert (installed / "etc/postern").stat().st_mode & 0o777 == 0o750


def test_a_second_time_leaves_the_configuration_as_it_is(tmp_path):
    install(tmp_path)
    config = tmp_path / "etc/postern/postern.yaml"
    config.write_text("hostname: mine\n")
    assert f"{config}: is there, left as it is" in install(tmp_path)
    assert config.read_text() == "hostname: mine\n"
    assert files_below(tmp_path) == INSTALLED


def test_the_example_is_sound(installed, example):
    done = subprocess.run([installed / "usr/local/sbin/posternd", "-c", example, "-t"], text=True,
                          capture_output=True, timeout=60)
    assert done.returncode == 0 and "sound; 1 recipients of 1 domains" in done.stdout, done


def test_it_is_started_again_for_as_long_as_it_fails(unit):
    before, service = unit.split("[Service]")
    assert "\nStartLimitIntervalSec=0\n" in before
    assert "\nRestart=on-failure\n" in service and "\nRestartPreventExitStatus=2\n" in service


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd here")
def test_systemd_finds_no_fault_with_the_units(installed, unit, tmp_path):
    service = tmp_path / "posternd.service"
    service.write_text(unit.replace("/usr/local", str(installed / "usr/local")))
    mount = shutil.copy(installed / UNITS / "run-postern-bpf.mount", tmp_path)
    # It writes below /run, which is not ours.
    alone = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /run && exec "$@"', "sh"]
    done = subprocess.run([*(alone if os.geteuid() == 0 else []), "systemd-analyze", "verify", service,
                           mount], text=True, capture_output=True, timeout=60)
    assert done.returncode == 0 and done.stderr == "", done


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_units_capabilities_suffice_for_af_xdp(installed, unit, example):
    names = re.search(r"^CapabilityBoundingSet=(.*)$", unit, re.MULTILINE)[1].lower().split()
    bounding = ",".join(["-all"] + [name.replace("cap_", "+") for name in names])
    lab = Lab.new()
    try:
        lab.up()
        example.write_text(example.read_text().replace("eth0", "mx0").replace(
            "/var/lib/postern", str(example.parent)) +
            f"control: {{socket: {lab.run_dir}/control.sock}}\n"
            f"shield: {{bpffs: {lab.bpffs}}}\n")
        service = lab.start("gw", "setpriv", "--bounding-set", bounding, "--no-new-privs",
                            installed / "usr/local/sbin/posternd", "-c", example)
        service.wait_for("ready")
        service.send_signal(signal.SIGTERM)
        assert service.wait() == 0, service.story()
        told = ["posternd: mx0: mail is taken at 198.18.0.25, fd00:18::25\n"]
        assert service.errors == told, service.story()
    finally:
        lab.down()
