# cython: nonecheck=True
"""What an event loop is to the scheduler: callbacks that are tasks.             layer: aio

asyncio's loop calls one callback after another. Here each callback is a task without a stack: its
only step is the call. call_soon() appends it to the scheduler's ready queue, a timer or an fd makes
it ready, and it runs on whatever carrier is free. So a callback that blocks, a step of a coroutine
for one, parks like anything else, and the other callbacks go on.

  Handle    a callback with its arguments and context: what call_soon() returns, and the Stepper
  Alarm     a callback that waits in the scheduler's timers
  Watcher   a callback that waits for an fd
  LoopFace  what asyncio keeps for each OS thread, the running loop and its current task, put in
            place while callbacks of the loop run
  LoopTask  asyncio.Task, whose steps are all run as one and the same greenroom task: what it holds
            between two steps (locks, locals) is its own
  Callbacks the loop itself, as far as all this needs it

A loop that is not running keeps what is due until it runs: nobody waits for its timers and fds
then, and it may run again in another thread.

Threads. Whatever is asked for outside the loop's thread, be it by call_soon_threadsafe() or not,
goes to `pending` (or `alarms`) first, and then the loop's scheduler is told to take it from there.
INVARIANT nothing-lost: whoever adds looks whether the loop runs after adding; start() says that it
  runs before it takes. So one of the two sees the other.
"""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from _collections import deque
from asyncio import base_events, format_helpers
from time import monotonic as _monotonic

from greenroom.core import native
from greenroom.core import scheduler as _scheduler
from greenroom.core import task as _task
from greenroom.core.scheduler import Scheduler
from greenroom.core.task import Face, Stepper, Task
from greenroom.core.timers import FOREVER, Timed
from greenroom.core.waitqueue import Waiter
from greenroom.errors import Cancelled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextvars import Context
    from typing import Any

_HERE = os.path.dirname(__file__)
_set_running_loop = asyncio._set_running_loop
_current_task = asyncio.current_task
_enter_task = asyncio._enter_task
_leave_task = asyncio._leave_task
_set_asyncgen_hooks = sys.set_asyncgen_hooks
_get_asyncgen_hooks = sys.get_asyncgen_hooks
_CancelledError = asyncio.CancelledError
_Task = asyncio.Task  # now: a program may put another class in its place


class LoopTask(_Task):  # type: ignore[type-arg]
    """The asyncio.Task of our loops.

    green   the greenroom task that runs its steps, None before the first
    extra   how often cancel() has interrupted a blocking call and not been taken back
    asked   how often a scope that is over has cancelled the await it is in: see LoopFace.look
    asker   that scope
    asking  it has done so since the last step
    """

    asked: int
    asker: Any
    asking: bool
    extra: int
    green: Task | None
    __slots__ = ("asked", "asker", "asking", "extra", "green")

    def cancel(self, msg: Any = None) -> bool:
        """As asyncio.Task.cancel; a blocking call the coroutine is in raises CancelledError."""
        green = getattr(self, "green", None)
        if green is None or green.stepper is None or self.done() or not in_the_middle(green):
            return _Task.cancel(self, msg)
        self.extra = getattr(self, "extra", 0) + 1
        if not isinstance(green.error or green.pending, _CancelledError):
            error = _CancelledError() if msg is None else _CancelledError(msg)
            green.scheduler.throw(green, error)
        return True

    def cancelling(self) -> int:
        """As asyncio.Task.cancelling."""
        return _Task.cancelling(self) + getattr(self, "extra", 0)

    def uncancel(self) -> int:
        """As asyncio.Task.uncancel."""
        extra = getattr(self, "extra", 0)
        if not extra:
            return _Task.uncancel(self)
        self.extra = extra - 1
        return self.cancelling()


LoopTask.__name__ = LoopTask.__qualname__ = "Task"  # what reprs show: programs look for it


def in_the_middle(green: Task) -> bool:
    """Tell whether a step of the task is waiting, or has waited and will go on."""
    if green.state == _task.RUNNABLE:
        scheduler = green.scheduler
        return scheduler.current is not green
    return green.state == _task.PARKED


