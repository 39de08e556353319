# SPDX-License-Identifier: BSD-3-Clause
"""Benches and the generator: small enough to say nothing about speed, all their checks at work."""

import contextlib
import functools
import json
import math
import os
import pathlib
import signal
import subprocess
import sys
import uuid

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / "scripts/lib"), str(ROOT / "tests/system"), str(HERE)]

import bench  # noqa: E402
import link as links  # noqa: E402
import live_harvest  # noqa: E402
from lab import BUILD, as_at_a_terminal, patiently  # noqa: E402

pytestmark = pytest.mark.skipif(not os.access("/run", os.W_OK), reason="needs root for the EAL")

SMALL = ["--runs", "1", "--seconds", "1", "--connections", "1000"]


def scripts_bench(*words, env=None):
    return subprocess.run([ROOT / "scripts/bench", *words], text=True, capture_output=True, timeout=120,
                          env={**os.environ, "POSTERN_BUILD": str(BUILD), **(env or {})})


@pytest.fixture
def link():
    with links.link() as it:
        yield it


def judged(generator):
    """Exit status, counts and the sentence on stderr."""
    status = generator.wait()
    counts = generator.next_json()
    return status, counts, generator.errors[-1] if generator.errors else ""


# --- scripts/bench ------------------------------------------------------------------------------


def test_without_a_name_every_bench_is_listed():
    listed = [line.split()[0] for line in scripts_bench().stdout.splitlines()]
    assert listed == bench.names() and {"idle", "synflood"} <= set(listed)
    helped = scripts_bench("--help")
    assert helped.returncode == 0 and all(name in helped.stdout for name in listed)


def test_an_unknown_bench_is_refused():
    done = scripts_bench("nonsense")
    assert done.returncode == 2 and "nonsense" in done.stderr and not done.stdout


@pytest.mark.parametrize("name", bench.names())
def test_a_bench_tells_each_of_its_figures_in_a_line_of_json(name):
    done = scripts_bench(name, "--json", *SMALL)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    figures = bench.importlib.import_module(name).FIGURES
    assert [row["metric"] for row in rows] == list(figures)
    for row in rows:
        assert row["bench"] == name and row["unit"] == figures[row["metric"]][0]
        assert row["runs"] == 1 and row["values"] == [row["median"]]
        assert math.isfinite(row["median"])
    values = {row["metric"]: row["median"] for row in rows}
    assert all(0 <= value <= 1 for metric, value in values.items() if metric.endswith("_share"))
    if name == "idle":
        # More than what TCP keeps of one at least, and no buffer's worth.
        assert 150 < values["bytes_per_conversation"] < 2048
    if name == "harvest":
        assert values["answered_guesses_max"] == 4
    if name == "synflood":
        assert values["cookies_per_second"] > 0 and values["good_per_second"] > 0


def test_a_comparison_tells_both_medians_and_their_ratio():
    runs = [{"ours_ns": (3, 10)}, {"ours_ns": (1, 30)}, {"ours_ns": (2, 20)}]
    row, = bench.summary("some", {"ours_ns": ("ns", "theirs")}, runs)
    assert row == {"bench": "some", "metric": "ours_ns", "unit": "ns", "runs": 3, "median": 2,
                   "values": (3, 1, 2), "baseline": "theirs", "baseline_median": 20, "ratio": 0.1}


def test_a_person_gets_a_table(capsys):
    bench.table(bench.summary("some", {"ours_ns": ("ns", "theirs")}, [{"ours_ns": (2, 4)}]))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["figure", "median"]
    assert lines[1].split() == ["ours_ns", "2", "ns", "2", "2", "1", "theirs", "4", "0.5"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name, programs", [("idle", {"tcp_service", "generator"}),
                                            ("harvest", {"posternd"})])
def test_an_interrupted_bench_leaves_nothing_behind(tmp_path, name, programs, number):
    mark = f"POSTERN_BENCH_MARK={uuid.uuid4()}"
    env = dict(os.environ, POSTERN_BUILD=str(BUILD), TMPDIR=str(tmp_path),
               **dict([mark.split("=")]))

    def marked():
        found = []
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if mark.encode() in (process / "environ").read_bytes():
                    found.append((process / "comm").read_text().strip())
            except OSError:
                pass  # it has just ended
        return found

    with subprocess.Popen([ROOT / "scripts/bench", name, "--connections", "1000", "--seconds", "60"],
                          env=env, stdout=subprocess.DEVNULL, preexec_fn=as_at_a_terminal) as running:
        patiently(lambda: programs <= set(marked()), "its programs run", 30)
        running.send_signal(number)
        assert running.wait(30) == 130
    patiently(lambda: not marked(), "every program has ended", 10)
    assert list(tmp_path.iterdir()) == []


# --- what makes the generator fail ----------------------------------------------------------------


@pytest.mark.parametrize("service, words, fault", [
    ("chargen", [], "differs"),                     # another greeting than it must be
    ("chargen", ["--bytes", 0], "cut_short"),       # FIN instead of one
    ("echo", [], "late"),                           # none at all
])
def test_what_is_no_greeting_makes_conversations_fail(link, service, words, fault):
    gateway = link.gateway(*words, service=service)
    status, counts, why = judged(link.generator(
        "--address", links.CLIENT, "--script", "nul", "--conversations", 20, "--patience", 1))
    assert status == 1 and "conversation" in why
    assert counts["clients"]["faults"][fault] == 20 and counts["clients"]["well"] == 0
    gateway.finish()


