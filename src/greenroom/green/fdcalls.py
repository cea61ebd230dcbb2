"""Uncompiled twin of fdcalls.pyx, on os.preadv and os.pwritev.                  layer: green"""

from __future__ import annotations

import errno
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "is_fifo",
    "more_on_disk",
    "on_disk",
    "size_of_file",
    "try_read",
    "try_readinto",
    "try_write",
]

_CANNOT_TELL = (errno.EAGAIN, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.ESPIPE)

# Taken now, before patching.
_preadv, _pwritev = os.preadv, os.pwritev
_NOWAIT = getattr(os, "RWF_NOWAIT", 0)

if not _NOWAIT:  # a Python whose C library had no preadv2(2): musl before 1.2.5

    def _lacking(fd: int, buffers: Any, offset: int, flags: int = 0, /) -> int:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    _preadv = _pwritev = _lacking


def try_read(fd: int, size: int, offset: int = -1) -> bytes | int:
    """Read as os.read does, or at an offset as os.pread does."""
    if size < 0:
        return errno.EINVAL
    buffer = bytearray(size)
    try:
        got = _preadv(fd, [buffer], offset, _NOWAIT)
    except OSError as error:
        if error.errno not in _CANNOT_TELL:
            raise
        return error.errno
    del buffer[got:]
    return bytes(buffer)


def more_on_disk(fd: int, offset: int = -1) -> bool:
    """Return whether fd is a regular file with more at offset, or at its own position."""
    try:
        info = os.fstat(fd)
    except OSError:
        return False
    if not stat.S_ISREG(info.st_mode):
        return False
    return (os.lseek(fd, 0, os.SEEK_CUR) if offset < 0 else offset) < info.st_size


def on_disk(fd: int) -> bool:
    """As fdio.on_disk(), of an fd: whether there is no readiness to wait for."""
    mode = os.fstat(fd).st_mode
    return stat.S_ISREG(mode) or stat.S_ISBLK(mode) or stat.S_ISDIR(mode)


def size_of_file(fd: int) -> int:
    """Return how many bytes a regular file has; -1: fd is of another kind."""
    info = os.fstat(fd)
    return info.st_size if stat.S_ISREG(info.st_mode) else -1


def is_fifo(path: Any) -> bool:
    """Return whether there is a FIFO at path; whatever is wrong with path, opening it will say."""
    try:
        return stat.S_ISFIFO(os.stat(os.fspath(path)).st_mode)
    except (OSError, ValueError, TypeError):
        return False


def try_readinto(fd: int, buffer: Any) -> int:
    """Read into a writable buffer. Returns how many bytes, or the errno, negative."""
    try:
        return _preadv(fd, [buffer], -1, _NOWAIT)
    except OSError as error:
        if error.errno not in _CANNOT_TELL:
            raise
        return -error.errno


def try_write(fd: int, data: Any) -> int:
    """Write as os.write does. Returns how many bytes were taken, or the errno, negative."""
    try:
        return _pwritev(fd, [data], -1, _NOWAIT)
    except OSError as error:
        if error.errno not in _CANNOT_TELL:
            raise
        return -error.errno
