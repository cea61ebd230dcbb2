cimport cython

from greenroom.core cimport scheduler as _scheduler
from greenroom.core.scheduler cimport Scheduler
from greenroom.green cimport fdcalls

cdef int EAGAIN

@cython.locals(fd=int, length=Py_ssize_t)
cpdef object read(object fd, object length)
