cimport cython

from greenroom.core cimport native
from greenroom.core cimport operation as _operation
from greenroom.core cimport scheduler as _scheduler
from greenroom.core cimport task as _task
from greenroom.core.operation cimport Operation
from greenroom.core.scheduler cimport Scheduler
from greenroom.core.task cimport Stepper, Task


cdef double FOREVER


cdef class Failed(Operation):
    cdef object error


@cython.locals(stepper=GeneratorStepper)
cpdef Task spawn(object generator, object name, object context)
cdef object _problem(object generator)


cdef class GeneratorStepper(Stepper):
    cdef object generator
    cdef Operation waited
    cdef double deadline
    cdef bint fresh

    @cython.locals(scheduler=Scheduler)
    cpdef step(self, Task task)
    @cython.locals(waited=Operation)
    cdef object send_outcome(self, Scheduler scheduler, Task task)
    cdef bint begin(self, Scheduler scheduler, Task task) except -1
    @cython.locals(waited=Operation)
    cdef begin_wait(self, Scheduler scheduler, Task task, object thing)
