cimport cython

from greenroom.core cimport scheduler as _scheduler
from greenroom.core.scheduler cimport Scheduler
from greenroom.core.task cimport Task
from greenroom.core.waitqueue cimport WaitQueue
from greenroom.sync.lock cimport Lock


cdef double FOREVER


@cython.final
cdef class CapacityLimiter:
    cdef double limit
    cdef dict holders
    cdef WaitQueue waiters
    cdef object __weakref__

    @cython.locals(scheduler=Scheduler, deadline=double)
    cpdef bint acquire_for(self, object borrower, object timeout=*) except -1
    cpdef bint take(self, object borrower) except -1
    cpdef bint take_or_enlist(self, Scheduler scheduler, object borrower, double deadline) except -1
    cpdef release_for(self, object borrower)
    @cython.locals(waiter=Task)
    cpdef hand_out(self)


@cython.final
cdef class RateLimiter:
    cdef double interval
    cdef double tolerance
    cdef double full_at
    cdef readonly Py_ssize_t burst
    cdef Lock turn
    cdef WaitQueue sleepers
    cdef object __weakref__

    @cython.locals(scheduler=Scheduler, deadline=double, now=double, at=double)
    cpdef bint acquire(self, object timeout=*) except -1


cdef double _checked_total(object total) except? -1.0
