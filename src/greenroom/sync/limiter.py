# cython: nonecheck=True
"""CapacityLimiter: how many may do something at once. RateLimiter: how often.   layer: sync

A CapacityLimiter is a semaphore that knows who holds its tokens, and whose number may change. A
token that comes back is handed to the first who waits, who owns it from that moment on.

A RateLimiter is a token bucket, kept as one number: the time at which the bucket is full again.
Only the first of those who wait sleeps, the others queue at its lock: who gives up leaves no gap.
"""

from __future__ import annotations

from greenroom.core import hooks
from greenroom.core import scheduler as _scheduler
from greenroom.core.atomic import atomic
from greenroom.core.scheduler import Scheduler
from greenroom.core.timers import FOREVER
from greenroom.core.waitqueue import WaitQueue
from greenroom.errors import WouldBlock
from greenroom.sync.lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from greenroom.sync.statistics import CapacityStatistics, RateStatistics


class CapacityLimiter:
    """So many tokens, each borrowed by one task: `with limiter:` holds one.

    total     a whole number, 1 or more, or math.inf. May be set at any time: more lets some of
              those who wait go on; fewer lets nobody in until enough have been given back
    Raises    ValueError: it is none

    Usable from several OS threads at once.
    """

    limit: float
    holders: dict[Any, None]
    waiters: WaitQueue

    def __init__(self, total: float) -> None:
        self.holders = {}
        self.waiters = WaitQueue()
        self.limit = _checked_total(total)

    @property
    def total(self) -> float:
        """How many tokens there are."""
        return int(self.limit) if self.limit != FOREVER else self.limit

    @total.setter
    def total(self, total: float) -> None:
        self.limit = _checked_total(total)
        self.hand_out()

    @property
    def borrowed(self) -> int:
        """How many tokens are held."""
        return len(self.holders)

    @property
    def available(self) -> float:
        """How many tokens are free; 0 also while more are held than there are."""
        return max(self.total - len(self.holders), 0)

    def acquire(self, timeout: float | None = None) -> bool:
        """Borrow a token, waiting for one.

        timeout   seconds, None = for ever
        Returns   True, or False if the time was over first
        Raises    RuntimeError: the caller holds one already
        Switches  only if there is none
        """
        return self.acquire_for(_scheduler.current_owner(), timeout)

    def acquire_nowait(self) -> None:
        """Borrow a token. Raises WouldBlock if there is none. Never switches."""
        if not self.take(_scheduler.current_owner()):
            raise WouldBlock(f"cannot borrow from {self!r}: no token is free; acquire() waits")

    def acquire_for(self, borrower: object, timeout: float | None = None) -> bool:
        """acquire() for another than the calling task: any hashable object."""
        if self.take(borrower):
            return True
        scheduler = _scheduler.get()
        deadline = scheduler.deadline_after(timeout)
        return self.take_or_enlist(scheduler, borrower, deadline) or scheduler.wait()

    def take(self, borrower: object) -> bool:
        """Borrow a token if one is free."""
        if borrower in self.holders:
            raise _holds_already(borrower, self)
        if len(self.holders) >= self.limit:
            return False
        self.holders[borrower] = None
        return True

    def take_or_enlist(self, scheduler: Scheduler, borrower: object, deadline: float) -> bool:
        """Borrow a token, or stand in the queue: then only scheduler.wait() may follow."""
        if self.take(borrower):
            return True
        scheduler.current.value = borrower
        scheduler.enlist(self.waiters, self, deadline)
        return False

    def release(self) -> None:
        """Give the token back. RuntimeError if the caller holds none. Never switches."""
        self.release_for(_scheduler.current_owner())

    def release_for(self, borrower: object) -> None:
        """release() of what acquire_for() has borrowed."""
        if borrower not in self.holders:
            raise RuntimeError(
                f"{_named(borrower)} cannot give a token of {self!r} back: it holds none"
            )
        del self.holders[borrower]
        self.hand_out()

    def hand_out(self) -> None:
        """Give free tokens to those who wait."""
        while len(self.holders) < self.limit:
            waiter = self.waiters.head
            if waiter is None:
                return
            if waiter.value in self.holders:  # of two tasks that wait for one borrower the second
                _scheduler.fail(waiter, _holds_already(waiter.value, self))
                continue
            self.holders[waiter.value] = None
            waiter.value = None
            _scheduler.unpark(waiter)

    def statistics(self) -> CapacityStatistics:
        """Return a CapacityStatistics. Never switches."""
        holders = tuple(self.holders)
        records = hooks.module("greenroom.sync.statistics")
        return records.CapacityStatistics(  # type: ignore[no-any-return]
            len(holders), self.total, holders, records.tasks_in(self.waiters)
        )

    def __enter__(self) -> CapacityLimiter:
        self.acquire()
        return self

    def __exit__(self, kind: object = None, error: object = None, trace: object = None) -> None:
        self.release()

    def __repr__(self) -> str:
        return (
            f"<CapacityLimiter at {id(self):#x}: {len(self.holders)} of {self.total} tokens held, "
            f"{len(self.waiters)} waiting>"
        )