def _step_types() -> tuple[Any, Any, str]:
    """Return the types of the callbacks that a Task gives its loop, and the second one's name."""
    seen: list[Any] = []

    class Probe(asyncio.AbstractEventLoop):
        def get_debug(self) -> bool:
            return False

        def call_soon(self, callback: Any, *args: Any, **options: Any) -> None:  # type: ignore[override]
            seen.append(callback)

        def call_exception_handler(self, context: Any) -> None:
            pass

    async def waits(future: Any) -> None:
        await future

    loop: Any = Probe()  # type: ignore[abstract]
    future: Any = asyncio.Future(loop=loop)
    task: Any = asyncio.Task(waits(future), loop=loop)
    running = asyncio._get_running_loop()
    _set_running_loop(loop)  # from 3.14 on a step refuses to run in any other loop
    try:
        seen[0]()
        future.set_result(None)
        seen[1](future)
    finally:
        _set_running_loop(running)
    del task
    return type(seen[0]), type(seen[1]), getattr(seen[1], "__name__", "")


_STEP, _WAKEUP, _WAKEUP_NAME = None, None, ""


def _owner_of(callback: Any) -> Any:
    """Return the LoopTask of which callback is a step, or None."""
    global _STEP, _WAKEUP, _WAKEUP_NAME
    if _STEP is None:  # not on import, which may be in the middle of that of asyncio's C module
        _STEP, _WAKEUP, _WAKEUP_NAME = _step_types()
    kind = type(callback)
    if kind is _STEP or (kind is _WAKEUP and callback.__name__ == _WAKEUP_NAME):
        owner = callback.__self__
    else:
        return None
    return owner if isinstance(owner, LoopTask) else None


class LoopFace(Face):
    """asyncio's state of an OS thread while callbacks of a loop run.

    outside  the thread's hooks for asynchronous generators while they do not
    parks    how often one of them has waited in the middle
    """

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self.firstiter = loop._asyncgen_firstiter_hook
        self.finalizer = loop._asyncgen_finalizer_hook
        self.outside: Any = (None, None)
        self.parks = 0

    def put_on(self) -> None:
        """As Face.put_on."""
        _set_running_loop(self.loop)
        _set_asyncgen_hooks(self.firstiter, self.finalizer)

    def take_off(self) -> None:
        """As Face.take_off."""
        _set_running_loop(None)
        _set_asyncgen_hooks(*self.outside)

    def suspend(self, task: Task) -> None:
        """As Face.suspend: the asyncio task whose step this is is not the current one meanwhile."""
        self.parks += 1
        handle = task.stepper
        handle.suspended = _current_task(self.loop)
        if handle.suspended is not None:
            _leave_task(self.loop, handle.suspended)
        if handle.lasting:
            scheduler = task.scheduler
            scheduler.link(task)  # it has a stack now, which must not become garbage

    def resume(self, task: Task) -> None:
        """As Face.resume."""
        handle = task.stepper
        if handle.lasting:
            scheduler = task.scheduler
            scheduler.unlink(task)
        if handle.suspended is not None:
            _enter_task(self.loop, handle.suspended)
            handle.suspended = None

    def look(self, task: Task) -> None:
        """As Face.look: if a scope around an await is over, cancel that, as asyncio.timeout() does.

        The scope takes the CancelledError for its own when the coroutine leaves it: ended_by().
        """
        scheduler = task.scheduler
        if not task.args or task.stepper is not None or task.scope is None:
            return
        if not native.is_thread_scheduler(scheduler):
            return  # it has moved to another thread just now, and will look itself
        owner = task.args[0]
        deadline = scheduler.nearest_deadline(task, FOREVER)
        if deadline == FOREVER:
            scheduler.timers.cancel(task)
        elif deadline >= 0.0:
            scheduler.timers.set(task, deadline)
        else:
            scope = scheduler.outermost_over(task)
            if scope is not None and not getattr(owner, "asking", False):
                owner.asking = True
                owner.asked = getattr(owner, "asked", 0) + 1
                owner.asker = scope
                _Task.cancel(owner, str(scope.make_error(task)))

    def ended_by(self, task: Task, scope: Any, error: Any) -> bool:
        """As Face.ended_by: True for the CancelledError that look() had the await raise."""
        owner = _current_task(self.loop)
        if not isinstance(owner, LoopTask) or getattr(owner, "asker", None) is not scope:
            return False
        owner.asker = None
        for _ in range(owner.asked):
            _Task.uncancel(owner)
        owner.asked = 0
        # Somebody else has cancelled it too: that goes on.
        return isinstance(error, _CancelledError) and not owner.cancelling()

    def passes(self, error: Any) -> bool:
        """As Face.passes."""
        return isinstance(error, _CancelledError)


