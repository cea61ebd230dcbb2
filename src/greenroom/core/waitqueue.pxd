cimport cython

from greenroom.core cimport native
from greenroom.core.timers cimport Timed


cdef class Waiter(Timed):
    cdef Waiter prev
    cdef Waiter next
    cdef readonly WaitQueue queue
    cdef public object value

    cpdef woken(self)
    cpdef failed(self, object error)


cdef class Case(Waiter):
    cdef readonly object task
    cdef Case sibling


@cython.final
cdef class WaitQueue:
    cdef readonly Waiter head
    cdef Waiter tail
    cdef readonly Py_ssize_t count

    @cython.locals(tail=Waiter)
    cpdef append(self, Waiter waiter)
    @cython.locals(head=Waiter)
    cpdef Waiter popleft(self)
    @cython.locals(prev=Waiter, next=Waiter)
    cpdef remove(self, Waiter waiter)
    @cython.locals(waiter=Waiter)
    cpdef list waiters(self)
