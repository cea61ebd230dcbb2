"""One measurement: start a child on its CPU, run it, take the figure, end it.

The process under measurement has the first of the CPUs that this one may use, whatever loads it
the last. A child inherits the affinity of the thread that starts it, so the harness moves there
for that moment: setting it afterwards would miss threads that the child has started by then.

A server's CPU time is the sum of the first field of /proc/PID/task/*/schedstat, in nanoseconds:
the times of /proc/PID/stat come in ticks of 10 ms.
"""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from cases import EchoCase, MicroCase, Peer
from environment import BENCH_DIR, BUILD_DIR, VENV_PYTHON

CPUS = sorted(os.sched_getaffinity(0))
SERVER_CPU, CLIENT_CPU = CPUS[0], CPUS[-1]

START_TIMEOUT_S = 20.0
RUN_TIMEOUT_S = 180.0


class MeasureError(Exception):
    """A measurement did not come to its figure; the message says why, in one line."""


@dataclass(frozen=True)
class Settings:
    """How long to measure, in one round."""

    echo_seconds: float
    warmup_seconds: float
    budget_ms: int  # CPU time of a repeated micro case, at least
    http_seconds: int  # wrk takes whole ones
    polling_client: bool = False  # the load client never sleeps; see loadgen.c


QUICK = Settings(echo_seconds=0.3, warmup_seconds=0.1, budget_ms=50, http_seconds=1)
FULL = Settings(echo_seconds=1.0, warmup_seconds=0.3, budget_ms=300, http_seconds=2)


@dataclass(frozen=True)
class Sample:
    """One figure. `value` is in the case's unit; `details` holds what the load client said."""

    value: float
    details: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def measure(case: EchoCase | MicroCase, peer: Peer, settings: Settings) -> Sample:
    """Measure one case for one peer, once.

    Raises  MeasureError: the child failed, hung, or echoed a wrong byte
    """
    if isinstance(case, EchoCase):
        return _measure_echo(case, peer, settings)
    return _measure_micro(case, peer, settings)


def _measure_echo(case: EchoCase, peer: Peer, settings: Settings) -> Sample:
    with running_server(program_of(peer, BENCH_DIR / "servers")) as (server, port):
        try:
            details, used = load_by_loadgen(
                ["loadgen"], port, case.connections, case.active, case.size_bytes, settings,
                lambda: cpu_ns(server.pid),
            )  # fmt: skip
        except MeasureError as error:
            raise MeasureError(f"{error}; the server said: {server.last_words()}") from error
    return Sample(used / details["messages"] / case.divisor, details)


def load_by_loadgen(
    program: list[str],
    port: int,
    connections: int,
    active: int,
    size_bytes: int,
    settings: Settings,
    clock: Callable[[], int],
) -> tuple[dict[str, Any], int]:
    """Load a server; read its CPU clock while nothing is in flight.

    Returns  what loadgen.c says, and the difference of the clock
    Raises   MeasureError: no echo, or a wrong one
    """
    command = [
        *(str(BUILD_DIR / program[0]), *program[1:]),
        *("--port", str(port)),
        *("--connections", str(connections)),
        *("--active", str(active)),
        *("--size", str(size_bytes)),
        *("--seconds", str(settings.echo_seconds)),
        *("--warmup", str(settings.warmup_seconds)),
        *("--cpu", str(CLIENT_CPU)),
        "--handshake",
        *(["--poll"] if settings.polling_client else []),
    ]
    with running(command, {CLIENT_CPU}, stdin=True) as client:
        client.expect("ready", RUN_TIMEOUT_S)
        before = clock()
        client.send_line("go")
        details = json.loads(client.read_line(RUN_TIMEOUT_S))
        used = clock() - before
    if details["mismatches"]:
        raise MeasureError(f"{details['mismatches']} echoes differ from what was sent")
    if not details["messages"]:
        raise MeasureError("no message was echoed")
    return details, used


