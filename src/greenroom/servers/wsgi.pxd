cimport cython

from greenroom.green cimport fdcalls
from greenroom.servers cimport http1
from greenroom.servers.http cimport Connection, Exchange

cdef Py_ssize_t FILE_BLOCK, MAX_KEYS, MAX_BASES
cdef dict _keys, _statuses, _names
cdef object _RANGE


cdef str _new_key(bytes name)
cdef tuple _new_status(object status)
cdef bytes _new_name(object name)


@cython.final
cdef class Input:
    cdef Exchange _exchange
    cdef bytes _data
    cdef Py_ssize_t _place

    cdef bint _more(self) except -1
    @cython.locals(left=Py_ssize_t, have=Py_ssize_t, start=Py_ssize_t, parts=list)
    cpdef bytes read(self, size=*)
    @cython.locals(left=Py_ssize_t, end=Py_ssize_t, stop=Py_ssize_t, parts=list, piece=bytes)
    cpdef bytes readline(self, size=*)
    @cython.locals(lines=list, line=bytes, total=Py_ssize_t)
    cpdef list readlines(self, hint=*)


cdef Input _NOTHING


@cython.final
cdef class Response:
    cdef Exchange exchange
    cdef list headers

    @cython.locals(encoded=list, raw=bytes, name=object, value=object)
    cdef _begin(self, int code, bytes line, object headers)
    cdef bytes _encode(self, object name, object value)
    @cython.locals(exchange=Exchange)
    cdef send(self, object result)
    cdef bint _send_file(self, object file) except -1
    cdef tuple _choose(self, object size)
    cdef bint _is_current(self) except -1
    cdef bytes _header(self, bytes wanted)
    cdef _restart(self, int status, list headers)


cdef bytes _checked(object item)


@cython.final
cdef class WSGIApplication:
    cdef readonly object app
    cdef bytes _mount
    cdef dict _bases, _common

    cdef dict _base(self, object local, str scheme)
    cdef tuple _prepare(self, Exchange exchange)
    @cython.locals(connection=Connection, memo=tuple, base=dict, target=str, environ=dict, path=bytes, name=bytes, value=bytes, text=str)
    cpdef dict environ(self, Exchange exchange)
    cdef bytes _cut_mount(self, dict environ, bytes path)
    cdef _call(self, Exchange exchange, Response response)
    cdef _call_upgradable(self, Exchange exchange, Response response)
