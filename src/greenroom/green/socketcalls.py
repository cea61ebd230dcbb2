"""The calls of a socket that may wait, as green functions.                      layer: green

Each takes the socket first, so that it can be set as a method on socket.socket itself (patching) or
on a subclass (greenroom.green.socket.socket). The C methods of _socket.socket do the system call;
here is only when to try and when to park.

Facts that shape this file:
- The socket's timeout stays where it was, in the C object: settimeout() is not replaced. A timeout
  of 0 means the user polls: the C method is called as it is, and raises BlockingIOError.
- Without a timeout the fd may be in blocking mode. MSG_DONTWAIT asks the one call not to block and
  leaves the fd's flag, which child processes and C libraries share, alone. accept(2) and connect(2)
  have no such flag. A listening socket is set O_NONBLOCK for good, as another process may take the
  connection that woke us; for connect(2) it is set for the call alone.
- With a timeout the C methods first poll(2) for it, which would block the thread. So they are
  called on a second, borrowed, C object of the same fd that has no timeout.
"""

import _socket
import errno
import os
import stat
from collections.abc import Callable
from typing import Any

from greenroom import _config, _originals
from greenroom.core import hooks
from greenroom.core import scheduler as _scheduler
from greenroom.green import resolver

_Socket = _socket.socket
_DONTWAIT = _socket.MSG_DONTWAIT
_ERRQUEUE = _socket.MSG_ERRQUEUE
_NO_FD = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

# Taken now, before patching.
_accept = _Socket._accept  # type: ignore[attr-defined]
_close = _Socket.close
_connect = _Socket.connect
_connect_ex = _Socket.connect_ex
_detach = _Socket.detach
_init = _Socket.__init__
_recv = _Socket.recv
_recv_into = _Socket.recv_into
_recvfrom = _Socket.recvfrom
_recvfrom_into = _Socket.recvfrom_into
_recvmsg = _Socket.recvmsg
_recvmsg_into = _Socket.recvmsg_into
_send = _Socket.send
_sendmsg = _Socket.sendmsg
_sendto = _Socket.sendto
_gettimeout = _Socket.gettimeout
_fileno = _Socket.fileno
_get_blocking = os.get_blocking
_set_blocking = os.set_blocking
_sendfile = _originals.os_sendfile


def _without_timeout(sock: Any, timeout: float | None, call: Callable[[Any], Any]) -> Any:
    """Return call(handle): handle is a C socket object on the fd of sock that has no timeout."""
    if timeout is None:
        return call(sock)
    fd = fd_of(sock)
    if _socket.getdefaulttimeout() is not None:
        # A new object would start with the default timeout, and to take it away would make the fd
        # blocking. Rare enough to do it the slow way.
        _Socket.settimeout(sock, 0.0)
        try:
            return call(sock)
        finally:
            _Socket.settimeout(sock, timeout)
    family, kind, proto = (
        field.__get__(sock) for field in (_Socket.family, _Socket.type, _Socket.proto)
    )
    handle = _Socket.__new__(_Socket)
    try:
        handle.__init__(family, kind, proto, fd)  # type: ignore[misc]
        return call(handle)
    finally:
        _detach(handle)  # the fd is not the handle's to close


def fd_of(sock: Any) -> int:
    """Return the fd of sock; OSError with EBADF if it is closed."""
    fd: int = _fileno(sock)
    if fd < 0:
        raise OSError(errno.EBADF, "Bad file descriptor")
    return fd


def wait_socket(sock: Any, fd: int, write: bool, deadline: float, level: bool = False) -> None:
    """Park until the socket is ready; TimeoutError at the deadline, ClosedError if closed."""
    if not _scheduler.get().wait_fd(fd, write, deadline, level):
        raise TimeoutError("timed out")
    if _fileno(sock) != fd:
        raise OSError(errno.EBADF, f"cannot go on with {sock!r}: it was closed meanwhile")


def _deadline(timeout: float | None) -> float:
    return _scheduler.get().deadline_after(timeout)


def _retry(sock: Any, write: bool, call: Callable[[Any], Any]) -> Any:
    """Return call(handle), parking as long as it says EAGAIN. The socket is not in polling mode."""
    timeout = _gettimeout(sock)
    deadline = -1.0
    _scheduler.get().spend_budget()
    while True:
        try:
            result = _without_timeout(sock, timeout, call)
        except BlockingIOError:
            pass
        else:
            return result
        if deadline < 0:
            deadline = _deadline(timeout)
        fd = fd_of(sock)
        state = _scheduler.get().poller.state(fd)
        if write:
            state.writable = False
        else:
            state.readable = False
        wait_socket(sock, fd, write, deadline)


