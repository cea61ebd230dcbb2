"""One measurement of a server: HTTP with wrk as its load, WebSocket and TLS with loadgen.

The server and all its children are on one CPU, the load on another. Before the load a plain client
asks once and compares status and body; an answer that the load found wrong fails the measurement.
CPU time is that of the whole tree of processes: gunicorn, granian and nginx have several.
"""

import http.client
import json
import resource
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cases import Peer, ServerCase
from environment import BENCH_DIR, FILE_BYTES
from measure import (
    CLIENT_CPU,
    CPUS,
    RUN_TIMEOUT_S,
    START_TIMEOUT_S,
    MeasureError,
    Sample,
    Settings,
    cpu_ns,
    load_by_loadgen,
    program_of,
    running_server,
)

HELLO = b"green room!\n"
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
WARMUP_S = 1
P99_RUNS = 5  # of each kind; an odd number
PER_SOURCE = 10000  # connections per source address: ephemeral ports are about 28,000
IP_BIND_ADDRESS_NO_PORT = 24  # <linux/in.h>; in the socket module since Python 3.12
CONNECT_BATCH = 250  # stays below any server's accept queue
HANDSHAKES = 300
# A line that is its own reverse: `openssl s_server -rev` gives it back as others echo it.
LINE = b"x" * 63 + b"\n"


def measure_server(case: ServerCase, peer: Peer, settings: Settings) -> Sample:
    """Measure one case for one peer, once.

    Raises  MeasureError: the server failed, or answered something else than it should
    """
    command = [*program_of(peer, BENCH_DIR / "servers"), case.program_case or case.name]
    cpus = set(CPUS[:2]) if case.load == "workers" else {CPUS[0]}
    with running_server(command, cpus) as (server, port):
        try:
            return _LOADS[case.load](case, settings, server.pid, port)
        except (OSError, http.client.HTTPException) as error:
            raise MeasureError(f"{error!r}; the server said: {server.last_words()}") from error


def _requests(case: ServerCase, settings: Settings, pid: int, port: int) -> Sample:
    """CPU of the server per request."""
    _check_answer(case, port)
    _wrk(case, port, WARMUP_S)
    before = tree_cpu_ns(pid)
    details = _wrk(case, port, settings.http_seconds)
    used = tree_cpu_ns(pid) - before
    return Sample(used / details["messages"] / case.divisor, details)


def _throughput(case: ServerCase, settings: Settings, pid: int, port: int) -> Sample:
    """Wall time per request. The load needs 1 % of a CPU, so it may share the workers' two."""
    _check_answer(case, port)
    cpus = CPUS[-2:]
    _wrk(case, port, WARMUP_S, cpus)
    details = _wrk(case, port, settings.http_seconds, cpus)
    return Sample(details["seconds"] * 1e9 / details["messages"] / case.divisor, details)


def _idle_memory(case: ServerCase, settings: Settings, pid: int, port: int) -> Sample:
    """Resident memory per idle keep-alive connection, in bytes."""
    _check_answer(case, port)
    _wrk(case, port, WARMUP_S)
    before = tree_rss_bytes(pid)
    with _idle_connections(port, case.idle):
        return Sample((tree_rss_bytes(pid) - before) / case.idle / case.divisor)


def _idle_latency(case: ServerCase, settings: Settings, pid: int, port: int) -> Sample:
    """The busy connections' p99 beside the idle ones, divided by the p99 without them.

    Each is the middle one of several runs: the p99 of one server varies by a factor of 2.
    """
    _check_answer(case, port)
    _wrk(case, port, WARMUP_S)
    alone = _middle_p99(case, settings, port)
    with _idle_connections(port, case.idle):
        beside = _middle_p99(case, settings, port)
    return Sample(beside["p99_us"] / alone["p99_us"], {**beside, "p99_us_alone": alone["p99_us"]})


