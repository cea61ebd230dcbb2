cimport cython

from greenroom.core cimport scheduler as _scheduler
from greenroom.core.scheduler cimport Scheduler
from greenroom.core.task cimport Task
from greenroom.core.waitqueue cimport Waiter, WaitQueue


cdef class SimpleQueue:
    cdef public object queue
    cdef readonly Py_ssize_t maxsize
    cdef WaitQueue getters
    cdef WaitQueue putters
    cdef readonly bint is_shutdown
    cdef bint direct
    cdef object __weakref__

    @cython.locals(getter=Task)
    cpdef bint offer(self, object item) except -1
    @cython.locals(putter=Task)
    cpdef object grab(self)
    cpdef bint offer_or_enlist(self, Scheduler scheduler, object item, double deadline) except -1
    cpdef object grab_or_enlist(self, Scheduler scheduler, double deadline)
    cpdef count_put(self)

    @cython.locals(scheduler=Scheduler, task=Task, deadline=double)
    cpdef put(self, object item, bint block=*, object timeout=*)
    @cython.locals(scheduler=Scheduler, task=Task, deadline=double)
    cpdef get(self, bint block=*, object timeout=*)

    cpdef Py_ssize_t _qsize(self) except -1
    cpdef _put(self, object item)
    cpdef _get(self)


cdef class PolledSimpleQueue(SimpleQueue):
    cpdef get(self, bint block=*, object timeout=*)


cdef class Queue(SimpleQueue):
    cdef readonly Py_ssize_t unfinished_tasks
    cdef WaitQueue joiners

    cpdef bint finished_or_enlist(self, Scheduler scheduler, double deadline) except -1


cdef class LifoQueue(Queue):
    pass


cdef class PriorityQueue(Queue):
    cdef object mutex
