"""Condition and Barrier.                                                        layer: sync"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from greenroom.core import hooks
from greenroom.core import scheduler as _scheduler
from greenroom.core.timers import FOREVER
from greenroom.core.waitqueue import WaitQueue
from greenroom.errors import BrokenBarrierError
from greenroom.sync.lock import Lock, RLock

if TYPE_CHECKING:
    from greenroom.sync.statistics import BarrierStatistics, ConditionStatistics


class Condition:
    """Wait, under a lock, until another says that something changed. As threading.Condition.

    lock   a Lock or RLock of greenroom, None: an RLock of its own
    """

    def __init__(self, lock: Lock | RLock | None = None) -> None:
        self._lock: Any = RLock() if lock is None else lock
        self._waiters = WaitQueue()
        self.acquire = self._lock.acquire
        self.release = self._lock.release

    def __enter__(self) -> bool:
        entered: bool = self._lock.__enter__()
        return entered

    def __exit__(self, *error: object) -> None:
        self._lock.__exit__(*error)

    def wait(self, timeout: float | None = None) -> bool:
        """Release the lock, wait to be notified, take the lock again.

        timeout   seconds, None = for ever
        Returns   True, or False if the time was over first
        Raises    RuntimeError: the caller does not hold the lock
        Switches  always; when it raises or is killed, the lock is held again all the same
        """
        if not self._lock._is_owned():
            raise RuntimeError("cannot wait on un-acquired lock")
        scheduler = _scheduler.get()
        # In this order: a notify between the release and the wait must find us in the queue.
        scheduler.enlist(self._waiters, self, scheduler.deadline_after(timeout))
        try:
            state = self._lock._release_save()
        except BaseException as error:
            _scheduler.fail(scheduler.current, error)
            scheduler.wait()
            raise
        try:
            return scheduler.wait()
        finally:
            self._lock._acquire_restore(state)

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        """Wait until predicate() is true; returns its last value."""
        scheduler = _scheduler.get()
        deadline = scheduler.deadline_after(timeout)
        while not (result := predicate()):
            remaining = None if deadline == FOREVER else deadline - scheduler.now()
            if remaining is not None and remaining <= 0:
                break
            self.wait(remaining)
        return result

    def notify(self, n: int = 1) -> None:
        """Wake the first n who wait. RuntimeError if the caller does not hold the lock."""
        if not self._lock._is_owned():
            raise RuntimeError("cannot notify on un-acquired lock")
        for _ in range(n):
            if not _scheduler.wake_first(self._waiters):
                return

    def notify_all(self) -> None:
        """Wake all who wait."""
        self.notify(len(self._waiters))

    def statistics(self) -> "ConditionStatistics":
        """Return its lock's statistics, and who waits to be notified. Never switches."""
        records = hooks.module("greenroom.sync.statistics")
        waiting = records.tasks_in(self._waiters)
        found: ConditionStatistics = records.ConditionStatistics(self._lock.statistics(), waiting)
        return found

    def __repr__(self) -> str:
        return f"<Condition of {self._lock!r}: {len(self._waiters)} waiting>"


class Barrier:
    """Let `parties` tasks wait for each other. As threading.Barrier.

    action   called by the last to come, before the others go on
    timeout  seconds, the default of wait()
    """

    def __init__(
        self,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
    ) -> None:
        if parties < 1:
            raise ValueError(f"a barrier needs at least one party, not {parties}")
        self.parties = parties
        self._action = action
        self._timeout = timeout
        self._lock = Lock()
        self._waiters = WaitQueue()
        self._broken = False

    @property
    def n_waiting(self) -> int:
        """How many wait now."""
        return len(self._waiters)

    @property
    def broken(self) -> bool:
        """True from abort(), a timeout or a kill until reset()."""
        return self._broken

    def wait(self, timeout: float | None = None) -> int:
        """Wait until as many tasks as there are parties wait here.

        Returns   a number from 0 to parties - 1, each to one of them
        Raises    BrokenBarrierError: a party gave up, or abort() or reset() was called
        Switches  unless the caller is the last to come
        """
        scheduler = _scheduler.get()
        with self._lock:
            if self._broken:
                raise BrokenBarrierError("this barrier is broken: call reset() first")
            index = len(self._waiters)
            if index + 1 == self.parties:
                self._open()
                return index
            limit = self._timeout if timeout is None else timeout
            task = scheduler.current
            task.value = None
            scheduler.enlist(self._waiters, self, scheduler.deadline_after(limit))
        try:
            if not scheduler.wait():
                raise BrokenBarrierError(f"not all {self.parties} parties came within {limit} s")
        except BaseException:
            self.abort()
            raise
        if task.value is not True:
            raise BrokenBarrierError("the barrier was aborted or reset while a party waited")
        return index

    def _open(self) -> None:
        try:
            if self._action is not None:
                self._action()
        except BaseException:
            self._wake_all(False)
            self._broken = True
            raise
        self._wake_all(True)

    def _wake_all(self, passed: bool) -> None:
        while self._waiters.head is not None:
            self._waiters.head.value = passed
            _scheduler.wake_first(self._waiters)

    def abort(self) -> None:
        """Break the barrier: all who wait, and all who come, get a BrokenBarrierError."""
        self._broken = True
        self._wake_all(False)

    def reset(self) -> None:
        """Make the barrier as new; who waits gets a BrokenBarrierError."""
        self._broken = False
        self._wake_all(False)

    def statistics(self) -> "BarrierStatistics":
        """Return how many parties there are, and who has come. Never switches."""
        records = hooks.module("greenroom.sync.statistics")
        waiting = records.tasks_in(self._waiters)
        found: BarrierStatistics = records.BarrierStatistics(self.parties, self._broken, waiting)
        return found

    def __repr__(self) -> str:
        state = "broken" if self._broken else f"{self.n_waiting} of {self.parties} waiting"
        return f"<Barrier at {id(self):#x}: {state}>"