def test_a_port_nobody_listens_on_loses_every_conversation(link):
    gateway = link.gateway()
    status, counts, why = judged(link.generator(
        "--target", f"[{links.GATEWAY}]:26", "--address", links.CLIENT, "--script", "nul",
        "--conversations", 20))
    assert status == 1 and "went well" in why
    assert counts["clients"]["lost"] == counts["clients"]["faults"]["refused"] == 20
    gateway.finish()


@pytest.mark.parametrize("service, why", [
    ("chargen", "answers to strangers were wrong"),
    ("echo", "brought no greeting"),
])
def test_a_completed_handshake_without_its_greeting_makes_a_flood_fail(link, service, why):
    gateway = link.gateway("--conns", 1000, service=service)
    status, counts, said = judged(link.generator(
        "--syn-rate", 2000, "--syn-network", links.STRANGERS, "--complete", 100, "--seconds", 1))
    assert status == 1 and why in said
    assert counts["flood"]["completed"] > 0 and counts["flood"]["greeted"] == 0
    gateway.finish()


def test_time_is_up_for_what_is_held(link):
    gateway = link.gateway()
    generator = link.generator("--address", links.CLIENT, "--script", "nul-held",
                               "--conversations", 100, "--seconds", 1)
    generator.wait_for("held")
    status, counts, why = judged(generator)
    assert status == 1 and "went well" in why
    assert counts["clients"]["faults"]["stopped"] == counts["clients"]["greeted"] == 100
    gateway.finish()


@pytest.mark.parametrize("name, measure", [
    ("idle", lambda of: of.memory_with(100, 1)),
    ("synflood", lambda of: of.saturated(1, 1000)),
])
def test_a_bench_says_what_its_clients_heard_wrong(monkeypatch, name, measure):
    gateway = functools.partialmethod(links.Link.gateway, service="chargen")
    monkeypatch.setattr(links.Link, "gateway", gateway)
    with pytest.raises(AssertionError, match="wrong|held"):
        measure(bench.importlib.import_module(name))


def test_a_recipient_that_is_refused_is_heard(link):
    recipients = bench.importlib.import_module("recipients")
    directory = link.folder / "recipients"
    recipients.write_directory(directory, 10)
    gateway = link.posternd(directory)
    status, counts, why = judged(link.generator(
        "--address", links.CLIENT, "--script", "rcpt", "--names", 1000, "--conversations", 20))
    assert status == 1 and "wrong" in why
    assert counts["clients"]["faults"]["differs"] == 20
    assert gateway.stop() == 0


def test_a_source_nobody_flagged_leaves_no_figure_of_the_shield():
    module = bench.importlib.import_module("shield")
    done = subprocess.run([module.PROGRAM, module.FRAMES, "100", "0.1", "99"], text=True,
                          capture_output=True)
    assert done.returncode == 1 and "were dropped" in done.stderr and not done.stdout


def test_a_guesser_that_learns_too_much_or_is_never_dropped_leaves_no_figure():
    client = {"answered": 4, "answered_us": 350, "sent_us": [100, 200, 300, 400]}
    assert live_harvest.first_drop_ms(client, 1) == 0.05
    assert live_harvest.first_drop_ms(client, 4) == -0.25
    for of, drops in ((client, 0), (client, 5), ({**client, "answered": 5}, 1),
                      ({**client, "answered": 0}, 1)):
        with pytest.raises(AssertionError):
            live_harvest.first_drop_ms(of, drops)


@pytest.mark.parametrize("first_ms, gap_ms, rebuilt, holds", [
    (1, 0.1, 1, True), (1.01, 0.1, 1, False), (1.5, 1.21, 1, True), (-0.1, 0.1, 0, False)])
def test_the_bar_of_a_drop_is_a_millisecond_or_what_a_spinner_loses(first_ms, gap_ms, rebuilt, holds):
    figures = {"first_drop_ms_p99": first_ms, "spinner_gap_ms_p99": gap_ms, "directories_rebuilt": rebuilt}
    with contextlib.nullcontext() if holds else pytest.raises(AssertionError):
        live_harvest.check_bar(figures)


# --- and what does not ------------------------------------------------------------------------------


@pytest.mark.parametrize("network, target, address", [
    (links.STRANGERS, f"[{links.GATEWAY}]:{links.PORT}", links.CLIENT),
    ("198.19.0.0", f"198.18.0.25:{links.PORT}", "198.18.0.1"),
], ids=["ipv6", "ipv4"])
def test_clients_and_strangers_are_both_served(link, network, target, address):
    gateway = link.gateway("--address", "198.18.0.25", "--conns", 4000)
    status, counts, why = judged(link.generator(
        "--target", target, "--address", f"{address}+3", "--script", "nul", "--rate", 200,
        "--syn-rate", 5000, "--syn-network", network, "--complete", 50, "--seconds", 2))
    assert status == 0, why
    clients, flood = counts["clients"], counts["flood"]
    assert clients["well"] == clients["opened"] > 0 and clients["wrong"] == 0
    assert flood["completed"] == flood["greeted"] > 0 and flood["wrong"] == 0
    assert gateway.finish()["counters"]["tcp_cookies_good"] > 0


def test_more_conversations_than_one_address_has_ports(link):
    gateway = link.gateway("--conns", 140_000)
    status, counts, why = judged(link.generator(
        "--address", f"{links.CLIENT}+2", "--script", "nul", "--conversations", 70_000,
        "--at-once", 200, "--patience", 30))
    assert status == 0, why
    assert counts["clients"]["well"] == 70_000
    gateway.finish()
