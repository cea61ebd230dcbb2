"""Fetch a peer's source, make its virtual environment, run its tests patched and on asyncio.

scripts/peers.py is the command. All that is fetched and made is below .venvs/peers, one folder for
each peer and Python; it is made anew when its entry in suites.py, greenlet or the Python changes.
greenroom itself is not installed there but linked to, so that a change is seen at once.
"""

import argparse
import json
import shutil
import socket
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stdlib.differences import Difference, Report, Suite, compare

from .known import KNOWN, known_of
from .suites import FORBIDDEN, PEERS, Peer, find

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CHILD = HERE / "run_suite.py"
CACHE = ROOT / ".venvs" / "peers"
RECORD = ROOT / "scripts" / "peers.json"

INSTALL_SECONDS = 900.0  # how long one call of pip may take


class PeerError(Exception):
    """A peer's tests cannot be run; the text says why."""


@dataclass(frozen=True)
class Interpreter:
    """A Python that has greenroom.

    python    its path
    version   "3.14"
    full      "3.14.0"
    greenlet  the version of the greenlet that it has
    path      the folder of the package greenroom that it imports
    """

    python: str
    version: str
    full: str
    greenlet: str
    path: str

    @classmethod
    def ask(cls, python: str) -> "Interpreter":
        """Ask an interpreter what it has."""
        code = (
            "import os, sys, json, platform, greenroom, importlib.metadata as m\n"
            "print(json.dumps(['%d.%d' % sys.version_info[:2], platform.python_version(),"
            " m.version('greenlet'), os.path.dirname(os.path.abspath(greenroom.__file__))]))"
        )
        try:
            done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PeerError(f"cannot run {python}: {error}") from None
        if done.returncode:
            raise PeerError(
                f"cannot ask {python} for its greenroom: {done.stderr.strip().splitlines()[-1]}; "
                "name an interpreter that has it with --python"
            )
        return cls(python, *json.loads(done.stdout))


class PeerSuite(Suite):
    """The tests of a peer, in an environment of its own."""

    def __init__(self, peer: Peer, interpreter: Interpreter, folder: Path) -> None:
        super().__init__(peer.package, peer.seconds)
        self.peer = peer
        self.interpreter = interpreter
        self.folder = folder

    def command(self, order: dict[str, Any], inside: str) -> tuple[list[str], str, dict[str, str]]:
        """As Suite.command."""
        fixed = (
            "--rootdir=.",
            "-p",
            "no:cacheprovider",
            "--continue-on-collection-errors",
            "--color=no",
        )
        order["args"] = [*self.peer.args, *fixed]
        python = self.folder / "venv" / "bin" / "python"
        # Some look for what is installed beside them: a console script, a child of their own.
        env = {"PATH": f"{python.parent}:/usr/local/bin:/usr/bin:/bin", "HOME": inside}
        env |= self.peer.env
        told = Path(inside).with_name("order")  # too long for an argument if it names all tests
        told.write_text(json.dumps(order))
        return [str(python), str(CHILD), str(told)], str(self.folder / "source"), env


def prepare(peer: Peer, interpreter: Interpreter) -> PeerSuite:
    """Fetch and install what is not there yet; return the suite.

    Raises    PeerError: the package, its tests or a service is not there
    """
    if peer.service is not None:
        name, port = peer.service
        try:
            socket.create_connection(("127.0.0.1", port), 5).close()
        except OSError as error:
            raise PeerError(f"{name} does not answer at 127.0.0.1:{port}: {error}") from None
    folder = CACHE / f"{peer.package}-{interpreter.version}"
    made = repr((peer.package, peer.version, peer.extras, peer.needs, peer.without))
    made += repr((interpreter.full, interpreter.greenlet, FORBIDDEN))
    stamp = folder / "made"
    if not stamp.exists() or stamp.read_text() != made:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        unpack(fetch(peer, interpreter), folder / "source")
        for name in peer.without:
            shutil.rmtree(folder / "source" / name)
        install(peer, interpreter, folder)
        stamp.write_text(made)
    link = folder / "green" / "greenroom"
    link.unlink(missing_ok=True)
    link.symlink_to(interpreter.path)
    return PeerSuite(peer, interpreter, folder)


def call(command: list[str]) -> None:
    """Run a command; PeerError with what it said if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    if done.returncode:
        said = (done.stdout + done.stderr).strip()
        raise PeerError(f"cannot run {' '.join(command)}: status {done.returncode}\n{said}")


def fetch(peer: Peer, interpreter: Interpreter) -> Path:
    """Return the path of the sdist, downloaded if need be."""
    folder = CACHE / "sdists" / f"{peer.package}-{peer.version}"
    if not (found := list(folder.glob("*.tar.gz"))):
        folder.mkdir(parents=True, exist_ok=True)
        pip = [interpreter.python, "-m", "pip", "download", "--quiet", "--no-deps"]
        # Not :all:, which would compile the tools that build the package, too.
        pip += ["--disable-pip-version-check", "--no-binary", peer.package, "-d", str(folder)]
        call([*pip, f"{peer.package}=={peer.version}"])
        found = list(folder.glob("*.tar.gz"))
    return found[0]


def unpack(sdist: Path, folder: Path) -> None:
    """Unpack the one folder of an sdist as folder."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder.parent / "unpacked", filter="data")
    (top,) = (folder.parent / "unpacked").iterdir()
    top.rename(folder)
    (folder.parent / "unpacked").rmdir()


