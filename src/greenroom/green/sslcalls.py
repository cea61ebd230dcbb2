"""The calls of an SSLSocket that may wait, as green functions.                  layer: green

Each takes the SSLSocket first, so that it can be set as a method on ssl.SSLSocket itself (patching)
or on a subclass (greenroom.green.ssl.SSLSocket). The TLS work is done by the standard library's C
object, sock._sslobj; here is only when to try and when to park.

Facts that shape this file:
- The C object makes the system calls itself, on the fd, and asks a Python socket for the timeout:
  the one it was made with. With a timeout of 0 it raises SSLWantReadError or SSLWantWriteError
  where it would have to wait. So it is made with another socket than the user's: a Handle of the
  same fd whose timeout is 0 for good. The user's timeout stays where it was, in the SSLSocket.
- The fd is O_NONBLOCK as long as there is TLS on it, whatever the user's timeout is; settimeout()
  and setblocking() see to that. Nobody but this TLS connection can use such an fd, so nobody who
  shares its flags, like a child process, is hurt.
- An SSLSocket made before patching has no Handle. Its own timeout is 0 for the time of each call.
- A write that had to wait must be tried again with the same data before any other is written: part
  of a record may have gone out. So one task at a time writes; the others wait for their turn. If
  the one gives up in the middle (a timeout, kill()), only the same data can be written after it.
- A read may be tried again with any buffer, and by any task.
- The errors, their messages and their order are those of Lib/ssl.py and Modules/_ssl.c.
"""

import _socket
import os
import ssl as _stdlib
from collections.abc import Callable
from typing import Any

from greenroom.core import scheduler as _scheduler
from greenroom.errors import ClosedError
from greenroom.green import socketcalls
from greenroom.green.connection import Connection

_Socket = _socket.socket
_SSLSocket = _stdlib.SSLSocket
_SSLError = _stdlib.SSLError
_WantRead = _stdlib.SSLWantReadError
_WantWrite = _stdlib.SSLWantWriteError
_SSL_ERROR_EOF = _stdlib.SSL_ERROR_EOF

# Taken now, before patching.
_read = _SSLSocket.read
_recv = _SSLSocket.recv
_recv_into = _SSLSocket.recv_into
_send = _SSLSocket.send
_sendall = _SSLSocket.sendall
_unwrap = _SSLSocket.unwrap
_write = _SSLSocket.write
_wrap_socket = _stdlib.SSLContext._wrap_socket  # type: ignore[attr-defined]
_fileno = _Socket.fileno
_family, _type, _proto = _Socket.family.__get__, _Socket.type.__get__, _Socket.proto.__get__
_gettimeout = _Socket.gettimeout
_init = _Socket.__init__
_set_blocking = os.set_blocking
_setblocking = _Socket.setblocking
_settimeout = _Socket.settimeout

# The most that is written before others may run: 16 records. So many bytes are encrypted in 0.1 ms.
WRITE_BYTES = 256 * 1024


class Handle(_Socket):
    """The socket that the C object knows: the fd of an SSLSocket, with a timeout of 0."""

    __slots__ = ("__weakref__",)  # that is how the C object refers to it

    def __init__(self, sock: Any) -> None:
        _init(self, _family(sock), _type(sock), _proto(sock), _fileno(sock))
        self.settimeout(0.0)  # makes the fd O_NONBLOCK

    def __del__(self, _detach: Callable[[Any], int] = _Socket.detach) -> None:
        _detach(self)  # the fd is not the handle's to close


def connection_of(sock: Any) -> Connection:
    """Return the Connection of an SSLSocket, made now if the socket is older than patching."""
    connection: Connection | None = vars(sock).get("_greenroom")
    if connection is None:
        connection = sock._greenroom = Connection(None)
    return connection


def wrap_socket(
    context: Any,
    sock: Any,
    server_side: bool,
    server_hostname: str | None = None,
    *,
    owner: Any = None,
    session: Any = None,
) -> Any:
    """SSLContext._wrap_socket(): make the C object of an SSLSocket, with a Handle. Never waits."""
    if owner is not sock or not isinstance(sock, _SSLSocket):
        return _wrap_socket(
            context, sock, server_side, server_hostname, owner=owner, session=session
        )
    handle = Handle(sock)
    sslobj = _wrap_socket(
        context, handle, server_side, server_hostname, owner=owner, session=session
    )
    sock._greenroom = connection = Connection(handle)  # type: ignore[attr-defined]
    connection.reads_only = server_side  # the client speaks first (RFC 8446, 2)
    return sslobj


