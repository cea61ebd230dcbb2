# cython: binding=False
"""The calls of os on fds that may wait, besides read and write (fdio.py).       layer: green

close and its relatives are here because a number that is closed is given out again at once, and who
waits on it must be told.
"""

from __future__ import annotations

import errno
import os
import stat
from _operator import index

from greenroom import _originals
from greenroom.core import offload
from greenroom.core import scheduler as _scheduler
from greenroom.green import fdcalls, fdio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_readv = _originals.os_readv
_writev = os.writev
_pread = os.pread
_pwrite = os.pwrite
_preadv = os.preadv
_pwritev = os.pwritev
_sendfile = os.sendfile
_open = _originals.os_open
_close = _originals.os_close
_closerange = os.closerange
_dup2 = os.dup2
_fstat = os.fstat
_fsync, _fdatasync, _sync = os.fsync, os.fdatasync, os.sync
_copy_file_range = os.copy_file_range
_splice = getattr(os, "splice", None)  # depends on the C library the interpreter was built with
_eventfd_read = getattr(os, "eventfd_read", None)
_eventfd_write = getattr(os, "eventfd_write", None)
_set_blocking = os.set_blocking
_stat = os.stat
_NOWAIT: int = getattr(os, "RWF_NOWAIT", 0)  # 0: a Python whose C library had no preadv2(2)
_CANNOT_TELL = (errno.EAGAIN, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.ESPIPE)


def _try_preadv(fd: int, buffers: Any, offset: int, flags: int) -> int:
    """preadv2(2); ENOSYS where it cannot be asked not to wait."""
    if not _NOWAIT:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    return _preadv(fd, buffers, offset, flags)


def readv(fd: int, buffers: Any, /) -> int:
    """readv(2). Switches as fdio.read()."""
    if not _scheduler.can_wait():
        return _readv(fd, buffers)
    _scheduler.get().spend_budget()
    while True:
        try:
            got: int = _try_preadv(fd, buffers, -1, _NOWAIT)
            if got and fdcalls.more_on_disk(fd) and (rest := _rest(buffers, got)):
                got += fdio.in_thread(_readv, fd, rest)
            return got
        except OSError as error:
            problem = error.errno or 0
            if problem not in _CANNOT_TELL:
                raise
        info = _fstat(fd)
        if fdio.on_disk(info):
            count: int = fdio.by_disk(info, problem, _readv, fd, buffers)
            return count
        if fdio.is_nonblocking(fd):
            return _readv(fd, buffers)
        fdio.wait_for(fd, False, problem)
        if problem != errno.EAGAIN:
            return _readv(fd, buffers)


def _rest(buffers: Any, count: int) -> list[memoryview]:
    """Return what lies behind the first count bytes of writable buffers."""
    rest = []
    for buffer in buffers:
        octets = memoryview(buffer).cast("B")
        if count < len(octets):
            rest.append(octets[count:])
        count = max(count - len(octets), 0)
    return rest


def writev(fd: int, buffers: Any, /) -> int:
    """writev(2): all of the buffers, if the fd is in blocking mode. Switches as fdio.write()."""
    if not _scheduler.can_wait():
        return _writev(fd, buffers)
    if fdio.on_disk(_fstat(fd)):
        return fdio.write_to_disk(fd, _size_of(buffers), _writev, fd, buffers)
    if fdio.is_nonblocking(fd):
        return _writev(fd, buffers)
    return fdio.write(fd, b"".join(buffers))


def pread(fd: int, length: int, offset: int, /) -> bytes:
    """pread(2). Switches only if what is wanted is on the disk."""
    if not _scheduler.can_wait() or offset < 0:
        return _pread(fd, length, offset)
    _scheduler.get().spend_budget()
    found: Any = fdcalls.try_read(index(fd), index(length), index(offset))
    if found.__class__ is bytes:
        data: bytes = found
        if len(data) == length or not data or not fdcalls.more_on_disk(fd, offset + len(data)):
            return data
        found = errno.EAGAIN
    info = _fstat(fd)
    if not fdio.on_disk(info):
        return _pread(fd, length, offset)
    result: bytes = fdio.by_disk(info, found, _pread, fd, length, offset)
    return result


def preadv(fd: int, buffers: Any, offset: int, flags: int = 0, /) -> int:
    """preadv2(2). Switches only if what is wanted is on the disk."""
    if not _scheduler.can_wait() or offset < 0 or flags & _NOWAIT:
        return _preadv(fd, buffers, offset, flags)
    _scheduler.get().spend_budget()
    problem = errno.EAGAIN
    try:
        got = _try_preadv(fd, buffers, offset, flags | _NOWAIT)
        if not 0 < got < _size_of(buffers) or not fdcalls.more_on_disk(fd, offset + got):
            return got
    except OSError as error:
        problem = error.errno or 0
        if problem not in _CANNOT_TELL:
            raise
    info = _fstat(fd)
    if not fdio.on_disk(info):
        return _preadv(fd, buffers, offset, flags)
    count: int = fdio.by_disk(info, problem, _preadv, fd, buffers, offset, flags)
    return count


def pwrite(fd: int, data: Any, offset: int, /) -> int:
    """pwrite(2). Switches only if it is much, or the file waits for its disk."""
    if not _scheduler.can_wait():
        return _pwrite(fd, data, offset)
    with memoryview(data) as view:
        return fdio.write_to_disk(fd, view.nbytes, _pwrite, fd, view, offset)


def pwritev(fd: int, buffers: Any, offset: int, flags: int = 0, /) -> int:
    """pwritev2(2). Switches only if it is much, or the file waits for its disk."""
    if not _scheduler.can_wait() or flags & _NOWAIT:
        return _pwritev(fd, buffers, offset, flags)
    return fdio.write_to_disk(fd, _size_of(buffers), _pwritev, fd, buffers, offset, flags)


