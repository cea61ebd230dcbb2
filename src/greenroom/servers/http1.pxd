cimport cython


cdef int PLAIN, HOST, LENGTH, CODING, CONNECTION, EXPECT, UPGRADE, DATE, SERVER, DROPPED
cdef int _SIZE, _DATA, _DATA_END, _TRAILERS
cdef Py_ssize_t MAX_NAMES, MAX_CHUNK_EXCESS, MAX_CHUNK_LINE
cdef dict _METHODS, _request_names, _response_names, _status_lines
cdef bytes _TOKEN_CHARS, _SERVER_LINE, _date_line
cdef double _date_until
cdef object _Llhttp


@cython.final
cdef class Name:
    cdef readonly bytes lower
    cdef readonly bytes prefix
    cdef readonly int kind


cpdef bint is_token(bytes name) except -1
cdef Name _new_request_name(bytes name)
cdef Name _new_response_name(bytes name)


@cython.final
cdef class RequestParser:
    cdef readonly Py_ssize_t max_head_bytes, max_headers, max_target_bytes
    cdef readonly str method, version
    cdef readonly bytes target, path, query
    cdef readonly list headers
    cdef readonly long long length
    cdef readonly bint keep_alive, expects, upgrade
    cdef object _llhttp
    cdef bytes _good_host, _host, _length, _coding, _expect
    cdef Py_ssize_t _hosts
    cdef bint _close, _keep, _upgrades, _offers, _begun_body, _complete

    cdef _forget(self)
    @cython.locals(end=Py_ssize_t, line=list)
    cpdef Py_ssize_t parse(self, bytes data, Py_ssize_t start, Py_ssize_t seen=*) except -2
    cdef int _feed(self, object parser, bytes head) except -1
    @cython.locals(known=Name, size=Py_ssize_t)
    cpdef on_header(self, bytes name, bytes value)
    cdef int _note(self, int kind, bytes value) except -1
    @cython.locals(old=bint, digits=bytes)
    cdef int _judge(self) except -1
    @cython.locals(target=bytes, cut=Py_ssize_t)
    cdef int _judge_target(self) except -1
    cdef int _judge_absolute(self, bytes target) except -1
    cdef int _check_part(self, bytes data, Py_ssize_t start, Py_ssize_t unseen) except -1
    cdef int _refuse_size(self, bytes data, Py_ssize_t start) except -1
    cdef int _refuse_method(self, bytes method, bytes version) except -1
    cdef int _refuse_version(self, bytes version) except -1


@cython.final
cdef class ChunkDecoder:
    cdef readonly bint done
    cdef readonly Py_ssize_t place
    cdef readonly list trailers
    cdef int _state
    cdef long long _left
    cdef bytes _line
    cdef long long _excess
    cdef Py_ssize_t _room

    @cython.locals(pieces=list, place=Py_ssize_t, size=Py_ssize_t, count=Py_ssize_t,
                   end=Py_ssize_t, line=bytes)
    cpdef bytes decode(self, bytes data, Py_ssize_t start)
    cdef int _take_line(self, bytes line) except -1


@cython.final
cdef class ResponseHead:
    cdef readonly bytes lines
    cdef readonly long long length
    cdef readonly bint close
    cdef bint _has_date, _has_server, _upgrade

    @cython.locals(parts=list, count=Py_ssize_t, known=Name, lines=bytes, name=bytes, value=bytes)
    cdef int _take(self, list headers) except -1
    cdef bint _note(self, int kind, bytes value) except -1
    cdef int _refuse(self, object headers) except -1
    cpdef add(self, bytes line, long long length)
    @cython.locals(parts=list, both=bytes)
    cpdef bytes build(self, int status, bytes line, long long length, bint chunked,
                      bint keep_alive, bint old)


cpdef bint has_no_body(int status) noexcept
cpdef bytes status_line(int status, bytes reason)
cdef bytes _new_status_line(int status, bytes reason)
@cython.locals(now=double, second=double)
cpdef bytes date_and_server()
