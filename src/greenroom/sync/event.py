# cython: nonecheck=True
"""Event: a flag to wait for. Result: a value, or an error, to wait for.         layer: sync"""

from __future__ import annotations

from greenroom.core import scheduler as _scheduler
from greenroom.core.atomic import atomic
from greenroom.core.scheduler import Scheduler
from greenroom.core.waitqueue import WaitQueue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Event:
    """A flag that tasks, of any thread, wait for. The names are threading.Event's."""

    def __init__(self) -> None:
        self.flag = False
        self.waiters = WaitQueue()

    def is_set(self) -> bool:
        """Return the flag."""
        return self.flag

    def set(self) -> None:
        """Raise the flag and wake all who wait. Never switches."""
        self.flag = True
        while _scheduler.wake_first(self.waiters):
            pass

    def clear(self) -> None:
        """Lower the flag."""
        self.flag = False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the flag is up.

        timeout   seconds, None = for ever
        Returns   True, or False if the time was over first
        Switches  only if the flag is down
        """
        if self.flag:
            return True
        scheduler = _scheduler.get()
        if self.set_or_enlist(scheduler, scheduler.deadline_after(timeout)):
            return True
        return scheduler.wait()

    def set_or_enlist(self, scheduler: Scheduler, deadline: float) -> bool:
        """Return the flag; if it is down, stand in the queue: only scheduler.wait() may follow."""
        if not self.flag:
            scheduler.enlist(self.waiters, self, deadline)
            return False
        return True

    def _at_fork_reinit(self) -> None:
        self.flag = False
        self.waiters = WaitQueue()

    def __repr__(self) -> str:
        state = "set" if self.flag else f"clear, {len(self.waiters)} waiting"
        return f"<Event at {id(self):#x}: {state}>"


class Result:
    """A value or an error that comes once. Any number of tasks, of any thread, may wait for it."""

    def __init__(self) -> None:
        self.settled = False
        self.value = None
        self.error: BaseException | None = None
        self.waiters = WaitQueue()

    @property
    def done(self) -> bool:
        """True once there is a value or an error."""
        return self.settled

    def set(self, value: Any = None) -> None:
        """Give the value. Raises RuntimeError if there is one, or an error, already."""
        self.settle(value, None)

    def set_error(self, error: BaseException) -> None:
        """Give the error that get() raises. Raises RuntimeError if the result is there already."""
        if not isinstance(error, BaseException):
            raise TypeError(f"the error of a Result is an exception, not {error!r}")
        self.settle(None, error)

    def settle(self, value: Any, error: BaseException | None) -> None:
        if self.settled:
            raise RuntimeError(f"cannot set {self!r} again: a result comes once")
        self.value = value
        self.error = error
        self.settled = True
        while _scheduler.wake_first(self.waiters):
            pass

    def get(self, timeout: float | None = None) -> Any:
        """Wait for the value and return it.

        timeout   seconds, None = for ever
        Raises    the error that was set; TimeoutError if the time was over first
        Switches  only if it is not there yet
        """
        if not self.settled:
            scheduler = _scheduler.get()
            deadline = scheduler.deadline_after(timeout)
            if not self.settled_or_enlist(scheduler, deadline) and not scheduler.wait():
                raise TimeoutError(f"{self!r} has not come after {timeout} s")
        if self.error is not None:
            raise self.error
        return self.value

    def settled_or_enlist(self, scheduler: Scheduler, deadline: float) -> bool:
        """Return True if it is there; else stand in the queue: only scheduler.wait() may follow."""
        if not self.settled:
            scheduler.enlist(self.waiters, self, deadline)
            return False
        return True

    def __repr__(self) -> str:
        if not self.settled:
            return f"<Result at {id(self):#x}: {len(self.waiters)} waiting>"
        return f"<Result at {id(self):#x}: {'value' if self.error is None else 'error'}>"


atomic(Event, "set", "set_or_enlist")
atomic(Result, "settle", "settled_or_enlist")
