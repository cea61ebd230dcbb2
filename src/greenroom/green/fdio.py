# cython: binding=False
"""Reads and writes of any fd that park: what os.read, files and pipes rest on.  layer: green

First the call is tried so that it cannot block (fdcalls.pyx). If it says that it would:
- a regular file has to go to the disk, for which the kernel has no readiness: a real thread reads.
  It is not given up half-way when the task is killed, for the disk answers, and the thread holds
  the caller's buffer.
- everything else is parked on and tried again.
If it says that this kind of file cannot be tried:
- a regular file of a file system without RWF_NOWAIT is read in a real thread, unless it lies in
  memory (tmpfs, /proc).
- a terminal, or a pipe of an older kernel, is read or written when poll(2) says that it is ready.
  Then a pipe takes PIPE_BUF bytes without blocking. A terminal says so as soon as there is any
  room, which comes in portions of 256 (the kernel's drivers/tty/tty_buffer.c); each byte may become
  two. Only another process that uses the same terminal in that moment can make this wrong.
Writing to a regular file is a copy into memory, which the kernel writes out later: done at once,
unless it is large or the file was opened with O_SYNC or O_DIRECT.

An fd that the program has set O_NONBLOCK raises BlockingIOError, as ever. Where nothing can park
(between two tasks, or in an OS thread that runs no tasks) the call blocks, as ever.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import stat

from greenroom import _originals
from greenroom.core import offload
from greenroom.core import scheduler as _scheduler
from greenroom.core.scope import Scope
from greenroom.core.timers import FOREVER
from greenroom.green import fdcalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_read = _originals.os_read
_write = _originals.os_write
_fcntl = fcntl.fcntl
_fstat = os.fstat
_poll = _originals.select_poll

PIPE_BUF = select.PIPE_BUF
TERMINAL_ROOM = 128
EAGAIN = errno.EAGAIN
LARGEST_FD = 2**31 - 1
AT_ONCE = 1 << 20  # bytes that are copied into the page cache without asking a thread
SLOW_FLAGS = os.O_SYNC | os.O_DSYNC | os.O_DIRECT
_IN_MEMORY = {"tmpfs", "ramfs", "devtmpfs", "proc", "sysfs", "cgroup", "cgroup2", "hugetlbfs"}
_memory_devices: dict[int, bool] = {}


def read(fd: int, length: int, /) -> bytes:
    """read(2), as os.read. Switches if nothing has come, or what is wanted is on the disk."""
    if length < 0 or not 0 <= fd <= LARGEST_FD or not _scheduler.can_wait():
        return _read(fd, length)
    _scheduler.get().spend_budget()
    found: Any = fdcalls.try_read(fd, length)
    if found.__class__ is not bytes:
        return read_waiting(fd, length, found)
    if len(found) < length and len(found) and fdcalls.more_on_disk(fd):
        found += in_thread(_read, fd, length - len(found))
    return found  # type: ignore[no-any-return]


def read_waiting(fd: int, length: int, problem: int) -> bytes:
    """read() after a first try has said EAGAIN, or that it cannot tell."""
    result: bytes
    info = _fstat(fd)
    if on_disk(info):
        result = by_disk(info, problem, _read, fd, length)
        return result
    if is_nonblocking(fd):
        return _read(fd, length)
    while True:
        wait_for(fd, False, problem)
        if problem != EAGAIN:
            return _read(fd, length)
        found: Any = fdcalls.try_read(fd, length)
        if found.__class__ is bytes:
            return found


def readinto(fd: int, buffer: Any) -> int:
    """read(2) into a writable buffer; returns how many bytes came. Switches as read()."""
    if not _scheduler.can_wait():
        return _readinto_blocking(fd, buffer)
    _scheduler.get().spend_budget()
    got = fdcalls.try_readinto(fd, buffer)
    return got if got >= 0 else readinto_waiting(fd, buffer, -got)


def readinto_waiting(fd: int, buffer: Any, problem: int) -> int:
    """readinto() after a first try has said EAGAIN, or that it cannot tell."""
    info = _fstat(fd)
    if on_disk(info):
        count: int = by_disk(info, problem, _readinto_blocking, fd, buffer)
        return count
    if is_nonblocking(fd):
        return _readinto_blocking(fd, buffer)
    while True:
        wait_for(fd, False, problem)
        if problem != EAGAIN:
            return _readinto_blocking(fd, buffer)
        got = fdcalls.try_readinto(fd, buffer)
        if got >= 0:
            return got


def _readinto_blocking(fd: int, buffer: Any) -> int:
    count: int = _originals.os_readv(fd, [buffer])
    return count


def write(fd: int, data: Any, /) -> int:
    """write(2), as os.write: all of data, if the fd is in blocking mode.

    Switches only if there is no room, or the file is one that waits for its disk.
    """
    if not _scheduler.can_wait():
        return _write(fd, data)
    _scheduler.get().spend_budget()
    info = _fstat(fd)
    with memoryview(data) as view:
        if on_disk(info):
            return write_to_disk(fd, view.nbytes, _write, fd, view)
        sent = fdcalls.try_write(fd, view)
        if sent == view.nbytes or is_nonblocking(fd):
            return sent if sent >= 0 else _write(fd, data)
        with view.cast("B") as octets:
            return write_rest(fd, octets, sent)


def write_rest(fd: int, octets: memoryview, sent: int) -> int:
    """Go on with a write of which so many bytes were taken, or that failed with errno -sent."""
    done = max(sent, 0)
    problem = EAGAIN if sent >= 0 else -sent
    size = len(octets)
    portion = TERMINAL_ROOM if problem != EAGAIN and os.isatty(fd) else PIPE_BUF
    while done < size:
        wait_for(fd, True, problem)
        if problem != EAGAIN:
            done += _write(fd, octets[done : done + portion])
        else:
            sent = fdcalls.try_write(fd, octets[done:])
            done += max(sent, 0)
    return done


def write_to_disk(fd: int, size: int, call: Callable[..., int], *args: Any) -> int:
    """Write to a regular file: here if that is a copy in memory, else in a thread."""
    if is_quick(fd, size):
        return call(*args)
    count: int = in_thread(call, *args)
    return count


def is_quick(fd: int, size: int) -> bool:
    """Tell whether a write of so many bytes to a regular file is a short copy in memory."""
    flags: int = _fcntl(fd, fcntl.F_GETFL)
    return size <= AT_ONCE and not flags & SLOW_FLAGS


def on_disk(info: os.stat_result) -> bool:
    """Tell whether this is a kind of file that has no readiness to wait for."""
    mode = info.st_mode
    return stat.S_ISREG(mode) or stat.S_ISBLK(mode) or stat.S_ISDIR(mode)


def by_disk(info: os.stat_result, problem: int, call: Callable[..., Any], *args: Any) -> Any:
    """Call what reads a regular file that could not be read at once."""
    if problem != EAGAIN and in_memory(info.st_dev):
        return call(*args)
    return in_thread(call, *args)


def in_memory(device: int) -> bool:
    """Tell whether a device's file system has no disk. Source: proc(5), mountinfo."""
    if not _memory_devices:
        with _originals.open("/proc/self/mountinfo", "rb", buffering=0) as file:
            for line in file.readall().decode("utf-8", "replace").splitlines():
                fields, _, rest = line.partition(" - ")
                major, _, minor = fields.split(" ")[2].partition(":")
                kind = rest.partition(" ")[0]
                _memory_devices[os.makedev(int(major), int(minor))] = kind in _IN_MEMORY
    return _memory_devices.get(device, False)


def in_thread(call: Callable[..., Any], *args: Any) -> Any:
    """Call what the disk will answer, in a real thread; a kill waits until it has."""
    task = _scheduler.get().current
    shield = Scope(FOREVER, True)
    task.push_scope(shield)
    try:
        return offload.call(call, *args)
    finally:
        task.pop_scope(shield)


def is_nonblocking(fd: int) -> bool:
    """Tell whether the program has set O_NONBLOCK, and so wants BlockingIOError."""
    flags: int = _fcntl(fd, fcntl.F_GETFL)
    return flags & os.O_NONBLOCK != 0


def wait_for(fd: int, write: bool, problem: int) -> None:
    """Park until fd is ready; at once if the call cannot be tried (problem) and poll(2) says so."""
    while problem == EAGAIN or not is_ready(fd, write):
        _scheduler.get().wait_fd(fd, write, FOREVER, True)
        if problem == EAGAIN:
            return


def is_ready(fd: int, write: bool) -> bool:
    """Ask poll(2) whether a read or write would not block now."""
    poll = _poll()
    poll.register(fd, select.POLLOUT if write else select.POLLIN)
    return bool(poll.poll(0))
