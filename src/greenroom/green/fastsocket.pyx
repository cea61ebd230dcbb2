# cython: language_level=3
"""recv, recv_into, send and sendall with the system call made here.             layer: green

They mean the same as those of socketcalls.py, which explains when to try and when to park. What is
saved: the BlockingIOError for each EAGAIN, giving back the GIL around a call that cannot block, the
buffer of the size asked for (one scratch buffer a scheduler, and a copy of what came), and, after a
short read of a TCP stream, the recv(2) that would only say EAGAIN.

The fd and the timeout are read from the C struct of _socket.socket. Its layout is no public API, so
usable() checks it against fileno() and gettimeout() before anything here is used.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, EBADF, EINTR, errno
from posix.types cimport off_t

import _socket

from greenroom import _config
from greenroom.core cimport scheduler as _scheduler
from greenroom.core.poller cimport FdState
from greenroom.core.scheduler cimport Scheduler
from greenroom.green import socketcalls

cdef extern from *:
    """
    #include <netinet/in.h>
    #include <sys/sendfile.h>
    #include <sys/socket.h>
    """
    Py_ssize_t c_recv "recv"(int fd, void *buffer, size_t size, int flags) nogil
    Py_ssize_t c_send "send"(int fd, const void *buffer, size_t size, int flags) nogil
    Py_ssize_t c_sendfile "sendfile"(int to, int file, off_t *offset, size_t count) nogil
    int MSG_DONTWAIT, MSG_NOSIGNAL, MSG_ERRQUEUE, MSG_WAITALL, MSG_TRUNC, AF_INET, AF_INET6, SOCK_STREAM, IPPROTO_TCP

cdef extern from "Python.h":
    object PyErr_SetFromErrno(object type)
    int PyErr_CheckSignals() except -1
    bint PyObject_TypeCheck(object thing, type kind)

cdef type SocketType = _socket.socket
cdef Py_ssize_t SCRATCH = _config.SCRATCH_BYTES
cdef double FOREVER = float("inf")

_slow_recv = _socket.socket.recv
_slow_recv_into = _socket.socket.recv_into
_slow_send = _socket.socket.send
_slow_sendall = _socket.socket.sendall


def usable() -> bool:
    """Check the struct's layout against what the public methods say."""
    probe = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    cdef GreenroomSocket *struct = <GreenroomSocket *><void *>probe
    try:
        probe.settimeout(1.5)
        if struct.sock_timeout != 1500000000:
            return False
        probe.settimeout(None)
        return (
            struct.sock_timeout < 0
            and struct.sock_fd == probe.fileno()
            and struct.sock_family == _socket.AF_UNIX
            and struct.sock_type == _socket.SOCK_STREAM
        )
    finally:
        probe.close()


cdef GreenroomSocket *struct_of(object sock) except NULL:
    if not PyObject_TypeCheck(sock, SocketType):
        raise TypeError(f"expected a socket, not {type(sock).__name__!r}")
    return <GreenroomSocket *><void *>sock


cdef inline bint polls(GreenroomSocket *struct, int flags) noexcept:
    """Whether the user wants this call not to wait."""
    # recv(2) never waits for the error queue.
    return struct.sock_timeout == 0 or (
        flags & (MSG_DONTWAIT | MSG_ERRQUEUE) and struct.sock_timeout < 0
    )


cdef FdState state_of(Scheduler scheduler, GreenroomSocket *struct):
    if struct.sock_fd < 0:
        raise OSError(EBADF, "Bad file descriptor")
    return scheduler.poller.state(struct.sock_fd)


cdef FdState failed(Scheduler scheduler, GreenroomSocket *struct, FdState state, bint write,
                    double *deadline):
    """After a call that returned -1: park on EAGAIN, go on after EINTR, raise the rest."""
    cdef int problem = errno
    if problem == EAGAIN:  # EWOULDBLOCK is the same on Linux
        if write:
            state.writable = False
        else:
            state.readable = False
        return park(scheduler, struct, state, write, deadline)
    if problem == EINTR:
        PyErr_CheckSignals()
        return state
    PyErr_SetFromErrno(OSError)  # nothing has touched errno since


