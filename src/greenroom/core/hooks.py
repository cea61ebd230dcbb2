"""What others may hang on the core, which itself imports none of them.          layer: core

log_error is where every error ends that nobody collects. It goes to the logger "greenroom"; without
any logging set up, Python's last resort prints it, with its traceback, on stderr.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def log_error(message: str, error: BaseException) -> None:
    """Log message and the traceback of error."""
    try:
        # Imported here: logging imports threading, which must not happen before it is patched.
        from logging import getLogger

        getLogger("greenroom").error(message, exc_info=error)
    except Exception:
        # A handler that raises must not take the error along.
        import traceback

        traceback.print_exc()
        print(message, file=sys.stderr)
        traceback.print_exception(error)


def log_warning(message: str) -> None:
    """Log a message that needs no traceback."""
    try:
        from logging import getLogger

        getLogger("greenroom").warning(message)
    except Exception:  # the first import of logging needs an fd, and none may be left
        print(message, file=sys.stderr)


def no_signal_taken(number: int) -> bool:
    """What signal_came is when nobody cares."""
    return False


# Called when a signal has come that has a Python handler, before that runs; True: somebody has
# taken it, and the handler must not run. green/signal.py sets it.
signal_came: Callable[[int], bool] = no_signal_taken


# Who makes a task of what is no function, and waits for a thing in a coroutine: modules, by name,
# that are loaded when they are first needed. The second lies in a higher layer.
GENERATORS = "greenroom.core.generator"
COROUTINES = "greenroom.aio.coroutine"


def module(name: str) -> Any:
    """Return a module, loaded now if it was not."""
    __import__(name)
    return sys.modules[name]


def await_coroutine(coroutine: Any) -> Any:
    """Return what coroutine does, run while the caller waits."""
    return module(COROUTINES).await_(coroutine)


def await_thing(thing: Any) -> Any:
    """Return the iterator of `await thing`, for something that operation() takes."""
    return module(COROUTINES).await_thing(thing)


def task_failed(task: Any, error: BaseException) -> None:
    """Called when a task fails whose result nobody waits for."""
    log_error(f"{task!r} with an error that nobody waits for", error)