def _middle_p99(case: ServerCase, settings: Settings, port: int) -> dict[str, float]:
    """What wrk says of the run whose p99 is the middle one of P99_RUNS."""
    runs = [_wrk(case, port, settings.http_seconds) for _ in range(P99_RUNS)]
    return sorted(runs, key=lambda run: run["p99_us"])[P99_RUNS // 2]


def _echo(case: ServerCase, settings: Settings, pid: int, port: int) -> Sample:
    """CPU of the server per message, WebSocket or TLS."""
    tls = case.name.startswith("tls")
    program = "loadgen_tls" if tls else "loadgen"
    options = [] if tls else ["--websocket"]
    details, used = load_by_loadgen(
        [program, *options], port, case.connections, case.connections, 64, settings,
        lambda: tree_cpu_ns(pid),
    )  # fmt: skip
    return Sample(used / details["messages"] / case.divisor, details)


def _handshakes(case: ServerCase, settings: Settings, pid: int, port: int) -> Sample:
    """CPU of the server per connection: connect, handshake, a line and its echo, close."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    resumes = case.name.endswith("resumed")
    _, session = _connect_tls(context, port, None, START_TIMEOUT_S)
    before = 0
    for number in range(HANDSHAKES + 20):
        if number == 20:  # the first ones warm it up
            before = tree_cpu_ns(pid)
        resumed, session = _connect_tls(context, port, session if resumes else None)
        if resumed != resumes:
            raise MeasureError(f"handshake {number} resumed a session: {resumed}, not {resumes}")
    time.sleep(0.01)  # the last connection's end
    return Sample((tree_cpu_ns(pid) - before) / HANDSHAKES / case.divisor)


_LOADS: dict[str, Callable[[ServerCase, Settings, int, int], Sample]] = {
    "requests": _requests,
    "workers": _throughput,
    "idle_memory": _idle_memory,
    "idle_latency": _idle_latency,
    "echo": _echo,
    "handshakes": _handshakes,
}


def _connect_tls(
    context: ssl.SSLContext, port: int, session: ssl.SSLSession | None, patience: float = 0
) -> tuple[bool, ssl.SSLSession | None]:
    """Make a connection, send a line, get it back, close. Returns resumed, session for the next."""
    with _connect(port, patience) as plain:
        sock = context.wrap_socket(plain, do_handshake_on_connect=False, session=session)
        with sock:
            sock.do_handshake()
            sock.sendall(LINE)
            data = b""
            while len(data) < len(LINE):
                more = sock.recv(1024)
                if not more:
                    raise MeasureError("the server closed the connection before the echo")
                data += more
            if data != LINE:
                raise MeasureError(f"the echo differs: {data[:20]!r}")
            return bool(sock.session_reused), sock.session


def _connect(port: int, patience: float) -> socket.socket:
    """Connect; wait for a server that prints its port before it listens."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=START_TIMEOUT_S)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _check_answer(case: ServerCase, port: int) -> None:
    """Ask once and compare what comes with what should."""
    _connect(port, START_TIMEOUT_S).close()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_TIMEOUT_S)
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    wanted = FILE_BYTES if case.program_case == "file" else HELLO
    if response.status != 200 or body != wanted:
        raise MeasureError(f"the answer is {response.status} with {body[:40]!r}, {len(body)} bytes")


def _wrk(
    case: ServerCase, port: int, seconds: int, cpus: list[int] | None = None
) -> dict[str, float]:
    """Load the server. Returns what wrk.lua says, and how busy wrk's CPU was."""
    cpus = cpus or [CLIENT_CPU]
    pinned = ",".join(str(cpu) for cpu in cpus)
    command = [
        *("taskset", "-c", pinned, "wrk", "--threads", str(len(cpus))),
        *("--connections", str(case.connections), "--duration", f"{seconds}s"),
        *("--script", str(BENCH_DIR / "wrk.lua"), f"http://127.0.0.1:{port}/"),
        *("--", str(case.depth)),
    ]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_TIMEOUT_S)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise MeasureError(f"wrk: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
    details: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    if details["failed"]:
        raise MeasureError(f"{details['failed']:.0f} requests failed of {details['messages']:.0f}")
    if not details["messages"]:
        raise MeasureError("no request was answered")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    details["cpu_fraction"] = used / details["seconds"] / len(cpus)
    details["msgs_per_s"] = details["messages"] / details["seconds"]
    return details


@contextmanager
def _idle_connections(port: int, count: int) -> Iterator[None]:
    """Hold so many connections, each after one request and its answer."""
    with ExitStack() as stack:
        for first in range(0, count, CONNECT_BATCH):
            batch = []
            for i in range(first, min(count, first + CONNECT_BATCH)):
                sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
                sock.settimeout(START_TIMEOUT_S)
                # The port is chosen by connect(): by bind() it would have to be one that nobody
                # has had of late, and those of three runs are used up.
                sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
                sock.bind((f"127.0.0.{1 + i // PER_SOURCE}", 0))
                sock.connect(("127.0.0.1", port))
                sock.sendall(REQUEST)
                batch.append(sock)
            for sock in batch:
                _read_hello(sock)
        yield


def _read_hello(sock: socket.socket) -> None:
    data = b""
    while not data.endswith(HELLO):
        more = sock.recv(4096)
        if not more:
            raise MeasureError("the server closed one of the idle connections")
        data += more


def tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    pids = [pid]
    for parent in pids:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                pids += [int(child) for child in task.read_text().split()]
            except (FileNotFoundError, ProcessLookupError):
                continue  # the thread has just ended
    return pids


def tree_cpu_ns(pid: int) -> int:
    return sum(cpu_ns(one) for one in tree(pid))


def tree_rss_bytes(pid: int) -> int:
    """Resident memory of a process and its descendants; what they share counts in each."""
    total = 0
    for one in tree(pid):
        for line in Path(f"/proc/{one}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1]) * 1024
    return total
