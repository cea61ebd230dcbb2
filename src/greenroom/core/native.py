"""The few raw operations under the scheduler, in plain Python.                  layer: core

The twin of native.pyx for an install without a compiler: the same names, the same meaning.
"""

from __future__ import annotations

import _thread
from contextvars import copy_context
from os import read as _read
from sys import is_finalizing
from time import monotonic
from types import CoroutineType, MethodType

from greenlet import getcurrent as current_greenlet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "adopt_scheduler",
    "call_in_context",
    "call_in_free_context",
    "check_signals",
    "compiled",
    "copy_context",
    "current_greenlet",
    "disown_scheduler",
    "drain",
    "function_of",
    "has_returned",
    "is_coroutine",
    "is_finalizing",
    "is_thread_scheduler",
    "monotonic",
    "name_of",
    "owner_of",
    "send_in_context",
    "switch",
    "take_error",
    "thread_scheduler",
    "throw_in_context",
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


def call_in_free_context(context: Any, fn: Any, args: Any) -> Any:
    """As call_in_context(), in a copy of context if code that parked is inside it."""
    try:
        context.run(int)
    except RuntimeError:
        context = context.copy()
    return call_in_context(context, fn, args)


def is_coroutine(thing: Any) -> bool:
    """Return whether thing is what calling an `async def` makes."""
    return type(thing) is CoroutineType


def send_in_context(context: Any, generator: Any, value: Any) -> Any:
    """Return what generator.send(value) yields, or at its end returns: has_returned() tells.

    What it raises is left for take_error(), and counts as its end.
    """
    return _resume(context, generator.send, value)


def throw_in_context(context: Any, generator: Any, error: BaseException) -> Any:
    """As send_in_context(), with generator.throw(error)."""
    return _resume(context, generator.throw, error)


def _resume(context: Any, method: Any, value: Any) -> Any:
    result = failure = None
    ended = True
    try:
        result = context.run(method, value)
        ended = False
    except StopIteration as stop:
        result = stop.value
    except BaseException as error:
        failure = error
    _locals.returned = ended  # after the call, in which other generators may have run
    _locals.raised = failure
    return result


def has_returned() -> bool:
    """Tell whether the generator of the send_in_context() before has come to its end."""
    returned: bool = _locals.returned
    return returned


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
    """Return fn.__name__ if it has one, else its type's. Raises nothing, whatever fn is."""
    if isinstance(fn, str):
        return fn
    try:
        return str(fn.__name__)
    except BaseException:
        return type(fn).__name__


def function_of(thing: Any) -> Any:
    """Return the function of a bound method; of anything else its type."""
    return thing.__func__ if isinstance(thing, MethodType) else type(thing)


def owner_of(thing: Any) -> Any:
    """Return the object that a bound method is bound to; of anything else the thing itself."""
    return thing.__self__ if isinstance(thing, MethodType) else thing


def drain(fd: int) -> bool:
    """Empty the wake-up pipe; return True if a byte other than 0, a signal's number, was in it."""
    signalled = False
    while True:
        try:
            data = _read(fd, 256)
        except BlockingIOError:
            return signalled
        signalled = signalled or bool(data.strip(b"\0"))
        if len(data) < 256:
            return signalled


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