def _holds_already(borrower: object, limiter: CapacityLimiter) -> RuntimeError:
    return RuntimeError(f"{_named(borrower)} holds a token of {limiter!r} already: it may hold one")


def _named(borrower: object) -> str:
    """Return who borrows, in words: the code outside tasks borrows as its thread's number."""
    if borrower == _scheduler.current_owner():
        return repr(_scheduler.get().current)
    return repr(borrower)


def _checked_total(total: float) -> float:
    """Return total as a float."""
    whole = isinstance(total, int) and not isinstance(total, bool)
    if not (whole or total == FOREVER) or total < 1:
        raise ValueError(
            f"a CapacityLimiter has a whole number of tokens, 1 or more, or math.inf, not {total!r}"
        )
    return float(total)


class RateLimiter:
    """Lets rate callers pass in any `per` seconds, evenly spaced: `with limiter:` waits its turn.

    rate      how many, a number above 0
    per       seconds
    burst     how many may pass at once after a pause: in any t seconds no more than
              burst + rate * t / per pass
    Raises    ValueError: one of them is not above 0, or burst is no whole number

    First come, first served. Usable from several OS threads at once.
    """

    interval: float
    tolerance: float
    full_at: float
    burst: int
    turn: Lock
    sleepers: WaitQueue

    def __init__(self, rate: float, per: float = 1.0, burst: int = 1) -> None:
        try:
            usable = 0 < rate < FOREVER and 0 < per < FOREVER
        except TypeError:
            usable = False
        if not usable:
            raise ValueError(f"a RateLimiter needs numbers above 0, not {rate!r} per {per!r} s")
        if isinstance(burst, bool) or not isinstance(burst, int) or burst < 1:
            raise ValueError(f"burst is a whole number, 1 or more, not {burst!r}")
        self.interval = per / rate
        self.burst = burst
        self.tolerance = self.interval * (burst - 1)
        self.full_at = -FOREVER
        self.turn = Lock()
        self.sleepers = WaitQueue()  # the first of those who wait

    def acquire(self, timeout: float | None = None) -> bool:
        """Wait for one's turn, and take it.

        timeout   seconds, None = for ever
        Returns   True; False if the turn does not come in that time, as soon as that is known
        Switches  only if others wait, or the rate is reached
        """
        scheduler = _scheduler.get()
        deadline = scheduler.deadline_after(timeout)
        if not (self.turn.take() or self.turn.wait(deadline)):
            return False
        try:
            while True:
                now = scheduler.now()
                at = self.full_at - self.tolerance
                if at <= now:
                    self.full_at = max(self.full_at, now) + self.interval
                    return True
                if at > deadline:
                    return False
                scheduler.park(self.sleepers, self, at)
        finally:
            self.turn.release()

    def acquire_nowait(self) -> None:
        """Take a turn now. Raises WouldBlock if that is not possible. Never switches."""
        if self.turn.take():
            try:
                now = _scheduler.get().now()
                if self.full_at - self.tolerance <= now:
                    self.full_at = max(self.full_at, now) + self.interval
                    return
            finally:
                self.turn.release()
        raise WouldBlock(f"{self!r} lets nobody pass now; acquire() waits for a turn")

    def statistics(self) -> RateStatistics:
        """Return a RateStatistics. Never switches."""
        missing = max(self.full_at - _scheduler.get().now(), 0.0) / self.interval
        free = 0 if self.turn.locked() else max(int(self.burst - missing), 0)
        records = hooks.module("greenroom.sync.statistics")
        first, rest = records.tasks_in(self.sleepers), records.tasks_in(self.turn.waiters)
        waiting = records.Waiting(first + rest, first.seconds + rest.seconds)
        return records.RateStatistics(waiting, free)  # type: ignore[no-any-return]

    def __enter__(self) -> RateLimiter:
        self.acquire()
        return self

    def __exit__(self, kind: object = None, error: object = None, trace: object = None) -> None:
        pass

    def __repr__(self) -> str:
        return f"<RateLimiter at {id(self):#x}: one each {self.interval:.6g} s, burst {self.burst}>"


atomic(CapacityLimiter, "take", "take_or_enlist", "release_for", "hand_out")
