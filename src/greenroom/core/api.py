"""spawn, sleep, current, run: the verbs every program uses.                     layer: core"""

from __future__ import annotations

from contextvars import Context

from greenroom.core import scheduler as _scheduler
from greenroom.core.task import Task

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def spawn(
    fn: Callable[..., Any],
    *args: Any,
    name: str | None = None,
    context: Context | None = None,
) -> Task:
    """Start a task that calls fn(*args). It first runs when the caller next waits.

    fn        any callable; for keyword arguments use functools.partial
    name      shown by repr and in reports; None: made of fn's name and a number
    context   the contextvars.Context it runs in; None: a copy of the caller's
    Returns   the Task
    Raises    TypeError: fn is not callable
    Switches  never
    """
    if not callable(fn):
        raise TypeError(
            f"cannot spawn {fn!r}: it is not callable; give the function, then its args"
        )
    return _scheduler.get().spawn(fn, args, name, context)


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


def _refuse(seconds: float) -> None:
    raise ValueError(f"cannot sleep for {seconds!r} s: the length must not be negative")


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
