"""The few raw operations under the scheduler, in plain Python.                  layer: core

The twin of native.pyx for an install without a compiler: the same names, the same meaning.
"""

import _thread
from contextvars import copy_context
from time import monotonic
from typing import Any

from greenlet import getcurrent as current_greenlet

__all__ = [
    "adopt_scheduler",
    "call_in_context",
    "check_signals",
    "compiled",
    "copy_context",
    "current_greenlet",
    "disown_scheduler",
    "is_thread_scheduler",
    "monotonic",
    "name_of",
    "switch",
    "take_error",
    "thread_scheduler",
    "track",
    "untrack",
]

_locals = _thread._local()


def switch(target: Any) -> None:
    """Run target until something switches back here. Values travel in the task, not here."""
    target.switch()


def call_in_context(context: Any, fn: Any, args: Any) -> Any:
    """Return fn(*args), called in context. What it raises is left for take_error()."""
    try:
        return context.run(fn, *args)
    except BaseException as error:
        _locals.raised = error
        return None


def take_error() -> BaseException | None:
    """Return what the call before raised, or None."""
    error: BaseException | None = getattr(_locals, "raised", None)
    _locals.raised = None
    return error


def untrack(thing: Any) -> None:
    """Nothing: only C can take an object from the garbage collector's lists."""


def track(thing: Any) -> None:
    """Nothing, as untrack()."""


def name_of(fn: Any) -> str:
    """Return fn.__name__, "task" if it has none."""
    name: str = getattr(fn, "__name__", "task")
    return name


def thread_scheduler() -> Any:
    """Return this OS thread's scheduler, or None."""
    return getattr(_locals, "scheduler", None)


def is_thread_scheduler(scheduler: Any) -> bool:
    """Tell whether scheduler is the one of this OS thread."""
    return getattr(_locals, "scheduler", None) is scheduler


def adopt_scheduler(scheduler: Any) -> None:
    """Make scheduler the one of this OS thread."""
    _locals.scheduler = scheduler


def disown_scheduler() -> None:
    """Forget this OS thread's scheduler; the next use makes another."""
    _locals.scheduler = None


def check_signals() -> None:
    """Run the pending signal handlers: the interpreter does, before it runs this line."""


def compiled() -> bool:
    return False
