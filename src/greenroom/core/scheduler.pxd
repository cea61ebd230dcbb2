cimport cython

from greenroom.core cimport native
from greenroom.core cimport task as _task
from greenroom.core.poller cimport FdState, Poller
from greenroom.core.scope cimport Scope
from greenroom.core.task cimport Face, Stepper, Task, new_task
from greenroom.core.timers cimport Timed, TimerHeap
from greenroom.core.waitqueue cimport Case, Waiter, WaitQueue


cdef tuple _schedulers
cdef Py_ssize_t _pool_threads
cdef int POLL_INTERVAL, IO_BUDGET, IDLE_CARRIERS, DEADLOCK_PAUSES
cdef double FOREVER, DEADLOCK_PAUSE


@cython.final
cdef class RunQueue:
    cdef readonly Task head
    cdef readonly Task tail

    cpdef append(self, Task task)
    @cython.locals(task=Task)
    cpdef Task popleft(self)
    @cython.locals(task=Task)
    cpdef list tasks(self)


@cython.final
cdef class Scheduler:
    cdef readonly Task current
    cdef readonly Task main
    cdef readonly RunQueue ready
    cdef readonly TimerHeap timers
    cdef readonly Poller poller
    cdef readonly object wakeup
    cdef public object clock
    cdef public double time
    cdef object hub
    cdef list idle
    cdef Task newest
    cdef object inbox
    cdef bint sleeping
    cdef readonly bint in_poll
    cdef int ticks
    cdef public int budget
    cdef readonly Py_ssize_t io_waits
    cdef public Py_ssize_t external, loops
    cdef readonly long long spawned
    cdef readonly Py_ssize_t live
    cdef readonly long long thread
    cdef bint debug
    cdef public object scratch
    cdef public bint interrupted
    cdef public bint in_run
    cdef int suspicions
    cdef Face face
    cdef public object main_owner

    cpdef Scheduler here(self)
    cpdef double now(self) except? -1.0
    cpdef double deadline_after(self, object timeout) except? -1.0
    @cython.locals(task=Task)
    cpdef Task spawn(self, object fn, tuple args, object name=*, object context=*)
    @cython.locals(task=Task)
    cpdef enlist(self, WaitQueue queue, object reason, double deadline)
    @cython.locals(task=Task)
    cpdef bint wait(self) except -1
    cpdef bint end_wait(self, Task task) except -1
    @cython.locals(task=Task)
    cpdef Task spawn_stepper(self, object thing, Stepper stepper, object name, object context)
    cpdef bint park(self, WaitQueue queue, object reason, double deadline) except -1
    @cython.locals(task=Task)
    cpdef yield_now(self)
    cpdef sleep_until(self, double deadline)
    @cython.locals(state=FdState)
    cpdef bint wait_fd(self, int fd, bint write, double deadline, bint level) except -1
    cpdef bint wait_state(self, FdState state, bint write, double deadline, bint level) except -1
    cdef bint wait_alone(self, int fd, bint write, double deadline) except -1
    cpdef spend_budget(self)

    cdef double before_wait(self, Task task, double deadline) except? -1.0
    @cython.locals(scope=Scope, now=double, over=bint)
    cdef double nearest_deadline(self, Task task, double deadline) except? -1.0
    @cython.locals(outermost=Scope, scope=Scope)
    cdef object interruption(self, Task task)
    @cython.locals(outermost=Scope, scope=Scope)
    cpdef Scope outermost_over(self, Task task)
    cpdef keep_interruption(self, Task task)
    cdef switch_out(self, Task task)
    cdef interrupt_again(self, Task main)
    cdef object free_carrier(self)
    cpdef bint is_alone(self)
    @cython.locals(main=Task)
    cpdef bint is_main_s_turn(self, object frame) except -1
    cdef arm(self, FdState state, bint write, bint level)
    cdef next_task(self)
    cdef change_face(self)
    @cython.locals(deadline=double, looked=bint)
    cdef poll(self)
    @cython.locals(timeout=double, main=Task, deadlock=bint)
    cdef idle_poll(self, double deadline)
    cdef look_at_fds(self)
    @cython.locals(timed=Timed)
    cdef fire_timers(self, double now)
    @cython.locals(waiter=Waiter)
    cdef take_woken(self)
    cdef run_task(self, Task task)
    @cython.locals(stepper=Stepper)
    cdef run_step(self, Task task)
    cdef settle(self, Task task, object outcome, object failure)
    @cython.locals(waiter=Waiter)
    @cython.locals(task=Task)
    cdef finish_unrun(self)
    cdef finish_between_steps(self, Task task)
    @cython.locals(task=Task)
    cpdef adopt_main(self, Scheduler old)
    @cython.locals(task=Task)
    cpdef abandon(self, Task survivor)
    @cython.locals(task=Task, case=Case, timed=Timed, above=Timed, place=Py_ssize_t)
    cpdef check(self)
    @cython.locals(waiter=Waiter)
    cpdef wake_joiners(self, Task task)
    cdef link(self, Task task)
    cdef unlink(self, Task task)
    @cython.locals(home=Scope)
    cdef end(self, Task task, object outcome, object failure)
    cpdef finish(self, Task task, object outcome, object failure)
    @cython.locals(deadline=double)
    cpdef interrupt(self, Task task)
    cpdef post(self, object message)
    cpdef throw(self, Task task, object error)
    cpdef drop_fd(self, int fd, object closer)


cpdef hub_main(Scheduler scheduler)
@cython.locals(scheduler=Scheduler)
cpdef carrier_main()
@cython.locals(task=Task)
cpdef fail(Waiter waiter, object error)
@cython.locals(task=Task)
cpdef expire(Timed waiter)
@cython.locals(scheduler=Scheduler)
cpdef object current_owner()
@cython.locals(scheduler=Scheduler)
cpdef Face current_face()
cdef bint shielded(Task task)
cpdef add_pool_threads(Py_ssize_t count)
@cython.locals(scheduler=Scheduler, task=Task)
cpdef thread_of(object ident)
cpdef Scheduler get()
@cython.locals(scheduler=Scheduler)
cpdef bint can_wait() except -1
@cython.locals(owner=Scheduler)
cpdef bint unpark(Task task)
@cython.locals(case=Case, following=Case)
cpdef withdraw(Task task)
@cython.locals(task=Task, case=Case)
cpdef Task claim(Waiter waiter)
@cython.locals(owner=Scheduler)
cpdef deliver(Waiter waiter, Task task, object error)
cpdef bint wake(Waiter waiter) except -1
@cython.locals(waiter=Waiter)
cpdef bint wake_first(WaitQueue queue) except -1
@cython.locals(scheduler=Scheduler, state=FdState)
cpdef closing_fd(int fd)
@cython.locals(scheduler=Scheduler, state=FdState)
cpdef new_fd(int fd, bint known=*)