def _size_of(buffers: Any) -> int:
    return sum(memoryview(buffer).nbytes for buffer in buffers)


def sendfile(out_fd: int, in_fd: int, offset: int | None, count: int, *args: Any) -> int:
    """sendfile(2). Switches if out_fd has no room, or is a regular file."""
    if not _scheduler.can_wait():
        return _sendfile(out_fd, in_fd, offset, count, *args)
    _scheduler.get().spend_budget()
    if fdio.on_disk(_fstat(out_fd)):
        copied: int = fdio.in_thread(_sendfile, out_fd, in_fd, offset, count, *args)
        return copied
    if fdio.is_nonblocking(out_fd):
        return _sendfile(out_fd, in_fd, offset, count, *args)
    while True:
        _set_blocking(out_fd, False)
        try:
            return _sendfile(out_fd, in_fd, offset, count, *args)
        except BlockingIOError:
            pass
        finally:
            _set_blocking(out_fd, True)
        fdio.wait_for(out_fd, True, errno.EAGAIN)


def copy_file_range(*args: Any, **kwargs: Any) -> int:
    """copy_file_range(2), in a real thread. Switches always."""
    if not _scheduler.can_wait():
        return _copy_file_range(*args, **kwargs)
    count: int = fdio.in_thread(lambda: _copy_file_range(*args, **kwargs))
    return count


def splice(src: int, dst: int, *args: Any, **kwargs: Any) -> int:
    """splice(2). Switches until the one can be read and the other written."""
    assert _splice is not None  # the row is applied only where os has it
    if _scheduler.can_wait():
        for fd, write in ((src, False), (dst, True)):
            if not fdio.on_disk(_fstat(fd)) and not fdio.is_nonblocking(fd):
                while not fdio.is_ready(fd, write):
                    fdio.wait_for(fd, write, errno.EOPNOTSUPP)
    count: int = _splice(src, dst, *args, **kwargs)
    return count


def fsync(fd: Any) -> None:
    """fsync(2), in a real thread. Switches always."""
    if _scheduler.can_wait():
        fdio.in_thread(_fsync, fd)
    else:
        _fsync(fd)


def fdatasync(fd: Any) -> None:
    """fdatasync(2), in a real thread. Switches always."""
    if _scheduler.can_wait():
        fdio.in_thread(_fdatasync, fd)
    else:
        _fdatasync(fd)


def sync() -> None:
    """sync(2), in a real thread. Switches always."""
    if _scheduler.can_wait():
        fdio.in_thread(_sync)
    else:
        _sync()


def eventfd_read(fd: int) -> int:
    """eventfd(2), its counter. Switches only if that is 0."""
    assert _eventfd_read is not None
    while _scheduler.can_wait() and not fdio.is_nonblocking(fd) and not fdio.is_ready(fd, False):
        fdio.wait_for(fd, False, errno.EOPNOTSUPP)
    value: int = _eventfd_read(fd)
    return value


def eventfd_write(fd: int, value: int) -> None:
    """eventfd(2): add to its counter. Switches only if that is full."""
    if _scheduler.can_wait() and not fdio.is_nonblocking(fd):
        fdio.write(fd, index(value).to_bytes(8, "little"))
    else:
        assert _eventfd_write is not None
        _eventfd_write(fd, value)


def open(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
    """open(2). Switches only for a FIFO whose other end nobody has opened (fifo(7)).

    When the task is killed then, the thread that opens it stays until somebody does.
    """
    if not flags & (os.O_NONBLOCK | os.O_PATH) and flags & os.O_ACCMODE != os.O_RDWR:
        try:
            is_fifo = stat.S_ISFIFO(_stat(path, dir_fd=dir_fd).st_mode)
        except (OSError, ValueError, TypeError):
            is_fifo = False  # open(2) will say what is wrong with it
        if is_fifo and _scheduler.can_wait():
            return _open_fifo(path, flags, mode, dir_fd)
    return _open(path, flags, mode, dir_fd=dir_fd)


def _open_fifo(path: Any, flags: int, mode: int, dir_fd: int | None) -> int:
    """Open a FIFO in a real thread. An fd that comes when nobody waits any more is closed."""
    opened: list[int] = []  # whoever pops the fd has it
    given_up: list[bool] = []

    def drop() -> None:
        try:
            _close(opened.pop())
        except IndexError:
            pass

    def opening() -> None:
        opened.append(_open(path, flags, mode, dir_fd=dir_fd))
        if given_up:
            drop()

    try:
        offload.call_unbounded(opening)
    except BaseException:
        given_up.append(True)
        drop()
        raise
    fd = opened.pop()
    _scheduler.new_fd(fd)
    return fd


def supports(module: Any) -> Callable[[], None]:
    """Say in os.supports_dir_fd that our open() takes a dir_fd."""
    module.supports_dir_fd.add(open)
    return lambda: module.supports_dir_fd.discard(open)


def close(fd: int) -> None:
    """close(2). Tasks that wait on fd get a ClosedError. Never switches."""
    if fd.__class__ is int and fd >= 0:
        _scheduler.closing_fd(fd)
    _close(fd)


def closerange(fd_low: int, fd_high: int, /) -> None:
    """Close the fds from fd_low up to, not with, fd_high. Never switches."""
    _scheduler.closing_fds(fd_low, fd_high)
    _closerange(fd_low, fd_high)


def dup2(fd: int, fd2: int, inheritable: bool = True) -> int:
    """dup2(2). Tasks that wait on fd2 get a ClosedError. Never switches."""
    if fd != fd2 and fd2.__class__ is int and fd2 >= 0:
        _scheduler.closing_fd(fd2)
    return _dup2(fd, fd2, inheritable)
