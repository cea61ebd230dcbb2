cimport cython

from greenroom.core cimport scheduler as _scheduler
from greenroom.core cimport task as _task
from greenroom.core.scheduler cimport Scheduler
from greenroom.core.scope cimport Scope
from greenroom.core.task cimport Task


cdef double FOREVER
cdef int UNUSED, ENTERED, LEFT


cdef class CancelScope(Scope):
    cdef Task task
    cdef int stage
    cdef readonly bint cancelled_caught
    cdef object __weakref__

    cdef refuse_entry(self)
    cdef push(self)
    cpdef bint leave(self, object error) except -1
    cpdef bint owns(self, Task task, object error) except -1
    @cython.locals(scheduler=Scheduler, here=Task, scope=Scope, outer=Scope, inner=CancelScope)
    cdef leave_out_of_turn(self, Task task)
    cdef forget(self, Task task)
    cpdef cancel(self)
    @cython.locals(task=Task, scheduler=Scheduler)
    cdef changed(self)
    @cython.locals(task=Task, scheduler=Scheduler)
    cdef note_time(self)


cdef class move_on_after(CancelScope):
    cdef readonly object seconds


cdef class timeout(move_on_after):
    pass


cdef double _checked(object deadline) except? -1.0
