#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Count the tests in a runner's log and show what failed.

    results.py meson LOG.json      a log of `meson test`; a cmocka program counts by its test cases
    results.py junit LOG.xml       a log of pytest

Prints the failed tests with their output, the skipped ones with their reason and what pytest's noted
(a property 'note' of the suite), then, as the last line, three numbers: passed, failed, skipped.
"""

import json
import re
import sys
import xml.etree.ElementTree

OUTPUT_LINES = 80  # of a failed test; the rest is in the log

CMOCKA_VERDICT = re.compile(r"\[ +(OK|FAILED|SKIPPED|ERROR) +\] (\S+)$", re.MULTILINE)
CMOCKA_RUN = re.compile(r"\[ RUN +\] \S+$", re.MULTILINE)


def last_lines(text):
    lines = text.rstrip().splitlines()
    if len(lines) > OUTPUT_LINES:
        lines[:-OUTPUT_LINES] = [f"... {len(lines) - OUTPUT_LINES} lines before"]
    return "\n".join("    " + line for line in lines)


def reason(text):
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else "no reason given"


class Count:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def skip(self, name, why):
        self.skipped += 1
        print(f"skipped: {name}: {why}")

    def fail(self, name, why, output, cases=1):
        self.failed += cases
        print(f"FAILED: {name}: {why}\n{last_lines(output)}")


def cmocka_cases(stdout):
    """Verdicts of a cmocka program's test cases, none if it is not a cmocka program."""
    return [(name, verdict) for verdict, name in CMOCKA_VERDICT.findall(stdout)]


def count_meson(path):
    count = Count()
    with open(path, encoding="utf-8", errors="replace") as log:
        for line in log:
            test = json.loads(line)
            name = test["name"].split(":", 1)[-1]
            stdout, output = test["stdout"], test["stdout"] + test.get("stderr", "")
            cases = cmocka_cases(stdout)
            failed = [case for case, verdict in cases if verdict in ("FAILED", "ERROR")]
            if test["result"] == "SKIP":
                count.skip(name, reason(output))
                continue
            begun = len(CMOCKA_RUN.findall(stdout))
            if test["result"] == "OK" and not begun:
                count.passed += 1
                continue
            count.passed += sum(verdict == "OK" for _, verdict in cases)
            for case, verdict in cases:
                if verdict == "SKIPPED":
                    count.skip(f"{name}: {case}", "skipped by the test")
            if test["result"] == "OK" and begun > len(cases):
                count.fail(name, "a test case without a verdict", output, begun - len(cases))
            if test["result"] != "OK" or failed:
                why = f"{test['result']}, exit status {test['returncode']}"
                count.fail(name, f"{why} {' '.join(failed)}".rstrip(), output,
                           max(1, len(failed)))
    return count


def count_junit(path):
    count = Count()
    report = xml.etree.ElementTree.parse(path)
    for case in report.iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        fault = case.find("failure")
        fault = fault if fault is not None else case.find("error")
        skipped = case.find("skipped")
        if fault is not None:
            output = "\n".join([fault.text or ""] + [
                part.text or "" for part in case if part.tag in ("system-out", "system-err")])
            count.fail(name, (fault.get("message") or "").split("\n")[0], output)
        elif skipped is not None:
            count.skip(name, skipped.get("message"))
        else:
            count.passed += 1
    for said in report.iterfind("testsuite/properties/property[@name='note']"):
        print(f"note: {said.get('value')}")
    return count


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ("meson", "junit"):
        sys.exit(__doc__)
    count = {"meson": count_meson, "junit": count_junit}[sys.argv[1]](sys.argv[2])
    print(count.passed, count.failed, count.skipped)


if __name__ == "__main__":
    main()
