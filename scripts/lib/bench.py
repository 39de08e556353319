#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Run a bench and tell its medians. scripts/bench is how a person calls it.

A bench is a file of tests/bench/benches: its first line of documentation says what it measures,
FIGURES what comes out, `run(options)` measures once. How one is added: tests/bench/README.md.
"""

import argparse
import importlib
import json
import pathlib
import signal
import statistics
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BENCHES = ROOT / "tests/bench/benches"
RUNS = 3

sys.path[:0] = [str(ROOT / "tests/bench"), str(ROOT / "tests/system"), str(BENCHES)]


def names():
    return sorted(path.stem for path in BENCHES.glob("*.py"))


def list_all():
    for name in names():
        print(f"{name:<12} {importlib.import_module(name).__doc__.splitlines()[0]}")


def parse(words):
    parser = argparse.ArgumentParser(prog="scripts/bench", add_help=False)
    parser.add_argument("name", choices=names())
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--seconds", type=int)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--connections", type=int)
    options = parser.parse_args(words)
    for number in (options.runs, options.seconds, options.connections):
        if number is not None and number < 1:
            parser.error("what is counted begins at 1")
    return options


def summary(bench, figures, runs):
    """A dictionary a figure. A run's value is a number, or a pair with the baseline's."""
    for metric, (unit, *baseline) in figures.items():
        values = [run[metric] for run in runs]
        row = {"bench": bench, "metric": metric, "unit": unit, "runs": len(values)}
        if baseline:
            ours, theirs = zip(*values)
            row |= {"median": statistics.median(ours), "values": ours, "baseline": baseline[0],
                    "baseline_median": statistics.median(theirs)}
            row["ratio"] = row["median"] / row["baseline_median"] if row["baseline_median"] else None
        else:
            row |= {"median": statistics.median(values), "values": values}
        yield row


def readable(number):
    if number is None:
        return "-"
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"


def table(rows):
    cells = [["figure", "median", "unit", "least", "most", "runs", "baseline", "its median", "ratio"]]
    for row in rows:
        cells.append([row["metric"], readable(row["median"]), row["unit"], readable(min(row["values"])),
                      readable(max(row["values"])), str(row["runs"]), row.get("baseline", ""),
                      readable(row["baseline_median"]) if "baseline" in row else "",
                      readable(row["ratio"]) if "baseline" in row else ""])
    if not any(row[6] for row in cells[1:]):
        cells = [row[:6] for row in cells]
    widths = [max(map(len, column)) for column in zip(*cells)]
    left = (0, 2, 6)
    for row in cells:
        print("  ".join(cell.ljust(width) if i in left else cell.rjust(width)
                        for i, (cell, width) in enumerate(zip(row, widths))).rstrip())


def end(*_):
    raise KeyboardInterrupt


def main():
    if len(sys.argv) == 1:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # nobody has to read to the end
        list_all()
        return 0
    options = parse(sys.argv[1:])
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    bench = importlib.import_module(options.name)
    runs = []
    try:
        for _ in range(options.runs):
            runs.append(bench.run(options))
    except AssertionError as fault:
        print(f"{options.name}: {fault}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    rows = list(summary(options.name, bench.FIGURES, runs))
    if options.json:
        for row in rows:
            print(json.dumps(row))
    else:
        table(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
