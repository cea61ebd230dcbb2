# cython: nonecheck=True
"""Lock, RLock, Semaphore, BoundedSemaphore.                                     layer: sync

First come, first served: what is released is handed to the first who waits, who owns it from that
moment on, before it runs. So nobody can overtake, and one who is killed or times out in the same
tick either owns it or does not. The signatures are threading's: acquire(blocking=True, timeout=-1).

Usable from several OS threads at once, and by code outside any task.
"""

from __future__ import annotations

from greenroom.core import hooks
from greenroom.core import operation as _operation
from greenroom.core import scheduler as _scheduler
from greenroom.core.atomic import atomic
from greenroom.core.operation import Operation
from greenroom.core.scheduler import Scheduler
from greenroom.core.scope import Scope
from greenroom.core.timers import FOREVER
from greenroom.core.waitqueue import WaitQueue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from greenroom.sync.statistics import LockStatistics, SemaphoreStatistics

_LONGEST = 9223372036.0  # threading.TIMEOUT_MAX, the same on every Linux
_NO_LIMIT = -1  # the default of `timeout`, told from others without comparing


def _deadline(blocking: bool, timeout: float | None) -> float:
    """Turn threading's (blocking, timeout) into a deadline; both None and -1 are for ever."""
    if timeout is None or timeout is _NO_LIMIT or timeout == -1:
        return FOREVER
    if not blocking:
        raise ValueError("can't specify a timeout for a non-blocking call")
    if timeout < 0:
        raise ValueError("timeout value must be a non-negative number")
    if _LONGEST < timeout < FOREVER:
        raise OverflowError("timeout value is too large")
    return _scheduler.get().deadline_after(timeout)


def _acquire_shielded(lock: Any, state: Any) -> None:
    """Take lock back after a wait of Condition: whatever ends it, the caller holds the lock."""
    scheduler = _scheduler.get()
    task = scheduler.current
    shield = Scope(FOREVER, True)
    task.push_scope(shield)
    try:
        lock._acquire_state(scheduler, state)
    finally:
        task.pop_scope(shield)


class Lock:
    """A lock that knows no owner: any task, of any thread, may release it."""

    def __init__(self) -> None:
        self.held = False
        self.waiters = WaitQueue()

    def acquire(self, blocking: bool = True, timeout: float | None = -1) -> bool:
        """Take the lock.

        blocking  False: return at once
        timeout   seconds; -1 and None = for ever
        Returns   True if it was taken
        Raises    ValueError: timeout is negative, or given together with blocking=False
        Switches  only if it is held by another
        """
        deadline = _deadline(blocking, timeout)
        return self.take() or (blocking and self.wait(deadline))

    def wait(self, deadline: float) -> bool:
        """Take the lock, waiting for it until deadline."""
        scheduler = _scheduler.get()
        return self.take_or_enlist(scheduler, deadline) or scheduler.wait()

    def take(self) -> bool:
        """Take the lock if it is free."""
        if self.held:
            return False
        self.held = True
        return True

    def take_or_enlist(self, scheduler: Scheduler, deadline: float) -> bool:
        """Take the lock, or stand in its queue: then only scheduler.wait() may follow."""
        if self.held:
            scheduler.enlist(self.waiters, self, deadline)
            return False
        self.held = True
        return True

    def release(self) -> None:
        """Give the lock to the first who waits. RuntimeError if it is not held. Never switches."""
        if not self.held:
            raise RuntimeError("release unlocked lock")
        if not _scheduler.wake_first(self.waiters):
            self.held = False

    def locked(self) -> bool:
        """Return whether it is held."""
        return self.held

    def __enter__(self) -> bool:
        return self.take() or self.wait(FOREVER)

    def __exit__(self, kind: object = None, error: object = None, trace: object = None) -> None:
        self.release()

    # What threading.Condition asks of a lock. Without these it would call acquire() to get the lock
    # back, which a killed task must not do: every wait of it raises.
    def _release_save(self) -> None:
        self.release()

    def _acquire_restore(self, state: object) -> None:
        if not self.take():
            _acquire_shielded(self, state)

    def _acquire_state(self, scheduler: Scheduler, state: object) -> None:
        if not self.take_or_enlist(scheduler, FOREVER):
            scheduler.wait()

    def _is_owned(self) -> bool:
        return self.held

    def _at_fork_reinit(self) -> None:
        self.held = False
        self.waiters = WaitQueue()

    # The names that _thread's lock type has besides.
    def acquire_lock(self, blocking: bool = True, timeout: float | None = -1) -> bool:
        """acquire(), by its old name."""
        return self.acquire(blocking, timeout)

    def release_lock(self) -> None:
        """release(), by its old name."""
        self.release()

    def locked_lock(self) -> bool:
        """locked(), by its old name."""
        return self.held

    def statistics(self) -> LockStatistics:
        """Return who waits for it, and whether it is held. Never switches."""
        records = hooks.module("greenroom.sync.statistics")
        found: LockStatistics = records.LockStatistics(
            self.held, None, int(self.held), records.tasks_in(self.waiters)
        )
        return found

    def __repr__(self) -> str:
        state = "locked" if self.held else "unlocked"
        name = type(self).__name__
        return f"<{state} greenroom.{name} object at {id(self):#x}: {len(self.waiters)} waiting>"


