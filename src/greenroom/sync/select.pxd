cimport cython

from greenroom.core cimport operation as _operation
from greenroom.core cimport scheduler as _scheduler
from greenroom.core.operation cimport After, Operation
from greenroom.core.scheduler cimport Scheduler
from greenroom.core.task cimport Task


cdef double FOREVER
cdef object _NO_DEFAULT
cdef long long _dice

@cython.locals(
    count=Py_ssize_t, index=Py_ssize_t, soonest=Py_ssize_t, up=bint, waited=list, case=Operation,
    deadline=double, end=double, scheduler=Scheduler, task=Task,
)
cpdef tuple _select(tuple cases, object default)
