cimport cython

from greenroom.core cimport native
from greenroom.core cimport scheduler as _scheduler
from greenroom.core cimport task as _task
from greenroom.core.scheduler cimport Scheduler
from greenroom.core.task cimport Task
from greenroom.core.waitqueue cimport Case


cdef double FOREVER
cdef bint FREE_THREADED
cdef dict _kinds
cdef tuple _recent
cdef object _function


cdef class Operation(Case)


cdef class Listener:
    cdef public object who
    cdef public double since

    cpdef came(self, Operation waited)
    cpdef failed(self, Operation waited, object error)


cdef class Operation(Case):
    cdef public Listener listener
    cdef readonly bint limited
    cdef readonly double seconds

    cpdef Operation of(self, object owner, tuple args)
    cpdef bint attempt(self) except -1
    cpdef bint enlist(self) except -1
    cpdef object result(self)
    cpdef object reason(self)
    @cython.locals(task=Task)
    cpdef woken(self)
    @cython.locals(task=Task)
    cpdef failed(self, object error)


cdef class TaskEnd(Operation):
    cdef Task awaited

    @cython.locals(made=TaskEnd)
    cpdef Operation of(self, object owner, tuple args)


cdef class TaskJoin(TaskEnd):
    @cython.locals(made=TaskJoin)
    cpdef Operation of(self, object owner, tuple args)


cdef class After(Operation):
    pass


@cython.locals(given=Operation, kind=Operation, found=Operation, recent=tuple)
cpdef Operation operation(object thing, tuple args=*)
cpdef str describe(Operation waited)
@cython.locals(task=Task, deadline=double)
cpdef object wait_for(Scheduler scheduler, Operation waited)
cpdef park_on(Scheduler scheduler, Task task, Operation waited, double deadline)
@cython.locals(case=Operation)
cpdef park(Scheduler scheduler, Task task, list cases, double deadline)
cpdef bint stand(Task task, Operation case) except -1
cpdef double deadline_of(Scheduler scheduler, Operation waited) except? -1.0
cpdef leave(Operation waited)
cpdef object has_come(Scheduler scheduler, Task task, double deadline)