class ThreadEndLock(Lock):
    """Held while a thread runs. Free after release(), though others wait: the first to run gets it.

    threading.Thread wants to see its lock free once it has released it (Python 3.11 and 3.12).
    """

    def wait(self, deadline: float) -> bool:
        """Take the lock, waiting for it until deadline."""
        scheduler = _scheduler.get()
        while not self.take_or_enlist(scheduler, deadline):
            if not scheduler.wait():
                return False
        return True

    def release(self) -> None:
        """Free the lock and wake all who wait. RuntimeError if it is not held. Never switches."""
        if not self.held:
            raise RuntimeError("release unlocked lock")
        self.held = False
        while _scheduler.wake_first(self.waiters):
            pass


class PolledLock(Lock):
    """A lock that lets others run now and then though it is free: for what programs poll.

    `while queue.empty(): pass` takes the queue's lock and never waits.
    """

    def __enter__(self) -> bool:
        _scheduler.get().spend_budget()
        return self.take() or self.wait(FOREVER)


class RLock:
    """A lock that its owner, a task, may take again, and must release as often."""

    def __init__(self) -> None:
        self.owner: object = None
        self.count = 0
        self.waiters = WaitQueue()

    def acquire(self, blocking: bool = True, timeout: float | None = -1) -> bool:
        """Take the lock once more; arguments and result as Lock.acquire."""
        deadline = _deadline(blocking, timeout)
        me = _scheduler.current_owner()
        if self.take(me, 1):
            return True
        if not blocking:
            return False
        scheduler = _scheduler.get()
        return self.take_or_enlist(scheduler, me, 1, deadline) or scheduler.wait()

    def take(self, me: object, count: int) -> bool:
        """Take the lock if it is free or mine."""
        if self.count == 0:
            self.owner = me
            self.count = count
            return True
        if self.owner is me or self.owner == me:
            self.count += count
            return True
        return False

    def take_or_enlist(self, scheduler: Scheduler, me: object, count: int, deadline: float) -> bool:
        """Take the lock, or stand in its queue: then only scheduler.wait() may follow."""
        if self.take(me, count):
            return True
        scheduler.current.value = (me, count)
        scheduler.enlist(self.waiters, self, deadline)
        return False

    def release(self) -> None:
        """Release it once; the last time it goes to the first who waits. Never switches.

        Raises    RuntimeError: the caller does not own it
        """
        if self.count == 0 or not self._is_owned():
            raise RuntimeError("cannot release un-acquired lock")
        self.count -= 1
        if self.count == 0:
            self.hand_over()

    def hand_over(self) -> None:
        """Make the first who waits the owner."""
        waiter = self.waiters.head
        if waiter is None:
            self.owner = None
            self.count = 0
        else:
            self.owner, self.count = waiter.value
            waiter.value = None
            _scheduler.wake(waiter)

    def locked(self) -> bool:
        """Return whether anybody holds it."""
        return self.count > 0

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, kind: object = None, error: object = None, trace: object = None) -> None:
        self.release()

    def _release_save(self) -> Any:
        if not self._is_owned():
            raise RuntimeError("cannot release un-acquired lock")
        state = (self.owner, self.count)
        self.hand_over()
        return state

    def _acquire_restore(self, state: Any) -> None:
        if not self.take(state[0], state[1]):
            _acquire_shielded(self, state)

    def _acquire_state(self, scheduler: Scheduler, state: Any) -> None:
        if not self.take_or_enlist(scheduler, state[0], state[1], FOREVER):
            scheduler.wait()

    def _is_owned(self) -> bool:
        return bool(self.count) and self.owner == _scheduler.current_owner()

    def _recursion_count(self) -> int:
        return self.count if self._is_owned() else 0

    def _at_fork_reinit(self) -> None:
        self.owner = None
        self.count = 0
        self.waiters = WaitQueue()

    def statistics(self) -> LockStatistics:
        """Return who owns it, how often, and who waits for it. Never switches."""
        records = hooks.module("greenroom.sync.statistics")
        found: LockStatistics = records.LockStatistics(
            self.count > 0, self.owner, self.count, records.tasks_in(self.waiters)
        )
        return found

    def __repr__(self) -> str:
        owner = getattr(self.owner, "name", self.owner)  # its repr may lead back here
        state = "locked" if self.count else "unlocked"
        return (
            f"<{state} greenroom.RLock object owner={owner} count={self.count} at {id(self):#x}: "
            f"{len(self.waiters)} waiting>"
        )