# --- the life of a socket


def init(
    sock: Any, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None
) -> None:
    """socket.__init__ is wrapped with this: a new fd number has no past."""
    _scheduler.new_fd(_fileno(sock), fileno is not None)


def real_close(sock: Any, _ss: Any = _Socket) -> None:
    """close(2). Tasks that wait on the socket get a ClosedError. Never switches."""
    fd = _fileno(sock)
    if fd >= 0:
        _scheduler.closing_fd(fd)
    _ss.close(sock)


def detach(sock: Any, /) -> int:
    """Give up the fd and return it, open. Tasks that wait on the socket get a ClosedError."""
    fd = _fileno(sock)
    if fd >= 0:
        _scheduler.closing_fd(fd)
    sock._closed = True  # so that the end of its last file does not close it
    return _detach(sock)


def accept_fd(sock: Any, /) -> tuple[int, Any]:
    """Wait for a connection; return its fd and the peer's address. As socket._accept.

    When no fd is left (EMFILE, ENFILE) the connection stays in the backlog, a warning is logged,
    and accept tries again after a moment, as long as the socket's timeout allows.
    """
    timeout = _gettimeout(sock)
    if timeout == 0:
        return _accept(sock)  # type: ignore[no-any-return]
    scheduler = _scheduler.get()
    deadline = _deadline(timeout)
    scheduler.spend_budget()
    told = False
    while True:
        fd = fd_of(sock)
        if timeout is None:
            _set_blocking(fd, False)  # each time: settimeout() may have undone it
        try:
            result: tuple[int, Any] = _without_timeout(sock, timeout, _accept)
        except BlockingIOError:
            scheduler.poller.state(fd).readable = False
            wait_socket(sock, fd, False, deadline)
        except OSError as error:
            if error.errno == errno.ECONNABORTED:
                continue  # accept(2): the peer left already; the next one may wait
            if error.errno not in _NO_FD or scheduler.now() >= deadline:
                raise
            if not told:
                told = True
                hooks.log_warning(f"accept on fd {fd}: {os.strerror(error.errno)}; trying again")
            scheduler.sleep_until(min(scheduler.now() + _config.ACCEPT_BACKOFF, deadline))
        else:
            _scheduler.new_fd(result[0])
            return result


def connect(sock: Any, address: Any, /) -> None:
    """connect(2). Switches unless the connection is there at once (Unix sockets, UDP)."""
    timeout = _gettimeout(sock)
    if timeout == 0:
        return _connect(sock, address)
    deadline = _deadline(timeout)
    address = resolver.numeric_address(sock, address)
    fd = fd_of(sock)
    _scheduler.new_fd(fd, True)  # an unconnected socket reports a hang-up: forget it
    try:
        _start_connect(sock, address, timeout, fd)
    except BlockingIOError as error:
        if error.errno == errno.EAGAIN:  # a Unix socket whose listener's backlog is full
            return _connect_later(sock, address, timeout, deadline)
    else:
        return None
    while True:
        # level: what the poller knows is from before the connect
        wait_socket(sock, fd, True, deadline, level=True)
        try:
            # connect(2) once more says what came of it, and lets the kernel's socket leave its
            # connecting state; SO_ERROR would not.
            return _start_connect(sock, address, timeout, fd)
        except BlockingIOError:
            continue  # woken early
        except OSError as error:
            if error.errno == errno.EISCONN:
                return None
            raise


def _start_connect(sock: Any, address: Any, timeout: float | None, fd: int) -> None:
    """Call connect(2) so that it cannot block; BlockingIOError: it is under way."""
    if timeout is not None:
        _without_timeout(sock, timeout, lambda handle: _connect(handle, address))
        return
    blocks = _get_blocking(fd)  # not under TLS
    if blocks:
        _set_blocking(fd, False)
    try:
        _connect(sock, address)
    finally:
        if blocks:
            _set_blocking(fd, True)


def _connect_later(sock: Any, address: Any, timeout: float | None, deadline: float) -> None:
    """Try a Unix socket's connect again until its listener has room: nothing reports that."""
    scheduler = _scheduler.get()
    pause = 0.001
    while True:
        if scheduler.now() >= deadline:
            raise TimeoutError("timed out")
        scheduler.sleep_until(min(scheduler.now() + pause, deadline))
        pause = min(pause * 2, 0.05)
        try:
            return _start_connect(sock, address, timeout, fd_of(sock))
        except BlockingIOError:
            pass


