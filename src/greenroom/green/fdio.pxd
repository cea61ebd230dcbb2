cimport cython

from greenroom.core cimport scheduler as _scheduler
from greenroom.core.scheduler cimport Scheduler
from greenroom.green cimport fdcalls

cdef int EAGAIN
cdef Py_ssize_t LARGEST_FD

# Not int: Cython would take a float for one.
@cython.locals(fd=Py_ssize_t, length=Py_ssize_t)
cpdef object read(object fd, object length)
