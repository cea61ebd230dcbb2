# cython: nonecheck=True
"""Event: a flag to wait for. Result: a value, or an error, to wait for.         layer: sync"""

from __future__ import annotations

from greenroom.core import hooks
from greenroom.core import operation as _operation
from greenroom.core import scheduler as _scheduler
from greenroom.core.atomic import atomic
from greenroom.core.operation import Operation
from greenroom.core.scheduler import Scheduler
from greenroom.core.waitqueue import WaitQueue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from greenroom.sync.statistics import EventStatistics


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

    def __await__(self) -> Generator[Any, Any, bool]:
        return hooks.await_thing(self)  # type: ignore[no-any-return]

    def _at_fork_reinit(self) -> None:
        self.flag = False
        self.waiters = WaitQueue()

    def statistics(self) -> EventStatistics:
        """Return the flag, and who waits for it. Never switches."""
        records = hooks.module("greenroom.sync.statistics")
        waiting = records.tasks_in(self.waiters)
        found: EventStatistics = records.EventStatistics(self.flag, waiting)
        return found

    def __repr__(self) -> str:
        state = "set" if self.flag else f"clear, {len(self.waiters)} waiting"
        return f"<Event at {id(self):#x}: {state}>"


class EventWait(Operation):
    """event.wait(), as something to wait for together with others."""

    event: Event

    def of(self, owner: Any, args: tuple[Any, ...]) -> Operation | None:
        """As Operation.of."""
        if args:
            return None
        made = EventWait.__new__(EventWait)
        made.event = owner
        return made

    def attempt(self) -> bool:
        """As Operation.attempt."""
        return self.event.flag

    def enlist(self) -> bool:
        """As Operation.enlist."""
        if self.event.flag:
            return False
        self.event.waiters.append(self)
        return True

    def result(self) -> bool:
        """Return True."""
        return True

    def reason(self) -> object:
        """Return the event."""
        return self.event


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

    def __await__(self) -> Generator[Any, Any, Any]:
        return hooks.await_thing(self)  # type: ignore[no-any-return]

    def statistics(self) -> EventStatistics:
        """Return whether it is there, and who waits for it. Never switches."""
        records = hooks.module("greenroom.sync.statistics")
        found: EventStatistics = records.EventStatistics(
            self.settled, records.tasks_in(self.waiters)
        )
        return found

    def __repr__(self) -> str:
        if not self.settled:
            return f"<Result at {id(self):#x}: {len(self.waiters)} waiting>"
        return f"<Result at {id(self):#x}: {'value' if self.error is None else 'error'}>"


class ResultGet(Operation):
    """result.get(), as something to wait for together with others."""

    awaited: Result

    def of(self, owner: Any, args: tuple[Any, ...]) -> Operation | None:
        """As Operation.of."""
        if args:
            return None
        made = ResultGet.__new__(ResultGet)
        made.awaited = owner
        return made

    def attempt(self) -> bool:
        """As Operation.attempt."""
        return self.awaited.settled

    def enlist(self) -> bool:
        """As Operation.enlist."""
        if self.awaited.settled:
            return False
        self.awaited.waiters.append(self)
        return True

    def result(self) -> Any:
        """Return the value, or raise the error."""
        return self.awaited.get()

    def reason(self) -> object:
        """Return the Result."""
        return self.awaited


_operation.register(EventWait(), Event, "", "wait")
_operation.register(ResultGet(), Result, "", "get")
atomic(Event, "set", "set_or_enlist")
atomic(EventWait, "enlist")
atomic(Result, "settle", "settled_or_enlist")
atomic(ResultGet, "enlist")
