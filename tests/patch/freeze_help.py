"""What the snippets of the freeze test share. Imported before anything is patched.

What ends a wait comes from a real thread that makes raw system calls: it comes even if the call
under test stops the thread of the tasks. It comes when another task has had TURNS turns since the
wait began, and all calls that are to wait at once have begun to; if that does not happen, after
PATIENCE seconds, and the run is said to have failed. So nothing hangs on how fast the machine is.
"""

import fcntl
import os
from collections.abc import Callable
from time import monotonic
from time import sleep as real_sleep
from typing import Any

import greenroom
from greenroom import _originals

TURNS = 8
PATIENCE = 20.0
PAUSE = 0.001  # seconds between two looks

_read, _write = _originals.os_read, _originals.os_write
_open, _close, _fcntl = _originals.os_open, _originals.os_close, fcntl.fcntl


class Unavailable(Exception):
    """What a snippet needs is not there; the message says what, and how to get it."""


class Run:
    """One call of a snippet, or several at once.

    calls     how many are to wait at once
    begun     an entry for each wait that has begun
    turns     how often another task has had its turn
    gave_up   a wait was ended though others had not gone on
    """

    def __init__(self, calls: int) -> None:
        self.calls = calls
        self.begun: list[int] = []
        self.turns = 0
        self.gave_up = False


run = Run(1)


def begin() -> Callable[[], bool]:
    """Say that a wait begins; return what tells whether it may end."""
    this, first, end = run, run.turns, monotonic() + PATIENCE
    this.begun.append(1)

    def enough() -> bool:
        if len(this.begun) >= this.calls and this.turns >= first + TURNS:
            return True
        this.gave_up = this.gave_up or monotonic() > end
        return this.gave_up

    return enough


def later(call: Callable[..., object], *args: object) -> None:
    """Call in a real thread when others have gone on."""
    enough = begin()

    def run() -> None:
        while not enough():
            real_sleep(PAUSE)
        call(*args)

    _originals.start_new_thread(run, ())


def write_later(fd: int, data: bytes = b"x") -> None:
    later(_write, fd, data)


def read_later(fd: int, size: int = 1 << 20) -> None:
    """Take so many bytes in all when others have gone on, or what there is if that is less."""

    def drain() -> None:
        left = size
        while left > 0 and (data := _read(fd, left)):
            left -= len(data)

    later(drain)


def open_later(path: str, flags: int) -> None:
    later(lambda: _close(_open(path, flags)))


def slow(*args: Any, **kwargs: Any) -> int:
    """Stand for a C function that a disk or a server keeps waiting: the whole thread waits."""
    enough = begin()
    while not enough():
        real_sleep(PAUSE)
    return 1


def linger() -> None:
    """Wait as a task until others have gone on."""
    again(greenroom.sleep, PAUSE)


def again(call: Callable[..., object], *args: object) -> None:
    """Make a call that waits for a time, until others have gone on."""
    enough = begin()
    call(*args)
    while not enough():
        call(*args)


raw_read = _read


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