# --- trying and parking


def _try(sock: Any, timeout: float | None, call: Callable[..., Any], *args: Any) -> Any:
    """Return call(*args), a method of the C object, so that it cannot block."""
    socketcalls.fd_of(sock)  # detach() leaves the C object its fd, which may block from then on
    if timeout == 0 or connection_of(sock).handle is not None:
        return call(*args)
    _settimeout(sock, 0.0)
    try:
        return call(*args)
    finally:
        if _fileno(sock) >= 0:  # a signal handler may have closed it
            _settimeout(sock, timeout)


def _retry(
    sock: Any,
    timeout: float | None,
    deadline: float,
    what: str,
    call: Callable[..., Any],
    *args: Any,
) -> Any:
    """Return call(*args), parking in the direction that OpenSSL asks for."""
    while True:
        try:
            return _try(sock, timeout, call, *args)
        except _WantRead:
            write = False
        except _WantWrite:
            write = True
        if deadline < 0:
            deadline = _scheduler.get().deadline_after(timeout)
        park(sock, write, deadline, what)


def park(sock: Any, write: bool, deadline: float, what: str) -> None:
    """Wait until the fd, which has just said EAGAIN, is ready.

    what      the operation, for the error; "": read or write
    Raises    TimeoutError: the deadline came first; ClosedError: the socket was closed
    """
    fd = socketcalls.fd_of(sock)
    scheduler = _scheduler.get()
    state = scheduler.poller.state(fd)
    if write:
        state.writable = False
    else:
        state.readable = False
    if not scheduler.wait_fd(fd, write, deadline, False):
        raise TimeoutError(f"The {what or ('write' if write else 'read')} operation timed out")
    if _fileno(sock) != fd:
        raise ClosedError(f"cannot go on with TLS on fd {fd}: it was closed meanwhile")


# --- reading


def read(sock: Any, len: int = 1024, buffer: Any = None) -> Any:
    """Read decrypted bytes: return them, or with a buffer how many. Switches if none has come."""
    timeout = _gettimeout(sock)
    if timeout != 0:
        _scheduler.get().spend_budget()
    sslobj = sock._sslobj
    connection_of(sock).reads_only = False
    if sslobj is None or timeout == 0:
        return _read(sock, len, buffer)
    args = (len,) if buffer is None else (len, buffer)
    try:
        # sslobj, not sock._sslobj: shutdown() takes that away from a reader it is to wake.
        return _retry(sock, timeout, -1.0, "read", sslobj.read, *args)
    except _SSLError as error:
        if error.args[0] == _SSL_ERROR_EOF and sock.suppress_ragged_eofs:
            return b"" if buffer is None else 0
        raise


def recv(sock: Any, buflen: int = 1024, flags: int = 0) -> bytes:
    """As read(), of an SSLSocket that may be without TLS. Switches only if nothing has come."""
    if sock._sslobj is None or flags != 0:
        return _recv(sock, buflen, flags)
    data: bytes = sock.read(buflen)
    return data


