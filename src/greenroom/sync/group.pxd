cimport cython

from greenroom.core cimport api as _api
from greenroom.core cimport scheduler as _scheduler
from greenroom.core.scheduler cimport Scheduler
from greenroom.core.scope cimport Scope
from greenroom.core.task cimport Face, Task
from greenroom.core.waitqueue cimport WaitQueue
from greenroom.sync.cancel cimport CancelScope


cdef double FOREVER


cdef class TaskGroup(Scope):
    cdef CancelScope body
    cdef Scheduler scheduler
    cdef dict children
    cdef list errors
    cdef object last
    cdef WaitQueue waiters
    cdef bint closed
    cdef object __weakref__

    cdef refuse_spawn(self, object fn)
    @cython.locals(scheduler=Scheduler)
    cpdef cancel(self)
    @cython.locals(task=Task, scheduler=Scheduler)
    cdef cancel_children(self)
    cdef add_error(self, object error)
    @cython.locals(face=Face)
    cdef object judge(self, object error)
    @cython.locals(here=Scheduler)
    cdef object wait_for_children(self, object outward)
    cdef wait_once(self, Scheduler scheduler)