class Semaphore:
    """A counter that acquire lowers, waiting while it is 0, and release raises."""

    def __init__(self, value: int = 1) -> None:
        if value < 0:
            raise ValueError(f"a semaphore's value must be 0 or more, not {value}")
        self.value = value
        self.waiters = WaitQueue()

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Lower the counter by one; arguments and result as Lock.acquire."""
        deadline = _deadline(blocking, timeout)
        return self.take() or (blocking and self.wait(deadline))

    def wait(self, deadline: float) -> bool:
        """Lower the counter, waiting for it until deadline."""
        scheduler = _scheduler.get()
        return self.take_or_enlist(scheduler, deadline) or scheduler.wait()

    def take(self) -> bool:
        """Lower the counter if it is above 0."""
        if self.value == 0:
            return False
        self.value -= 1
        return True

    def take_or_enlist(self, scheduler: Scheduler, deadline: float) -> bool:
        """Lower the counter, or stand in the queue: then only scheduler.wait() may follow."""
        if self.value == 0:
            scheduler.enlist(self.waiters, self, deadline)
            return False
        self.value -= 1
        return True

    def release(self, n: int = 1) -> None:
        """Raise the counter by n, or let so many who wait pass. Never switches."""
        if n < 1:
            raise ValueError("n must be one or more")
        for _ in range(n):
            if not _scheduler.wake_first(self.waiters):
                self.value += 1

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, kind: object = None, error: object = None, trace: object = None) -> None:
        self.release()

    def _bound(self) -> int | None:
        return None

    def statistics(self) -> SemaphoreStatistics:
        """Return the counter, and who waits for it. Never switches."""
        records = hooks.module("greenroom.sync.statistics")
        found: SemaphoreStatistics = records.SemaphoreStatistics(
            self.value, self._bound(), records.tasks_in(self.waiters)
        )
        return found

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"<{name} at {id(self):#x}: value {self.value}, {len(self.waiters)} waiting>"


class BoundedSemaphore(Semaphore):
    """A Semaphore that may not be released more often than it was acquired."""

    def __init__(self, value: int = 1) -> None:
        Semaphore.__init__(self, value)
        self.bound = value

    def _bound(self) -> int | None:
        return self.bound

    def release(self, n: int = 1) -> None:
        """As Semaphore.release; ValueError if the counter would pass its first value."""
        if n < 1:
            raise ValueError("n must be one or more")
        if self.value + n > self.bound:
            raise ValueError("Semaphore released too many times")
        Semaphore.release(self, n)


class LockAcquire(Operation):
    """lock.acquire(), as something to wait for together with others."""

    lock: Lock

    def of(self, owner: Any, args: tuple[Any, ...]) -> Operation | None:
        """As Operation.of."""
        if args or isinstance(owner, ThreadEndLock):  # whose waiters are woken and own nothing yet
            return None
        made = LockAcquire.__new__(LockAcquire)
        made.lock = owner
        return made

    def attempt(self) -> bool:
        """As Operation.attempt."""
        return self.lock.take()

    def enlist(self) -> bool:
        """As Operation.enlist."""
        self.lock.waiters.append(self)
        return self.lock.held

    def result(self) -> bool:
        """Return True."""
        return True

    def reason(self) -> object:
        """Return the lock."""
        return self.lock


class RLockAcquire(Operation):
    """rlock.acquire(), for the task that waits."""

    lock: RLock

    def of(self, owner: Any, args: tuple[Any, ...]) -> Operation | None:
        """As Operation.of."""
        if args:
            return None
        made = RLockAcquire.__new__(RLockAcquire)
        made.lock = owner
        return made

    def attempt(self) -> bool:
        """As Operation.attempt."""
        return self.lock.take(_scheduler.current_owner(), 1)

    def enlist(self) -> bool:
        """As Operation.enlist."""
        self.value = (_scheduler.current_owner(), 1)
        self.lock.waiters.append(self)
        return self.lock.count > 0

    def result(self) -> bool:
        """Return True."""
        return True

    def reason(self) -> object:
        """Return the lock."""
        return self.lock


class SemaphoreAcquire(Operation):
    """semaphore.acquire(), as something to wait for together with others."""

    semaphore: Semaphore

    def of(self, owner: Any, args: tuple[Any, ...]) -> Operation | None:
        """As Operation.of."""
        if args:
            return None
        made = SemaphoreAcquire.__new__(SemaphoreAcquire)
        made.semaphore = owner
        return made

    def attempt(self) -> bool:
        """As Operation.attempt."""
        return self.semaphore.take()

    def enlist(self) -> bool:
        """As Operation.enlist."""
        self.semaphore.waiters.append(self)
        return self.semaphore.value == 0

    def result(self) -> bool:
        """Return True."""
        return True

    def reason(self) -> object:
        """Return the semaphore."""
        return self.semaphore


_operation.register(LockAcquire(), Lock, "acquire")
_operation.register(RLockAcquire(), RLock, "acquire")
_operation.register(SemaphoreAcquire(), Semaphore, "acquire")
atomic(Lock, "take", "take_or_enlist", "release")
atomic(ThreadEndLock, "release")
atomic(RLock, "take", "take_or_enlist", "release", "_release_save", "hand_over")
atomic(Semaphore, "take", "take_or_enlist", "release")
atomic(BoundedSemaphore, "release")
