cimport cython

from greenroom.core cimport api as _api
from greenroom.core cimport native
from greenroom.core cimport scheduler as _scheduler
from greenroom.core cimport task as _task
from greenroom.core.scheduler cimport Scheduler
from greenroom.core.scope cimport Scope
from greenroom.core.task cimport Task
from greenroom.core.waitqueue cimport WaitQueue
from greenroom.sync.lock cimport Semaphore


cdef double FOREVER


cdef class Group:
    cdef dict members
    cdef WaitQueue joiners
    cdef object __weakref__

    @cython.locals(task=Task)
    cpdef Task start(self, object fn, tuple args, object name, object context, object on_end=*)
    cpdef check(self, object task)
    @cython.locals(observed=bint)
    cpdef admit(self, Task task)
    cpdef ended(self, Task task)
    @cython.locals(scheduler=Scheduler, deadline=double)
    cpdef bint join(self, object timeout=*) except -1
    cpdef bint empty_or_enlist(self, Scheduler scheduler, double deadline) except -1
    @cython.locals(task=Task)
    cpdef kill(self)
    @cython.locals(task=Task, shield=Scope)
    cpdef end(self)


cdef class Pool(Group):
    cdef readonly Py_ssize_t size
    cdef readonly Semaphore room


@cython.final
cdef class Calls:
    cdef Pool pool
    cdef object fn
    cdef object items
    cdef bint ordered
    cdef Py_ssize_t bound
    cdef Py_ssize_t outstanding
    cdef object ready
    cdef dict running
    cdef Scheduler scheduler
    cdef Task feeder
    cdef bint given_up
    cdef bint fed
    cdef object failure
    cdef WaitQueue hungry
    cdef WaitQueue takers
    cdef object on_end

    @cython.locals(task=Task, args=tuple)
    cpdef feed(self)
    cpdef feeding_ended(self, Task task)
    cpdef call_ended(self, Task task)
    @cython.locals(task=Task)
    cdef bint has_result(self) except -1
    @cython.locals(task=Task)
    cdef Task take(self)
    cdef list give_up(self)


@cython.final
cdef class Results:
    cdef Pool pool
    cdef object fn
    cdef tuple iterables
    cdef bint ordered
    cdef Py_ssize_t bound
    cdef Calls calls
    cdef bint closed
    cdef object __weakref__

    cdef Calls begin(self)
    cdef fail(self, object error)


@cython.locals(current=Task, task=Task, shield=Scope)
cdef _end_tasks(list tasks)
@cython.locals(task=Task)
cpdef _log_failures(list tasks)
cpdef _log_soon(Calls calls)