class Handle(Stepper):
    """A callback that will be called once. The methods are asyncio.Handle's.

    lasting    its task outlives the call, and is not linked between two calls
    owner      the LoopTask of which it is a step, or None
    suspended  the asyncio task that was current where this call waits
    following  the next step of the coroutine, asked for during this one: `await sleep(0)`
    """

    _callback: Any
    _args: tuple[Any, ...]
    _context: Any
    _cancelled: bool
    _when: Any
    _source_traceback: Any
    core: Callbacks
    owner: Any
    lasting: bool
    suspended: Any
    following: Any
    alarm: Any

    def __init__(
        self, core: Callbacks, callback: Any, args: tuple[Any, ...], context: Context | None
    ) -> None:
        self.core = core
        self._callback = callback
        self._args = args
        self._context = native.copy_context() if context is None else context
        self._cancelled = False
        self.owner = _owner_of(callback)
        self.lasting = self.owner is not None
        self.suspended = None
        self.following = None
        self._when = None
        self.alarm = None
        self._source_traceback = None
        if core.debug:
            self._source_traceback = core.stack()

    @property
    def _loop(self) -> Any:
        return self.core.loop

    def schedule(self) -> None:
        """Append the callback to the ready queue, or have the loop's thread do so."""
        core = self.core
        scheduler = core.scheduler
        if not core.running or not native.is_thread_scheduler(scheduler):
            core.pending.append(self)
            core.tell()
            return
        if self.owner is not None:
            task = getattr(self.owner, "green", None)
            if task is None:
                task = _task.new_task(scheduler, None, (self.owner,), self.owner, self._context)
                native.track(task)
                task.face = core.face
                self.owner.green = task
            if task.stepper is None:
                if task.index >= 0:  # it waits for the end of a scope: look()
                    left = task.scheduler
                    left.timers.remove(task)
                task.scheduler = scheduler  # between two steps a task may move to another thread
                task.stepper = self
                scheduler.ready.append(task)
            else:
                before = task.stepper  # a coroutine that lets others run: `await sleep(0)`
                before.following = self
            return
        task = scheduler.spawn_stepper(self._callback, self, None, self._context)
        task.face = core.face

    def step(self, task: Task) -> None:
        """Make the call."""
        task.state = _task.RUNNABLE
        if not self.core.running:
            self.put_off()
        elif not self._cancelled:
            self.call(task)
        self.end(task)

    def call(self, task: Task) -> None:
        """Make the call now, and say what it raised."""
        callback, args = self._callback, self._args
        if self.core.debug:
            error = self.call_timed(callback, args)
        else:
            native.call_in_free_context(self._context, callback, args)
            error = native.take_error()
        if error is not None:
            self.report(task, error, _described(callback, args))

    def call_timed(self, callback: Any, args: tuple[Any, ...]) -> BaseException | None:
        """Make the call; log it if it was in the others' way for long, as asyncio in debug mode.

        Returns   what it raised
        """
        core = self.core
        parks, started = core.face.parks, _monotonic()
        native.call_in_free_context(self._context, callback, args)
        error = native.take_error()
        took = _monotonic() - started
        if took >= core.loop.slow_callback_duration and core.face.parks == parks:
            what = base_events._format_handle(self)  # type: ignore[attr-defined]
            base_events.logger.warning(  # type: ignore[attr-defined]
                "Executing %s took %.3f seconds", what, took
            )
        return error

    def put_off(self) -> None:
        """The loop was stopped meanwhile."""
        if not self.core.closed:
            self.core.pending.append(self)

    def end(self, task: Task) -> None:
        """The call has been made: the task ends, or waits for the next step of the coroutine."""
        scheduler = task.scheduler
        if not native.is_thread_scheduler(scheduler):
            _scheduler.end_forked_child(task)
        if self.owner is None:
            scheduler.finish(task, None, None)
            return
        task.state = _task.NEW
        task.stepper = None
        following, self.following = self.following, None
        if self.owner.done():
            self.owner.green = None
            scheduler.end(task, None, None)
            return
        if task.killed or task.pending is not None:
            self.hand_over(task)
        elif task.scope is not None:
            self.owner.asking = False
            core = self.core
            core.face.look(task)
        if following is not None:
            following.schedule()

    def hand_over(self, task: Task) -> None:
        """Let the next await raise what has come too late for a blocking call of this step.

        A task that was killed ends with the step; the coroutine is cancelled.
        """
        scheduler = task.scheduler
        if task.killed:
            self.owner.green = None
            scheduler.finish_between_steps(task)
            self.owner.cancel()
        elif isinstance(task.pending, _CancelledError):
            error, task.pending = task.pending, None
            task.attention = task.scope is not None
            self.owner.extra -= 1
            self.owner.cancel(*error.args)

    def report(self, task: Task, error: BaseException, callback: str) -> None:
        """Say what the callback raised, as asyncio does."""
        if isinstance(error, (SystemExit, KeyboardInterrupt)):
            task.scheduler.throw(self.core.runner or task.scheduler.main, error)
            return
        if isinstance(error, Cancelled) and task.killed:
            return
        context = {
            "message": f"Exception in callback {callback}",
            "exception": error,
            "handle": self,
        }
        if self._source_traceback:
            context["source_traceback"] = self._source_traceback
        self.core.loop.call_exception_handler(context)

    def cancel(self) -> None:
        """Do not call it."""
        if not self._cancelled:
            self._cancelled = True
            self._callback = None
            self._args = ()
            if self.alarm is not None:
                self.alarm.stop()

    def cancelled(self) -> bool:
        """Return whether it was cancelled."""
        return self._cancelled

    def get_context(self) -> Context:
        """Return the context it is called in."""
        context: Context = self._context
        return context

    def when(self) -> float:
        """Return the time on the loop's clock at which it is due."""
        if self._when is None:
            raise AttributeError("this callback has no time: call_soon() has made it")
        when: float = self._when
        return when

    def __repr__(self) -> str:
        kind = "Handle" if self._when is None else f"TimerHandle when={self._when}"
        if self._cancelled:
            return f"<{kind} cancelled>"
        return f"<{kind} {_described(self._callback, self._args)}>"