def _measure_micro(case: MicroCase, peer: Peer, settings: Settings) -> Sample:
    n = case.n_of.get(peer.name, case.n)
    if case.child_case == "requests_get":
        with running_server([str(BUILD_DIR / "http_server")], {CLIENT_CPU}) as (_, port):
            script = str(BENCH_DIR / "micro" / "requests_get.py")
            url = f"http://127.0.0.1:{port}/"
            return _run_micro([str(VENV_PYTHON), script, peer.name, str(n), "--url", url], case)
    program = program_of(peer, BENCH_DIR / "micro")
    if case.child_case.startswith("file_"):
        program = [str(VENV_PYTHON), str(BENCH_DIR / "micro" / "files.py"), peer.name]
    command = [*program, case.child_case, str(n)]
    return _run_micro([*command, "--budget-ms", str(settings.budget_ms)], case)


def _run_micro(command: list[str], case: MicroCase) -> Sample:
    with running(command, {SERVER_CPU}) as child:
        figure = json.loads(child.read_line(RUN_TIMEOUT_S))
        return Sample(figure["value"] / case.divisor)


def program_of(peer: Peer, scripts: Path) -> list[str]:
    if peer.program.endswith(".py"):
        return [str(VENV_PYTHON), str(scripts / peer.program)]
    return [str(BUILD_DIR / peer.program)]


def cpu_ns(pid: int) -> int:
    """CPU time of all threads of a process, in nanoseconds."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except FileNotFoundError:
            continue  # the thread has just ended
    return total


class Child:
    """A running program: its lines, and what it said last when it fails."""

    def __init__(self, process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        self.process = process
        self.pid = process.pid
        self._errors = errors
        self._pending = b""

    def read_line(self, timeout: float) -> str:
        """The next line of its output, without the line end."""
        assert self.process.stdout is not None
        fd = self.process.stdout.fileno()
        deadline = time.monotonic() + timeout
        while b"\n" not in self._pending:
            if not select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise MeasureError(f"no answer within {timeout:.0f} s")
            data = os.read(fd, 65536)
            if not data:
                raise MeasureError(self._why_it_ended())
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode()

    def expect(self, text: str, timeout: float) -> None:
        line = self.read_line(timeout)
        if line != text:
            raise MeasureError(f"expected {text!r}, got {line!r}")

    def send_line(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()

    def _why_it_ended(self) -> str:
        code = self.process.wait(START_TIMEOUT_S)
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"{self.last_words()} ({how})"

    def last_words(self) -> str:
        """The last line on its stderr: of a traceback, the error."""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").splitlines()
        said = [line.strip() for line in lines if line.strip()]
        return said[-1] if said else "nothing on stderr"


@contextmanager
def running(command: list[str], cpus: AbstractSet[int], stdin: bool = False) -> Iterator[Child]:
    """Run a program on these CPUs; end it, and what it has started, when the block ends."""
    with tempfile.TemporaryFile() as errors:
        os.sched_setaffinity(0, cpus)
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        except OSError as error:
            raise MeasureError(f"cannot start {Path(command[0]).name}: {error.strerror}") from error
        finally:
            os.sched_setaffinity(0, CPUS)
        with process:
            try:
                yield Child(process, errors)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def running_server(
    command: list[str], cpus: AbstractSet[int] = frozenset({SERVER_CPU})
) -> Iterator[tuple[Child, int]]:
    """Run a server on a port of the kernel's choice; give it and its port."""
    with running([*command, "0"], cpus) as child:
        line = child.read_line(START_TIMEOUT_S)
        word, _, port = line.partition(" ")
        if word != "PORT" or not port.isdecimal():
            raise MeasureError(f"expected 'PORT n', got {line!r}")
        yield child, int(port)


if sys.platform != "linux":
    raise SystemExit("the benchmarks need Linux: /proc/PID/task/*/schedstat and epoll")
