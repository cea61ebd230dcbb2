# cython: nonecheck=True
"""The task: a green thread, as an object.                                       layer: core

A task is not a greenlet. It is a small record that a carrier greenlet runs; a carrier is reused for
task after task (scheduler.py). What is said here of a task holds for the main one too, which is the
code that was running in the thread when its scheduler was made.
"""

from __future__ import annotations

from contextvars import Context

from greenroom.core import hooks, native, report
from greenroom.core.atomic import atomic
from greenroom.core.scope import Scope
from greenroom.core.timers import FOREVER
from greenroom.core.waitqueue import Case, Waiter, WaitQueue
from greenroom.errors import TaskKilled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any

# The states. A task goes NEW -> RUNNABLE <-> PARKED ... -> DONE.
NEW = 0  # in the ready queue, has run nothing yet, has no carrier
RUNNABLE = 1  # is running (scheduler.current) or in the ready queue
PARKED = 2  # waits; in at most one wait queue and the deadline heap
DONE = 3  # has returned, failed, or was killed

_STATE_NAMES = ("new", "runnable", "parked", "done")


COMPILED = native.compiled()

_NONE: tuple[str, ...] = (
    "prev",
    "next",
    "queue",
    "greenlet",
    "reason",
    "value",
    "error",
    "pending",
    "scope",
    "home",
    "stepper",
    "face",
    "cases",
)
_NONE += ("older", "newer", "joiners", "callbacks", "locals")


class Stepper:
    """Runs a task that has no stack of its own: a generator, a coroutine."""

    def step(self, task: Any) -> None:
        """Run task, the current one, up to its next wait or its end. Called on a carrier.

        Returns with the task ready, parked or done. It may call code that parks; the carrier is
        then the task's until that goes on.
        """
        raise NotImplementedError

    def frame(self) -> Any:
        """Return the innermost frame at which the task waits, or None."""
        return None


class Face:
    """What a thread must look like while some tasks run, and not while others do.

    The scheduler puts it on when a task with another face is to run (Task.face).

    ident   what threading.get_ident() is for these tasks, which are to look like one thread
    """

    ident: int

    def put_on(self) -> None:
        """A task with this face will run next."""
        raise NotImplementedError

    def take_off(self) -> None:
        """A task with another face, or none, will run next."""
        raise NotImplementedError

    def suspend(self, task: Any) -> None:
        """task is about to wait in the middle of a step."""

    def resume(self, task: Any) -> None:
        """task goes on after that."""

    def look(self, task: Any) -> None:
        """The scopes of task, which is between two steps, have changed, or one's time is over."""

    def ended_by(self, task: Any, scope: Any, error: Any) -> bool:
        """task leaves scope: tell whether error is what it was ended with, between two steps."""
        return False

    def passes(self, error: Any) -> bool:
        """Tell whether error is a cancellation of these tasks' own kind, to be let through."""
        return False


