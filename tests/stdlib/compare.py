"""Compare what CPython's own tests say patched and unpatched, on one interpreter.

    python -m tests.stdlib test_queue test_select
    python -m tests.stdlib --python .venvs/3.13/bin/python --all
    python -m tests.stdlib --python .venvs/3.13/bin/python --all --record
    python -m tests.stdlib --test test.test_queue.CQueueTest.test_basic

A module is run patched first. What did not pass is run unpatched; what passes there differs
(differences.py says what is made of that). Differences listed in known.py are expected, and must be
there.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import differences
from .differences import TEST_SECONDS, Difference, Report, Suite
from .known import known_of
from .modules import NETWORK, SECONDS
from .results import record

HERE = Path(__file__).resolve().parent
CHILD = HERE / "run_module.py"


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


class Module(Suite):
    """A module of CPython's tests ("test_queue")."""

    def __init__(self, interpreter: Interpreter, module: str) -> None:
        super().__init__(module, interpreter.test_seconds, interpreter.show)
        self.interpreter = interpreter

    def command(self, order: dict[str, Any], inside: str) -> tuple[list[str], str, dict[str, str]]:
        """As Suite.command."""
        order |= {
            "module": "test." + self.name,
            "network": self.name in NETWORK,
            "children": self.interpreter.children,
        }
        return [self.interpreter.python, str(CHILD), json.dumps(order)], inside, {}


def compare(interpreter: Interpreter, module: str) -> Report:
    """Run a module patched and, as far as needed, unpatched."""
    suite = Module(interpreter, module)
    return differences.compare(suite, known_of(module, interpreter.version()))


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
        run = Module(interpreter, module).run(patched, only=[test])
        bad += not run.passed(test)
        print(Difference(test, *run.why(test)), *run.notes, sep="\n", flush=True)
    return 1 if bad else 0
