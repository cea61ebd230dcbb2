"""spawn, sleep, current, current_time, run: the verbs every program uses.      layer: core"""

from __future__ import annotations

from contextvars import Context

from greenroom.core import hooks
from greenroom.core import operation as _operation
from greenroom.core import scheduler as _scheduler
from greenroom.core.task import Task

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from typing import Any


def spawn(
    fn: Callable[..., Any] | Generator[Any, Any, Any] | Coroutine[Any, Any, Any],
    *args: Any,
    name: str | None = None,
    context: Context | None = None,
) -> Task:
    """Start a task that calls fn(*args). It first runs when the caller next waits.

    fn        any callable; for keyword arguments use functools.partial. If it returns a coroutine,
              as an `async def` does, the task runs that too, and has its result. Or a generator,
              whose `yield` waits (core/generator.py), or a coroutine, which runs in the thread's
              asyncio loop (aio/coroutine.py) and needs no stack: both take no args
    name      shown by repr and in reports; None: made of fn's name and a number
    context   the contextvars.Context it runs in; None: a copy of the caller's
    Returns   the Task
    Raises    TypeError: fn is none of these
    Switches  never
    """
    if not callable(fn):
        return spawn_other(fn, args, name, context)
    return _scheduler.get().spawn(fn, args, name, context)


def spawn_other(
    thing: Any, args: tuple[Any, ...], name: str | None, context: Context | None
) -> Task:
    """spawn(), with its arguments collected, of what is not callable."""
    if not hasattr(thing, "send"):
        raise TypeError(
            f"cannot spawn {thing!r}: it is not callable; give the function, then its args"
        )
    if args:
        raise TypeError(f"cannot spawn {thing!r} with arguments: it has begun to have them already")
    home = hooks.COROUTINES if hasattr(thing, "__await__") else hooks.GENERATORS
    task: Task = hooks.module(home).spawn(thing, name, context)
    return task


def sleep(seconds: float = 0) -> None:
    """Let other tasks run for at least so many seconds; 0: let each ready one run once.

    Raises    ValueError: seconds is negative or nan
    Switches  always
    """
    scheduler = _scheduler.get()
    if not seconds:
        scheduler.yield_now()
        return
    if not seconds > 0:
        _refuse(seconds)
    scheduler.sleep_until(scheduler.now() + seconds)


_operation.register_function(_operation.After(0), sleep)


def _refuse(seconds: float) -> None:
    raise ValueError(f"cannot sleep for {seconds!r} s: the length must not be negative")


def current_time() -> float:
    """Return the time on the scheduler's clock in seconds: what deadlines are counted in.

    Only differences mean something; time.monotonic(), unless a test has put a clock of its own.

    Switches  never
    """
    return _scheduler.get().now()


def current() -> Task:
    """Return the task that is running. The code outside any task is the main task of its thread."""
    return _scheduler.get().current


def run(fn: Callable[..., Any], *args: Any) -> Any:
    """Call fn(*args) in a task and wait until it and every task of this thread have ended.

    The strict form of a program: nothing outlives it. If fn raises, or the wait is interrupted, the
    other tasks are killed, their `finally` blocks run, and the error is raised.

    Returns   what fn returned
    Raises    what fn raised; RuntimeError: called from a task, or inside another run()
    Switches  always
    """
    scheduler = _scheduler.get()
    current = scheduler.current
    if current is not scheduler.main:
        raise RuntimeError(f"cannot call run() in {current!r}: a program has one; use spawn()")
    if scheduler.in_run:
        raise RuntimeError("cannot call run() inside run(): a program has one; use spawn()")
    scheduler.in_run = True
    task = scheduler.spawn(fn, args, None, None)
    try:
        try:
            result = task.result()
            scheduler.join_all()
        except BaseException:
            scheduler.kill_all()
            raise
    finally:
        scheduler.in_run = False
    return result
