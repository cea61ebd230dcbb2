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
    Neither: `limit` is in the case's unit.
    """

    case: str
    limit: float
    peer: str | None = None
    base_case: str | None = None

    def text(self, unit: str) -> str:
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
        Goal(case, 1.5, "threads")
        for case in ("file_read", "file_pread", "file_buffered", "file_open")
    ),
    Goal("spawn_join", 1 / 50, "gevent"),
    Goal("spawn_join", 1.0, "go"),
    Goal("switch100", 1 / 4, "gevent"),
    Goal("queue3", 1 / 4.5, "gevent"),
    *_four_times_ahead("queue3"),
    Goal("pingpong", 1 / 4.5, "gevent"),
    *_four_times_ahead("pingpong"),
    Goal("lock100", 0.2, "gevent"),
    Goal("sleepers", 0.25, "gevent"),
    Goal("sleepers", 0.5, "uvloop"),
    Goal("requests_get", 0.8, "gevent"),
    Goal("parked_memory", 7.0),
    Goal("scale_switch_100000", 2.0, base_case="scale_switch_10"),
    Goal("scale_timer_100000", TIMER_GROWTH, base_case="scale_timer_10"),
)

# case name -> why it is missed, in a sentence or two with numbers.
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
    "lock100": "perf: 49 % libpython, for the with statement builds a bound method at each end, "
    "and 18 % greenlet: one switch a turn.",
    "requests_get": "requests' and urllib3's own Python: real threads, unpatched, need 393 µs.",
}


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
    own = medians.get((goal.case, GREENROOM))
    if goal.peer is not None:
        other = medians.get((goal.case, goal.peer))
    elif goal.base_case is not None:
        other = medians.get((goal.base_case, GREENROOM))
    else:
        other = 1.0
    return Verdict(goal, None if own is None or other is None else own / other)
