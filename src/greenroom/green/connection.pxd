cimport cython

from greenroom.core cimport scheduler as _scheduler
from greenroom.core.scheduler cimport Scheduler
from greenroom.core.waitqueue cimport WaitQueue


@cython.final
cdef class Connection:
    cdef readonly object handle
    cdef readonly bint writing
    cdef readonly WaitQueue writers
    cdef public bytes unfinished
    cdef public bint reads_only

    cpdef bint begin(self)
    cpdef bint begin_or_enlist(self, Scheduler scheduler, double deadline) except -1
    cpdef end(self)
