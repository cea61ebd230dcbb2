"""Empty, Full, ShutDown: the standard library's own, so that its except clauses fit.  layer: sync

Full and ShutDown live in the module queue, which imports threading. They are looked up when first
needed, because greenroom is imported before threading is patched.
"""

from __future__ import annotations

from _queue import Empty

from greenroom.errors import GreenroomError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Empty", "full", "shut_down"]


class ShutDown(GreenroomError):
    """A put to, or a get from, a queue that was shut down (queue.ShutDown from Python 3.13 on)."""


def full() -> Exception:
    """Return a new queue.Full."""
    from queue import Full

    return Full()


def shut_down() -> Exception:
    """Return a new queue.ShutDown, or ours before Python 3.13."""
    error: type[Exception] = __getattr__("ShutDownError")
    return error()


def __getattr__(name: str) -> Any:
    if name == "Full":
        return type(full())
    if name == "ShutDownError":
        import queue

        return getattr(queue, "ShutDown", ShutDown)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