cdef FdState park(Scheduler scheduler, GreenroomSocket *struct, FdState state, bint write,
                  double *deadline):
    """Park; return the fd's state, which may be another: connect() makes it new."""
    if deadline[0] < 0.0:
        deadline[0] = FOREVER
        if struct.sock_timeout >= 0:
            deadline[0] = scheduler.now() + 1e-9 * struct.sock_timeout
    if not scheduler.wait_state(state, write, deadline[0], False):
        raise TimeoutError("timed out")
    if struct.sock_fd != state.fd:
        raise_closed(state.fd)
    return state_of(scheduler, struct)


cdef int raise_closed(int fd) except -1:
    raise OSError(EBADF, f"cannot go on with fd {fd}: it was closed meanwhile")


cdef inline void note_short_read(GreenroomSocket *struct, FdState state, Py_ssize_t got,
                                 Py_ssize_t wanted, int flags) noexcept:
    """A TCP stream that gives less than was asked for has no more for now (poller.py: exact)."""
    if (
        0 < got < wanted and state.exact and flags == 0
        and (struct.sock_family == AF_INET or struct.sock_family == AF_INET6)
        and struct.sock_type & 15 == SOCK_STREAM
        and (struct.sock_proto == 0 or struct.sock_proto == IPPROTO_TCP)
    ):
        state.readable = False


def recv(sock, Py_ssize_t bufsize, int flags=0, /):
    """recv(2). Returns b"" at the end of the stream. Switches only if nothing has come."""
    cdef GreenroomSocket *struct = struct_of(sock)
    cdef Scheduler scheduler
    cdef FdState state
    cdef double deadline = -1.0
    cdef Py_ssize_t got, wanted
    cdef char *scratch
    if polls(struct, flags):
        return _slow_recv(sock, bufsize, flags)
    if bufsize < 0:
        raise ValueError("negative buffersize in recv")
    if (
        flags & (MSG_WAITALL | MSG_TRUNC) or bufsize == 0
        or (bufsize > SCRATCH and struct.sock_type & 15 != SOCK_STREAM)
    ):
        return socketcalls.recv(sock, bufsize, flags)
    scheduler = _scheduler.get()
    if scheduler.scratch is None:
        scheduler.scratch = bytearray(SCRATCH)
    scratch = PyByteArray_AS_STRING(scheduler.scratch)
    scheduler.spend_budget()
    state = state_of(scheduler, struct)
    wanted = min(bufsize, SCRATCH)
    while True:
        if not state.readable:
            state = park(scheduler, struct, state, False, &deadline)
        got = c_recv(struct.sock_fd, scratch, wanted, flags | MSG_DONTWAIT)
        if got >= 0:
            break
        state = failed(scheduler, struct, state, False, &deadline)
    note_short_read(struct, state, got, wanted, flags)
    return PyBytes_FromStringAndSize(scratch, got)


cpdef bytes recv_by(object sock, Py_ssize_t bufsize, double deadline):
    """recv(2) by a deadline on the scheduler's clock; the socket's own timeout does not count.

    Returns   b"" at the end of the stream
    Raises    TimeoutError: the deadline came first
    Switches  only if nothing has come
    """
    cdef GreenroomSocket *struct = struct_of(sock)
    cdef Scheduler scheduler = _scheduler.get()
    cdef FdState state
    cdef Py_ssize_t got, wanted = min(bufsize, SCRATCH)
    if scheduler.scratch is None:
        scheduler.scratch = bytearray(SCRATCH)
    scheduler.spend_budget()
    state = state_of(scheduler, struct)
    while True:
        if not state.readable:
            state = park(scheduler, struct, state, False, &deadline)
        got = c_recv(struct.sock_fd, PyByteArray_AS_STRING(scheduler.scratch), wanted, MSG_DONTWAIT)
        if got >= 0:
            break
        state = failed(scheduler, struct, state, False, &deadline)
    note_short_read(struct, state, got, wanted, 0)
    return PyBytes_FromStringAndSize(PyByteArray_AS_STRING(scheduler.scratch), got)


