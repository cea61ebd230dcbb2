cimport cython

from greenroom.core cimport native
from greenroom.core cimport scheduler as _scheduler
from greenroom.core cimport task as _task
from greenroom.core.poller cimport FdState
from greenroom.core.scheduler cimport Scheduler
from greenroom.core.task cimport Face, Stepper, Task
from greenroom.core.timers cimport Timed
from greenroom.core.waitqueue cimport Waiter, WaitQueue


cdef object _set_running_loop, _current_task, _enter_task, _leave_task, _set_asyncgen_hooks, _get_asyncgen_hooks
cdef object _monotonic, _HERE, _STEP, _WAKEUP, _WAKEUP_NAME, _CancelledError


cdef object _owner_of(object callback)


cdef class LoopFace(Face):
    cdef readonly object loop
    cdef object firstiter, finalizer, outside
    cdef Py_ssize_t parks

    @cython.locals(handle=Handle, scheduler=Scheduler)
    cpdef suspend(self, Task task)
    @cython.locals(handle=Handle, scheduler=Scheduler)
    cpdef resume(self, Task task)
    @cython.locals(scheduler=Scheduler, deadline=double)
    cpdef look(self, Task task)


cdef class Handle(Stepper):
    cdef readonly Callbacks core
    cdef readonly object _callback
    cdef readonly tuple _args
    cdef readonly object _context
    cdef readonly bint _cancelled
    cdef readonly object owner
    cdef bint lasting
    cdef object suspended
    cdef Handle following
    cdef readonly object _when
    cdef Alarm alarm
    cdef public object _source_traceback
    cdef object __weakref__

    @cython.locals(core=Callbacks, scheduler=Scheduler, left=Scheduler, task=Task, before=Handle)
    cpdef schedule(self)
    cdef call(self, Task task)
    @cython.locals(core=Callbacks)
    cdef object call_timed(self, object callback, tuple args)
    cdef put_off(self)
    @cython.locals(core=Callbacks, scheduler=Scheduler, following=Handle)
    cdef end(self, Task task)
    @cython.locals(scheduler=Scheduler)
    cdef hand_over(self, Task task)
    cdef report(self, Task task, object error, str callback)


cdef class Alarm(Timed):
    cdef Handle handle
    cdef Scheduler scheduler

    cdef start(self, Scheduler scheduler)
    @cython.locals(handle=Handle)
    cdef stop(self)


cdef class WatchHandle(Handle):
    cdef Watcher watcher

    cdef put_off(self)


cdef class SocketHandle(WatchHandle):
    cdef Task task

    @cython.locals(scheduler=Scheduler)
    cpdef step(self, Task task)
    @cython.locals(core=Callbacks)
    cpdef schedule(self)


cdef class Watcher(Waiter):
    cdef WatchHandle handle
    cdef int fd
    cdef bint write, counted
    cdef Scheduler scheduler

    @cython.locals(scheduler=Scheduler, state=FdState, queue=WaitQueue, core=Callbacks)
    cpdef start(self)
    @cython.locals(scheduler=Scheduler, state=FdState)
    cpdef again(self)
    cdef count(self, bint counted)
    cpdef stop(self)
    cpdef start_again(self)
    @cython.locals(watchers=dict)
    cdef forget(self)


cdef class Callbacks:
    cdef readonly object loop
    cdef readonly LoopFace face
    cdef readonly Scheduler scheduler
    cdef readonly bint running
    cdef public bint closed
    cdef public bint debug
    cdef object pending
    cdef list alarms
    cdef Py_ssize_t armed
    cdef readonly dict watchers
    cdef readonly Task runner
    cdef object __weakref__

    @cython.locals(handle=Handle)
    cpdef Handle call_at(self, object when, object callback, tuple args, object context)
    @cython.locals(scheduler=Scheduler)
    cdef tell(self)
    @cython.locals(handle=Handle)
    cpdef take(self)
    @cython.locals(watcher=Watcher)
    cpdef start(self, Scheduler scheduler, Task runner)
    @cython.locals(watcher=Watcher, alarm=Alarm, handle=Handle)
    cpdef stop(self)
    @cython.locals(handle=WatchHandle, watcher=Watcher)
    cpdef Handle watch(self, int fd, bint write, object callback, tuple args, object context=*, bint edge=*)
    @cython.locals(watcher=Watcher)
    cpdef bint unwatch(self, int fd, bint write) except -1
    @cython.locals(watcher=Watcher)
    cpdef close(self)
