"""What is measured and for whom: the tables of peers and the tables of cases.

A case says what happens and how often; how a peer does it is in servers/ and micro/. The kinds
differ in who holds the clock. Echo and servers: the harness reads a server's CPU clock around a run
of the load client. Micro: the child process measures itself and prints the figure.
"""

from dataclasses import dataclass, field

GREENROOM = "greenroom"


@dataclass(frozen=True)
class Peer:
    """Something to compare with, as one column of a table."""

    name: str  # the column; also what --peers takes
    family: str  # several columns may belong to one project; --peers takes this too
    program: str  # below servers/ or micro/ for .py, below build/ for what is compiled


@dataclass(frozen=True)
class EchoCase:
    """M of N connections send a message, wait for its echo, and send the next."""

    name: str
    title: str
    connections: int
    active: int
    size_bytes: int
    unit: str = "µs/message"
    divisor: float = 1e3  # nanoseconds to the unit


ALL_PEERS = ("greenroom", "gevent", "asyncio", "uvloop", "trio", "threads", "go")

# The cases that say what asyncio's own code costs on greenroom's event loop.
WITH_OUR_LOOP = ("greenroom", "greenroom-asyncio", *ALL_PEERS[1:])


@dataclass(frozen=True)
class MicroCase:
    """One operation of the runtime, repeated in a child process."""

    name: str
    title: str
    child_case: str  # the function in micro/
    n: int  # how many operations, tasks or items
    unit: str = "ns"
    divisor: float = 1.0  # the child's nanoseconds or bytes to the unit
    peers: tuple[str, ...] = ALL_PEERS
    n_of: dict[str, int] = field(default_factory=dict)  # where a peer needs another n


@dataclass(frozen=True)
class ServerCase:
    """A server of HTTP, WebSocket or TLS under load; measure_servers.py says what is measured."""

    name: str
    title: str
    load: str  # requests, workers, idle_memory, idle_latency, echo or handshakes
    program_case: str  # the argument of the programs in servers/web_*
    connections: int
    peers: tuple[str, ...]
    unit: str = "µs/request"
    divisor: float = 1e3  # nanoseconds or bytes to the unit
    depth: int = 1  # requests that a connection sends at a time
    idle: int = 0  # further connections, open and silent
    needs: tuple[str, ...] = ("wrk",)  # of environment.find_tools()


Case = EchoCase | MicroCase | ServerCase

ECHO_PEERS = (
    Peer("greenroom", "greenroom", "echo_greenroom.py"),
    Peer("greenroom-protocol", "greenroom", "echo_greenroom_protocol.py"),
    Peer("greenroom-streams", "greenroom", "echo_greenroom_streams.py"),
    Peer("gevent", "gevent", "echo_gevent.py"),
    Peer("uvloop-protocol", "uvloop", "echo_uvloop_protocol.py"),
    Peer("uvloop-streams", "uvloop", "echo_uvloop_streams.py"),
    Peer("asyncio-protocol", "asyncio", "echo_asyncio_protocol.py"),
    Peer("asyncio-streams", "asyncio", "echo_asyncio_streams.py"),
    Peer("trio", "trio", "echo_trio.py"),
    Peer("threads", "threads", "echo_threads.py"),
    Peer("go", "go", "echo_go"),
    Peer("c", "c", "echo_c"),
)

MICRO_PEERS = (
    Peer("greenroom", "greenroom", "with_greenroom.py"),
    Peer("greenroom-asyncio", "greenroom", "with_greenroom_asyncio.py"),
    Peer("gevent", "gevent", "with_gevent.py"),
    Peer("asyncio", "asyncio", "with_asyncio.py"),
    Peer("uvloop", "uvloop", "with_uvloop.py"),
    Peer("trio", "trio", "with_trio.py"),
    Peer("threads", "threads", "with_threads.py"),
    Peer("go", "go", "micro_go"),
)

