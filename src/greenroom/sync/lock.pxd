cimport cython

from greenroom.core cimport operation as _operation
from greenroom.core cimport scheduler as _scheduler
from greenroom.core.operation cimport Operation
from greenroom.core.scheduler cimport Scheduler
from greenroom.core.task cimport Task
from greenroom.core.waitqueue cimport Waiter, WaitQueue


cdef double FOREVER, _LONGEST
cdef object _NO_LIMIT


cdef double _deadline(bint blocking, object timeout) except? -1.0


cdef class Lock:
    cdef bint held
    cdef WaitQueue waiters
    cdef object __weakref__

    cpdef bint take(self)
    cpdef bint take_or_enlist(self, Scheduler scheduler, double deadline) except -1
    @cython.locals(deadline=double)
    cpdef bint acquire(self, bint blocking=*, object timeout=*) except -1
    @cython.locals(scheduler=Scheduler)
    cpdef bint wait(self, double deadline) except -1
    cpdef release(self)
    cpdef _acquire_restore(self, object state)


cdef class ThreadEndLock(Lock):
    @cython.locals(scheduler=Scheduler)
    cpdef bint wait(self, double deadline) except -1
    cpdef release(self)


cdef class PolledLock(Lock):
    pass


cdef class RLock:
    cdef object owner
    cdef Py_ssize_t count
    cdef WaitQueue waiters
    cdef object __weakref__

    cpdef bint take(self, object me, Py_ssize_t count) except -1
    cpdef bint take_or_enlist(self, Scheduler scheduler, object me, Py_ssize_t count, double deadline) except -1
    @cython.locals(scheduler=Scheduler, deadline=double)
    cpdef bint acquire(self, bint blocking=*, object timeout=*) except -1
    @cython.locals(waiter=Waiter)
    cpdef hand_over(self)
    cpdef release(self)
    cpdef bint _is_owned(self) except -1


cdef class Semaphore:
    cdef public Py_ssize_t value
    cdef WaitQueue waiters
    cdef object __weakref__

    cpdef bint take(self)
    cpdef bint take_or_enlist(self, Scheduler scheduler, double deadline) except -1
    @cython.locals(deadline=double)
    cpdef bint acquire(self, bint blocking=*, object timeout=*) except -1
    @cython.locals(scheduler=Scheduler)
    cpdef bint wait(self, double deadline) except -1
    cpdef release(self, Py_ssize_t n=*)


cdef class BoundedSemaphore(Semaphore):
    cdef Py_ssize_t bound


cdef class LockAcquire(Operation):
    cdef Lock lock

    @cython.locals(made=LockAcquire)
    cpdef Operation of(self, object owner, tuple args)


cdef class RLockAcquire(Operation):
    cdef RLock lock

    @cython.locals(made=RLockAcquire)
    cpdef Operation of(self, object owner, tuple args)


cdef class SemaphoreAcquire(Operation):
    cdef Semaphore semaphore

    @cython.locals(made=SemaphoreAcquire)
    cpdef Operation of(self, object owner, tuple args)
