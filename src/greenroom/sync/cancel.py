# cython: nonecheck=True
"""CancelScope, move_on_after(), timeout(): stretches of code that can be cancelled.  layer: sync

The scopes of core/scope.py, as context managers. A scope belongs to the task that entered it, and
to the innermost place on that task's stack of scopes. Whoever changes a scope writes a field and
lets the task look again (Scheduler.interrupt), so that entering and leaving start no timer and tell
nobody: 0.2 µs for both.
"""

from __future__ import annotations

from greenroom.core import scheduler as _scheduler
from greenroom.core import task as _task
from greenroom.core.scheduler import Scheduler
from greenroom.core.scope import Scope
from greenroom.core.task import Task
from greenroom.core.timers import FOREVER
from greenroom.errors import Cancelled, Timeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Literal

# What a scope goes through, once; those with a length of their own may begin again.
UNUSED = 0
ENTERED = 1
LEFT = 2


class CancelScope(Scope):
    """A block of code that can be cancelled as a whole, by anybody who has the scope.

    deadline  absolute seconds on the clock of current_time(); inf = none. May be moved at any time
    shield    what is outside, be it a scope, a timeout or kill(), does not interrupt waits inside
    Raises    RuntimeError: it was entered before, or is left by another task than entered it, or
              while a scope entered inside it is still open
    Switches  never itself

    Once it is cancelled each wait inside raises Cancelled, again and again. The block ends there,
    and the program goes on after it; see cancelled_caught.
    """

    def __init__(self, *, deadline: float = FOREVER, shield: bool = False) -> None:
        self.parent = None
        self.cancelled = False
        self.ends = _checked(deadline)
        self.shields = shield
        self.task: Task | None = None
        self.stage = UNUSED
        self.cancelled_caught = False

    def __enter__(self) -> CancelScope:
        if self.stage != UNUSED:
            self.refuse_entry()
        self.push()
        return self

    def refuse_entry(self) -> None:
        if self.stage == ENTERED:
            raise RuntimeError(f"cannot enter {self!r}: it is entered already; make one a block")
        raise RuntimeError(f"cannot enter {self!r} again: make one for each block")

    def push(self) -> None:
        """Become the innermost scope of the running task."""
        self.stage = ENTERED
        self.task = _scheduler.get().current
        self.task.push_scope(self)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        return self.leave(error)

    def leave(self, error: BaseException | None) -> bool:
        """End with what the block raised. Returns True if that was this scope's own Cancelled."""
        task = self.task
        if task is None:  # left with the scope around it, which has said so
            return False
        if task.scope is self and _scheduler.get().current is task:
            self.task = None
            self.stage = LEFT
            task.pop_scope(self)
        else:
            self.leave_out_of_turn(task)
        if not self.owns(task, error):
            return False
        self.cancelled_caught = True
        return True

    def owns(self, task: Task | None, error: BaseException | None) -> bool:
        """Tell whether error is what a wait inside raised because this scope is over."""
        if error is not None and isinstance(error, Cancelled) and error.scope is self:
            return True
        return task is not None and task.face is not None and task.face.ended_by(task, self, error)

    def leave_out_of_turn(self, task: Task) -> None:
        """Leave a scope that is not the innermost of the running task, and say so."""
        here = _scheduler.get().current
        inner = None
        scope = task.scope
        while here is task and scope is not None and scope is not self:
            outer = scope.parent
            if isinstance(scope, CancelScope):  # what compat/gevent starts inside may stay longer
                inner = scope
                inner.forget(task)
            scope = outer
        self.forget(task)
        if inner is not None:
            raise RuntimeError(
                f"{self!r} is left before {inner!r}, which was entered inside it: leave the inner "
                "one first (a generator that holds it open must be closed inside the outer block)"
            )
        if here is not task and task.state != _task.DONE:
            scheduler: Scheduler = task.scheduler
            scheduler.interrupt(task)  # its deadline no longer counts
            raise RuntimeError(
                f"{self!r} was entered by {task!r} and is left by {here!r}: enter and leave it in "
                "one task (a generator that holds it open must be closed by the task that began it)"
            )

    def forget(self, task: Task) -> None:
        self.task = None
        self.stage = LEFT
        task.remove_scope(self)

    def cancel(self) -> None:
        """Cancel what is inside. Called before the block is entered, it holds from there on.

        From any task and any OS thread. Of a scope that was left nothing is cancelled any more.

        Switches  never
        """
        self.cancelled = True
        self.changed()

    def changed(self) -> None:
        """Let the task that is inside look at its scopes again."""
        task = self.task
        if task is not None:
            scheduler: Scheduler = task.scheduler
            scheduler.interrupt(task)

    @property
    def deadline(self) -> float:
        """Absolute seconds on the clock of current_time(), inf = none.

        Setting it reaches a task that waits inside, earlier or later; from any thread. Once the
        deadline has come the scope is cancelled, and a later one changes nothing.
        """
        return self.ends

    @deadline.setter
    def deadline(self, deadline: float) -> None:
        seconds = _checked(deadline)
        self.note_time()
        self.ends = seconds
        self.changed()

    @property
    def shield(self) -> bool:
        """Whether what is outside is kept from the waits inside. May be set at any time."""
        return self.shields

    @shield.setter
    def shield(self, shield: bool) -> None:
        task = self.task
        if task is not None:
            scheduler: Scheduler = task.scheduler
            if scheduler.current is not task:
                scheduler.keep_interruption(task)
        self.shields = shield
        self.changed()

    @property
    def cancel_called(self) -> bool:
        """True once cancel() was called or, while it is entered, the deadline has come."""
        self.note_time()
        return self.cancelled

    def note_time(self) -> None:
        """Be cancelled for good if the deadline has come."""
        task = self.task
        if task is not None and self.ends != FOREVER:
            scheduler: Scheduler = task.scheduler
            if self.ends <= scheduler.now():
                self.cancelled = True

    def make_error(self, task: object) -> BaseException:
        """Return the Cancelled of this scope."""
        if self.cancelled:
            return Cancelled("the scope around this wait was cancelled", self)
        self.cancelled = True
        return Cancelled("the deadline of the scope around this wait has come", self)

    def __repr__(self) -> str:
        state = ("not entered", "entered", "left")[self.stage]
        cancelled = ", cancelled" if self.cancelled else ""
        return f"<{type(self).__name__} at {id(self):#x}: {state}{cancelled}>"


