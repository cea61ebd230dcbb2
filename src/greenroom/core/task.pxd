cimport cython

from greenroom.core cimport native
from greenroom.core.scope cimport Scope
from greenroom.core.timers cimport Timed
from greenroom.core.waitqueue cimport Case, Waiter, WaitQueue


cdef int NEW, RUNNABLE, PARKED, DONE
cdef double FOREVER
cdef bint COMPILED


cdef class Task(Waiter)


cdef class Stepper:
    cpdef step(self, Task task)


cdef class Face:
    cdef public object ident

    cpdef put_on(self)
    cpdef take_off(self)
    cpdef suspend(self, Task task)
    cpdef resume(self, Task task)
    cpdef look(self, Task task)
    cpdef bint ended_by(self, Task task, object scope, object error) except -1
    cpdef bint passes(self, object error) except -1


@cython.final
cdef class Task(Waiter):
    cdef public object scheduler
    cdef readonly int state
    cdef object fn
    cdef tuple args
    cdef readonly object context
    cdef readonly object greenlet
    cdef readonly object reason
    cdef public object error
    cdef public object pending
    cdef bint timed_out
    cdef bint waits_io
    cdef public bint attention
    cdef public bint killed
    cdef public bint observed
    cdef public Scope scope
    cdef public Scope home
    cdef double own_deadline
    cdef readonly double since
    cdef readonly Stepper stepper
    cdef readonly Face face
    cdef Case cases
    cdef Task older
    cdef Task newer
    cdef WaitQueue joiners
    cdef list callbacks
    cdef public list locals
    cdef public object label
    cdef readonly long long number
    cdef object __weakref__

    cpdef bint add_joiner(self, Waiter waiter)
    cpdef push_scope(self, Scope scope)
    @cython.locals(inner=Scope)
    cpdef pop_scope(self, Scope scope)


@cython.locals(task=Task)
cpdef Task new_task(object scheduler, object fn, tuple args, object name, object context)