def _described(callback: Any, args: tuple[Any, ...]) -> str:
    """Return "f(1) at file.py:12"."""
    described: str = format_helpers._format_callback_source(callback, args)
    return described


class Alarm(Timed):
    """A handle that waits for its time."""

    handle: Handle
    scheduler: Any

    def __init__(self, handle: Handle) -> None:
        self.index = -1
        self.handle = handle
        self.scheduler = None

    def start(self, scheduler: Scheduler) -> None:
        """Stand in the timers of scheduler."""
        self.scheduler = scheduler
        self.handle.core.armed += 1
        scheduler.timers.set(self, self.handle._when)

    def stop(self) -> None:
        """Stand there no more. From another thread it stays there until its time, for nothing."""
        handle = self.handle
        if self.index >= 0 and native.is_thread_scheduler(self.scheduler):
            handle.core.armed -= 1
            self.scheduler.timers.remove(self)
        handle.alarm = None  # last: it may be what keeps this

    def expired(self) -> None:
        """As Timed.expired."""
        self.handle.core.armed -= 1
        if self.handle.alarm is not None:
            self.handle.alarm = None
            self.handle.schedule()


class WatchHandle(Handle):
    """A callback that is called whenever an fd is ready."""

    watcher: Any

    def step(self, task: Task) -> None:
        """Make the call, and look again."""
        Handle.step(self, task)
        if not self._cancelled:
            self.watcher.start_again()

    def put_off(self) -> None:
        """The fd is looked at again when the loop runs."""

    def cancel(self) -> None:
        """Do not call it any more."""
        Handle.cancel(self)
        self.watcher.stop()


