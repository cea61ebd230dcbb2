cimport cython

from greenroom.core cimport scheduler as _scheduler
from greenroom.core.scheduler cimport Scheduler
from greenroom.core.task cimport Task


@cython.locals(scheduler=Scheduler)
cpdef sleep(object seconds=*)
cpdef double current_time() except? -1.0
cpdef Task current()
