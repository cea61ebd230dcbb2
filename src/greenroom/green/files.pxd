cimport cython

from greenroom.core cimport scheduler as _scheduler
from greenroom.core.scheduler cimport Scheduler
from greenroom.core.task cimport Task
from greenroom.core.waitqueue cimport WaitQueue
from greenroom.green cimport fdcalls, fdio

cdef double FOREVER

cdef class Turn:
    cdef object owner
    cdef Py_ssize_t depth
    cdef WaitQueue waiters
    cdef public bint inside
    cdef readonly WaitQueue outside
    cdef bint closing

    cpdef enter(self)
    cpdef bint take(self, object me) except -1
    cpdef bint take_or_enlist(self, object me, Scheduler scheduler) except -1
    @cython.locals(waiter=Task)
    cpdef leave(self)
    cpdef forget(self)
    cpdef evict(self, object file)
