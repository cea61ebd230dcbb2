"""Compare what CPython's own tests say patched and unpatched, on one interpreter.

    python -m tests.stdlib test_queue test_select
    python -m tests.stdlib --python .venvs/3.13/bin/python --all
    python -m tests.stdlib --python .venvs/3.13/bin/python --all --record
    python -m tests.stdlib --test test.test_queue.CQueueTest.test_basic

A module is run patched first. What did not pass is run unpatched; what passes there differs. Each
that differs is run once more alone on both sides: one that passes then, or does not pass unpatched
then, is unstable, and said to be. A crash and a hang are differences of the test that was running;
the tests after it are run in a new process. Differences listed in known.py are expected, and must
be there.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from .known import Known, known_of
from .modules import NETWORK, SECONDS
from .results import record
from .run_module import DUMP_TASKS, DUMP_THREADS

HERE = Path(__file__).resolve().parent
CHILD = HERE / "run_module.py"
PASSED = ("ok", "xfail")
TEST_SECONDS = 120.0  # how long one test may take
HANGING_SECONDS = 20.0  # and one that is known to hang
RESTARTS = 10  # after so many crashes and hangs the rest of a module is left


@dataclass
class Run:
    """What one or more child processes said of a module.

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
    """What came of a module. Each of its tests is in one of the six below `tests`.

    tests       how many there are
    passed      patched; those that passed need not be run unpatched
    skipped     patched, and no pass unpatched
    failing     neither passed nor skipped patched, and no pass unpatched either
    differing   pass unpatched and not patched, and are not listed
    known       listed in known.py, with the reason
    stale       entries of known.py that no longer hold, as sentences
    unstable    differed once, and not when run alone
    """

    module: str
    tests: int = 0
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
            f"{self.module}: {self.tests} tests, {self.passed} passed, {self.skipped} skipped, "
            f"{self.failing} fail unpatched too, {len(self.differing)} differ, "
            f"{len(self.known)} known, {len(self.unstable)} unstable, {len(self.stale)} stale, "
            f"{self.seconds:.0f} s patched, {self.baseline_seconds:.0f} s unpatched"
        )

    def text(self) -> str:
        """Return what is to be looked at, with tracebacks."""
        parts = [f"--- differs: {difference}" for difference in self.differing]
        parts += [f"--- {sentence}" for sentence in self.stale]
        parts += [f"--- not when run alone: {difference}" for difference in self.unstable]
        return "\n".join(parts)