SERVER_PEERS = (
    Peer("greenroom", "greenroom", "web_greenroom.py"),
    Peer("greenroom-asgi", "greenroom", "web_greenroom_asgi.py"),
    Peer("greenroom-gunicorn", "greenroom", "web_gunicorn_greenroom.py"),
    Peer("gevent", "gevent", "web_gevent.py"),
    Peer("gunicorn", "gunicorn", "web_gunicorn.py"),
    Peer("granian", "granian", "web_granian.py"),
    Peer("uvicorn", "uvicorn", "web_uvicorn.py"),
    Peer("websockets", "websockets", "web_websockets.py"),
    Peer("go", "go", "web_go"),
    Peer("nginx", "nginx", "web_nginx.py"),
    Peer("openssl", "openssl", "web_openssl.py"),
    Peer("c", "c", "http_server"),
)

# A hundred thousand OS threads do not fit, and what a few cost is no question of scale.
SCALING_PEERS = ("greenroom", "gevent", "asyncio", "uvloop", "trio", "go")

ECHO_CASES = (
    EchoCase("echo_1", "echo, 1 connection × 64 B", 1, 1, 64),
    EchoCase("echo_100", "echo, 100 connections × 64 B", 100, 100, 64),
    EchoCase("echo_1000", "echo, 1000 connections × 64 B", 1000, 1000, 64),
    EchoCase("echo_idle", "echo, 5000 idle + 50 active × 64 B", 5050, 50, 64),
    EchoCase("echo_16k", "echo, 100 connections × 16 KiB", 100, 100, 16384),
)

MICRO_CASES = (
    MicroCase(
        "spawn_join",
        "spawn + join, batches of 1000",
        "spawn_join",
        20_000,
        peers=WITH_OUR_LOOP,
        n_of={"threads": 1000},
    ),
    *(
        MicroCase(name, title, name, 20_000, peers=("greenroom", "gevent"))
        for name, title in (
            ("pool_spawn", "Pool(100): spawn + join, batches of 1000"),
            ("pool_map", "map over 1000 items, 100 at once, per item"),
        )
    ),
    MicroCase(
        "group",
        "group of 1000 trivial tasks, per task",
        "group",
        20_000,
        peers=("greenroom", "greenroom-asyncio", "asyncio", "uvloop", "trio"),
    ),
    MicroCase(
        "cancel_scope",
        "enter and leave a block with a time limit",
        "cancel_scope",
        50_000,
        peers=("greenroom", "gevent", "asyncio", "uvloop", "trio"),
    ),
    MicroCase(
        "switch100",
        "switch among 100 tasks",
        "switch100",
        100_000,
        peers=WITH_OUR_LOOP,
        n_of={"threads": 10_000},
    ),
    MicroCase(
        "queue3",
        "producer/consumer, Queue(3), per item",
        "queue3",
        50_000,
        peers=WITH_OUR_LOOP,
        n_of={"threads": 5000},
    ),
    MicroCase(
        "pingpong",
        "ping-pong, two Queue(1), round trip",
        "pingpong",
        20_000,
        n_of={"threads": 2000},
    ),
    MicroCase(
        "lock100",
        "lock contended by 100 tasks, per turn",
        "lock100",
        20_000,
        n_of={"threads": 2000},
    ),
    MicroCase(
        "channel",
        "unbuffered channels, there and back",
        "channel",
        20_000,
        peers=("greenroom", "trio", "go"),
    ),
    MicroCase(
        "select4",
        "receive from one of 4 channels, per item",
        "select4",
        20_000,
        peers=("greenroom", "trio", "go"),
    ),
    MicroCase(
        "light_turn",
        "a turn of a task without a stack, among 100",
        "light_turn",
        100_000,
        peers=("greenroom", "asyncio", "uvloop", "trio"),
    ),
    MicroCase(
        "light_memory",
        "memory per waiting task without a stack, 100,000 of them",
        "light_memory",
        100_000,
        unit="KiB",
        divisor=1024,
        peers=("greenroom", "asyncio", "uvloop", "trio"),
    ),
    MicroCase(
        "sleepers",
        "100,000 tasks sleep 0–1 s, per task",
        "sleepers",
        100_000,
        unit="µs",
        divisor=1e3,
        n_of={"threads": 2000},
    ),
    MicroCase(
        "requests_get",
        "GET by requests, 10 tasks",
        "requests_get",
        1000,
        unit="µs",
        divisor=1e3,
        peers=("greenroom", "gevent", "threads"),
    ),
    MicroCase(
        "parked_memory",
        "memory per parked task, 100,000 of them",
        "parked_memory",
        100_000,
        unit="KiB",
        divisor=1024,
        n_of={"threads": 2000},
    ),
    *(
        MicroCase(name, title, name, 5120, peers=("greenroom", "gevent", "threads"))
        for name, title in (
            ("file_read", "os.read of 4 KiB in the page cache"),
            ("file_pread", "os.pread of 4 KiB in the page cache"),
            ("file_buffered", "file.read of 4 KiB in the page cache"),
            ("file_open", "open a file, read 64 KiB, close it"),
        )
    ),
    *(
        MicroCase(
            f"scale_{what}_{n}",
            f"{title}, {n:,} tasks",
            f"scale_{what}",
            n,
            peers=SCALING_PEERS,
        )
        for what, title in (("switch", "switch"), ("timer", "1 ms sleep beside others asleep"))
        for n in (10, 1000, 100_000)
    ),
)

