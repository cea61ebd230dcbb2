# cython: language_level=3
"""Handshake, reads and writes of an SSLSocket, if all is as usual.                   layer: green

They mean the same as those of sslcalls.py, which explains when to try and when to park, and which
are called for whatever is not usual. What is saved: the frames of ssl.py's Python code, and the
SSLWantReadError for each record that has not come yet, which costs as much as to decrypt one.

Before a read, and before a server's handshake, the kernel is asked whether anything has come
(poll(2); recv(2) with MSG_PEEK would take the socket's error away from OpenSSL). If not, and if
OpenSSL holds nothing decrypted and has nothing to send (Connection.reads_only), it could only say
SSLWantReadError, so it is left and the task parks.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_CheckExact, PyBytes_GET_SIZE

import ssl as _stdlib

from greenroom.core cimport scheduler as _scheduler
from greenroom.core.poller cimport FdState
from greenroom.core.scheduler cimport Scheduler
from greenroom.errors import ClosedError
from greenroom.green import sslcalls
from greenroom.green.connection cimport Connection
from greenroom.green.fastsocket cimport GreenroomSocket, state_of, struct_of

cdef extern from "<poll.h>":
    struct pollfd:
        int fd
        short events
        short revents

    int c_poll "poll"(pollfd *fds, unsigned long count, int timeout_ms) noexcept nogil
    short POLLIN

cdef double FOREVER = float("inf")
cdef Py_ssize_t WRITE_BYTES = sslcalls.WRITE_BYTES
cdef Py_ssize_t RECORD = 16384  # the most that one read can bring (RFC 8446, 5.1)

cdef object SSLError = _stdlib.SSLError
cdef object WantRead = _stdlib.SSLWantReadError
cdef object WantWrite = _stdlib.SSLWantWriteError
cdef object SSL_ERROR_EOF = _stdlib.SSL_ERROR_EOF

# How a try ended.
cdef enum:
    DONE = 0
    WANTS_READ = 1
    WANTS_WRITE = 2


cdef Connection usual(object sock, GreenroomSocket *struct):
    """Return the connection if the calls here can serve it now, else None."""
    if struct.sock_timeout == 0:
        return None
    connection = getattr(sock, "_greenroom", None)
    if isinstance(connection, Connection) and (<Connection>connection).handle is not None:
        return <Connection>connection
    return None


cdef bint nothing_came(FdState state) noexcept:
    """Whether the kernel has nothing to read: no byte, no end of the stream, no error."""
    cdef pollfd asked
    if state.readable:
        asked.fd = state.fd
        asked.events = POLLIN
        if c_poll(&asked, 1, 0) == 0:
            state.readable = False
    return not state.readable


cdef FdState park(Scheduler scheduler, GreenroomSocket *struct, FdState state, bint write,
                  double *deadline, str what):
    """Park in a read or a handshake; return the fd's state."""
    if deadline[0] < 0.0:
        deadline[0] = FOREVER
        if struct.sock_timeout >= 0:
            deadline[0] = scheduler.now() + 1e-9 * struct.sock_timeout
    if not scheduler.wait_state(state, write, deadline[0], False):
        raise TimeoutError(f"The {what} operation timed out")
    if struct.sock_fd != state.fd:
        raise_closed(state.fd)
    return state


cdef int raise_closed(int fd) except -1:
    raise ClosedError(f"cannot go on with TLS on fd {fd}: it was closed meanwhile")


cdef object try_read(object sock, object sslobj, Py_ssize_t size, object buffer, int *outcome):
    """Return what was read. Apart, as a frame with a try block is large (scheduler.py)."""
    outcome[0] = DONE
    try:
        if buffer is None:
            return sslobj.read(size)
        return sslobj.read(size, buffer)
    except WantRead:
        outcome[0] = WANTS_READ
    except WantWrite:
        outcome[0] = WANTS_WRITE
    except SSLError as error:
        if error.args[0] != SSL_ERROR_EOF or not sock.suppress_ragged_eofs:
            raise
        return b"" if buffer is None else 0
    return None


cdef object read_usual(object sock, object sslobj, Connection connection, GreenroomSocket *struct,
                       Py_ssize_t size, object buffer):
    """Read, parking as long as nothing has come."""
    cdef Scheduler scheduler = _scheduler.get()
    cdef FdState state = state_of(scheduler, struct)
    cdef double deadline = -1.0
    cdef int outcome
    if connection.reads_only and nothing_came(state) and sslobj.pending() == 0:
        state = park(scheduler, struct, state, False, &deadline, "read")
    while True:
        connection.reads_only = False
        result = try_read(sock, sslobj, size, buffer, &outcome)
        if outcome == DONE:
            connection.reads_only = bool(result)  # after the end nothing more will come
            return result
        if outcome == WANTS_WRITE:
            state.writable = False
        else:
            state.readable = False
        state = park(scheduler, struct, state, outcome == WANTS_WRITE, &deadline, "read")


