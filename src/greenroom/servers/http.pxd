cimport cython

from greenroom.core cimport scheduler as _scheduler
from greenroom.core cimport task as _task
from greenroom.core.poller cimport FdState
from greenroom.core.scheduler cimport Scheduler
from greenroom.core.task cimport Task
from greenroom.green cimport fastsocket
from greenroom.servers cimport http1
from greenroom.servers.http1 cimport ChunkDecoder, RequestParser, ResponseHead

cdef double FOREVER, LINGER_SECONDS, MIN_RATE
cdef Py_ssize_t RECV_BYTES, GATHER_BYTES, COPY_BYTES, DRAIN_BYTES, LINGER_BYTES, FILE_BYTES
cdef Py_ssize_t SPARE_PARSERS
cdef bint _FAST
cdef object _log
cdef bytes _CONTINUE, _RESET


@cython.final
cdef class Settings:
    cdef readonly double header_timeout, idle_timeout, body_timeout, write_timeout
    cdef readonly long long max_body_bytes
    cdef readonly object application, access_log
    cdef public bint closing
    cdef public double idle_grace
    cdef list parsers
    cdef tuple _limits

    cdef RequestParser take_parser(self)
    cdef give_parser(self, RequestParser parser)


@cython.final
cdef class Connection:
    cdef Settings settings
    cdef Scheduler scheduler
    cdef Task task
    cdef readonly object sock
    cdef object _local
    cdef public object memo
    cdef readonly object peer, tls
    cdef bytes data
    cdef Py_ssize_t place
    cdef list out
    cdef Py_ssize_t out_bytes
    cdef RequestParser parser
    cdef readonly bint keep, gone, taken, idle, ahead, closed, nonblocking

    cpdef run(self)
    cdef _end_tls(self)
    cdef bytes receive(self, double deadline)
    cdef bytes _receive_tls(self, double deadline)
    cdef bint next_request(self, double timeout) except -1
    @cython.locals(end=Py_ssize_t, seen=Py_ssize_t, deadline=double, data=bytes)
    cdef Py_ssize_t _read_head(self) except -2
    cdef bytes read_body(self, double allowance)
    cdef put(self, bytes data)
    @cython.locals(data=bytes)
    cdef flush(self)
    @cython.locals(settings=Settings, allowance=double, before=double, done=Py_ssize_t,
                   size=Py_ssize_t, sent=Py_ssize_t)
    cdef transmit(self, bytes data)
    cdef Py_ssize_t _send_tls(self, bytes data, Py_ssize_t done, double allowance) except -1
    cdef double allow(self, double allowance, Py_ssize_t count, double most) noexcept
    cdef lost(self, str why)
    cdef bint gone_for_good(self) noexcept
    cdef send_later(self)
    @cython.locals(data=bytes, sent=Py_ssize_t)
    cdef _send_some(self, int flags)
    @cython.locals(settings=Settings, exchange=Exchange, again=bint)
    cdef bint serve(self) except -1
    cdef _gather(self)
    cdef bint _settle(self, Exchange exchange) except -1
    cdef refuse(self, object error, bint lingers)
    cdef linger(self)
    cpdef end_idle(self)
    cdef bint has_more(self) noexcept
    cpdef object local(self)
    @cython.locals(before=double, allowance=double, place=cython.longlong, size=Py_ssize_t,
                   sent=Py_ssize_t, done=cython.longlong)
    cdef Py_ssize_t send_file(self, int fd, long long offset, long long count) except -1
    cdef Py_ssize_t _send_file_tls(self, int fd, long long offset, long long count) except -1


cdef Py_ssize_t _send_now(object sock, bytes data, int flags) except -1


@cython.final
cdef class Exchange:
    cdef readonly Connection connection
    cdef readonly bint head_sent
    cdef readonly str method, version
    cdef readonly bytes target, path, query
    cdef readonly list headers
    cdef readonly bint upgrade, wants_keep, finished
    cdef readonly int status
    cdef readonly long long sent
    cdef readonly double began
    cdef bint _old, _expects, _over, _chunked, _bodiless, _cut
    cdef long long _left, _room, _read
    cdef ChunkDecoder _decoder
    cdef bytes _pushed
    cdef double _allowance
    cdef object _refusal
    cdef bytes _line
    cdef ResponseHead _head
    cdef Task _waiter

    cdef begin_request(self, Connection connection, RequestParser parser)
    cpdef bint body_left(self) noexcept
    @cython.locals(connection=Connection, before=double, data=bytes)
    cpdef bytes read_chunk(self)
    cdef bytes _take(self, bytes data)
    @cython.locals(connection=Connection, decoder=ChunkDecoder, body=bytes, most=double)
    cdef bytes _decode(self, bytes data)
    cdef _refuse(self, int status, str text)
    cpdef bint drain(self) except -1
    cpdef begin(self, int status, bytes line, list headers)
    @cython.locals(connection=Connection, head=ResponseHead, length=cython.longlong, status=int)
    cdef add(self, bytes line, long long length)
    cdef bytes _build(self, long long total)
    cdef bint _bodiless_status(self) noexcept
    @cython.locals(connection=Connection, ahead=Py_ssize_t)
    cdef _judge_unread(self)
    cdef bytes _fit(self, bytes data)
    cdef _too_much(self, long long size)
    @cython.locals(connection=Connection)
    cpdef write(self, bytes data)
    @cython.locals(connection=Connection, size=Py_ssize_t)
    cdef _put_body(self, bytes data)
    @cython.locals(connection=Connection)
    cpdef finish(self, bytes data=*)
    cpdef flush(self)
    cdef _too_little(self)
    cdef _misused(self, str what)
    cdef end(self)
    cdef report_failure(self)
    @cython.locals(connection=Connection)
    cdef fail(self, int status, str text)
    cdef close(self)


cdef object _receive_now(Connection connection)