class Task(Waiter):
    """A green thread. Made by spawn(), never directly.

    scheduler  the scheduler of the OS thread it lives in, for good
    greenlet   the greenlet that parked last: the carrier, or a raw one of the user's; None if it
               has no stack: NEW, or between two steps
    stepper    runs a task that has no stack of its own, a step at a time; None for most
    face       what else must be in place while it runs, None for most: a running asyncio loop
    cases      the first of the operations of which it waits for one to come about; None for most
    reason     what it waits on while PARKED; shown by repr and in every report
    value      what the waker hands over (a queue's item, for one); once DONE what fn returned
    error      raised by the wait that is being woken, then None; once DONE what fn failed with
    pending    raised by the next wait, then None (KeyboardInterrupt for main, for one)
    attention  one branch on the way into every wait: killed, or pending, or in a scope
    home       the scope it was started in, which hears of its end: a group's; None for most
    own_deadline  of the wait it is in, without those of its scopes; only while it is in a scope
    since      the scheduler's `time` when it began to wait, while PARKED
    """

    scheduler: Any
    state: int
    fn: Callable[..., Any] | None
    args: tuple[Any, ...] | None
    context: Context | None
    greenlet: Any
    reason: object
    value: Any
    error: BaseException | None
    pending: BaseException | None
    timed_out: bool
    waits_io: bool
    attention: bool
    killed: bool
    observed: bool
    scope: Scope | None
    home: Scope | None
    own_deadline: float
    since: float
    stepper: Any  # a Stepper or None
    face: Face | None
    cases: Case | None
    joiners: WaitQueue | None
    callbacks: list[Callable[[Task], object]] | None
    older: Task | None
    newer: Task | None
    locals: list[Any] | None
    label: object
    number: int  # among the scheduler's tasks; 0 if the name was given

    @property
    def name(self) -> str:
        """The name given to spawn, or one made of the function's name and a number."""
        if self.number == 0:
            return str(self.label)
        return f"{native.name_of(self.label)}-{self.number}"

    @name.setter
    def name(self, name: str) -> None:
        self.label = str(name)
        self.number = 0

    @property
    def done(self) -> bool:
        """True when it has returned, failed, or was killed."""
        return self.state == DONE

    @property
    def exception(self) -> BaseException | None:
        """What it failed with; None while it runs and when it returned.

        A task that was killed has a TaskKilled here.
        """
        self.observed = True
        return self.error

    def join(self, timeout: float | None = None) -> bool:
        """Wait until the task has ended.

        timeout   seconds, None = for ever
        Returns   True if it has ended, False if the time was over first. What the task failed with
                  is not raised: see result()
        Raises    RuntimeError: a task cannot wait for itself
        Switches  only if the task has not ended
        """
        if self.state == DONE:
            return True
        scheduler = self.scheduler.here()
        if scheduler.current is self:
            raise RuntimeError(f"{self!r} cannot wait for its own end")
        deadline = scheduler.deadline_after(timeout)
        if self._done_or_enlist(scheduler, deadline):
            return True
        ended: bool = scheduler.wait()
        return ended

    def _done_or_enlist(self, scheduler: Any, deadline: float) -> bool:
        if self.state == DONE:
            return True
        if self.joiners is None:
            self.joiners = WaitQueue()
        scheduler.enlist(self.joiners, self, deadline)
        return False

    def __await__(self) -> Generator[Any, Any, Any]:
        return hooks.await_thing(self)  # type: ignore[no-any-return]

    def add_joiner(self, waiter: Waiter) -> bool:
        """Let waiter be woken when the task has ended. Returns False if it already has."""
        if self.state == DONE:
            return False
        if self.joiners is None:
            self.joiners = WaitQueue()
        self.joiners.append(waiter)
        return True

    def result(self, timeout: float | None = None) -> Any:
        """Wait until the task has ended and return what its function returned.

        timeout   seconds, None = for ever
        Raises    what the function raised; TaskKilled if it was killed; TimeoutError if the time
                  was over first (the task goes on)
        Switches  only if the task has not ended
        """
        self.observed = True
        if self.state != DONE and not self.join(timeout):
            raise TimeoutError(f"{self!r} has not ended after {timeout} s")
        if self.error is not None:
            raise self.error
        return self.value

    def kill(self) -> None:
        """Cancel the task: the wait it is in, and every further one, raises Cancelled.

        A task that has not run yet never will. One that has ended is left alone. Returns at once;
        use join() to wait until its `finally` blocks have run.

        Raises    ValueError for the main task of a thread: raise SystemExit there instead
        Switches  never
        """
        if self is self.scheduler.main:
            raise ValueError(f"cannot kill {self!r}: it is the main task of its thread")
        # A flag, not a scope of each task's own: it must hold before the first switch, when nothing
        # has been entered, and nobody is to pay 64 bytes for it.
        if self.state != DONE:
            self.killed = True
            self.attention = True
            self.scheduler.interrupt(self)

    def add_done_callback(self, fn: Callable[[Task], object]) -> None:
        """Call fn(task) when the task has ended; at once if it already has.

        fn runs in the thread of the task and must not wait. What it raises is logged.
        """
        self.observed = True
        if self.state == DONE:
            self.call_back(fn)
        elif self.callbacks is None:
            self.callbacks = [fn]
        else:
            self.callbacks.append(fn)

    def remove_done_callback(self, fn: Callable[[Task], object]) -> int:
        """Forget a callback. Returns how often it had been added."""
        if self.callbacks is None:
            return 0
        kept = [callback for callback in self.callbacks if callback != fn]
        count = len(self.callbacks) - len(kept)
        self.callbacks = kept
        return count

    def call_back(self, fn: Callable[[Task], object]) -> None:
        """Call one done callback and log what it raises; SystemExit and the like go to main."""
        try:
            try:
                fn(self)
            except Exception as error:
                hooks.log_error(f"a done callback of {self!r} failed", error)
        except BaseException as error:
            self.scheduler.throw(self.scheduler.main, error)

    def push_scope(self, scope: Scope) -> None:
        """Enter scope; every wait until pop_scope() is inside it."""
        scope.parent = self.scope
        self.scope = scope
        self.attention = True

    def pop_scope(self, scope: Scope) -> None:
        """Leave scope, and any inside it that was left open; nothing if it was left already."""
        inner = self.scope
        while inner is not None and inner is not scope:
            inner = inner.parent
        if inner is None:
            return
        self.scope = scope.parent
        scope.parent = None
        self.attention = self.killed or self.scope is not None or self.pending is not None

    def remove_scope(self, scope: Scope) -> None:
        """Leave scope alone, wherever it stands; those inside it stay."""
        if self.scope is scope:
            self.pop_scope(scope)
            return
        inner = self.scope
        while inner is not None and inner.parent is not scope:
            inner = inner.parent
        if inner is not None:
            inner.parent = scope.parent
            scope.parent = None

    @property
    def state_name(self) -> str:
        """One of new, runnable, parked, done."""
        return _STATE_NAMES[self.state]

    def __repr__(self) -> str:
        if self.state == PARKED:
            return f"<Task {self.name} parked on {report.describe(self.reason)}>"
        if self.state == DONE and self.error is not None:
            how = "killed" if isinstance(self.error, TaskKilled) else "failed"
            return f"<Task {self.name} done, {how}>"
        return f"<Task {self.name} {self.state_name}>"


def new_task(
    scheduler: Any,
    fn: Callable[..., Any] | None,
    args: tuple[Any, ...],
    name: object,
    context: Context | None,
) -> Task:
    """Make a task that has not run. Fields are set here, not in __init__: it is on the hot path.

    The garbage collector does not see a task, and its copy of the context, until it is done: until
    then the scheduler holds it, and to walk over both would cost a third of a spawn (see finish()).
    """
    task = Task.__new__(Task)
    if not COMPILED:  # where the fields of a new object are None and 0 by themselves
        for field in _NONE:
            setattr(task, field, None)
        task.seq = task.key_seq = task.state = task.number = 0
        task.key = 0.0
        task.own_deadline = FOREVER
        task.since = 0.0
        task.timed_out = task.waits_io = task.attention = task.killed = task.observed = False
    native.untrack(task)
    task.deadline = FOREVER
    task.index = -1
    task.scheduler = scheduler
    task.fn = fn
    task.args = args
    if context is None:
        context = native.copy_context()
        native.untrack(context)
    task.context = context
    task.label = name
    return task


atomic(Task, "_done_or_enlist", "add_joiner")