cpdef Py_ssize_t send_by(object sock, bytes data, Py_ssize_t start, double deadline) except -1:
    """send(2) of data from start on, by a deadline on the scheduler's clock.

    Returns   how many bytes were taken, at least one
    Raises    TimeoutError: there was no room for any until the deadline
    Switches  only if there is no room for any
    """
    cdef GreenroomSocket *struct = struct_of(sock)
    cdef Scheduler scheduler = _scheduler.get()
    cdef FdState state
    cdef Py_ssize_t sent
    scheduler.spend_budget()
    state = state_of(scheduler, struct)
    while True:
        sent = c_send(struct.sock_fd, PyBytes_AS_STRING(data) + start,
                      PyBytes_GET_SIZE(data) - start, MSG_DONTWAIT | MSG_NOSIGNAL)
        if sent >= 0:
            return sent
        state = failed(scheduler, struct, state, True, &deadline)


cpdef Py_ssize_t sendfile_by(object sock, int file, long long offset, Py_ssize_t count,
                             double deadline) except -1:
    """sendfile(2) by a deadline on the scheduler's clock. The socket's fd is O_NONBLOCK.

    Returns   how many bytes went out, 0: the file has ended
    Raises    TimeoutError: there was no room for any until the deadline
    Switches  only if there is no room for any
    """
    cdef GreenroomSocket *struct = struct_of(sock)
    cdef Scheduler scheduler = _scheduler.get()
    cdef FdState state
    cdef off_t place = offset
    cdef Py_ssize_t sent
    scheduler.spend_budget()
    state = state_of(scheduler, struct)
    while True:
        with nogil:  # the disk may have to be read
            sent = c_sendfile(state.fd, file, &place, count)
        if sent >= 0:
            return sent
        state = failed(scheduler, struct, state, True, &deadline)


def recv_into(sock, /, buffer, Py_ssize_t nbytes=0, int flags=0):
    """recv(2) into a writable buffer. Returns how many bytes came, 0 at the end of the stream."""
    cdef GreenroomSocket *struct = struct_of(sock)
    cdef Scheduler scheduler
    cdef FdState state
    cdef double deadline = -1.0
    cdef Py_ssize_t got
    cdef Py_buffer view
    if polls(struct, flags):
        return _slow_recv_into(sock, buffer, nbytes, flags)
    if nbytes < 0:
        raise ValueError("negative buffersize in recv_into")
    if flags & (MSG_WAITALL | MSG_TRUNC):
        return socketcalls.recv_into(sock, buffer, nbytes, flags)
    try:
        PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE | PyBUF_WRITABLE)
    except BufferError:
        raise TypeError(
            "recv_into() argument 1 must be read-write bytes-like object, "
            f"not {type(buffer).__name__}"
        ) from None
    try:
        if nbytes == 0:
            nbytes = view.len
        elif view.len < nbytes:
            raise ValueError("buffer too small for requested bytes")
        if nbytes == 0:
            return 0
        scheduler = _scheduler.get()
        scheduler.spend_budget()
        state = state_of(scheduler, struct)
        while True:
            if not state.readable:
                state = park(scheduler, struct, state, False, &deadline)
            got = c_recv(struct.sock_fd, view.buf, nbytes, flags | MSG_DONTWAIT)
            if got >= 0:
                break
            state = failed(scheduler, struct, state, False, &deadline)
        note_short_read(struct, state, got, nbytes, flags)
    finally:
        PyBuffer_Release(&view)
    return got


