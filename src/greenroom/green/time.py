# cython: binding=False
"""time.sleep, as a task's.                                                       layer: green"""

from __future__ import annotations

from greenroom.core.api import sleep as _sleep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def sleep(seconds: Any, /) -> None:
    """As time.sleep, with its errors. Switches always."""
    if not isinstance(seconds, (int, float)):
        index = getattr(seconds, "__float__", None) or getattr(seconds, "__index__", None)
        if index is None:
            kind = type(seconds).__name__
            raise TypeError(f"{kind!r} object cannot be interpreted as an integer or float")
        seconds = index()
    if seconds != seconds:
        raise ValueError("Invalid value NaN (not a number)")
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    if seconds > 9223372036:  # what time_t in nanoseconds holds
        raise OverflowError("timestamp too large to convert to C _PyTime_t")
    _sleep(seconds)