class SocketHandle(WatchHandle):
    """The callback of a transport, which reads with the calls of green/fastsocket.py.

    They say when nothing more has come, so the fd stays registered as it is (poller.py: edge), and
    all calls are made by one task.
    """

    task: Any

    def schedule(self) -> None:
        """As Handle.schedule."""
        core = self.core
        if not core.running:
            return  # the fd is looked at again when it runs
        self.lasting = True
        if self.task is None:
            self.task = _task.new_task(core.scheduler, None, (), self._callback, self._context)
            native.track(self.task)
            self.task.face = core.face
        if self.task.stepper is None:
            self.task.scheduler = core.scheduler  # the loop may run in another thread now
            self.task.stepper = self
            core.scheduler.ready.append(self.task)

    def step(self, task: Task) -> None:
        """Make the call, and wait for more."""
        task.state = _task.RUNNABLE
        if not self._cancelled and self.core.running:
            self.call(task)
        scheduler = task.scheduler
        if not native.is_thread_scheduler(scheduler):
            _scheduler.end_forked_child(task)
        task.stepper = None
        task.state = _task.NEW
        if task.killed:
            self.task = None
            scheduler.finish_between_steps(task)
        elif self._cancelled:
            self.task = None
            scheduler.end(task, None, None)
        if not self._cancelled and self.core.running:
            self.watcher.again()


class Watcher(Waiter):
    """Stands in the queue of an fd for a WatchHandle.

    Level-triggered, as add_reader() is: the fd is looked at again after each call. While the loop
    is stopped it stays in the queue, to hear of the fd's close, and is not counted as waiting.
    """

    handle: WatchHandle
    fd: int
    write: bool
    counted: bool
    scheduler: Any

    def __init__(self, handle: WatchHandle, fd: int, write: bool) -> None:
        self.handle = handle
        self.fd = fd
        self.write = write
        self.counted = False
        self.scheduler = None
        self.handle.watcher = self

    def start(self) -> None:
        """Wait for the fd."""
        core = self.handle.core
        scheduler = core.scheduler
        if not core.running:
            return
        if not native.is_thread_scheduler(scheduler):
            scheduler.call_soon_threadsafe(self.start_again)
            return
        if self.queue is not None:
            if self.scheduler is scheduler:
                self.count(True)
                return
            self.stop()  # the loop has run in another thread before
        self.scheduler = scheduler
        state = scheduler.poller.state(self.fd)
        queue = state.writers if self.write else state.readers
        queue.append(self)
        self.count(True)
        try:
            scheduler.poller.arm(state, self.write, True)
        except BaseException:
            self.stop()
            raise
        scheduler.take_woken()

    def again(self) -> None:
        """Wait for more, after a call of a SocketHandle; or make the next one if there may be."""
        scheduler = self.scheduler
        state = scheduler.poller.state(self.fd)
        if state.readable:
            self.handle.schedule()
        elif not state.registered or state.interest >= 0:  # each wait is registered by itself
            self.start_again()
        elif self.queue is None:
            state.readers.append(self)
            self.count(True)

    def count(self, counted: bool) -> None:
        """Be one of the scheduler's io_waits, or not."""
        if counted != self.counted:
            self.counted = counted
            self.scheduler.io_waits += 1 if counted else -1

    def start_again(self) -> None:
        """start(), after a call. An fd that was closed is forgotten, as by asyncio's selector."""
        try:
            self.start()
        except OSError:
            self.forget()

    def stop(self) -> None:
        """Wait no more."""
        if self.queue is not None:
            self.queue.remove(self)
        self.count(False)

    def forget(self) -> None:
        """The fd is no more: if there is a new one with the number, it is not the one meant."""
        watchers = self.handle.core.watchers
        if watchers.get((self.fd, self.write)) is self:
            del watchers[self.fd, self.write]

    def woken(self) -> None:
        """The fd is ready."""
        self.stop()
        if self.handle.core.running:
            self.handle.schedule()

    def failed(self, error: BaseException) -> None:
        """The fd was closed: nobody is told, as in asyncio."""
        self.stop()
        self.forget()