def send(sock, data, int flags=0, /):
    """send(2). Returns how many bytes were taken. Switches only if there is no room for any."""
    cdef GreenroomSocket *struct = struct_of(sock)
    cdef Scheduler scheduler
    cdef FdState state
    cdef double deadline = -1.0
    cdef Py_ssize_t sent
    cdef Py_buffer view
    if polls(struct, flags):
        return _slow_send(sock, data, flags)
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        scheduler = _scheduler.get()
        scheduler.spend_budget()
        state = state_of(scheduler, struct)
        while True:
            sent = c_send(struct.sock_fd, view.buf, view.len, flags | MSG_DONTWAIT)
            if sent >= 0:
                break
            state = failed(scheduler, struct, state, True, &deadline)
    finally:
        PyBuffer_Release(&view)
    return sent


cdef bint would_block() except -1:
    """After a call that returned -1: whether it would have waited; False: try again. Else raise."""
    cdef int problem = errno
    if problem == EAGAIN:
        return True
    if problem == EINTR:
        PyErr_CheckSignals()
        return False
    PyErr_SetFromErrno(OSError)


def recv_now(sock, Py_ssize_t bufsize, /):
    """recv(2) that never waits: returns None if nothing has come, and notes that for the poller."""
    cdef GreenroomSocket *struct = struct_of(sock)
    cdef Scheduler scheduler = _scheduler.get()
    cdef FdState state = state_of(scheduler, struct)
    cdef Py_ssize_t got, wanted = min(bufsize, SCRATCH)
    cdef char *scratch
    if scheduler.scratch is None:
        scheduler.scratch = bytearray(SCRATCH)
    scratch = PyByteArray_AS_STRING(scheduler.scratch)
    while True:
        got = c_recv(struct.sock_fd, scratch, wanted, MSG_DONTWAIT)
        if got >= 0:
            break
        if would_block():
            state.readable = False
            return None
    note_short_read(struct, state, got, wanted, 0)
    return PyBytes_FromStringAndSize(scratch, got)


def recv_into_now(sock, buffer, /):
    """recv(2) into a writable buffer, never waits: returns None if nothing has come."""
    cdef GreenroomSocket *struct = struct_of(sock)
    cdef Scheduler scheduler = _scheduler.get()
    cdef FdState state = state_of(scheduler, struct)
    cdef Py_ssize_t got
    cdef Py_buffer view
    PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE | PyBUF_WRITABLE)
    try:
        while True:
            got = c_recv(struct.sock_fd, view.buf, view.len, MSG_DONTWAIT)
            if got >= 0:
                break
            if would_block():
                state.readable = False
                return None
        note_short_read(struct, state, got, view.len, 0)
    finally:
        PyBuffer_Release(&view)
    return got


def send_now(sock, data, /):
    """send(2) that never waits: returns how many bytes were taken, 0 if there is no room."""
    cdef GreenroomSocket *struct = struct_of(sock)
    cdef Py_ssize_t sent
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        while True:
            sent = c_send(struct.sock_fd, view.buf, view.len, MSG_DONTWAIT)
            if sent >= 0:
                return sent
            if would_block():
                return 0
    finally:
        PyBuffer_Release(&view)


def sendall(sock, data, int flags=0, /):
    """send(2) until everything is sent. Switches only if there is no room.

    Raises    TimeoutError: it took longer than the socket's timeout in all. This, Cancelled and any
              other error has an attribute bytes_sent: how many bytes are gone
    """
    cdef GreenroomSocket *struct = struct_of(sock)
    cdef Scheduler scheduler
    cdef FdState state
    cdef double deadline = -1.0
    cdef Py_ssize_t sent, done = 0
    cdef Py_buffer view
    if polls(struct, flags):
        return _slow_sendall(sock, data, flags)
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        scheduler = _scheduler.get()
        scheduler.spend_budget()
        state = state_of(scheduler, struct)
        while True:
            sent = c_send(struct.sock_fd, <char *>view.buf + done, view.len - done,
                          flags | MSG_DONTWAIT)
            if sent < 0:
                state = failed(scheduler, struct, state, True, &deadline)
                continue
            done += sent
            if done >= view.len:
                break
    except BaseException as error:
        socketcalls.cut_short(error, done, view.len)
        raise
    finally:
        PyBuffer_Release(&view)