class move_on_after(CancelScope):
    """A CancelScope whose deadline comes so many seconds after it is entered. The block then ends.

    seconds   None = no limit
    shield    as CancelScope's
    Raises    nothing when the time is over: see cancelled_caught
    Switches  never itself

    It may be entered again once it was left; the time, and all else, then begins anew.
    """

    def __init__(self, seconds: float | None, *, shield: bool = False) -> None:
        self.parent = None
        self.cancelled = False
        self.ends = FOREVER
        self.shields = shield
        self.task = None
        self.stage = UNUSED
        self.cancelled_caught = False
        self.seconds = seconds

    def __enter__(self) -> CancelScope:
        if self.stage != UNUSED:
            if self.stage == ENTERED:
                self.refuse_entry()
            self.cancelled = self.cancelled_caught = False
        scheduler = _scheduler.get()
        # A deadline that was set before it is entered counts, if it comes first.
        deadline = scheduler.deadline_after(self.seconds)
        if self.stage != UNUSED or deadline < self.ends:
            self.ends = deadline
        self.push()
        return self


class timeout(move_on_after):
    """A time limit on a block. What waits inside after the time is over is cancelled.

    seconds   None = no limit
    shield    as CancelScope's
    Raises    Timeout, a TimeoutError, when the block is left because its time was over, or because
              the scope was cancelled. A block that ends by itself, late or not, raises nothing
    Switches  never itself

    Inside, each wait past the deadline raises Cancelled, so that an `except OSError` or a bare
    `except` in the block cannot lose it. Timeouts nest; the outer one wins when both are over.
    fail_after is another name for it.
    """

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> Literal[False]:
        if self.leave(error):
            if self.expired:
                raise Timeout(f"the block was not done after {self.seconds} s") from error
            raise Timeout("the block was not done: its scope was cancelled") from error
        return False

    @property
    def expired(self) -> bool:
        """True if the time is over."""
        return self.ends != FOREVER and self.ends <= _scheduler.get().now()


fail_after = timeout


def _checked(deadline: float) -> float:
    """Return deadline as a float."""
    try:
        seconds = float(deadline)
    except (TypeError, ValueError):
        raise TypeError(f"a deadline is a number of seconds, not {deadline!r}") from None
    if seconds != seconds:
        raise ValueError("a deadline is a number of seconds, not nan")
    return seconds
