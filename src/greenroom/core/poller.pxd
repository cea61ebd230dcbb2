cimport cython

from greenroom.core.waitqueue cimport Waiter, WaitQueue


@cython.final
cdef class FdState:
    cdef readonly int fd
    cdef readonly unsigned int generation
    cdef public bint registered
    cdef public bint readable
    cdef public bint writable
    cdef public bint exact
    cdef readonly WaitQueue readers
    cdef readonly WaitQueue writers
    cdef public int interest


cdef class Poller:
    cdef readonly list states
    cdef unsigned int generation
    cdef readonly WaitQueue woken
    cdef public int wake_fd
    cdef public bint wake_seen

    @cython.locals(state=FdState)
    cpdef FdState state(self, int fd)
    @cython.locals(state=FdState)
    cdef FdState known(self, int fd)
    @cython.locals(state=FdState)
    cpdef FdState drop(self, int fd)
    @cython.locals(waiter=Waiter)
    cpdef fired(self, FdState state, bint read, bint write, bint exact)
    cpdef arm(self, FdState state, bint write, bint level)
    cpdef bint watches(self, FdState state) except -1
    cpdef unregister(self, FdState state)
    cpdef int poll(self, double timeout) except -1
    cpdef close(self)