def connect_ex(sock: Any, address: Any, /) -> int:
    """connect(2); returns 0 or the errno. A timeout is EAGAIN, as in the standard library."""
    if _gettimeout(sock) == 0:
        return _connect_ex(sock, address)
    try:
        connect(sock, address)
    except TimeoutError as error:
        return error.errno or errno.EAGAIN
    except _socket.gaierror:
        raise
    except OSError as error:
        if error.errno is None:
            raise
        return error.errno
    return 0


# --- receiving and sending


def recv(sock: Any, bufsize: int, flags: int = 0, /) -> bytes:
    """recv(2). Returns b"" at the end of the stream. Switches only if nothing has come."""
    if _polls(sock, flags):
        return _recv(sock, bufsize, flags)
    if _waits_for_all(sock, flags) and bufsize > 0:
        buffer = bytearray(bufsize)
        return bytes(buffer[: recv_into(sock, buffer, bufsize, flags)])
    data: bytes = _retry(sock, False, lambda s: _recv(s, bufsize, flags | _DONTWAIT))
    if flags & _socket.MSG_TRUNC and len(data) > bufsize:
        # recv(2) returns the whole length then, and the C method what lay in memory behind.
        data = data[:bufsize].ljust(len(data), b"\0")
    return data


def recv_by(sock: Any, bufsize: int, deadline: float) -> bytes:
    """recv(2) by a deadline on the scheduler's clock; the socket's own timeout does not count.

    Returns   b"" at the end of the stream
    Raises    TimeoutError: the deadline came first
    Switches  only if nothing has come
    """
    data: bytes = _retry_by(sock, False, lambda s: _recv(s, bufsize, _DONTWAIT), deadline)
    return data


def send_by(sock: Any, data: bytes, start: int, deadline: float) -> int:
    """send(2) of data from start on, by a deadline on the scheduler's clock.

    Returns   how many bytes were taken, at least one
    Raises    TimeoutError: there was no room for any until the deadline
    Switches  only if there is no room for any
    """
    with memoryview(data) as view:
        rest = view[start:]
        count: int = _retry_by(sock, True, lambda s: _send(s, rest, _DONTWAIT), deadline)
        rest.release()
    return count


def sendfile_by(sock: Any, file: int, offset: int, count: int, deadline: float) -> int:
    """sendfile(2) by a deadline on the scheduler's clock. The socket's fd is O_NONBLOCK.

    Returns   how many bytes went out, 0: the file has ended
    Raises    TimeoutError: there was no room for any until the deadline
    Switches  only if there is no room for any
    """
    sent: int = _retry_by(
        sock, True, lambda s: _sendfile(_fileno(s), file, offset, count), deadline
    )
    return sent


def _retry_by(sock: Any, write: bool, call: Callable[[Any], Any], deadline: float) -> Any:
    """As _retry(), with a deadline that is given."""
    timeout = _gettimeout(sock)
    _scheduler.get().spend_budget()
    while True:
        try:
            return _without_timeout(sock, timeout, call)
        except BlockingIOError:
            pass
        fd = fd_of(sock)
        state = _scheduler.get().poller.state(fd)
        if write:
            state.writable = False
        else:
            state.readable = False
        wait_socket(sock, fd, write, deadline)


def _polls(sock: Any, flags: int) -> bool:
    """Whether the user wants this call not to wait."""
    timeout = _gettimeout(sock)
    # recv(2) never waits for the error queue.
    return timeout == 0 or (timeout is None and flags & (_DONTWAIT | _ERRQUEUE) != 0)


def _waits_for_all(sock: Any, flags: int) -> bool:
    """Whether MSG_WAITALL means more than one recv(2) here: as in C, on a blocking stream only."""
    return (
        flags & (_socket.MSG_WAITALL | _socket.MSG_PEEK) == _socket.MSG_WAITALL
        and _gettimeout(sock) is None
        and _Socket.type.__get__(sock) & 15 == _socket.SOCK_STREAM
    )


