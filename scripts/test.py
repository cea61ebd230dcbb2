"""Run every check on every CPython found. `make test` calls this; it needs nothing but Python.

Each leg is a virtual environment of its own under .venvs, made from nothing or brought up to date:

  lint         ruff, mypy --strict, the import layers
  compiled     all tests, on the Python this runs on
  selectors    the same build on the plain poller, which is the oracle of the epoll one
  plain        all tests but tests/services on an uncompiled install, with the oldest gunicorn
  3.12, 3.13…  the same, compiled, on every other CPython >= 3.11 on this machine
  peers        the suites of some other packages, patched (scripts/peers.py), on the newest CPython
               that they are pinned for

Quick checks come first; then two things are done at a time, each line with the name of its leg.
A test that does not end is cut off with the tracebacks of all threads (pyproject.toml says when), a
leg that does not end after LIMIT seconds. GREENROOM_STRESS_SECONDS says how long the stress test of
the compiled leg runs (60 where CI is set).
"""

import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENVS = ROOT / ".venvs"
WANTED = ("3.11", "3.12", "3.13", "3.14", "3.15")
# Where scripts/pythons.sh puts interpreters that the machine has not installed.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
FETCHED = Path(os.environ.get("GREENROOM_PYTHONS") or CACHE / "greenroom" / "pythons") / "bin"
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
# Exact versions: a new one of these finds new things in code that has not changed. And what the
# public modules import, for mypy takes a module that is not there for an error.
LINT = [*EXTRAS["lint"], *EXTRAS["http"], *EXTRAS["reload"], "pytest>=9", "hypothesis>=6"]
BUILD = ["setuptools>=77", "cython>=3.1,<4", "greenlet>=3.2"]
TEST = EXTRAS["test"]
SERVICES = EXTRAS["services"]  # the clients that tests/services runs
OLDEST = ["gunicorn==23.0.0"]  # the others have the newest; contrib/gunicorn.py is for all between

PEERS = "3.14"  # tests/peers/suites.py pins what runs on it

LIMIT = 1200  # seconds that one command may take; the longest takes some 500 on a quiet machine

# Left to the compiled leg, for time: the clients do not differ by version or by build.
LESS = ["--ignore=tests/services"]
# What differs by version, of CPython's own tests: about 90 s a version on a busy machine with two
# cores. The compiled leg runs others (tests/stdlib); all are run for docs/conformance.md.
STDLIB = ",".join(
    (
        "test_asyncio.test_base_events",
        "test_asyncio.test_free_threading",
        "test_asyncio.test_graph",
        "test_asyncio.test_runners",
        "test_asyncio.test_ssl",
        "test_asyncio.test_streams",
        "test_asyncio.test_subprocess",
        "test_asyncio.test_unix_events",
        "test_context",
        "test_epoll",
        "test_file",
        "test_fileio",
        "test_fork1",
        "test_importlib.test_threaded_import",
        "test_queue",
        "test_select",
        "test_ssl",
        "test_thread",
        "test_threading_local",
        "test_time",
    )
)


def version_of(python: str) -> str | None:
    """Return "3.12" for an interpreter that runs and is CPython, else None."""
    code = "import sys; print(sys.implementation.name, '%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    name, _, version = done.stdout.strip().partition(" ")
    return version if done.returncode == 0 and name == "cpython" else None


def find_pythons(wanted: tuple[str, ...] = WANTED) -> dict[str, str]:
    """Return the interpreters on this machine by version: this one, PATH's, pyenv's, fetched."""
    candidates = [sys.executable]
    candidates += [path for version in wanted if (path := shutil.which(f"python{version}"))]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates += sorted(map(str, pyenv.glob("3.*/bin/python")), reverse=True)
    candidates += [str(FETCHED / f"python{version}") for version in wanted]
    found: dict[str, str] = {}
    for python in candidates:
        version = version_of(python)
        if version in wanted:
            found.setdefault(version, python)
    return found


