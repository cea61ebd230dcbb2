# cython: nonecheck=True
"""select: wait for several things, of which exactly one takes effect.           layer: sync

How it is done, and why no two can take effect: core/operation.py.
"""

from __future__ import annotations

from greenroom.core import operation as _operation
from greenroom.core import scheduler as _scheduler
from greenroom.core.operation import After, Operation
from greenroom.core.timers import FOREVER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_NO_DEFAULT = object()
_dice = 1  # what decides where the last select began to look


def seed(number: int) -> None:
    """Let select choose from here on as it did after the last seed(number): for tests."""
    global _dice
    _dice = number


def op(method: Callable[..., Any], *args: Any) -> Operation:
    """Return the call method(*args) as something to wait for, without making it.

    For what takes arguments: select(ch.receive, op(other.send, x)); in a generator
    `yield op(queue.put, x)`; in a coroutine `await op(queue.get)`.

    Raises    TypeError: a call that cannot be waited for together with others
    Switches  never
    """
    return _operation.operation(method, args)


def after(seconds: float) -> Operation:
    """Return something to wait for that comes about when so many seconds have passed; None.

    The seconds begin with the wait. Raises ValueError: seconds is negative or nan.
    """
    return After(seconds)


def select(*cases: Any, default: Any = _NO_DEFAULT) -> tuple[int | None, Any]:
    """Wait until one of several things can be done, and do that one and no other.

    cases     tasks, events, channels, after(seconds); or methods not called: ch.receive,
              queue.get, event.wait, lock.acquire; with arguments: op(ch.send, x), for a plain
              ch.send(x) would have sent before select is asked
    default   what to return if nothing can be done at once; without it select waits
    Returns   (the index of the case that was done, what its call returned); (None, default)
    Raises    what that call raises; TypeError: a case that cannot be waited for; ValueError: none,
              or an op() that another task waits with
    Switches  only if nothing can be done at once and there is no default

    Of several that can be done one is chosen as by dice. One that is killed, or whose time is over,
    has done nothing.
    """
    return _select(cases, default)


def _select(cases: tuple[Any, ...], default: Any) -> tuple[int | None, Any]:
    global _dice
    count = len(cases)
    if count == 0 and default is _NO_DEFAULT:
        raise ValueError("cannot select from no cases without a default: it would wait for ever")
    waited = []
    deadline = FOREVER
    soonest = -1
    for index in range(count):
        case = _operation.operation(cases[index])
        waited.append(case)
        if case.limited:
            end = _operation.deadline_of(_scheduler.get(), case)
            if end < deadline:
                deadline = end
                soonest = index
    scheduler = _scheduler.get()
    while True:
        # From any of them, up or down: so of any two that can be done, each is as likely.
        _dice = (_dice * 1103515245 + 12345) & 0x7FFFFFFF
        index = (_dice >> 16) % count if count else 0
        up = _dice & 0x8000
        for _ in range(count):
            case = waited[index]
            if case.attempt():
                return index, case.result()
            if up:
                index = index + 1 if index + 1 < count else 0
            else:
                index = index - 1 if index else count - 1
        if default is not _NO_DEFAULT:
            return None, default
        task = scheduler.current
        _operation.park(scheduler, task, waited, deadline)
        scheduler.switch_out(task)
        come = _operation.has_come(scheduler, task, deadline)
        if come is _operation.TIME_OVER:
            return soonest, waited[soonest].result()
        if come is not None:
            for index in range(count):
                if waited[index] is come:
                    case = come
                    return index, case.result()
