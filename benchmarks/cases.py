"""What is measured and for whom: the table of peers and the table of cases.

A case says what happens and how often; how a peer does it is in servers/ and micro/. The two kinds
differ in who holds the clock. Echo: the harness reads a server's CPU clock around a run of the load
client. Micro: the child process measures itself and prints the figure.
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


@dataclass(frozen=True)
class MicroCase:
    """One operation of the runtime, repeated in a child process."""

    name: str
    title: str
    child_case: str  # the function in micro/
    n: int  # how many operations, tasks or items
    unit: str = "ns"
    divisor: float = 1.0  # the child's nanoseconds or bytes to the unit
    peers: tuple[str, ...] = ("greenroom", "gevent", "asyncio", "uvloop", "trio", "threads", "go")
    n_of: dict[str, int] = field(default_factory=dict)  # where a peer needs another n


Case = EchoCase | MicroCase

ECHO_PEERS = (
    Peer("greenroom", "greenroom", "echo_greenroom.py"),
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
    Peer("gevent", "gevent", "with_gevent.py"),
    Peer("asyncio", "asyncio", "with_asyncio.py"),
    Peer("uvloop", "uvloop", "with_uvloop.py"),
    Peer("trio", "trio", "with_trio.py"),
    Peer("threads", "threads", "with_threads.py"),
    Peer("go", "go", "micro_go"),
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
        n_of={"threads": 1000},
    ),
    MicroCase(
        "switch100", "switch among 100 tasks", "switch100", 100_000, n_of={"threads": 10_000}
    ),
    MicroCase(
        "queue3",
        "producer/consumer, Queue(3), per item",
        "queue3",
        50_000,
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

CASES: tuple[Case, ...] = (*ECHO_CASES, *MICRO_CASES)


def peers_of(case: Case) -> tuple[Peer, ...]:
    """The peers that take part in a case, in the tables' order."""
    if isinstance(case, EchoCase):
        return ECHO_PEERS
    return tuple(peer for peer in MICRO_PEERS if peer.name in case.peers)