HELLO_PEERS = ("greenroom", "greenroom-gunicorn", "gevent", "gunicorn", "granian", "go", "c")

SERVER_CASES = (
    ServerCase("wsgi_hello", "WSGI hello, 100 connections", "requests", "wsgi", 100, HELLO_PEERS),
    ServerCase(
        "wsgi_pipelined",
        "WSGI hello, 100 connections, 16 requests at a time",
        "requests",
        "wsgi",
        100,
        HELLO_PEERS,
        depth=16,
    ),
    ServerCase(
        "asgi_hello",
        "ASGI hello, 100 connections",
        "requests",
        "asgi",
        100,
        ("greenroom", "granian", "uvicorn"),
    ),
    ServerCase(
        "file_1m",
        "a file of 1 MiB, 20 connections",
        "requests",
        "file",
        20,
        ("greenroom", "gevent", "gunicorn", "go", "nginx"),
    ),
    ServerCase(
        "idle_memory",
        "memory per idle keep-alive connection, 10,000 of them",
        "idle_memory",
        "wsgi",
        50,
        HELLO_PEERS,
        unit="KiB",
        divisor=1024,
        idle=10_000,
    ),
    ServerCase(
        "idle_p99",
        "p99 of 50 connections beside 10,000 idle ones, ÷ p99 without",
        "idle_latency",
        "wsgi",
        50,
        HELLO_PEERS,
        unit="×",
        divisor=1,
        idle=10_000,
    ),
    ServerCase(
        "websocket_echo",
        "WebSocket echo, 100 connections × 64 B",
        "echo",
        "websocket",
        100,
        ("greenroom", "greenroom-asgi", "uvicorn", "websockets"),
        unit="µs/message",
        needs=(),
    ),
    ServerCase(
        "tls_echo",
        "TLS echo, 100 connections × 64 B",
        "echo",
        "tls",
        100,
        ("greenroom", "gevent"),
        unit="µs/message",
        needs=("openssl", "loadgen_tls"),
    ),
    *(
        ServerCase(
            f"tls_{kind}",
            f"TLS connection, {kind}, with one echo",
            "handshakes",
            "tls",
            1,
            ("greenroom", "gevent", "openssl"),
            unit="µs/connection",
            needs=("openssl",),
        )
        for kind in ("new", "resumed")
    ),
    *(
        ServerCase(
            f"workers_{count}",
            f"WSGI, a request that computes, workers={count}, wall time",
            "workers",
            f"workers_{count}",
            100,
            ("greenroom",),
            needs=("wrk", "2 CPUs"),
        )
        for count in (1, 2)
    ),
)

CASES: tuple[Case, ...] = (*ECHO_CASES, *SERVER_CASES, *MICRO_CASES)
ALL_COLUMNS = (*ECHO_PEERS, *SERVER_PEERS, *MICRO_PEERS)


def peers_of(case: Case) -> tuple[Peer, ...]:
    """The peers that take part in a case, in the tables' order."""
    if isinstance(case, EchoCase):
        return ECHO_PEERS
    every = SERVER_PEERS if isinstance(case, ServerCase) else MICRO_PEERS
    return tuple(peer for peer in every if peer.name in case.peers)