def install(peer: Peer, interpreter: Interpreter, folder: Path) -> None:
    """Make the virtual environment."""
    call([interpreter.python, "-m", "venv", str(folder / "venv")])
    python = str(folder / "venv" / "bin" / "python")
    package = f"{peer.package}{peer.extras}=={peer.version}"
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    call([*pip, package, f"greenlet=={interpreter.greenlet}", *peer.needs])
    (folder / "green").mkdir()
    (packages,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (packages / "greenroom-of-peers.pth").write_text(f"{folder / 'green'}\n")
    there = [name for name in FORBIDDEN if (packages / name).exists()]
    if there:
        raise PeerError(f"{peer.package} was installed with {', '.join(there)}, not to be compared")


def row_of(peer: Peer, interpreter: Interpreter, report: Report) -> dict[str, Any]:
    """Return what is recorded of a run."""
    reasons: dict[str, dict[str, Any]] = {}
    for _, entry in report.known:
        row = reasons.setdefault(entry.test, {"test": entry.test, "reason": entry.reason})
        row["tests"] = row.get("tests", 0) + 1
    return {
        "package": peer.package,
        "version": peer.version,
        "python": interpreter.full,
        "tests": report.tests,
        "passed_on_asyncio": report.plain,
        "passed_patched": report.passed,
        "differ": len(report.known),
        "known": list(reasons.values()),
    }


def record(row: dict[str, Any], path: Path = RECORD) -> None:
    """Put a row into the file, in the place of the one of that package and minor version."""

    def key(row: dict[str, Any]) -> tuple[str, list[int]]:
        return row["package"].lower(), list(map(int, row["python"].split(".")[:2]))

    rows = json.loads(path.read_text()) if path.exists() else []
    rows = [one for one in rows if key(one) != key(row)]
    text = json.dumps(sorted([*rows, row], key=key), indent=1, ensure_ascii=False)
    path.write_text(text + "\n")


def main(description: str | None) -> int:
    """Compare peers; return 0 if nothing unexpected was found."""
    parser = argparse.ArgumentParser(
        prog="scripts/peers.py",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="a package of --list")
    parser.add_argument("--python", default=sys.executable, help="an interpreter with greenroom")
    parser.add_argument("--all", action="store_true", help="every peer")
    parser.add_argument("--ci", action="store_true", help="the short selection")
    parser.add_argument("--list", action="store_true", help="print the peers and stop")
    parser.add_argument("--record", action="store_true", help="write into scripts/peers.json")
    parser.add_argument("--test", action="append", help="of one NAME, with the output shown")
    parser.add_argument("--plain", action="store_true", help="with --test: on asyncio")
    options = parser.parse_args()
    if options.list:
        for peer in PEERS:
            known = len(KNOWN.get(peer.package, []))
            print(f"{peer.package} {peer.version}, {known} known" + ", quick" * peer.quick)
        return 0
    names: Iterable[str] = options.names
    if options.all or options.ci:
        names = [peer.package for peer in PEERS if options.all or peer.quick]
    peers = []
    for name in names:
        found = find(name)
        if found is None:
            parser.error(f"there is no peer {name!r}: --list prints them")
        peers.append(found)
    if not peers:
        parser.error("name a peer, or say --all or --ci")
    try:
        interpreter = Interpreter.ask(options.python)
    except PeerError as error:
        parser.error(str(error))
    if options.test:
        return one_by_one(prepare(peers[0], interpreter), options.test, not options.plain)
    return run(peers, interpreter, options.record)


def run(peers: list[Peer], interpreter: Interpreter, recorded: bool) -> int:
    """Compare peers and print what came of it; return 0 if nothing unexpected was found."""
    passed = failed = 0
    for peer in peers:
        try:
            suite = prepare(peer, interpreter)
        except (PeerError, subprocess.TimeoutExpired) as error:
            print(f"{peer.package} {peer.version}: {error}", flush=True)
            failed += 1
            continue
        report = examine(suite, peer, interpreter.version)
        print(describe(peer, interpreter, report), flush=True)
        if text := report.text():
            print(text, flush=True)
        passed += report.passed
        failed += len(report.differing) + len(report.stale) or not report.good
        if recorded and report.good:
            record(row_of(peer, interpreter, report))
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def examine(
    suite: Suite, peer: Peer, version: str, known: Callable[[str, str], Any] = known_of
) -> Report:
    """Run a peer's suite on both sides. A suite of which nothing passes on asyncio is an error."""
    report = compare(suite, known(peer.package, version), whole=True)
    if not report.plain:
        text = "\n".join(["no test passes on asyncio: nothing is compared", *report.notes])
        report.differing.append(Difference(peer.package, "not run", text))
    return report


def describe(peer: Peer, interpreter: Interpreter, report: Report) -> str:
    """Return a report in one line."""
    return (
        f"{peer.package} {peer.version} on {interpreter.full}: {report.tests} tests, "
        f"{report.plain} pass on asyncio, {report.passed} patched; "
        f"{len(report.differing)} differ, {len(report.known)} known, "
        f"{len(report.unstable)} unstable, {len(report.stale)} stale; "
        f"{report.baseline_seconds:.0f} s and {report.seconds:.0f} s"
    )


def one_by_one(suite: PeerSuite, tests: list[str], patched: bool) -> int:
    """Run some tests with their output shown."""
    suite.show = True
    result = suite.run(patched, only=tests)
    for test in tests:
        print(Difference(test, *result.why(test)), flush=True)
    return 0 if all(map(result.passed, tests)) else 1