def recv_into(sock: Any, /, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
    """recv(2) into a writable buffer. Returns how many bytes came, 0 at the end of the stream."""
    if _polls(sock, flags):
        return _recv_into(sock, buffer, nbytes, flags)
    if not _waits_for_all(sock, flags):
        count: int = _retry(sock, False, lambda s: _recv_into(s, buffer, nbytes, flags | _DONTWAIT))
        return count
    with memoryview(buffer).cast("B") as view:
        wanted = nbytes or len(view)
        done = 0
        flags &= ~_socket.MSG_WAITALL
        while done < wanted:
            count = recv_into(sock, view[done:wanted], 0, flags)
            if not count:
                break
            done += count
    return done


def recvfrom(sock: Any, bufsize: int, flags: int = 0, /) -> tuple[bytes, Any]:
    """recvfrom(2). Switches only if nothing has come."""
    if _polls(sock, flags):
        return _recvfrom(sock, bufsize, flags)
    if _waits_for_all(sock, flags) and bufsize > 0:
        buffer = bytearray(bufsize)
        count, address = recvfrom_into(sock, buffer, bufsize, flags)
        return bytes(buffer[:count]), address
    found: tuple[bytes, Any] = _retry(
        sock, False, lambda s: _recvfrom(s, bufsize, flags | _DONTWAIT)
    )
    return found


def recvfrom_into(sock: Any, /, buffer: Any, nbytes: int = 0, flags: int = 0) -> tuple[int, Any]:
    """recvfrom(2) into a writable buffer. Switches only if nothing has come."""
    if _polls(sock, flags):
        return _recvfrom_into(sock, buffer, nbytes, flags)
    if _waits_for_all(sock, flags):
        first = flags & ~_socket.MSG_WAITALL
        with memoryview(buffer).cast("B") as view:
            wanted = nbytes or len(view)
            count, address = recvfrom_into(sock, view, wanted, first)
            if 0 < count < wanted:
                count += recv_into(sock, view[count:wanted], 0, flags)
        return count, address
    found: tuple[int, Any] = _retry(
        sock, False, lambda s: _recvfrom_into(s, buffer, nbytes, flags | _DONTWAIT)
    )
    return found


def recvmsg(sock: Any, bufsize: int, ancbufsize: int = 0, flags: int = 0, /) -> Any:
    """recvmsg(2). Switches only if nothing has come."""
    if _polls(sock, flags):
        return _recvmsg(sock, bufsize, ancbufsize, flags)
    if _waits_for_all(sock, flags) and bufsize > 0:
        buffer = bytearray(bufsize)
        count, *rest = recvmsg_into(sock, [buffer], ancbufsize, flags)
        return bytes(buffer[:count]), *rest
    return _retry(sock, False, lambda s: _recvmsg(s, bufsize, ancbufsize, flags | _DONTWAIT))


def recvmsg_into(sock: Any, buffers: Any, ancbufsize: int = 0, flags: int = 0, /) -> Any:
    """recvmsg(2) into writable buffers. Switches only if nothing has come."""
    if _polls(sock, flags):
        return _recvmsg_into(sock, buffers, ancbufsize, flags)
    buffers = list(buffers)  # an iterator is used up by the first try
    if _waits_for_all(sock, flags):
        return _recvmsg_all(sock, buffers, ancbufsize, flags)
    return _retry(sock, False, lambda s: _recvmsg_into(s, buffers, ancbufsize, flags | _DONTWAIT))


def _recvmsg_all(sock: Any, buffers: list[Any], ancbufsize: int, flags: int) -> Any:
    """recvmsg(2) with MSG_WAITALL: until the buffers are full, or ancillary data has come."""
    views = [memoryview(buffer).cast("B") for buffer in buffers]
    once = flags & ~_socket.MSG_WAITALL
    try:
        total, ancdata, message_flags, address = recvmsg_into(sock, views, ancbufsize, once)
        count = total
        while count and not ancdata:
            while views and count >= len(views[0]):
                count -= len(views[0])
                views.pop(0).release()
            if not views:
                break
            with views[0] as full:
                views[0] = full[count:]
            count, ancdata, more_flags, _ = recvmsg_into(sock, views, ancbufsize, once)
            total += count
            message_flags |= more_flags
    finally:
        for view in views:
            view.release()
    return total, ancdata, message_flags, address


def send(sock: Any, data: Any, flags: int = 0, /) -> int:
    """send(2). Returns how many bytes were taken. Switches only if there is no room for any."""
    if _polls(sock, flags):
        return _send(sock, data, flags)
    count: int = _retry(sock, True, lambda s: _send(s, data, flags | _DONTWAIT))
    return count


def cut_short(error: BaseException, sent: int, size: int, perhaps: str = "") -> None:
    """Let the error that ends a call in the middle say how many of its size bytes are gone."""
    if not hasattr(error, "bytes_sent"):  # or an inner call, which knew better, has said so
        error.bytes_sent = sent  # type: ignore[attr-defined]
        error.add_note(f"{sent} of {size} bytes had been sent{perhaps}")


def sendall(sock: Any, data: Any, flags: int = 0, /) -> None:
    """send(2) until everything is sent. Switches only if there is no room.

    Raises    TimeoutError: it took longer than the socket's timeout in all. This, Cancelled and any
              other error has an attribute bytes_sent: how many bytes are gone
    """
    if _polls(sock, flags):
        return _Socket.sendall(sock, data, flags)
    timeout = _gettimeout(sock)
    deadline = _deadline(timeout)
    with memoryview(data) as view, view.cast("B") as octets:
        done, size = 0, len(octets)
        try:
            _scheduler.get().spend_budget()
            while True:
                try:
                    rest = octets[done:]
                    done += _without_timeout(
                        sock,
                        timeout,
                        lambda s: _send(s, rest, flags | _DONTWAIT),  # noqa: B023
                    )
                except BlockingIOError:
                    fd = fd_of(sock)
                    _scheduler.get().poller.state(fd).writable = False
                    wait_socket(sock, fd, True, deadline)
                if done >= size:
                    break
        except BaseException as error:
            cut_short(error, done, size)
            raise
    return None


def sendto(sock: Any, data: Any, /, *args: Any) -> int:
    """sendto(2): sendto(data, [flags,] address). Switches if there is no room, or for a name."""
    flags = args[0] if len(args) == 2 else 0
    if not 1 <= len(args) <= 2 or not isinstance(flags, int) or _polls(sock, flags):
        return _sendto(sock, data, *args)
    address = resolver.numeric_address(sock, args[-1])
    count: int = _retry(sock, True, lambda s: _sendto(s, data, flags | _DONTWAIT, address))
    return count


def sendmsg(
    sock: Any, buffers: Any, ancdata: Any = (), flags: int = 0, address: Any = None, /
) -> int:
    """sendmsg(2). Switches only if there is no room for any byte."""
    if _polls(sock, flags):
        return _sendmsg(sock, buffers, ancdata, flags, address)
    buffers, ancdata = list(buffers), list(ancdata)  # iterators are used up by the first try
    address = resolver.numeric_address(sock, address)
    count: int = _retry(
        sock, True, lambda s: _sendmsg(s, buffers, ancdata, flags | _DONTWAIT, address)
    )
    return count


def sendfile_in_kernel(sock: Any, file: Any, offset: int = 0, count: int | None = None) -> int:
    """sendfile(2). As socket._sendfile_use_sendfile, which socket.sendfile calls.

    An error that ends it in the middle has an attribute bytes_sent.
    """
    from socket import _GiveupOnSendfile  # type: ignore[attr-defined]

    sock._check_sendfile_params(file, offset, count)
    fd = _fileno(sock)
    try:
        source = file.fileno()
        info = os.fstat(source)
    except (AttributeError, OSError) as error:
        raise _GiveupOnSendfile(error) from None  # not a regular file
    if not stat.S_ISREG(info.st_mode):
        raise _GiveupOnSendfile(OSError(errno.EINVAL, "not a regular file"))
    timeout = _gettimeout(sock)
    if timeout == 0:
        raise ValueError("non-blocking sockets are not supported")
    if not info.st_size:
        return 0
    deadline = _deadline(timeout)
    # sendfile(2) sends at most 0x7ffff000 bytes; a page less than 1 GiB is the library's own bound
    block = min(count or info.st_size, 2**30)
    total = 0
    try:
        while count is None or total < count:
            _scheduler.get().spend_budget()
            step = block if count is None else min(count - total, block)
            try:
                sent = _sendfile_once(fd, source, offset, step, timeout)
            except BlockingIOError:
                _scheduler.get().poller.state(fd).writable = False
                wait_socket(sock, fd, True, deadline)
                continue
            except OSError as error:
                if not total:
                    raise _GiveupOnSendfile(error) from None
                raise
            if not sent:
                break
            offset += sent
            total += sent
        return total
    except BaseException as error:
        if not isinstance(error, _GiveupOnSendfile):
            cut_short(error, total, count or max(info.st_size - offset + total, 0))
        raise
    finally:
        if total > 0 and hasattr(file, "seek"):
            file.seek(offset)


def _sendfile_once(fd: int, source: int, offset: int, count: int, timeout: float | None) -> int:
    """Call sendfile(2) so that it cannot block on the socket."""
    if timeout is not None:
        return _sendfile(fd, source, offset, count)
    _set_blocking(fd, False)
    try:
        return _sendfile(fd, source, offset, count)
    finally:
        _set_blocking(fd, True)
