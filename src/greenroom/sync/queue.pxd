cimport cython

from greenroom.core cimport operation as _operation
from greenroom.core cimport scheduler as _scheduler
from greenroom.core.operation cimport Operation
from greenroom.core.scheduler cimport Scheduler
from greenroom.core.task cimport Task
from greenroom.core.waitqueue cimport Waiter, WaitQueue


cdef tuple _direct
cdef object NOTHING, PUT, SHUT


cdef class SimpleQueue:
    cdef public object queue
    cdef readonly Py_ssize_t maxsize
    cdef WaitQueue getters
    cdef WaitQueue putters
    cdef readonly bint is_shutdown
    cdef object mutex
    cdef object __weakref__

    cpdef bint offer(self, object item) except -1
    @cython.locals(getter=Waiter)
    cdef bint offer_direct(self, object item) except -1
    cdef bint offer_foreign(self, object item) except -1
    @cython.locals(getter=Waiter, task=Task)
    cdef serve_getter(self)
    cpdef object grab(self)
    @cython.locals(putter=Waiter)
    cdef object grab_direct(self)
    cdef object grab_foreign(self)
    @cython.locals(putter=Waiter, task=Task)
    cdef serve_putter(self)
    cpdef bint offer_or_enlist(self, Scheduler scheduler, object item, double deadline) except -1
    cdef bint offer_or_enlist_direct(self, Scheduler scheduler, object item, double deadline) except -1
    cdef bint enlist_putter(self, Scheduler scheduler, object item, double deadline) except -1
    cpdef object grab_or_enlist(self, Scheduler scheduler, double deadline)
    cdef object grab_or_enlist_direct(self, Scheduler scheduler, double deadline)
    cdef enlist_getter(self, Scheduler scheduler, double deadline)
    cpdef count_put(self)

    @cython.locals(scheduler=Scheduler, task=Task, deadline=double)
    cpdef put(self, object item, bint block=*, object timeout=*)
    @cython.locals(scheduler=Scheduler, task=Task, deadline=double)
    cpdef get(self, bint block=*, object timeout=*)

    cpdef Py_ssize_t _qsize(self) except -1
    cpdef _put(self, object item)
    cpdef _get(self)


cdef class QueueGet(Operation):
    cdef SimpleQueue source

    @cython.locals(made=QueueGet)
    cpdef Operation of(self, object owner, tuple args)


cdef class QueuePut(Operation):
    cdef SimpleQueue target
    cdef object item

    @cython.locals(made=QueuePut)
    cpdef Operation of(self, object owner, tuple args)
    @cython.locals(queue=SimpleQueue)
    cpdef bint enlist(self) except -1


cdef class PolledSimpleQueue(SimpleQueue):
    cpdef get(self, bint block=*, object timeout=*)


cdef class Queue(SimpleQueue):
    cdef readonly Py_ssize_t unfinished_tasks
    cdef WaitQueue joiners

    cpdef bint finished_or_enlist(self, Scheduler scheduler, double deadline) except -1


cdef class LifoQueue(Queue):
    pass


cdef class PriorityQueue(Queue):
    pass