class Callbacks:
    """What a loop has to do with the scheduler.

    loop       the asyncio loop
    scheduler  of the thread in which it runs, or ran last
    running    callbacks may run
    pending    handles that are due and not ready: it does not run, or another thread has added them
    alarms     handles whose time is not waited for, for the same reasons
    armed      how many alarms stand in the scheduler's timers
    watchers   by (fd, for writing)
    runner     the task that is in run_forever(), None for the loop that a thread has by itself
    """

    loop: Any
    face: LoopFace
    scheduler: Any
    running: bool
    closed: bool
    debug: bool
    pending: deque[Handle]
    alarms: list[Handle]
    armed: int
    watchers: dict[tuple[int, bool], Watcher]
    runner: Task | None

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self.face = LoopFace(loop)
        self.scheduler = None
        self.running = self.closed = self.debug = False
        self.pending = deque()
        self.alarms = []
        self.armed = 0
        self.watchers = {}
        self.runner = None

    def stack(self) -> Any:
        """Return where the caller of the loop is, for reports in debug mode."""
        try:
            stack = traceback.extract_stack(sys._getframe())
        except ValueError:
            return []  # a step called from no Python code
        while stack and stack[len(stack) - 1].filename.startswith(_HERE):
            stack.pop()
        return stack

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> Handle:
        """As loop.call_soon."""
        if self.closed:
            raise RuntimeError("Event loop is closed")
        handle = Handle(self, callback, args, context)
        handle.schedule()
        return handle

    def call_at(self, when: float, callback: Any, args: tuple[Any, ...], context: Any) -> Handle:
        """As loop.call_at."""
        handle = Handle(self, callback, args, context)
        handle._when = when
        handle.alarm = Alarm(handle)
        if self.running and native.is_thread_scheduler(self.scheduler):
            handle.alarm.start(self.scheduler)
        else:
            self.alarms.append(handle)
            self.tell()
        return handle

    def tell(self) -> None:
        """Have the loop's thread take what was just added. Called from any thread."""
        scheduler = self.scheduler
        if self.running:
            scheduler.call_soon_threadsafe(self.take)

    def take(self) -> None:
        """Let what was added while the loop did not run, or by another thread, take its course."""
        while self.running and native.is_thread_scheduler(self.scheduler):
            if self.pending:
                handle = self.pending.popleft()
                if not handle._cancelled:
                    handle.schedule()
            elif self.alarms:
                handle = self.alarms.pop()
                if handle.alarm is not None:
                    handle.alarm.start(self.scheduler)
            else:
                return

    def start(self, scheduler: Scheduler, runner: Task | None) -> None:
        """Let what is due run."""
        self.scheduler = scheduler
        self.runner = runner
        self.face.outside = _get_asyncgen_hooks()
        self.running = True
        self.take()
        for watcher in list(self.watchers.values()):
            watcher.start_again()
        if runner is not None:
            scheduler.look()  # asyncio's loop does so first, even if it is to stop at once

    def stop(self) -> None:
        """Let nothing run any more."""
        self.running = False
        self.runner = None
        for watcher in self.watchers.values():
            watcher.count(False)
        if self.armed:
            for timed in list(self.scheduler.timers.heap):
                if isinstance(timed, Alarm):
                    alarm = timed
                    handle = alarm.handle
                    if handle.core is self and handle.alarm is alarm:
                        alarm.stop()
                        handle.alarm = alarm
                        self.alarms.append(handle)

    def watch(
        self,
        fd: int,
        write: bool,
        callback: Any,
        args: tuple[Any, ...],
        context: Any = None,
        edge: bool = False,
    ) -> Handle:
        """As loop.add_reader or add_writer; edge: of a transport, see SocketHandle."""
        self.unwatch(fd, write)
        handle = (SocketHandle if edge else WatchHandle)(self, callback, args, context)
        watcher = self.watchers[fd, write] = Watcher(handle, fd, write)
        try:
            watcher.start()
        except BaseException:
            del self.watchers[fd, write]
            raise
        return handle

    def unwatch(self, fd: int, write: bool) -> bool:
        """As loop.remove_reader or remove_writer."""
        watcher = self.watchers.pop((fd, write), None)
        if watcher is None:
            return False
        watcher.handle.cancel()
        return True

    def close(self) -> None:
        """Forget all that waits."""
        self.closed = True
        self.pending.clear()
        self.alarms.clear()
        for watcher in list(self.watchers.values()):
            watcher.handle.cancel()
        self.watchers.clear()
