cimport cython

from greenroom.core cimport scheduler as _scheduler
from greenroom.core.scheduler cimport Scheduler
from greenroom.core cimport task as _task
from greenroom.core.task cimport Task


cdef double FOREVER


@cython.locals(found=list, task=Task)
cpdef list joinall(object tasks, object timeout=*, bint raise_error=*)
@cython.locals(found=list)
cdef list _checked(object tasks)
cdef object _remaining(double deadline)
