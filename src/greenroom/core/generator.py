# cython: nonecheck=True
"""Generators as tasks: `yield` waits, and there is no stack.                    layer: core

A bare `yield` passes the turn to the others. `yield waitable` waits for it, evaluates to what it
brings and raises what it fails with: a task, an event, `queue.get`, op(queue.put, item), a
channel's end, after(seconds). What the generator returns is the task's result. `yield from` is
Python's own: this never sees it.

A suspended generator keeps its own frame and nothing else, so a task of this kind costs some 1 KB
and its turn one call of generator.send(). Its steps run on whatever carrier is free. If it calls
code that blocks, it keeps that carrier until the code goes on, and is a task as any other.
"""

from __future__ import annotations

from greenroom.core import native
from greenroom.core import operation as _operation
from greenroom.core import scheduler as _scheduler
from greenroom.core import task as _task
from greenroom.core.operation import Operation
from greenroom.core.scheduler import Scheduler
from greenroom.core.task import Stepper, Task
from greenroom.core.timers import FOREVER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextvars import Context
    from typing import Any


class Failed(Operation):
    """What could not be waited for: it raises why not."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def result(self) -> None:
        """Raise the error."""
        raise self.error


def spawn(generator: Any, name: str | None, context: Context | None) -> Task:
    """Start a task that runs generator. As api.spawn, which calls this."""
    problem = _problem(generator)
    if problem is not None:
        raise problem
    stepper = GeneratorStepper.__new__(GeneratorStepper)
    stepper.generator = generator
    stepper.waited = None
    stepper.fresh = True
    return _scheduler.get().spawn_stepper(generator, stepper, name, context)


def _problem(generator: Any) -> BaseException | None:
    """Return what is wrong with a generator that is to be run from its beginning, or None."""
    if not hasattr(generator, "gi_frame"):
        return TypeError(f"cannot spawn {generator!r}: give a function, then its args")
    if generator.gi_frame is None:
        return ValueError(f"cannot run {generator!r} in a task: it has come to its end already")
    if generator.gi_running or getattr(generator, "gi_suspended", False):
        return ValueError(
            f"cannot run {generator!r} in a task: it has been begun already; make another by "
            "calling its function"
        )
    return None


class GeneratorStepper(Stepper):
    """Runs one generator.

    waited    the operation it has yielded and not been sent the result of
    deadline  when that is over all the same, absolute seconds
    fresh     it has not begun
    """

    generator: Any
    waited: Any  # an Operation or None
    deadline: float
    fresh: bool

    def step(self, task: Task) -> None:
        """Send it what it waited for, and see what it yields."""
        scheduler = task.scheduler
        if self.waited is None and (self.fresh or not task.attention):
            if self.fresh and not self.begin(scheduler, task):
                return  # whatever its scopes say it runs to its first yield, as functions do
            sent = native.send_in_context(task.context, self.generator, None)
        else:
            sent = self.send_outcome(scheduler, task)
            if sent is self:
                return  # what it waits for has not come yet
        if native.has_returned():
            self.generator = None
            scheduler.settle(task, sent, native.take_error())
        elif sent is None:
            scheduler.ready.append(task)
        else:
            self.begin_wait(scheduler, task, sent)

    def send_outcome(self, scheduler: Scheduler, task: Task) -> Any:
        """Send what its operation has brought, or throw what that raises; returns what it yields.

        Returns self if the operation has not come about: the task is parked again.
        """
        waited = self.waited
        failure = value = None
        try:
            if waited is None:
                if task.attention:
                    scheduler.before_wait(task, FOREVER)
            else:
                if task.reason is not None:  # else it was done at once
                    come = _operation.has_come(scheduler, task, self.deadline)
                    if come is None and not waited.attempt():
                        _operation.park_on(scheduler, task, waited, self.deadline)
                        return self
                value = waited.result()
        except BaseException as error:
            failure = error
        self.waited = None
        # Not in the except block: the generator would see this error as being handled.
        if failure is not None:
            return native.throw_in_context(task.context, self.generator, failure)
        return native.send_in_context(task.context, self.generator, value)

    def begin(self, scheduler: Scheduler, task: Task) -> bool:
        """Begin, unless the task was killed or somebody has run the generator: then the task ends.

        The same one may have been given twice.
        """
        self.fresh = False
        if task.killed:
            self.generator = None
            scheduler.finish_unrun()
            return False
        task.state = _task.RUNNABLE
        problem = _problem(self.generator)
        if problem is None:
            return True
        self.generator = None
        scheduler.settle(task, None, problem)
        return False

    def begin_wait(self, scheduler: Scheduler, task: Task, thing: Any) -> None:
        """Let task wait for what the generator has yielded; it may be there already."""
        try:
            waited = _operation.operation(thing)
            self.waited = waited
            if task.attention:
                scheduler.before_wait(task, FOREVER)  # one that is killed gets no further
            self.deadline = _operation.deadline_of(scheduler, waited)
            if waited.attempt():
                scheduler.ready.append(task)
            else:
                _operation.park_on(scheduler, task, waited, self.deadline)
        except BaseException as error:
            # Raised at the yield.
            self.waited = Failed(error)
            scheduler.ready.append(task)

    def frame(self) -> Any:
        """Return the frame at which the innermost generator is suspended."""
        generator = self.generator
        while (inner := getattr(generator, "gi_yieldfrom", None)) is not None and hasattr(
            inner, "gi_frame"
        ):
            generator = inner
        return getattr(generator, "gi_frame", None)
