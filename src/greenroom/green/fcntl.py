# cython: binding=False
"""Locks on files that park: flock, lockf, fcntl(F_SETLKW).                      layer: green

The kernel tells nobody when a file lock is free, so they are tried again, after 1 ms at first and
20 ms in the end. A real thread that waits in the kernel would be told; but it could not be called
back when the task is killed, and then would take the lock for nobody.
"""

from __future__ import annotations

import errno
import fcntl as _stdlib
import os

from greenroom.core import scheduler as _scheduler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_flock, _lockf, _fcntl, _os_lockf = _stdlib.flock, _stdlib.lockf, _stdlib.fcntl, os.lockf
_HELD = (errno.EAGAIN, errno.EACCES)
SHORTEST, LONGEST = 0.001, 0.02  # seconds between two tries


def _until_free(call: Callable[..., Any], *args: Any) -> Any:
    """Call until it no longer says that another has the lock."""
    pause = SHORTEST
    while True:
        try:
            return call(*args)
        except OSError as error:
            if error.errno not in _HELD:
                raise
        scheduler = _scheduler.get()
        scheduler.sleep_until(scheduler.now() + pause)
        pause = min(2 * pause, LONGEST)


def flock(fd: Any, operation: int, /) -> None:
    """flock(2). Switches only if another has the lock."""
    if operation & (_stdlib.LOCK_NB | _stdlib.LOCK_UN) or not _scheduler.can_wait():
        return _flock(fd, operation)
    return _until_free(_flock, fd, operation | _stdlib.LOCK_NB)  # type: ignore[no-any-return]


def lockf(fd: Any, cmd: int, len: int = 0, start: int = 0, whence: int = 0, /) -> Any:
    """fcntl.lockf: a lock of fcntl(2). Switches only if another process has the lock."""
    if cmd & (_stdlib.LOCK_NB | _stdlib.LOCK_UN) or not _scheduler.can_wait():
        return _lockf(fd, cmd, len, start, whence)
    return _until_free(_lockf, fd, cmd | _stdlib.LOCK_NB, len, start, whence)


def fcntl(fd: Any, cmd: int, arg: Any = 0, /) -> Any:
    """fcntl(2). Switches only for F_SETLKW and F_OFD_SETLKW, if another has the lock."""
    nowait = _WITHOUT_WAIT.get(cmd)
    if nowait is None or not _scheduler.can_wait():
        return _fcntl(fd, cmd, arg)
    return _until_free(_fcntl, fd, nowait, arg)


_WITHOUT_WAIT = {_stdlib.F_SETLKW: _stdlib.F_SETLK}
if hasattr(_stdlib, "F_OFD_SETLKW"):
    _WITHOUT_WAIT[_stdlib.F_OFD_SETLKW] = _stdlib.F_OFD_SETLK


def os_lockf(fd: int, command: int, length: int, /) -> None:
    """os.lockf: lockf(3). Switches only for F_LOCK, if another process has the lock."""
    if command != os.F_LOCK or not _scheduler.can_wait():
        return _os_lockf(fd, command, length)
    return _until_free(_os_lockf, fd, os.F_TLOCK, length)  # type: ignore[no-any-return]
