cimport cython

from greenroom.core cimport operation as _operation
from greenroom.core cimport scheduler as _scheduler
from greenroom.core.operation cimport Operation
from greenroom.core.scheduler cimport Scheduler
from greenroom.core.waitqueue cimport WaitQueue


@cython.final
cdef class Event:
    cdef bint flag
    cdef WaitQueue waiters

    @cython.locals(scheduler=Scheduler)
    cpdef bint wait(self, object timeout=*) except -1
    cpdef bint set_or_enlist(self, Scheduler scheduler, double deadline) except -1
    cpdef set(self)


@cython.final
cdef class Result:
    cdef bint settled
    cdef object value
    cdef object error
    cdef WaitQueue waiters

    cpdef bint settled_or_enlist(self, Scheduler scheduler, double deadline) except -1
    cpdef settle(self, object value, object error)


cdef class EventWait(Operation):
    cdef Event event

    @cython.locals(made=EventWait)
    cpdef Operation of(self, object owner, tuple args)


cdef class ResultGet(Operation):
    cdef Result awaited

    @cython.locals(made=ResultGet)
    cpdef Operation of(self, object owner, tuple args)
