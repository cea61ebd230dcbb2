"""Compare what a suite of tests says patched and unpatched. Shared by tests/stdlib and tests/peers.

A suite runs in a child process that writes each outcome to a file (run_module.py says how). The
child is watched: a crash and a hang are outcomes of the test that was running, and the tests after
it are run in a new child. What passes unpatched and does not pass patched differs. Each test that
differs is run once more alone on both sides: one that passes then, or does not pass unpatched then,
is unstable, and said to be. Known differences are expected, and must be there.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .run_module import DUMP_TASKS, DUMP_THREADS

PASSED = ("ok", "xfail")
TEST_SECONDS = 120.0  # how long one test may take
HANGING_SECONDS = 20.0  # and one that is known to hang
RESTARTS = 10  # crashes and hangs after which the rest of a suite is not run


def matches(pattern: str, test: str) -> bool:
    """Tell whether a test's id is meant by a pattern, in which only * is special."""
    parts = map(re.escape, pattern.split("*"))
    return re.fullmatch(".*".join(parts), test, re.DOTALL) is not None


@dataclass(frozen=True)
class Known:
    """One known difference.

    test     the test's id, for CPython's own without the leading "test."; or a pattern with *: then
             at least one of the tests that it matches must differ
    reason   why it differs, and why that is left so
    pythons  the versions on which it differs, () for all
    hangs    it does not end: it is run alone, with a short time limit
    flaky    it does not always differ
    """

    test: str
    reason: str
    pythons: tuple[str, ...] = ()
    hangs: bool = False
    flaky: bool = False

    def matches(self, test: str) -> bool:
        """Tell whether a test's id is meant."""
        return matches(self.test, test.removeprefix("test."))

    def holds_on(self, version: str) -> bool:
        """Tell whether a version ("3.11") is meant."""
        return not self.pythons or version in self.pythons


