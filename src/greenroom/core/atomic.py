"""Makes methods exclude each other across OS threads in an uncompiled install.  layer: core

Compiled, a method that calls no Python code runs under the GIL from its first line to its last, so
testing a lock and standing in its queue is one step. Uncompiled, the interpreter may let another
thread in between any two bytecodes; there the methods named here share one re-entrant lock.

Without the GIL (a free-threaded build with PYTHON_GIL=0) the compiled methods do not exclude each
other, and the lock of an uncompiled install does not cover all that the GIL covers: a test and a
wake-up, a field and the message that follows it. So tasks in several threads are not supported
there yet (greenroom/_gil.py says so).
"""

from __future__ import annotations

import os

from greenroom import _originals
from greenroom.core import native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_lock = _originals.atomic_lock


os.register_at_fork(after_in_child=_lock._at_fork_reinit)  # type: ignore[attr-defined]


def atomic(owner: Any, *names: str) -> None:
    """Let the methods of a class, or functions of a module's globals(), run one at a time."""
    if native.compiled():
        return
    for name in names:
        if isinstance(owner, dict):
            owner[name] = _locked(owner[name])
        else:
            setattr(owner, name, _locked(getattr(owner, name)))


def _locked(fn: Any) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        with _lock:
            return fn(*args, **kwargs)

    call.__name__ = fn.__name__
    call.__qualname__ = fn.__qualname__
    call.__doc__ = fn.__doc__
    return call
