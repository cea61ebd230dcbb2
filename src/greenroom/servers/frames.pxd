cimport cython

from greenroom.servers cimport masking


cdef object _new_decoder, _TAIL


@cython.locals(first=int, size=Py_ssize_t)
cpdef bytes frame(int opcode, bytes payload, bint fin=*, bint compressed=*)


cdef class Inflate:
    cdef readonly int bits
    cdef readonly bint takeover
    cdef object inflater

    @cython.locals(result=bytes)
    cpdef bytes inflate(self, bytes data, Py_ssize_t room, bint last)


cdef class Deflate:
    cdef readonly int bits
    cdef readonly bint takeover
    cdef object deflater

    @cython.locals(result=bytes)
    cpdef bytes deflate(self, bytes data, bint last=*)


cdef class FrameReader:
    cdef readonly Py_ssize_t max_size
    cdef Inflate inflate
    cdef list parts, pieces
    cdef Py_ssize_t held, need, size
    cdef readonly bint over
    cdef int opcode
    cdef bint compressed
    cdef object decoder

    @cython.locals(start=Py_ssize_t, events=list)
    cpdef list feed(self, bytes data)
    @cython.locals(start=Py_ssize_t, end=Py_ssize_t, first=int, second=int, opcode=int, size=Py_ssize_t, head=int, payload=bytes)
    cdef Py_ssize_t read(self, bytes data, list events) except -1
    @cython.locals(opcode=int)
    cdef check(self, int first, int second)
    cdef Py_ssize_t long_size(self, bytes field) except -1
    @cython.locals(limit=Py_ssize_t)
    cdef check_size(self, int first, Py_ssize_t size)
    cdef object control(self, int opcode, bytes payload)
    @cython.locals(inflate=Inflate, room=Py_ssize_t, fin=bint)
    cdef fragment(self, int first, bytes payload, list events)