@dataclass
class Run:
    """What one or more child processes said of a suite.

    all       the ids of all its tests, in order
    outcomes  id -> (outcome, text)
    broken    ids of the tests in which a child crashed or hung
    notes     errors that nobody caught
    """

    all: list[str] = field(default_factory=list)
    outcomes: dict[str, tuple[str, str]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def passed(self, test: str) -> bool:
        """Tell whether a test was run and passed."""
        return self.outcomes.get(test, ("", ""))[0] in PASSED

    def why(self, test: str) -> tuple[str, str]:
        """Return outcome and text of a test that did not pass."""
        if test in self.outcomes:
            return self.outcomes[test]
        # Not run at all: its class or module could not be set up, or said that it is not for here.
        stopped = [
            (outcome, text)
            for name, (outcome, text) in self.outcomes.items()
            if name not in self.all and outcome not in PASSED
        ]
        skipped = bool(stopped) and all(outcome == "skip" for outcome, _ in stopped)
        return "skip" if skipped else "not run", "\n".join(text for _, text in stopped)


@dataclass
class Difference:
    """A test that passes unpatched, and what came of it patched."""

    test: str
    outcome: str
    text: str

    def __str__(self) -> str:
        return f"{self.test}: {self.outcome}\n{self.text.rstrip()}\n"


@dataclass
class Report:
    """What came of a suite. Each of its tests is in one of the six below `tests`.

    plain       how many of its tests passed unpatched, None if not all of them were run so
    tests       how many there are
    passed      patched; those that passed need not be run unpatched
    skipped     patched, and no pass unpatched
    failing     neither passed nor skipped patched, and no pass unpatched either
    differing   pass unpatched and not patched, and are not listed
    known       listed in known.py, with the reason
    stale       entries of known.py that no longer hold, as sentences
    unstable    differed once, and not when run alone
    """

    name: str
    tests: int = 0
    plain: int | None = None
    passed: int = 0
    skipped: int = 0
    failing: int = 0
    seconds: float = 0.0
    baseline_seconds: float = 0.0
    differing: list[Difference] = field(default_factory=list)
    known: list[tuple[Difference, Known]] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    unstable: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether there is nothing that is not expected."""
        return not self.differing and not self.stale

    def line(self) -> str:
        """Return the report in one line."""
        return (
            f"{self.name}: {self.tests} tests, {self.passed} passed, {self.skipped} skipped, "
            f"{self.failing} fail unpatched too, {len(self.differing)} differ, "
            f"{len(self.known)} known, {len(self.unstable)} unstable, {len(self.stale)} stale, "
            f"{self.seconds:.0f} s patched, {self.baseline_seconds:.0f} s unpatched"
        )

    def text(self) -> str:
        """Return what is to be looked at, with tracebacks."""
        parts, texts = [], set()
        for difference in self.differing:
            if difference.text in texts:  # hundreds, if a suite could not be set up
                difference = Difference(difference.test, difference.outcome, "the same")
            texts.add(difference.text)
            parts.append(f"--- differs: {difference}")
        parts += [f"--- {sentence}" for sentence in self.stale]
        parts += [f"--- not when run alone: {difference}" for difference in self.unstable]
        return "\n".join(parts)


class Suite:
    """Tests that a child process runs.

    name          what reports call it
    test_seconds  how long one test may take
    show          print what the child prints
    """

    def __init__(self, name: str, test_seconds: float = TEST_SECONDS, show: bool = False) -> None:
        self.name = name
        self.test_seconds = test_seconds
        self.show = show

    def command(self, order: dict[str, Any], inside: str) -> tuple[list[str], str, dict[str, str]]:
        """Return the child's arguments, its folder and more environment variables.

        order   what run_module.py is told: results, patched, only, but; to be completed
        inside  an empty folder
        """
        raise NotImplementedError

    def run(
        self,
        patched: bool,
        only: list[str] | None = None,
        but: list[str] | None = None,
        test_seconds: float | None = None,
    ) -> Run:
        """Run the tests, starting anew after each crash and hang."""
        run = Run()
        but = list(but or ())
        for _ in range(RESTARTS):
            broken = self._run_child(run, patched, only, but, test_seconds)
            if broken is None:
                break
            run.broken.append(broken)
            if broken not in run.all:
                break  # while it loaded, or after its last test
            but = [*but, *(test for test in run.all if test in run.outcomes)]
        return run

    def _run_child(
        self,
        run: Run,
        patched: bool,
        only: list[str] | None,
        but: list[str],
        test_seconds: float | None,
    ) -> str | None:
        """Run one child; add what it says to run. Returns the id in which it broke, or None."""
        folder = tempfile.mkdtemp(prefix="greenroom-suite-")
        results, output = os.path.join(folder, "results"), os.path.join(folder, "output")
        inside = os.path.join(folder, "cwd")
        os.mkdir(inside)
        Path(results).touch()
        order = {"results": results, "patched": patched, "only": only, "but": but}
        command, cwd, more = self.command(order, inside)
        env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        env |= {"TMPDIR": folder, **more}
        started = time.monotonic()
        with open(output, "wb") as sink:
            child = subprocess.Popen(
                command,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=None if self.show else sink,
                stderr=None if self.show else subprocess.STDOUT,
                start_new_session=True,
            )
            size = self._wait(child, results, test_seconds or self.test_seconds)
        run.seconds += time.monotonic() - started
        hung = size is not None
        running, ended = _read(results, run, size)
        said = Path(output).read_bytes().decode(errors="replace")
        shutil.rmtree(folder, ignore_errors=True)
        if not hung and ended and child.returncode == 0:
            return None
        where = running or (f"{self.name} (after the last test)" if ended else self.name)
        tail = "\n".join(said.splitlines()[-150:])
        if hung:
            run.outcomes[where] = ("hang", tail)
        else:
            run.outcomes[where] = (f"crash, status {child.returncode}", tail)
        return where

    def _wait(
        self, child: "subprocess.Popen[bytes]", results: str, test_seconds: float
    ) -> int | None:
        """Wait for the child's end.

        Returns the size of results if it said nothing more for too long, and was killed.
        """
        size, since = 0, time.monotonic()
        try:
            while True:
                try:
                    child.wait(0.2)
                    return None
                except subprocess.TimeoutExpired:
                    pass
                now = os.stat(results).st_size
                if now != size:
                    size, since = now, time.monotonic()
                elif time.monotonic() - since > test_seconds:
                    for number in (DUMP_THREADS, DUMP_TASKS):
                        child.send_signal(number)
                        time.sleep(1)
                    return size  # the dump may have let it go on
        finally:
            try:
                os.killpg(child.pid, signal.SIGKILL)  # it leads a group of its own
            except ProcessLookupError:
                pass
            child.wait()


def _read(results: str, run: Run, size: int | None) -> tuple[str | None, bool]:
    """Read a child's lines, or the first size bytes, into run.

    Returns the test that was running, and whether the child came to its end.
    """
    running, ended = None, False
    for line in Path(results).read_bytes()[:size].decode().splitlines():
        entry = json.loads(line)
        if "all" in entry:
            run.all = entry["all"]
        elif "start" in entry:
            running = entry["start"]
        elif "test" in entry:
            running = None
            before = run.outcomes.get(entry["test"])
            if before is None or before[0] in PASSED:  # of two with one name the worse counts
                run.outcomes[entry["test"]] = (entry["outcome"], entry["text"])
        elif "note" in entry:
            run.notes.append(entry["note"])
        else:
            ended = True
    return running, ended


def compare(suite: Suite, known: Sequence[Known], whole: bool = False) -> Report:
    """Run a suite patched and unpatched.

    whole   run all of it unpatched, not only what did not pass patched
    """
    report = Report(suite.name)
    patched = suite.run(True, but=hanging(suite, known))
    if any(entry.hangs for entry in known):
        alone = [test for test in patched.all if any(k.hangs and k.matches(test) for k in known)]
        late = suite.run(True, only=alone, test_seconds=HANGING_SECONDS)
        patched.outcomes.update({test: late.why(test) for test in alone})
    tests = list(dict.fromkeys(patched.all))  # a few have the name of another
    report.seconds, report.notes, report.tests = patched.seconds, patched.notes, len(tests)
    doubtful = [test for test in tests if not patched.passed(test)]
    plain = suite.run(False, only=None if whole else doubtful)
    lost = [test for test in plain.all if test not in set(patched.all)]
    if whole:
        report.plain = sum(map(plain.passed, plain.all))
        report.notes += [f"{test} unpatched: {plain.why(test)[1]}" for test in plain.broken]
    elif lost:
        rest = suite.run(False, only=lost)
        plain.outcomes.update(rest.outcomes)
        plain.seconds += rest.seconds
    report.baseline_seconds = plain.seconds
    same = [patched.why(test)[0] for test in doubtful if not plain.passed(test)]
    report.passed = len(tests) - len(doubtful)
    report.skipped = same.count("skip")
    report.failing = len(same) - report.skipped
    differing = [
        Difference(test, *patched.why(test))
        for test in dict.fromkeys([*doubtful, *lost])
        if plain.passed(test)
    ]
    # Broken outside any test: while the suite was loaded, or at the interpreter's end.
    differing += [
        Difference(test, *patched.outcomes[test])
        for test in patched.broken
        if test not in patched.all and test not in plain.broken
    ]
    judge(suite, report, known, differing, set(patched.all))
    return report


def hanging(suite: Suite, known: Sequence[Known]) -> list[str]:
    """Return the ids of the tests that are known to hang."""
    if not any(entry.hangs for entry in known):
        return []
    everything = suite.run(False, only=[]).all
    return [test for test in everything if any(k.hangs and k.matches(test) for k in known)]


def judge(
    suite: Suite,
    report: Report,
    known: Sequence[Known],
    differing: list[Difference],
    tests: set[str],
) -> None:
    """Sort the differences into known, unstable and others; find what known.py has too much."""
    used: set[Known] = set()
    others = []
    for difference in differing:
        entry = next((one for one in known if one.matches(difference.test)), None)
        if entry is not None:
            used.add(entry)
            report.known.append((difference, entry))
        else:
            others.append(difference)
    for difference, stable in zip(others, confirmed(suite, report, others), strict=True):
        (report.differing if stable else report.unstable).append(difference)
    for entry in known:
        if entry in used or entry.flaky:
            continue
        if any(entry.matches(test) for test in tests):
            report.stale.append(f"known.py lists {entry.test}, which no longer differs")
        else:
            report.stale.append(f"known.py lists {entry.test}, and there is no such test")


def confirmed(suite: Suite, report: Report, differences: list[Difference]) -> list[bool]:
    """Run what differs once more, alone on both sides; say of each whether it differs again."""
    found = []
    for difference in differences:
        if difference.outcome.startswith(("hang", "crash")) or len(differences) > 20:
            found.append(True)  # never dismissed; more than 20 at once are no accident
            continue
        only = [difference.test]
        again = suite.run(True, only=only)
        plain = suite.run(False, only=only)
        report.seconds += again.seconds
        report.baseline_seconds += plain.seconds
        found.append(not again.passed(difference.test) and plain.passed(difference.test))
    return found
