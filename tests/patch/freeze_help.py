"""What the snippets of the freeze test share. Imported before anything is patched.

What ends a wait comes from a real thread that makes raw system calls: it comes even if the call
under test stops the thread of the tasks.
"""

import fcntl
import os
from collections.abc import Callable
from time import sleep as real_sleep
from typing import Any

from greenroom import _originals

WAIT = 0.3  # seconds

_read, _write = _originals.os_read, _originals.os_write
_open, _close, _fcntl = _originals.os_open, _originals.os_close, fcntl.fcntl


class Unavailable(Exception):
    """What a snippet needs is not there; the message says what, and how to get it."""


def later(call: Callable[..., object], *args: object) -> None:
    """Call in a real thread after WAIT seconds."""

    def run() -> None:
        real_sleep(WAIT)
        call(*args)

    _originals.start_new_thread(run, ())


def write_later(fd: int, data: bytes = b"x") -> None:
    later(_write, fd, data)


def read_later(fd: int, size: int = 1 << 20) -> None:
    """Take so many bytes in all after WAIT seconds, or what there is if that is less."""

    def drain() -> None:
        left = size
        while left > 0 and (data := _read(fd, left)):
            left -= len(data)

    later(drain)


def open_later(path: str, flags: int) -> None:
    later(lambda: _close(_open(path, flags)))


def slow(*args: Any, **kwargs: Any) -> int:
    """Stand for a C function that a disk or a server keeps waiting: the whole thread waits."""
    real_sleep(WAIT)
    return 1


def pipe() -> tuple[int, int]:
    """Return the two fds of an empty pipe. They are never closed: the child ends soon."""
    return os.pipe()


def full_pipe() -> tuple[int, int]:
    """Return the two fds of a pipe without room, and have it emptied later."""
    fds = os.pipe()
    fill(fds[1])
    read_later(fds[0], 1 << 16)
    return fds


def fill(fd: int) -> int:
    """Write until there is no room; return how many bytes that took."""
    flags = _fcntl(fd, fcntl.F_GETFL)
    _fcntl(fd, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    size = 0
    for step in (4096, 1):
        try:
            while True:
                size += _write(fd, b"x" * step)
        except BlockingIOError:
            pass
    _fcntl(fd, fcntl.F_SETFL, flags)
    return size