def recv_into(sock: Any, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
    """Read into a writable buffer; return how many bytes. Switches only if nothing has come."""
    if sock._sslobj is None or flags != 0:
        return _recv_into(sock, buffer, nbytes, flags)
    if nbytes is None:
        nbytes = 1024
        if buffer is not None:
            with memoryview(buffer) as view:
                nbytes = view.nbytes or 1024
    count: int = sock.read(nbytes, buffer)
    return count


# --- writing


def write(sock: Any, data: Any) -> int:
    """Encrypt and send data; return its length in bytes.

    Raises    SSLError: a write of other data was cut short before, so the connection is of no use.
              An error that ends a wait has an attribute bytes_sent: how many bytes surely are gone
    Switches  if there is no room, or another task writes
    """
    timeout = _gettimeout(sock)
    if timeout != 0:
        _scheduler.get().spend_budget()
    sslobj = sock._sslobj
    if sslobj is None:
        return _write(sock, data)
    connection = connection_of(sock)
    try:
        view = memoryview(data)
    except TypeError:
        return _write(sock, data)  # which refuses it in its own words
    with view:
        if timeout == 0:
            if connection.writing:
                raise _WantWrite(
                    _stdlib.SSL_ERROR_WANT_WRITE,
                    f"cannot write to {sock!r} now: another task is in the middle of a write",
                )
            check_unfinished(sock, connection, view)
            count: int = sslobj.write(data)
            return count
        try:
            deadline = begin_writing(sock, sslobj, connection, timeout)
        except BaseException as error:
            socketcalls.cut_short(error, 0, view.nbytes)
            raise
        try:
            check_unfinished(sock, connection, view)
            return write_all(sock, sslobj, connection, view, timeout, deadline)
        finally:
            connection.end()


def cut_short(error: BaseException, connection: Connection, sent: int, size: int) -> None:
    """As socketcalls.cut_short(), for what is encrypted: of a part nobody knows how much went."""
    left = connection.unfinished
    perhaps = ""
    if left is not None:
        perhaps = f", and perhaps some of the next {len(left)}: go on with the same, or close it"
    socketcalls.cut_short(error, sent, size, perhaps)


def write_on(sock: Any, sslobj: Any, connection: Connection, data: Any, wants_write: bool) -> int:
    """Go on with a write that was tried and has to wait, having the turn to write."""
    timeout = _gettimeout(sock)
    with memoryview(data) as view:
        try:
            deadline = wait_to_write(sock, connection, view, wants_write, False, timeout, -1.0)
            return write_part(sock, sslobj, connection, view, timeout, deadline, wants_write)
        except BaseException as error:
            cut_short(error, connection, 0, view.nbytes)
            raise


def send(sock: Any, data: Any, flags: int = 0) -> int:
    """As write(), to an SSLSocket that may be without TLS. Switches only if it must wait."""
    if sock._sslobj is None or flags != 0:
        return _send(sock, data, flags)
    return write(sock, data)


def sendall(sock: Any, data: Any, flags: int = 0) -> None:
    """Send all of data, in one piece: other tasks' writes come before or after it.

    Raises    as write()
    Switches  only if it must wait
    """
    sslobj = sock._sslobj
    if sslobj is None or flags != 0 or _gettimeout(sock) == 0:
        return _sendall(sock, data, flags)
    with memoryview(data) as view, view.cast("B") as octets:
        if octets.nbytes:
            write(sock, octets)
    return None


def begin_writing(sock: Any, sslobj: Any, connection: Connection, timeout: float | None) -> float:
    """Take the turn to write; return the deadline of the whole call, -1.0 if none is needed yet."""
    if connection.begin():
        return -1.0
    scheduler = _scheduler.get()
    deadline = scheduler.deadline_after(timeout)
    if not connection.begin_or_enlist(scheduler, deadline) and not scheduler.wait():
        raise TimeoutError("The write operation timed out")
    if sock._sslobj is not sslobj or _fileno(sock) < 0:
        connection.end()
        raise ClosedError(f"cannot write to {sock!r}: its TLS connection was closed meanwhile")
    return deadline


def check_unfinished(sock: Any, connection: Connection, view: memoryview) -> None:
    """Raise SSLError if view does not begin with what OpenSSL still has to send."""
    unfinished = connection.unfinished
    if unfinished is None:
        return
    if bytes(view)[: len(unfinished)] != unfinished:
        raise _SSLError(
            _stdlib.SSL_ERROR_SSL,
            f"cannot write to {sock!r}: a write of {len(unfinished)} bytes was cut short by a "
            "timeout or kill() when part of it had been sent, and TLS cannot leave that out; "
            "write the same again, or close the connection",
        )
    connection.unfinished = None


def write_all(
    sock: Any,
    sslobj: Any,
    connection: Connection,
    view: memoryview,
    timeout: float | None,
    deadline: float,
) -> int:
    """Write view, having the turn to."""
    done = 0
    try:
        if view.nbytes <= WRITE_BYTES:
            return write_part(sock, sslobj, connection, view, timeout, deadline)
        with view.cast("B") as octets:
            while True:
                with octets[done : done + WRITE_BYTES] as part:
                    done += write_part(sock, sslobj, connection, part, timeout, deadline)
                if done >= octets.nbytes:
                    return done
                # A part counts as all the operations that a task may do before others run.
                scheduler = _scheduler.get()
                scheduler.budget = 0
                scheduler.spend_budget()
    except BaseException as error:
        cut_short(error, connection, done, view.nbytes)
        raise


def write_part(
    sock: Any,
    sslobj: Any,
    connection: Connection,
    part: memoryview,
    timeout: float | None,
    deadline: float,
    begun: bool = False,
) -> int:
    """Write part in one call, or in as many of the same as it takes."""
    while True:
        try:
            count: int = _try(sock, timeout, sslobj.write, part)
            return count
        except _WantRead:
            wants_write = False
        except _WantWrite:
            wants_write = True
        deadline = wait_to_write(sock, connection, part, wants_write, begun, timeout, deadline)
        begun = begun or wants_write


def wait_to_write(
    sock: Any,
    connection: Connection,
    part: memoryview,
    wants_write: bool,
    begun: bool,
    timeout: float | None,
    deadline: float,
) -> float:
    """Park in the middle of writing part; return the deadline of the whole call.

    begun     some of part may have been sent, or waits in OpenSSL for room
    """
    if deadline < 0:
        deadline = _scheduler.get().deadline_after(timeout)
    connection.reads_only = False  # a handshake may be what it waits in
    try:
        park(sock, wants_write, deadline, "write")
    except BaseException:
        if begun or wants_write:
            connection.unfinished = bytes(part)
        raise
    return deadline


# --- handshake and the end


def do_handshake(sock: Any, block: bool = False) -> None:
    """Shake hands. Switches while it waits for the peer.

    block     wait even if the socket's timeout is 0
    Raises    TimeoutError: it took longer than the socket's timeout in all
    """
    sock._check_connected()
    timeout = _gettimeout(sock)
    sslobj = sock._sslobj
    connection_of(sock).reads_only = False
    if timeout == 0:
        if not block:
            return sslobj.do_handshake()  # type: ignore[no-any-return]
        timeout = None
    _with_turn(sock, sslobj, timeout, "handshake", "do_handshake")
    return None


def unwrap(sock: Any) -> Any:
    """End TLS: say so to the peer, wait until it says so too; return the socket, now without TLS.

    Switches  while it waits for the peer
    """
    sslobj = sock._sslobj
    timeout = _gettimeout(sock)
    if sslobj is None:
        return _unwrap(sock)
    connection_of(sock).reads_only = False
    if timeout == 0:
        sslobj.shutdown()
    else:
        _with_turn(sock, sslobj, timeout, "", "shutdown")
    sock._sslobj = None
    _give_back_flag(sock, timeout)
    return sock


def _with_turn(sock: Any, sslobj: Any, timeout: float | None, what: str, method: str) -> None:
    """Call a method of the C object that writes, having the turn to."""
    connection = connection_of(sock)
    deadline = begin_writing(sock, sslobj, connection, timeout)
    try:
        _retry(sock, timeout, deadline, what, getattr(sslobj, method))
    finally:
        connection.end()


# --- the fd is O_NONBLOCK while there is TLS on it


def _has_handle(sock: Any) -> bool:
    """Whether the C object of sock relies on O_NONBLOCK."""
    connection = vars(sock).get("_greenroom")
    return connection is not None and connection.handle is not None and sock._sslobj is not None


def settimeout(sock: Any, value: float | None) -> None:
    """As socket.settimeout. Never switches."""
    _settimeout(sock, value)
    if value is None and _has_handle(sock):
        _set_blocking(_fileno(sock), False)


def setblocking(sock: Any, flag: bool) -> None:
    """As socket.setblocking. Never switches."""
    _setblocking(sock, flag)
    if flag and _has_handle(sock):
        _set_blocking(_fileno(sock), False)


def detach(sock: Any) -> int:
    """As socket.detach. Never switches."""
    _give_back_flag(sock, _gettimeout(sock))
    fd: int = super(_SSLSocket, sock).detach()
    return fd


def _give_back_flag(sock: Any, timeout: float | None) -> None:
    """TLS has left the fd: let it block or not as its timeout says."""
    fd = _fileno(sock)
    if timeout is None and fd >= 0 and vars(sock).get("_greenroom") is not None:
        _set_blocking(fd, True)
