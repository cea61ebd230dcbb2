"""The goals, all of them, in one table; the verdicts of the report are computed from it.

Each line belongs to the compiled build. A goal that is missed stays here, and its reason, found by
profiling, goes to MISSED_BECAUSE: the report prints it below the verdict.
"""

from dataclasses import dataclass

from cases import GREENROOM


@dataclass(frozen=True)
class Goal:
    """greenroom's figure in `case` is at most `limit` times another figure, or `limit` itself.

    peer       the other figure is this peer's in the same case
    base_case  the other figure is greenroom's own in that case
    own        the column of greenroom that the goal is for
    Neither: `limit` is in the case's unit.
    """

    case: str
    limit: float
    peer: str | None = None
    base_case: str | None = None
    own: str = GREENROOM

    def text(self, unit: str) -> str:
        """The goal as the report has it, `own` where it is not the first column."""
        limit = self._limit(unit)
        return limit if self.own == GREENROOM else f"{self.own} {limit}"

    def _limit(self, unit: str) -> str:
        if self.peer is not None:
            return f"≤ {self.limit:.3g} × {self.peer}"
        if self.base_case is not None:
            return f"≤ {self.limit:.3g} × {self.base_case}"
        return f"≤ {self.limit:.3g} {unit}"


PYTHON_PEERS = ("asyncio", "uvloop", "trio", "threads")


def _same_order(case: str) -> tuple[Goal, ...]:
    """The other echo cases: the order of the main one, and never worse than 0.65 × gevent."""
    return (Goal(case, 0.65, "gevent"), Goal(case, 1.0, "go"), Goal(case, 1.0, "uvloop-protocol"))


def _four_times_ahead(case: str) -> tuple[Goal, ...]:
    return tuple(Goal(case, 1 / 4, peer) for peer in PYTHON_PEERS)


def _asyncio_on_our_loop(case: str) -> tuple[Goal, ...]:
    """The same asyncio program on greenroom's loop, on asyncio's and on uvloop's."""
    return tuple(
        Goal(case, limit, f"{peer}-{way}", own=f"greenroom-{way}")
        for way in ("protocol", "streams")
        for peer, limit in (("asyncio", 0.9), ("uvloop", 1.3))
    )


# From 10 tasks to 100,000 a heap of timers grows from log2(10) = 3.3 levels to 16.6: five times.
TIMER_GROWTH = 5.0

GOALS: tuple[Goal, ...] = (
    Goal("echo_100", 0.48, "gevent"),
    Goal("echo_100", 0.95, "go"),
    Goal("echo_100", 1.0, "uvloop-protocol"),
    Goal("echo_100", 1.2, "c"),
    *_same_order("echo_1"),
    *_same_order("echo_1000"),
    *_same_order("echo_idle"),
    *_same_order("echo_16k"),
    *(
        goal
        for case in ("echo_1", "echo_100", "echo_1000", "echo_idle", "echo_16k")
        for goal in _asyncio_on_our_loop(case)
    ),
    *(
        Goal(case, 1.0, "asyncio", own="greenroom-asyncio")
        for case in ("spawn_join", "group", "switch100", "queue3")
    ),
    *(
        Goal(case, 1.5, "threads")
        for case in ("file_read", "file_pread", "file_buffered", "file_open")
    ),
    Goal("spawn_join", 1 / 50, "gevent"),
    Goal("spawn_join", 1.0, "go"),
    Goal("pool_spawn", 2.0, base_case="spawn_join"),
    Goal("pool_map", 2.0, base_case="spawn_join"),
    Goal("group", 0.25, "asyncio"),
    Goal("group", 0.15, "trio"),
    Goal("cancel_scope", 400.0),
    Goal("cancel_scope", 0.25, "asyncio"),
    Goal("cancel_scope", 0.25, "trio"),
    Goal("switch100", 1 / 4, "gevent"),
    Goal("queue3", 1 / 4.5, "gevent"),
    *_four_times_ahead("queue3"),
    Goal("pingpong", 1 / 4.5, "gevent"),
    *_four_times_ahead("pingpong"),
    Goal("channel", 1 / 4, "trio"),
    Goal("channel", 4.0, "go"),
    Goal("select4", 1 / 4, "trio"),
    Goal("select4", 4.0, "go"),
    Goal("light_turn", 120.0),
    Goal("light_turn", 1 / 10, "asyncio"),
    Goal("light_memory", 1.2),
    Goal("lock100", 0.2, "gevent"),
    Goal("sleepers", 0.25, "gevent"),
    Goal("sleepers", 0.5, "uvloop"),
    Goal("requests_get", 0.8, "gevent"),
    Goal("parked_memory", 7.0),
    Goal("scale_switch_100000", 2.0, base_case="scale_switch_10"),
    Goal("scale_timer_100000", TIMER_GROWTH, base_case="scale_timer_10"),
    Goal("wsgi_hello", 1 / 5, "gevent"),
    Goal("wsgi_hello", 1 / 5, "gunicorn"),
    Goal("wsgi_hello", 1.0, "granian"),
    Goal("wsgi_hello", 1 / 0.8, "go"),
    Goal("wsgi_pipelined", 1 / 6, "gevent"),
    Goal("asgi_hello", 1.0, "uvicorn"),
    Goal("websocket_echo", 1 / 2, "websockets"),
    Goal("file_1m", 1 / 0.9, "nginx"),
    Goal("tls_echo", 1 / 1.5, "gevent"),
    *(
        goal
        for case in ("tls_new", "tls_resumed")
        for goal in (Goal(case, 1 / 1.5, "gevent"), Goal(case, 1.1, "openssl"))
    ),
    Goal("idle_memory", 12.0),
    Goal("idle_p99", 1.2),
    Goal("workers_2", 1 / 1.8, base_case="workers_1"),
)