def kill_group(pid: int) -> None:
    """Kill what is left of a command and its children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


class Legs:
    """Runs commands, remembers what failed and what pytest counted."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        self.failures: list[str] = []  # pytest's lines of what failed, with their leg
        self.passed_tests = 0
        self.failed_tests = 0
        self.several = False  # commands run side by side: each line gets its leg's name
        self.lock = threading.Lock()

    def run(self, leg: str, command: list[str], **env: str) -> bool:
        """Run one command of a leg with its output shown; note a failure."""
        name = f"[{leg}] " if self.several else ""
        print(f"\n=== {leg}: {' '.join(command)}", flush=True)
        started = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # what it leaves behind is killed with it
        )
        # SIGABRT makes pytest's faulthandler say where it is.
        alarms = [
            threading.Timer(LIMIT, os.kill, (process.pid, signal.SIGABRT)),
            threading.Timer(LIMIT + 5, kill_group, (process.pid,)),
        ]
        for alarm in alarms:
            alarm.start()
        assert process.stdout is not None
        closing = ""
        try:
            for line in process.stdout:
                print(name + line, end="", flush=True)
                if line.startswith(("FAILED tests/", "ERROR tests/")):
                    self.failures.append(f"{leg}: {line.rstrip()}")
                elif re.match(r"=* ?\d+ (passed|failed|error)", line):
                    closing = line
            status = process.wait()
        finally:
            for alarm in alarms:
                alarm.cancel()
            kill_group(process.pid)
        with self.lock:
            print(f"--- {leg}: status {status}, {time.monotonic() - started:.0f} s", flush=True)
            self.count(closing)
            if status:
                self.failed.append(f"{leg}: {' '.join(command)}")
        return status == 0

    def count(self, closing: str) -> None:
        """Add up pytest's closing line."""
        for number, what in re.findall(r"(\d+) (passed|failed|error)", closing):
            if what == "passed":
                self.passed_tests += int(number)
            else:
                self.failed_tests += int(number)

    def environment(self, name: str, python: str, packages: list[str], **env: str) -> Path | None:
        """Make .venvs/NAME with packages, and greenroom built in it; return its python."""
        venv = VENVS / name
        own = venv / "bin" / "python"
        pip = [str(own), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        if not own.exists() and not self.run(name, [python, "-m", "venv", str(venv)]):
            return None
        if not self.run(name, [*pip, *packages]):
            return None
        install = [*pip, "--no-build-isolation", "--no-deps", "--force-reinstall", "."]
        return own if self.run(name, install, **env) else None

    def pytest(self, leg: str, python: Path, args: list[str], **env: str) -> None:
        """Run pytest with an environment's python.

        With a root of its own for temporary folders: two sessions that end at the same time would
        both delete an old one of theirs, and the second fails on what it does not find.
        """
        with tempfile.TemporaryDirectory(prefix="legs-", ignore_cleanup_errors=True) as root:
            env = {"PYTEST_DEBUG_TEMPROOT": root, **env}
            self.run(leg, [str(python), "-m", "pytest", "-q", *args], **env)


def lint(legs: Legs) -> None:
    """Run the checks that read the code and do not run it."""
    python = legs.environment("lint", sys.executable, BUILD + LINT, GREENROOM_COMPILE="0")
    if python is None:
        return
    tools = python.parent
    legs.run("lint", [str(tools / "ruff"), "check", "."])
    legs.run("lint", [str(tools / "ruff"), "format", "--check", "."])
    legs.run("lint", [str(tools / "mypy")])
    legs.run("lint", [str(tools / "lint-imports")])


def main() -> int:
    """Run the legs; return 0 if all went well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="this Python, compiled, only")
    parser.add_argument("--lint", action="store_true", help="lint only")
    parser.add_argument("pytest_args", nargs="*", help="passed on to pytest")
    options = parser.parse_args()
    pythons = find_pythons()
    this = f"{sys.version_info.major}.{sys.version_info.minor}"
    if this not in WANTED:
        print(f"greenroom needs CPython {WANTED[0]} to {WANTED[-1]}; this is {sys.version}")
        return 2
    stress = os.environ.get("GREENROOM_STRESS_SECONDS") or ("60" if os.environ.get("CI") else "5")
    legs = Legs()
    if not options.quick:
        lint(legs)
    if options.lint:
        return report(legs, [])
    packages = BUILD + TEST + SERVICES
    args = options.pytest_args
    compiled = legs.environment(this, sys.executable, packages, GREENROOM_COMPILE="1")

    def on_this() -> None:
        if compiled is None:
            return
        legs.pytest("compiled", compiled, args, GREENROOM_STRESS_SECONDS=stress)
        if not options.quick:
            folders = ["tests/core", "tests/green", "tests/stress"]  # what polls
            legs.pytest("selectors", compiled, folders, GREENROOM_POLLER="selectors")

    def on_another(name: str, own: Path, env: dict[str, str]) -> None:
        if name == PEERS:
            command = [str(own), "scripts/peers.py", "--ci", "--python", str(own)]
            legs.run("peers", command)
        legs.pytest(name, own, [*args, *LESS], **env)

    if options.quick:
        on_this()
        return report(legs, [])
    others: list[tuple[str, str, list[str], dict[str, str], dict[str, str]]] = [
        (f"{this}-plain", sys.executable, OLDEST, {"GREENROOM_COMPILE": "0"}, {})
    ]
    for version, python in sorted(pythons.items()):
        if version != this:
            others.append(
                (version, python, [], {"GREENROOM_COMPILE": "1"}, {"GREENROOM_STDLIB": STDLIB})
            )
    # Two at a time from here on: they wait more than they compute.
    legs.several = True
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(on_this)]
        # One after the other: they build in one folder.
        for name, python, pins, build, env in others:
            own = pool.submit(legs.environment, name, python, packages + pins, **build).result()
            if own is not None:
                running.append(pool.submit(on_another, name, own, env))
        for future in running:
            future.result()
    return report(legs, [version for version in WANTED if version not in pythons])


def report(legs: Legs, missing: list[str]) -> int:
    """Print what failed, what was not found, and the sums."""
    print()
    for version in missing:
        print(
            f"not found, so not tested: CPython {version} (scripts/pythons.sh brings it to Debian)"
        )
    for leg in legs.failed:
        print(f"failed: {leg}")
    for line in legs.failures:  # again, at the end, where a log that was cut off still has them
        print(line)
    failures = max(legs.failed_tests, len(legs.failed))
    print(f"{legs.passed_tests} passed, {failures} failed", flush=True)
    return 1 if legs.failed else 0


if __name__ == "__main__":
    sys.exit(main())
