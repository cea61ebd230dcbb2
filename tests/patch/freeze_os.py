"""Calls of the part "os" that wait, for the freeze test.

A disk cannot be made slow. For what goes to the disk, the C function that green.os took is another
one, which blocks: where other tasks run nevertheless, it is called in a thread.
"""

import fcntl
import itertools
import os
import posix
import struct
import tempfile
from collections.abc import Callable
from functools import cache
from typing import Any

from greenroom.green import fdio
from greenroom.green import os as green_os

from .freeze_help import fill, full_pipe, later, open_later, pipe, read_later, slow, write_later

_flock, _fcntl = fcntl.flock, fcntl.fcntl
_fsync, _close = os.fsync, os.close
_numbers = itertools.count()


@cache
def folder() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="freeze-")


def path() -> str:
    """Return the path of a file that is not there yet."""
    return f"{folder().name}/{next(_numbers)}"


# --- pipes and the like


def read(module: Any) -> None:
    ours, theirs = pipe()
    write_later(theirs)
    module.read(ours, 10)


def readv(module: Any) -> None:
    ours, theirs = pipe()
    write_later(theirs)
    module.readv(ours, [bytearray(10)])


def write(module: Any) -> None:
    module.write(full_pipe()[1], b"x")


def writev(module: Any) -> None:
    module.writev(full_pipe()[1], [b"x", b"y"])


def sendfile(module: Any) -> None:
    import socket

    ours, theirs = (sock.detach() for sock in socket.socketpair())
    read_later(theirs, fill(ours))
    module.sendfile(ours, on_disk(), 0, 100)


def splice(module: Any) -> None:
    ours, theirs = pipe()
    write_later(theirs)
    module.splice(ours, pipe()[1], 10)


def eventfd_read(module: Any) -> None:
    fd = module.eventfd(0)
    write_later(fd, (1).to_bytes(8, "little"))
    module.eventfd_read(fd)


def eventfd_write(module: Any) -> None:
    fd = module.eventfd(0)
    module.eventfd_write(fd, 2**64 - 2)
    read_later(fd, 8)
    module.eventfd_write(fd, 1)


def open_fifo(module: Any) -> None:
    fifo = path()
    os.mkfifo(fifo)
    open_later(fifo, os.O_WRONLY)
    _close(module.open(fifo, os.O_RDONLY))


# --- the disk


def a_file() -> int:
    """An empty file."""
    return os.open(path(), os.O_RDWR | os.O_CREAT)


def on_disk(fd: int | None = None) -> int:
    """A file of which nothing is in memory; or one that is taken for such."""
    if fd is None:
        fd = a_file()
        os.write(fd, b"x" * 1000)
        _fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    fdio.in_memory(0)  # has the table of devices made
    fdio._memory_devices[os.fstat(fd).st_dev] = False  # a tmpfs would not go to a disk
    return fd


def untold() -> int:
    """A file that cannot tell whether what is wanted is in memory.

    One on the disk will not do where C asks: the kernel reads ahead even for RWF_NOWAIT, and a fast
    disk may have answered before that call returns.
    """
    return on_disk(os.open("/proc/self/status", os.O_RDONLY))


def slow_unless_nowait(fd: int, buffers: Any, offset: int, flags: int = 0) -> int:
    if flags & os.RWF_NOWAIT:
        raise BlockingIOError(11, "not in memory")
    return slow()


def disk(name: str, call: Callable[[Any], object]) -> Callable[[Any], None]:
    """Make a call of green.os whose C function is slow."""

    def run(module: Any) -> None:
        setattr(green_os, f"_{name}", slow_unless_nowait if name == "preadv" else slow)
        call(module)

    return run


MUCH = bytes(fdio.AT_ONCE + 1)

_DISK: dict[str, Callable[[Any], object]] = {
    "pread": lambda module: module.pread(untold(), 100, 0),
    "preadv": lambda module: module.preadv(on_disk(), [bytearray(100)], 0),
    "pwrite": lambda module: module.pwrite(a_file(), MUCH, 0),
    "pwritev": lambda module: module.pwritev(a_file(), [MUCH], 0),
    "copy_file_range": lambda module: module.copy_file_range(a_file(), a_file(), 10),
    "fsync": lambda module: module.fsync(a_file()),
    "fdatasync": lambda module: module.fdatasync(a_file()),
    "sync": lambda module: module.sync(),
}

# --- locks on files


def locked() -> int:
    """A file on which another open file has a lock of fcntl(2) until later.

    A lock of the open file, which stands in the way of this process too.
    """
    name = path()
    held, fd = (os.open(name, os.O_RDWR | os.O_CREAT) for _ in range(2))
    whole = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    _fcntl(held, fcntl.F_OFD_SETLK, whole)
    free = struct.pack("hhqqi", fcntl.F_UNLCK, os.SEEK_SET, 0, 0, 0)
    later(_fcntl, held, fcntl.F_OFD_SETLK, free)
    return fd


def flock() -> None:
    name = path()
    held, fd = (os.open(name, os.O_RDWR | os.O_CREAT) for _ in range(2))
    _flock(held, fcntl.LOCK_EX)
    later(_flock, held, fcntl.LOCK_UN)
    fcntl.flock(fd, fcntl.LOCK_EX)


def setlkw() -> None:
    whole = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    fcntl.fcntl(locked(), fcntl.F_SETLKW, whole)


def call_with(call: Callable[[Any], object], module: Any) -> Callable[[], object]:
    return lambda: call(module)


_BOTH: dict[str, Callable[[Any], object]] = {
    "read": read,
    "write": write,
    "readv": readv,
    "writev": writev,
    "sendfile": sendfile,
    "splice": splice,
    "eventfd_read": eventfd_read,
    "eventfd_write": eventfd_write,
    "open": open_fifo,
    "lockf": lambda module: module.lockf(locked(), os.F_LOCK, 0),
    **{name: disk(name, call) for name, call in _DISK.items()},
}

FREEZE: dict[str, Callable[[], object]] = {
    **{f"os:{name}": call_with(call, os) for name, call in _BOTH.items()},
    **{f"posix:{name}": call_with(call, posix) for name, call in _BOTH.items()},
    "fcntl:flock": flock,
    "fcntl:lockf": lambda: fcntl.lockf(locked(), fcntl.LOCK_EX),
    "fcntl:fcntl": setlkw,
}

NEVER_WAIT = {
    "os:": "a set of functions",
    **{
        f"{module}:{name}": "tells who waits"
        for module in ("os", "posix")
        for name in ("close", "closerange", "dup2")
    },
}