# Case name, then the column if it is not the first -> why it is missed, in a sentence or two.
MISSED_BECAUSE: dict[str, str] = {
    "echo_1": "The server sleeps between messages, so waking it, the kernel's share, is most of "
    "every figure. strace: epoll_wait, recvfrom, sendto a message, no call to save.",
    "echo_100": "perf: 83 % kernel, 5 % libpython (two calls a message), 4.4 % libc (copying 2 KB "
    "of C stack out and in at each switch, and its malloc), 2.7 % greenlet, 5 % greenroom.",
    "echo_1000": "As with 100 connections.",
    "echo_16k": "Not profiled to the end. Likely: each handler keeps its last message while it "
    "waits, as plain code does, a working set of 1.6 MB that a callback does not have.",
    "spawn_join": "perf shows no single point: the eval loop 11 %, making and freeing the Task and "
    "its copy of the context about 20 %, finish() 7 %; a goroutine has neither object.",
    "spawn_join greenroom-asyncio": "perf: asyncio.Task and the greenroom task that runs its steps "
    "are two objects a coroutine, both walked by the garbage collector (16 %).",
    "lock100": "perf: 49 % libpython, for the with statement builds a bound method at each end, "
    "and 18 % greenlet: one switch a turn.",
    "file_1m": "strace: one sendfile of 1 MiB and no sleep, as nginx. perf: user code is 48 % of "
    "our CPU, 14 % of nginx's: 86,000 instructions of Python, the application's open() included.",
    "select4": "callgrind: 8,900 instructions an item, no single place: the switch 2,000, Python's "
    "loop and look-ups 1,200, the four operations made and freed 2,400.",
    "idle_p99": "The p99 of one server varies by a factor of 2 from run to run, that of the C "
    "server too, which does nothing for an idle connection.",
    "tls_new": "perf: OpenSSL and the kernel, the same for all, are two thirds of gevent's CPU; "
    "callgrind: 3.02 million instructions a connection, gevent 3.10, s_server 3.13.",
    "tls_resumed": "callgrind: OpenSSL's handshake is 2.45 million instructions in each server, of "
    "2.68 (gevent 2.76, s_server 2.57). s_server has no Python's ssl, and no poll for each flight.",
    "requests_get": "requests' and urllib3's own Python: real threads, unpatched, need 393 µs.",
}


def reason_of(goal: Goal) -> str | None:
    """Why the goal is missed, if that has been found out."""
    return MISSED_BECAUSE.get(goal.case if goal.own == GREENROOM else f"{goal.case} {goal.own}")


def goals_of(case: str) -> tuple[Goal, ...]:
    return tuple(goal for goal in GOALS if goal.case == case)


@dataclass(frozen=True)
class Verdict:
    """How one goal came out. `measured` is in the terms of the goal's limit; None: not known."""

    goal: Goal
    measured: float | None

    @property
    def met(self) -> bool:
        return self.measured is not None and self.measured <= self.goal.limit


def judge(goal: Goal, medians: dict[tuple[str, str], float]) -> Verdict:
    """Compare a goal with the medians, by (case, peer) and in the case's unit."""
    own = medians.get((goal.case, goal.own))
    if goal.peer is not None:
        other = medians.get((goal.case, goal.peer))
    elif goal.base_case is not None:
        other = medians.get((goal.base_case, GREENROOM))
    else:
        other = 1.0
    return Verdict(goal, None if own is None or other is None else own / other)
