# cython: nonecheck=True
"""TaskGroup: tasks that end before the block that started them.                  layer: sync

Two scopes make a group. `body` is entered by the block's task, so it lies in that task's stack. The
group itself is the outermost scope of every child, their home: one field cancels them all, and it
hears of each child's end (task_ended, cheaper than a done callback). The children do not lie inside
the scopes around the block: what cancels the block there raises Cancelled in it, and the group's
exit passes it on. So a scope concerns one task, or a group's children, and never a tree of them.
"""

from __future__ import annotations

from contextvars import Context

from greenroom.core import api as _api
from greenroom.core import hooks
from greenroom.core import scheduler as _scheduler
from greenroom.core.scheduler import Scheduler
from greenroom.core.scope import Scope
from greenroom.core.task import Task
from greenroom.core.timers import FOREVER
from greenroom.core.waitqueue import WaitQueue
from greenroom.errors import Cancelled, TaskKilled
from greenroom.sync.cancel import CancelScope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from types import TracebackType
    from typing import Any

    from greenroom.sync.statistics import TaskGroupStatistics


class TaskGroup(Scope):
    """Tasks that belong together: the with block is left when all of them have ended.

    Raises    ExceptionGroup (BaseExceptionGroup, if one is no Exception) of what the children and
              the block raised. The first error cancels the block and the other children.
              KeyboardInterrupt and SystemExit are raised as they are.
              RuntimeError: it was entered before, or is left by another task than entered it
    Switches  at the end, if a child has not ended

    What cancels the block's task, kill(), a timeout, a scope around it, cancels the children too;
    the exit waits for them and lets it go on outward. A child that was killed by kill() is no
    error.
    """

    def __init__(self) -> None:
        self.parent = None
        self.ends = FOREVER
        self.cancelled = self.shields = False
        self.body = CancelScope()
        self.scheduler: Scheduler | None = None
        self.children: dict[Task, None] = {}
        self.errors: list[BaseException] = []
        self.last: BaseException | None = None  # a KeyboardInterrupt or SystemExit
        self.waiters = WaitQueue()
        self.closed = False

    def spawn(
        self,
        fn: Callable[..., Any] | Generator[Any, Any, Any] | Coroutine[Any, Any, Any],
        /,
        *args: Any,
        name: str | None = None,
        context: Context | None = None,
    ) -> Task:
        """Start a task in the group that calls fn(*args). Arguments and result as those of spawn().

        The block, the children and any other task of the thread may call it until the block is
        left. In a group that was cancelled the child still runs up to its first wait, so that it
        can give back what it was handed.

        Raises    RuntimeError: the block has not begun or has ended, or runs in another thread
        Switches  never
        """
        if self.closed or self.scheduler is not _scheduler.get():
            self.refuse_spawn(fn)
        task = _api.spawn(fn, *args, name=name, context=context)
        task.home = self
        task.observed = True  # the group raises what it fails with
        task.push_scope(self)
        self.children[task] = None
        return task

    def spawn_soon(
        self,
        fn: Callable[..., Any] | Generator[Any, Any, Any] | Coroutine[Any, Any, Any],
        /,
        *args: Any,
    ) -> None:
        """spawn(fn, *args), for who does not want the task.

        Switches  never
        """
        self.spawn(fn, *args)

    def refuse_spawn(self, fn: object) -> None:
        if self.closed:
            raise RuntimeError(f"cannot spawn {fn!r} in {self!r}: its block has ended")
        if self.scheduler is None:
            raise RuntimeError(f"cannot spawn {fn!r} in {self!r}: enter it first, by `with`")
        raise RuntimeError(
            f"cannot spawn {fn!r} in {self!r} from another thread: have its own thread do it, by "
            "a Queue or call_soon_threadsafe()"
        )

    def cancel(self) -> None:
        """Cancel the block and all children. The block is then left without an error.

        Unless one of them raises one meanwhile. From any task and any OS thread.

        Switches  never
        """
        scheduler = self.scheduler
        if scheduler is None:
            self.body.cancel()
            self.cancelled = True
        elif scheduler is not _scheduler.get():
            scheduler.call_soon_threadsafe(self.cancel)
        elif not self.closed:
            self.body.cancel()
            self.cancel_children()

    def cancel_children(self) -> None:
        if not self.cancelled:
            self.cancelled = True
            for task in list(self.children):
                task.scheduler.interrupt(task)

    def make_error(self, task: Any) -> BaseException:
        """Return the Cancelled of a child."""
        return Cancelled("the group of this task was cancelled", self)

    def task_ended(self, task: Task) -> None:
        """Called between two tasks when a child is DONE."""
        del self.children[task]
        error = task.error
        if error is not None and not (task.killed and isinstance(error, TaskKilled)):
            if self.closed:  # only where the block could not wait for it
                hooks.log_error(f"{task!r} with an error after its group was left", error)
            self.add_error(error)
            self.cancel()
        if not self.children:
            _scheduler.wake_first(self.waiters)

    def add_error(self, error: BaseException) -> None:
        """Keep an error for the end. A child's that the block has from result() counts once."""
        if isinstance(error, (KeyboardInterrupt, SystemExit)) and self.last is None:
            self.last = error
        elif error is not self.last and not any(known is error for known in self.errors):
            self.errors.append(error)

    def __enter__(self) -> TaskGroup:
        if self.scheduler is not None:
            raise RuntimeError(f"cannot enter {self!r} again: make one for each block")
        self.scheduler = _scheduler.get()
        self.body.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        outward = self.judge(error)
        if self.children:
            outward = self.wait_for_children(outward)
        self.closed = True
        try:
            self.body.leave(None)
        except RuntimeError as wrong:
            self.cancel_children()  # if another task is here it cannot wait for them
            if outward is None and not self.errors:
                outward = wrong
            else:
                self.add_error(wrong)
        if self.last is not None:
            outward = self.last
            for other in self.errors:
                hooks.log_error(f"{self!r} has this error besides {outward!r}", other)
        elif self.errors:
            outward = BaseExceptionGroup("errors in a TaskGroup", self.errors)
        self.errors = []
        self.last = None
        if outward is None:
            return True
        if outward is error:
            return False
        try:
            raise outward from None
        finally:
            del outward, error  # no cycle with the frame that the traceback holds

    def judge(self, error: BaseException | None) -> BaseException | None:
        """Sort what the block raised; cancel the children for it. Returns what goes on outward."""
        if error is None:
            return None
        if self.body.owns(self.body.task, error):
            return None
        self.cancel_children()
        # close() of a generator expects its GeneratorExit back.
        if isinstance(error, (Cancelled, GeneratorExit)):
            return error
        face = _scheduler.current_face()
        if face is not None and face.passes(error):
            return error
        self.add_error(error)
        return None

    def wait_for_children(self, outward: BaseException | None) -> BaseException | None:
        """Wait for the end of all. What comes meanwhile reaches them; then it is waited on."""
        here = _scheduler.get()
        if here is not self.scheduler or self.body.task not in (None, here.current):
            return outward  # left by another task than entered it: leave() says so
        if outward is None and not self.cancelled:
            try:
                self.wait_once(here)
            except BaseException as error:
                outward = self.judge(error)
        if self.children:
            try:
                with CancelScope(shield=True):
                    self.wait_once(here)
            except BaseException as error:  # a deadlock
                self.add_error(error)
        return outward

    def wait_once(self, scheduler: Scheduler) -> None:
        while self.children:
            scheduler.park(self.waiters, self, FOREVER)

    def statistics(self) -> TaskGroupStatistics:
        """Return which children have not ended, and how many have failed. Never switches."""
        records = hooks.module("greenroom.sync.statistics")
        errors = len(self.errors) + (self.last is not None)
        found: TaskGroupStatistics = records.TaskGroupStatistics(
            tuple(self.children), errors, self.cancelled, self.closed
        )
        return found

    def __repr__(self) -> str:
        count = len(self.children)
        state = "closed" if self.closed else "1 child" if count == 1 else f"{count} children"
        cancelled = ", cancelled" if self.cancelled else ""
        return f"<TaskGroup at {id(self):#x}: {state}{cancelled}>"