@dataclass
class Interpreter:
    """The Python whose tests are run.

    children  patch the interpreters that the tests start through test.support.script_helper, too
    """

    python: str = sys.executable
    children: bool = True
    test_seconds: float = TEST_SECONDS
    show: bool = False

    def version(self) -> str:
        """Return "3.11"."""
        return ".".join(self.release().split(".")[:2])

    def release(self) -> str:
        """Return "3.11.7"."""
        code = "import platform; print(platform.python_version())"
        return subprocess.check_output([self.python, "-c", code], text=True).strip()

    def has(self, modules: list[str]) -> list[str]:
        """Return those of the modules ("test_queue") that this Python has."""
        names = ["test." + module for module in modules]
        try:
            found = subprocess.run(
                [self.python, str(CHILD), "--has", *names], capture_output=True, text=True
            )
        except OSError as error:
            raise SystemExit(f"cannot run {self.python}: {error}") from None
        return [name.removeprefix("test.") for name in found.stdout.split()]

    def run(
        self,
        module: str,
        patched: bool,
        only: list[str] | None = None,
        but: list[str] | None = None,
        test_seconds: float | None = None,
    ) -> Run:
        """Run a module's tests, starting anew after each crash and hang."""
        run = Run()
        but = list(but or ())
        for _ in range(RESTARTS):
            broken = self._run_child(run, module, patched, only, but, test_seconds)
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
        module: str,
        patched: bool,
        only: list[str] | None,
        but: list[str],
        test_seconds: float | None,
    ) -> str | None:
        """Run one child; add what it says to run. Returns the id in which it broke, or None."""
        folder = tempfile.mkdtemp(prefix="greenroom-stdlib-")
        results, output = os.path.join(folder, "results"), os.path.join(folder, "output")
        inside = os.path.join(folder, "cwd")
        os.mkdir(inside)
        Path(results).touch()
        order = {
            "module": "test." + module,
            "results": results,
            "patched": patched,
            "only": only,
            "but": but,
            "network": module in NETWORK,
            "children": self.children,
        }
        env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        env["TMPDIR"] = folder
        started = time.monotonic()
        with open(output, "wb") as sink:
            child = subprocess.Popen(
                [self.python, str(CHILD), json.dumps(order)],
                cwd=inside,
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
        where = running or (f"test.{module} (after the last test)" if ended else f"test.{module}")
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


def compare(interpreter: Interpreter, module: str) -> Report:
    """Run a module patched and, as far as needed, unpatched."""
    report = Report(module)
    known = known_of(module, interpreter.version())
    patched = interpreter.run(module, True, but=hanging(interpreter, module, known))
    if any(entry.hangs for entry in known):
        alone = [test for test in patched.all if any(k.hangs and k.matches(test) for k in known)]
        late = interpreter.run(module, True, only=alone, test_seconds=HANGING_SECONDS)
        patched.outcomes.update({test: late.why(test) for test in alone})
    tests = list(dict.fromkeys(patched.all))  # a few have the name of another
    report.seconds, report.notes, report.tests = patched.seconds, patched.notes, len(tests)
    doubtful = [test for test in tests if not patched.passed(test)]
    plain = interpreter.run(module, False, only=doubtful)
    lost = [test for test in plain.all if test not in set(patched.all)]
    if lost:
        rest = interpreter.run(module, False, only=lost)
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
    # Broken outside any test: while the module was loaded, or at the interpreter's end.
    differing += [
        Difference(test, *patched.outcomes[test])
        for test in patched.broken
        if test not in patched.all and test not in plain.broken
    ]
    judge(interpreter, report, known, differing, set(patched.all))
    return report


def hanging(interpreter: Interpreter, module: str, known: list[Known]) -> list[str]:
    """Return the ids of the tests that are known to hang."""
    if not any(entry.hangs for entry in known):
        return []
    everything = interpreter.run(module, False, only=[]).all
    return [test for test in everything if any(k.hangs and k.matches(test) for k in known)]


def judge(
    interpreter: Interpreter,
    report: Report,
    known: list[Known],
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
    for difference, stable in zip(others, confirmed(interpreter, report, others), strict=True):
        (report.differing if stable else report.unstable).append(difference)
    for entry in known:
        if entry in used or entry.flaky:
            continue
        if any(entry.matches(test) for test in tests):
            report.stale.append(f"known.py lists {entry.test}, which no longer differs")
        else:
            report.stale.append(f"known.py lists {entry.test}, and there is no such test")


def confirmed(
    interpreter: Interpreter, report: Report, differences: list[Difference]
) -> list[bool]:
    """Run what differs once more, alone on both sides; say of each whether it differs again."""
    found = []
    for difference in differences:
        if difference.outcome.startswith(("hang", "crash")) or len(differences) > 20:
            found.append(True)  # never dismissed; and with so many it is no accident
            continue
        only = [difference.test]
        again = interpreter.run(report.module, True, only=only)
        plain = interpreter.run(report.module, False, only=only)
        report.seconds += again.seconds
        report.baseline_seconds += plain.seconds
        found.append(not again.passed(difference.test) and plain.passed(difference.test))
    return found


def main() -> int:
    """Compare modules; return 0 if nothing unexpected was found."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.stdlib",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="test_queue, for example")
    parser.add_argument("--python", default=sys.executable, help="an interpreter with greenroom")
    parser.add_argument("--all", action="store_true", help="every module of modules.py")
    parser.add_argument("--record", action="store_true", help="write the counts into results/")
    parser.add_argument("--test", action="append", help="this test only, with its output shown")
    parser.add_argument("--plain", action="store_true", help="with --test: unpatched")
    parser.add_argument("--notes", action="store_true", help="show errors that nobody caught")
    parser.add_argument("--no-children", action="store_true", help="leave child interpreters")
    parser.add_argument("--seconds", type=float, default=TEST_SECONDS, help="for a single test")
    options = parser.parse_args()
    interpreter = Interpreter(options.python, not options.no_children, options.seconds)
    if options.test:
        return one_by_one(interpreter, options.test, not options.plain)
    modules = list(SECONDS) if options.all else options.modules
    if not modules:
        parser.error("name a module, or say --all")
    there = interpreter.has(modules)
    bad = 0
    sums = [0, 0, 0]
    for module in modules:
        if module not in there:
            print(f"{module}: {options.python} has no such module", flush=True)
            bad += not options.all
            if options.record:
                record(interpreter.release(), module, None)
            continue
        report = compare(interpreter, module)
        print(report.line(), flush=True)
        if options.record:
            record(interpreter.release(), module, report)
        if text := report.text():
            print(text, flush=True)
        if options.notes and report.notes:
            print("\n".join(f"--- {note}" for note in report.notes), flush=True)
        bad += not report.good
        for place, part in enumerate((report.differing, report.known, report.unstable)):
            sums[place] += len(part)
    if options.record:
        print("recorded: python scripts/conformance.py writes docs/conformance.md from it")
    print(f"{sums[0]} differ, {sums[1]} known differences, {sums[2]} unstable")
    return 1 if bad else 0


def one_by_one(interpreter: Interpreter, tests: list[str], patched: bool) -> int:
    """Run single tests with their output shown."""
    interpreter.show = True
    bad = 0
    for test in tests:
        test = test if test.startswith("test.") else "test." + test
        parts = test.split(".")
        # test.MODULE.Class.method, where MODULE may be a package and a module in it
        module = ".".join(parts[1:3] if parts[2].startswith("test_") else parts[1:2])
        run = interpreter.run(module, patched, only=[test])
        bad += not run.passed(test)
        print(Difference(test, *run.why(test)), *run.notes, sep="\n", flush=True)
    return 1 if bad else 0