def read(sock, len=1024, buffer=None):
    """Read decrypted bytes: return them, or with a buffer how many. Switches if none has come."""
    cdef GreenroomSocket *struct = struct_of(sock)
    cdef Connection connection = usual(sock, struct)
    cdef Py_ssize_t size = len
    if connection is None or size <= 0:
        return sslcalls.read(sock, len, buffer)
    _scheduler.get().spend_budget()
    sslobj = sock._sslobj
    if sslobj is None:
        return sslcalls.read(sock, len, buffer)
    if size > RECORD:
        size = RECORD
    return read_usual(sock, sslobj, connection, struct, size, buffer)


def recv(sock, buflen=1024, flags=0):
    """As read(), of an SSLSocket that may be without TLS. Switches only if nothing has come."""
    if flags != 0 or sock._sslobj is None or type(sock).read is not read:
        return sslcalls.recv(sock, buflen, flags)
    return read(sock, buflen, None)


def recv_into(sock, buffer, nbytes=None, flags=0):
    """Read into a writable buffer; return how many bytes. Switches only if nothing has come."""
    if (
        nbytes is None or flags != 0 or sock._sslobj is None
        or type(sock).read is not read  # a subclass's
    ):
        return sslcalls.recv_into(sock, buffer, nbytes, flags)
    return read(sock, nbytes, buffer)


cdef object try_write(object sslobj, object data, int *outcome):
    """Return how many bytes were written."""
    outcome[0] = DONE
    try:
        return sslobj.write(data)
    except WantRead:
        outcome[0] = WANTS_READ
    except WantWrite:
        outcome[0] = WANTS_WRITE
    return None


def write(sock, data):
    """Encrypt and send data; return its length in bytes.

    Raises    SSLError: a write of other data was cut short before, so the connection is of no use
    Switches  if there is no room, or another task writes
    """
    cdef GreenroomSocket *struct = struct_of(sock)
    cdef Connection connection = usual(sock, struct)
    cdef int outcome
    if connection is None or size_of(data) > WRITE_BYTES:
        return sslcalls.write(sock, data)
    _scheduler.get().spend_budget()
    sslobj = sock._sslobj
    if sslobj is None or connection.unfinished is not None or not connection.begin():
        return sslcalls.write(sock, data)
    try:
        count = try_write(sslobj, data, &outcome)
        if outcome != DONE:
            count = sslcalls.write_on(sock, sslobj, connection, data, outcome == WANTS_WRITE)
    finally:
        connection.end()
    return count


cdef Py_ssize_t size_of(object data) except -1:
    """Return the number of bytes; of what has none too many for here."""
    cdef Py_buffer view
    if PyBytes_CheckExact(data):
        return PyBytes_GET_SIZE(data)
    try:
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    except (TypeError, BufferError):
        return WRITE_BYTES + 1
    PyBuffer_Release(&view)
    return view.len


def send(sock, data, flags=0):
    """As write(), to an SSLSocket that may be without TLS. Switches only if it must wait."""
    if flags != 0 or sock._sslobj is None:
        return sslcalls.send(sock, data, flags)
    return write(sock, data)


def sendall(sock, data, flags=0):
    """Send all of data, in one piece: other tasks' writes come before or after it.

    Raises    as write()
    Switches  only if it must wait
    """
    if (
        flags != 0 or sock._sslobj is None or struct_of(sock).sock_timeout == 0
        or not 0 < size_of(data) <= WRITE_BYTES
    ):
        return sslcalls.sendall(sock, data, flags)
    write(sock, data)


cdef int try_handshake(object sslobj) except -1:
    """Go on with the handshake as far as it goes; return how the try ended."""
    try:
        sslobj.do_handshake()
    except WantRead:
        return WANTS_READ
    except WantWrite:
        return WANTS_WRITE
    return DONE


cdef int shake_hands(object sslobj, Connection connection, GreenroomSocket *struct) except -1:
    """Shake hands, having the turn to write."""
    cdef Scheduler scheduler = _scheduler.get()
    cdef FdState state = state_of(scheduler, struct)
    cdef double deadline = -1.0
    cdef int outcome
    # Of a connection that has shaken hands OpenSSL wants nothing: it has a version by then.
    if connection.reads_only and sslobj.version() is None and nothing_came(state):
        state = park(scheduler, struct, state, False, &deadline, "handshake")
    while True:
        connection.reads_only = False
        outcome = try_handshake(sslobj)
        if outcome == DONE:
            connection.reads_only = True
            return 0
        if outcome == WANTS_WRITE:
            state.writable = False
        else:
            state.readable = False
        state = park(scheduler, struct, state, outcome == WANTS_WRITE, &deadline, "handshake")


def do_handshake(sock, block=False):
    """Shake hands. Switches while it waits for the peer.

    block     wait even if the socket's timeout is 0
    Raises    TimeoutError: it took longer than the socket's timeout in all
    """
    cdef GreenroomSocket *struct = struct_of(sock)
    cdef Connection connection = usual(sock, struct)
    sslobj = sock._sslobj
    if connection is None or sslobj is None or not connection.begin():
        return sslcalls.do_handshake(sock, block)
    try:
        sock._check_connected()
        shake_hands(sslobj, connection, struct)
    finally:
        connection.end()
