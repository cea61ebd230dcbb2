# cython: binding=False
"""time.sleep, as a task's.                                                       layer: green"""

from __future__ import annotations

from greenroom import _originals
from greenroom.core.api import sleep as _sleep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def sleep(seconds: Any, /) -> None:
    """As time.sleep, with its errors, which the original raises. Switches always."""
    length = seconds
    if not isinstance(seconds, (int, float)):
        convert = getattr(seconds, "__float__", None) or getattr(seconds, "__index__", None)
        length = -1 if convert is None else convert()
    if not 0 <= length <= _LONGEST:
        _originals.time_sleep(seconds)
    else:
        _sleep(length)


_LONGEST = 9223372036.85  # what nanoseconds in 64 bits hold
