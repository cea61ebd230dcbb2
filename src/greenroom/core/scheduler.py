"""The scheduler: one a thread, and no hub in the middle.                        layer: core

A task that has to wait takes the next ready task itself and switches straight to it: one switch.
With nothing ready it waits for I/O and timers on its own stack, and if what arrives is its own, it
returns without any switch at all. The whole loop is next_task(), poll() and idle_poll().

Carriers. Making a greenlet costs 40 times a spawn, so tasks are not greenlets: a carrier greenlet
runs task after task. A task that is NEW when its turn comes is run by the carrier that has just
finished another, or by an idle carrier, or by a new one. A greenlet inherits the recursion depth
and the place on the C stack of whoever starts it, so carriers started from tasks would nest, and
end in RecursionError after some hundred. The hub greenlet stands at a shallow place and exists to
start them; switches between carriers that exist never pass through it.

The traps between a user's code and the scheduler:

  spawn        make a task and append it to the ready queue
  enlist, wait the two halves of a park: stand in a queue; then let others run until woken
  park         both at once
  unpark       make a parked task ready, once; from any thread
  interrupt    make a task look at its scopes again: it was killed, or a scope was changed
  throw        raise an error in the wait of a task, or in its next one
  wait_fd      park until an fd is ready
  sleep_until  park until a deadline
  yield_now    let the others run first
  call_soon_threadsafe   run a function between two tasks; from any thread

One thing wakes a parked task: whoever finds it PARKED makes it RUNNABLE, takes it out of its queue,
voids its deadline and appends it to `ready`, in that order and without running foreign code
between. The second to come finds it RUNNABLE and does nothing. So a timeout, a kill and an event in
the same tick have one winner, and a lock handed to a task that is killed before it runs stays its
own.
"""

from __future__ import annotations

import atexit
import os
import sys
from _collections import deque
from contextvars import Context

from greenlet import greenlet

from greenroom import _config, _originals
from greenroom.core import arena, hooks, native, report
from greenroom.core import task as _task
from greenroom.core.atomic import atomic
from greenroom.core.poller import FdState, Poller
from greenroom.core.scope import Scope
from greenroom.core.task import Face, Stepper, Task, new_task
from greenroom.core.timers import FOREVER, Timed, TimerHeap
from greenroom.core.waitqueue import Waiter, WaitQueue
from greenroom.core.wakeup import WakeUp
from greenroom.errors import Cancelled, ClosedError, DeadlockError, TaskKilled, TooLateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

Backend: type[Poller]
if _config.POLLER == "selectors":
    from greenroom.core.selector import SelectorPoller as Backend
else:
    from greenroom.core.epoll import EpollPoller as Backend

POLL_INTERVAL = _config.POLL_INTERVAL
IO_BUDGET = _config.IO_BUDGET
IDLE_CARRIERS = _config.IDLE_CARRIERS
DEADLOCK_PAUSE = _config.DEADLOCK_PAUSE
DEADLOCK_PAUSES = _config.DEADLOCK_PAUSES
FREE_THREADED = _config.FREE_THREADED

# What follows belongs to all threads. It is changed under _lock, which is held for no longer than
# that and around no foreign code. Re-entrant: a finalizer may end a thread's scheduler in between.
_lock = _originals.atomic_lock

# Every scheduler that is in use, for what concerns them all: a closed fd, a fork. Replaced, never
# changed, so that walking over it needs no lock. Read it by schedulers().
_schedulers: tuple[Scheduler, ...] = ()

# Real threads that wait for work from here, and so wake nobody of themselves (offload.py).
_pool_threads = 0


class RunQueue:
    """Tasks whose turn will come, first in, first out: a singly linked list through task.next."""

    head: Task | None
    tail: Task | None

    def __init__(self) -> None:
        self.head = self.tail = None

    def append(self, task: Task) -> None:
        """Let task be the last."""
        if self.tail is None:
            self.head = task
        else:
            self.tail.next = task
        self.tail = task

    def popleft(self) -> Task | None:
        """Take out and return the first, or None."""
        task = self.head
        if task is not None:
            self.head = task.next
            if self.head is None:
                self.tail = None
            else:
                task.next = None
        return task

    def tasks(self) -> list[Task]:
        """Return the tasks in order."""
        found = []
        task = self.head
        while task is not None:
            found.append(task)
            task = task.next
        return found


class Scheduler:
    """The tasks of one OS thread. Use get(); the public functions call it for you.

    current   the task that runs, or that is just leaving
    main      the code that was running when the scheduler was made
    ready     tasks whose turn will come: NEW and RUNNABLE ones
    clock     None, or a stand-in for the time (testing.VirtualClock)
    time      what now() was at the last look at timers and I/O: to ask at each wait is too dear
    idle      carriers (greenlets) without a task, the last used last: its memory is still warm
    newest    the head of the list of all tasks alive, linked by task.older and task.newer. It keeps
              every parked task alive: a suspended greenlet that the garbage collector finds would
              be killed by it, in the middle of anything
    inbox     from other threads: a Task to make ready, or (fn, args) to call
    sleeping  the poller waits, so whoever adds to inbox must wake it
    in_poll   the loop runs between two tasks; nothing called from here may wait
    ticks     switches left until the next look at timers and I/O
    budget    I/O operations that may still succeed at once before the task must let others run
    io_waits  tasks parked on an fd
    external  waits that another thread will end (offloaded calls)
    loops     callers of run_forever(): any thread or signal may have something for them to do
    live      tasks spawned and not yet ended
    in_run    main is inside run()
    suspicions how often in a row a deadlock was not reported, for a thread may be about to begin
    face      what the thread looks like now: the face of the task that runs, None for most
    main_owner what tells main as an owner of locks: the thread's number, or after a fork the task
    """

    current: Task
    main: Task
    ready: RunQueue
    timers: TimerHeap
    poller: Poller
    wakeup: WakeUp
    clock: Any
    time: float
    hub: Any
    idle: list[Any]
    newest: Task | None
    inbox: deque[Any]
    sleeping: bool
    in_poll: bool
    ticks: int
    budget: int
    io_waits: int
    external: int
    loops: int
    spawned: int
    live: int
    thread: int
    debug: bool
    scratch: Any
    interrupted: bool
    in_run: bool
    suspicions: int
    face: Face | None
    main_owner: object

    def __init__(self) -> None:
        self.ready = RunQueue()
        self.timers = TimerHeap()
        self.wakeup = WakeUp()
        self.poller = Backend(self.wakeup.fd)
        self.clock = None
        self.time = native.monotonic()
        self.idle = []
        self.newest = None
        self.inbox = deque()
        self.sleeping = self.in_poll = self.interrupted = self.in_run = False
        self.ticks = POLL_INTERVAL
        self.budget = IO_BUDGET
        self.io_waits = self.external = self.loops = self.spawned = self.live = 0
        self.suspicions = 0
        self.thread = _originals.get_ident()
        self.debug = _config.DEBUG
        self.scratch = None
        self.face = None
        # The context of main is the thread's own; the copy here is never entered.
        self.main = new_task(self, None, (), "main", None)
        native.track(self.main.context)
        native.track(self.main)  # so that the scheduler of a thread that has ended can be collected
        self.main_owner = self.thread
        self.main.state = _task.RUNNABLE
        self.main.greenlet = native.current_greenlet()
        self.current = self.main
        arena.install()
        root = native.current_greenlet()
        while root.parent is not None:
            root = root.parent
        self.hub = greenlet(hub_main, root)
        self.hub.switch(self)

    def here(self) -> Scheduler:
        """Return the scheduler of the calling thread."""
        return get()

    # --- time

    def now(self) -> float:
        """Return the time on the scheduler's clock in seconds; only differences mean something."""
        if self.clock is None:
            return native.monotonic()
        now: float = self.clock.now()
        return now

    def deadline_after(self, timeout: float | None) -> float:
        """Return the deadline that is timeout seconds away; None and inf are FOREVER."""
        if timeout is None:
            return FOREVER
        try:
            seconds = float(timeout)
        except (TypeError, ValueError):
            raise TypeError(f"a timeout is a number of seconds or None, not {timeout!r}") from None
        if seconds != seconds:
            raise ValueError("a timeout is a number of seconds or None, not nan")
        return self.now() + max(seconds, 0.0)

    # --- the traps

    def spawn(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        name: str | None = None,
        context: Context | None = None,
    ) -> Task:
        """Make a task that will call fn(*args), and append it to the ready queue.

        Raises RuntimeError in another thread than the scheduler's own.
        """
        if not native.is_thread_scheduler(self):
            raise RuntimeError(
                f"cannot spawn {fn!r} in the scheduler of thread {self.thread} from thread "
                f"{_originals.get_ident()}: use its call_soon_threadsafe()"
            )
        self.spawned += 1
        task = new_task(self, fn, args, fn if name is None else name, context)
        if name is None:
            task.number = self.spawned
        self.link(task)
        self.ready.append(task)
        return task

    def link(self, task: Task) -> None:
        """Count task among those alive, and keep it so."""
        self.live += 1
        task.older = self.newest
        if task.older is not None:
            task.older.newer = task
        self.newest = task

    def unlink(self, task: Task) -> None:
        """Forget task: it has ended, or somebody else keeps it."""
        self.live -= 1
        if task.newer is None:
            self.newest = task.older
        else:
            task.newer.older = task.older
        if task.older is not None:
            task.older.newer = task.newer
        task.older = task.newer = None

    def enlist(self, queue: WaitQueue | None, reason: object, deadline: float) -> None:
        """Stand in queue: the first half of a park. Only wait() may follow.

        Raises what interrupts the task: it then stands in no queue.
        """
        task = self.current
        if task.state != _task.RUNNABLE or self.in_poll:
            raise RuntimeError(
                f"cannot wait for {report.describe(reason)} here: this runs between two tasks "
                "(a callback, a finalizer or a signal handler); spawn a task for it"
            )
        if task is self.main and native.is_finalizing():  # only main runs then
            raise TooLateError(
                f"cannot wait for {report.describe(reason)} at interpreter shutdown: no other task "
                "runs any more"
            )
        if task.attention:
            task.own_deadline = deadline
            deadline = self.before_wait(task, deadline)
        task.reason = reason
        task.since = self.time
        task.state = _task.PARKED
        if queue is not None:
            queue.append(task)
        if deadline != FOREVER:
            self.timers.set(task, deadline)

    def wait(self) -> bool:
        """Let others run until the enlisted task is woken: the second half of a park.

        Returns True when it was woken, False when its deadline came first. Raises what interrupts
        it.
        """
        task = self.current
        self.switch_out(task)
        return self.end_wait(task)

    def end_wait(self, task: Task) -> bool:
        """Say how the wait of task, which has its turn again, has ended: see wait()."""
        task.reason = None
        if task.waits_io:
            task.waits_io = False
            self.io_waits -= 1
        if task.error is not None:
            error = task.error
            task.error = None
            task.timed_out = False
            raise error
        if task.timed_out:
            task.timed_out = False
            if task.attention:
                self.before_wait(task, FOREVER)
            return False
        return True

    def spawn_stepper(
        self, thing: Any, stepper: Stepper, name: str | None, context: Context | None
    ) -> Task:
        """Make a task without a stack: stepper runs thing, which gives the task its name."""
        task = self.spawn(thing, (), name, context)
        task.stepper = stepper
        return task

    def park(self, queue: WaitQueue | None, reason: object, deadline: float) -> bool:
        """Wait in queue until woken (True) or until deadline (False)."""
        self.enlist(queue, reason, deadline)
        return self.wait()

    def yield_now(self) -> None:
        """Let every task that is ready run before this one goes on."""
        task = self.current
        if task.state != _task.RUNNABLE or self.in_poll:
            raise RuntimeError("cannot let others run here: this runs between two tasks")
        if task.attention:
            self.before_wait(task, FOREVER)
        if task is self.main and native.is_finalizing():
            return
        if self.ready.head is None and self.ticks > 0:
            self.ticks -= 1  # nobody to let run, and not yet time to look for some
            return
        self.ready.append(task)
        self.switch_out(task)

    def sleep_until(self, deadline: float) -> None:
        """Park until deadline."""
        if self.current is self.main and native.is_finalizing():
            self.wait_alone(-1, False, deadline)
            return
        self.enlist(None, "a sleep", deadline)
        self.wait()

    def wait_fd(self, fd: int, write: bool, deadline: float, level: bool) -> bool:
        """Park until fd is ready to read (or write); False: the deadline came first.

        May wake early: try the system call again in a loop. `level` as in poller.py.
        """
        return self.wait_state(self.poller.state(fd), write, deadline, level)

    def wait_state(self, state: FdState, write: bool, deadline: float, level: bool) -> bool:
        """wait_fd() for a caller that has the FdState."""
        if self.current is self.main and native.is_finalizing():
            return self.wait_alone(state.fd, write, deadline)
        self.enlist(state.writers if write else state.readers, state, deadline)
        self.io_waits += 1
        self.current.waits_io = True
        if level or not state.registered or state.interest >= 0:
            self.arm(state, write, level)
        return self.wait()

    def wait_alone(self, fd: int, write: bool, deadline: float) -> bool:
        """Block the thread until fd (-1: nothing) is ready or until deadline.

        At interpreter shutdown: a finalizer may still say goodbye to a server, but no other task
        may run any more, as no other thread does.
        """
        timeout_ms = None if deadline == FOREVER else max(0.0, deadline - self.now()) * 1000
        poll = _originals.select_poll()
        if fd >= 0:
            poll.register(fd, _originals.POLLOUT if write else _originals.POLLIN)
        return bool(poll.poll(timeout_ms))

    def arm(self, state: FdState, write: bool, level: bool) -> None:
        """Have the poller watch an fd that the current task stands at; its wait raises errors."""
        try:
            self.poller.arm(state, write, level)
            self.take_woken()  # an fd that is always ready wakes the task at once
        except BaseException as error:
            fail(self.current, error)

    def spend_budget(self) -> None:
        """Count an operation that may not have to wait; let others run after too many.

        To be called before the operation: this may raise what cancels the task, and what an
        operation has brought must reach the caller.
        """
        self.budget -= 1
        if self.budget <= 0:
            self.budget = IO_BUDGET
            if self.current.state == _task.RUNNABLE and not self.in_poll:
                self.yield_now()

    def interrupt(self, task: Task) -> None:
        """Let a task look again if it waits: it was killed, or one of its scopes changed.

        Callable from any thread, after the change.
        """
        if task.state != _task.PARKED and (task.state != _task.NEW or task.face is None):
            return
        if not native.is_thread_scheduler(self):
            self.post((self.interrupt, (task,)))
            return
        if task.state == _task.NEW:
            expire(task)
            return
        deadline = self.nearest_deadline(task, task.own_deadline)
        if deadline < 0.0:
            expire(task)
        elif deadline == FOREVER:
            self.timers.cancel(task)
        elif deadline != task.deadline:
            self.timers.set(task, deadline)

    def keep_interruption(self, task: Task) -> None:
        """Let what has woken task be raised, though its scopes are about to change before it runs.

        Else its wait, which is over, would return as if its own deadline had come.
        """
        if task.state == _task.RUNNABLE and task.timed_out and task.error is None:
            task.error = self.interruption(task)

    def throw(self, task: Task, error: BaseException) -> None:
        """Raise error in the wait the task is in, or else in its next one outside a shield."""
        if task.state == _task.PARKED and not shielded(task):
            task.error = error
            unpark(task)
        elif task.state != _task.DONE and task.error is not error:  # else it is on its way already
            if task.pending is None:
                task.pending = error
            elif task.pending is not error:
                task.pending.add_note(f"and, before it was raised: {error!r}")
            task.attention = True

    def call_soon_threadsafe(self, fn: Callable[..., object], *args: Any) -> None:
        """Call fn(*args) between two tasks of this scheduler. Callable from any thread.

        fn must not wait. What it raises is logged.
        """
        self.post((fn, args))

    def post(self, message: Any) -> None:
        """Put a Task, or (fn, args), into the inbox; wake the scheduler if it sleeps."""
        self.inbox.append(message)
        if self.sleeping:
            self.wakeup.notify()

    # --- cancelling

    def before_wait(self, task: Task, deadline: float) -> float:
        """Raise what interrupts task, or return the nearest of deadline and its scopes' ones."""
        deadline = self.nearest_deadline(task, deadline)
        if deadline < 0.0:
            error = self.interruption(task)
            if error is not None:
                raise error
        return deadline

    def nearest_deadline(self, task: Task, deadline: float) -> float:
        """Return the nearest of deadline and the deadlines of task's scopes; -1.0: interrupted."""
        now = -1.0
        over = False
        scope = task.scope
        while scope is not None:
            if scope.cancelled:
                over = True
            elif scope.ends != FOREVER:
                if now < 0.0:
                    now = self.now()
                if scope.ends <= now:
                    over = True
                elif scope.ends < deadline:
                    deadline = scope.ends
            if scope.shields:
                return -1.0 if over else deadline
            scope = scope.parent
        if over or task.killed or task.pending is not None:
            return -1.0
        return deadline

    def interruption(self, task: Task) -> BaseException | None:
        """Return what a wait of task is to raise: for the outermost reason; None if there is none.

        A pending error is taken: it is raised once.
        """
        scope = task.scope
        while scope is not None and not scope.shields:
            scope = scope.parent
        if scope is None:  # no shield keeps off what comes from outside
            if task.pending is not None:
                pending = task.pending
                task.pending = None
                task.attention = task.killed or task.scope is not None
                return pending
            if task.killed:
                return Cancelled(f"{task.name} was killed")
        outermost = self.outermost_over(task)
        if outermost is None:
            return None
        error: BaseException = outermost.make_error(task)
        return error

    def outermost_over(self, task: Task) -> Scope | None:
        """Return the outermost scope, up to the first shield, that is cancelled or past its end."""
        outermost = None
        scope = task.scope
        while scope is not None:
            if scope.cancelled or scope.ends <= self.now():
                outermost = scope
            if scope.shields:
                break
            scope = scope.parent
        return outermost

    # --- the loop

    def switch_out(self, task: Task) -> None:
        """Run others until task, which is ready or parked, has its turn again."""
        task.greenlet = native.current_greenlet()
        if task.face is not None:
            task.face.suspend(task)
        if self.debug:
            self.check()
        self.next_task()
        if self.current is not task:
            # No reference to the next task is kept here: it may end long before this one goes on.
            if self.current.greenlet is None:
                native.switch(self.free_carrier())
            else:
                native.switch(self.current.greenlet)
            while self.current is not task:
                # Not the scheduler, but a raw greenlet of the running task's came here: its parent
                # was this one, or somebody called switch() on it. Send it back.
                native.switch(self.current.greenlet)
        self.budget = IO_BUDGET
        if task.face is not None:
            task.face.resume(task)
        if task.pending is not None and task is self.main:
            self.interrupt_again(task)

    def interrupt_again(self, main: Task) -> None:
        """Ctrl-C came when main had been woken and not yet run: let the signal's handler run again.

        It will find main running, and raise where main's wait has returned to, which may be long
        before the next wait.
        """
        # With an error of its own to raise, be it from a second Ctrl-C, it is interrupted already.
        if isinstance(main.pending, KeyboardInterrupt) and not main.error and not shielded(main):
            main.pending = None
            main.attention = main.killed or main.scope is not None
            _originals.interrupt_main()

    def free_carrier(self) -> Any:
        """Return the greenlet that will run a NEW task: an idle carrier, or the hub to make one."""
        return self.idle.pop() if self.idle else self.hub

    def next_task(self) -> None:
        """Make the next ready task the current one, waiting until there is one."""
        self.ticks -= 1
        while self.ticks < 0 or self.ready.head is None:
            self.poll()
        self.current = self.ready.popleft()  # type: ignore[assignment]
        if self.current.face is not self.face:
            self.change_face()

    def change_face(self) -> None:
        """Put on the face of the current task."""
        if self.face is not None:
            self.face.take_off()
        self.face = self.current.face
        if self.face is not None:
            self.face.put_on()

    def poll(self) -> None:
        """Make ready what came due: messages, timers, I/O. Waits if that leaves nothing ready."""
        self.ticks = POLL_INTERVAL
        self.in_poll = True
        try:
            if self.inbox:
                self.take_messages()
            deadline = FOREVER
            looked = False
            self.time = self.now()
            if self.timers.heap:
                deadline = self.timers.next_deadline()
                if deadline <= self.time:
                    # I/O first: what came in time is not late because this thread was held up.
                    if self.io_waits:
                        self.look_at_fds()
                        looked = True
                    self.fire_timers(self.time)
                    deadline = self.timers.next_deadline()
            if self.ready.head is None:
                self.idle_poll(deadline)
            elif self.io_waits and not looked:
                self.look_at_fds()
        except BaseException as error:
            # Not the fault of the task on whose stack this runs.
            self.sleeping = False
            self.throw(self.main, error)
        finally:
            self.in_poll = False

    def idle_poll(self, deadline: float) -> None:
        """Wait for I/O, another thread or a signal, at most until deadline."""
        main = self.main
        if main.pending is not None and main.state == _task.PARKED and not shielded(main):
            error, main.pending = main.pending, None
            self.throw(main, error)  # it came while main was just parking
            return
        deadlock = deadline == FOREVER and not (self.io_waits or self.external)
        deadlock = deadlock and self.is_deadlock()
        self.sleeping = True
        if self.inbox:
            timeout = 0.0
        elif deadlock:
            timeout = DEADLOCK_PAUSE
        elif deadline == FOREVER:
            timeout = FOREVER
        elif self.clock is None:
            timeout = max(deadline - self.now(), 0.0)
        else:
            timeout = self.clock.idle(deadline, self.external)
        signalled = self.poller.poll(timeout)
        self.sleeping = False
        self.time = self.now()
        self.take_woken()
        if self.poller.wake_seen:
            self.poller.wake_seen = False
            signalled = native.drain(self.poller.wake_fd) or signalled
        if signalled:
            self.spawn(run_signal_handlers, (self,), "signal-handlers")
        elif self.clock is not None and deadline != FOREVER and not (self.inbox or self.external):
            self.clock.passed(deadline, self.ready.head is None)
        if deadlock:
            self.suspect_deadlock()

    def look_at_fds(self) -> None:
        """Make ready whose fds are ready, without waiting."""
        self.poller.poll(0.0)
        self.take_woken()

    def look(self) -> None:
        """Make ready whose fds are ready and whose time has come, on behalf of the current task."""
        if self.in_poll:
            return
        self.in_poll = True
        try:
            self.time = self.now()
            if self.io_waits:
                self.look_at_fds()
            self.fire_timers(self.time)
        except BaseException as error:
            self.throw(self.main, error)  # as in poll()
        finally:
            self.in_poll = False

    def fire_timers(self, now: float) -> None:
        """Make ready every task whose deadline has come."""
        while True:
            timed = self.timers.pop_due(now)
            if timed is None:
                return
            if isinstance(timed, Task):
                expire(timed)
            else:
                timed.expired()

    def take_woken(self) -> None:
        """Make ready the tasks that the poller took from their fds."""
        while True:
            waiter = self.poller.woken.popleft()
            if waiter is None:
                return
            wake(waiter)

    def take_messages(self) -> None:
        """Do what other threads asked for."""
        for _ in range(len(self.inbox)):
            message = self.inbox.popleft()
            if isinstance(message, Task):
                self.ready.append(message)
                continue
            fn, args = message
            try:
                fn(*args)
            except Exception as error:
                hooks.log_error(f"{fn!r}, called from another thread, failed", error)

    # --- carriers

    def run_task(self, task: Task) -> None:
        """Call the task's function, and settle what came of it."""
        task.state = _task.RUNNABLE
        outcome = native.call_in_context(task.context, task.fn, task.args)
        if native.is_coroutine(outcome):  # fn is an `async def`: it has not begun
            outcome = native.call_in_context(task.context, hooks.await_coroutine, (outcome,))
        self.settle(task, outcome, native.take_error())

    def run_step(self, task: Task) -> None:
        """Let a task without a stack run up to its next wait."""
        stepper = task.stepper  # held here: the step may be its last
        stepper.step(task)
        task.greenlet = None

    def settle(self, task: Task, outcome: Any, failure: BaseException | None) -> None:
        """End a task whose function has returned or raised."""
        if failure is not None:
            failure = self.judge(task, failure)
        self.finish(task, outcome, failure)
        if not native.is_thread_scheduler(self):
            end_forked_child(task)

    def finish_unrun(self) -> None:
        """End the current task, which was killed before it ran."""
        task = self.current
        self.finish(task, None, TaskKilled(f"{task.name} was killed before it ran"))

    def finish_between_steps(self, task: Task) -> None:
        """End a task that was killed, is not linked, and has a step that has just ended."""
        self.end(task, None, TaskKilled(f"{task.name} was killed"))

    def judge(self, task: Task, error: BaseException) -> BaseException:
        """Decide what the error means that ended task; log it if nobody will ask for it."""
        task.push_scope(Scope(FOREVER, True))  # a log handler may wait, even of a killed task
        if isinstance(error, Cancelled):
            why = "was killed"
            if task.home is not None and error.scope is task.home:
                task.killed = True
                why = "was cancelled with its group"
            if task.killed:
                killed = TaskKilled(f"{task.name} {why}")
                killed.__cause__ = error
                return killed
        if task.home is not None:
            return error  # its group raises it
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            self.throw(self.main, error)
        elif not task.observed:
            try:
                hooks.task_failed(task, error)
            except BaseException as failed:  # foreign code: logging handlers, repr
                self.throw(self.main, failed)
        return error

    def finish(self, task: Task, outcome: Any, failure: BaseException | None) -> None:
        """Settle a task and wake those who wait for it. Foreign code comes last, and guarded."""
        self.unlink(task)
        self.end(task, outcome, failure)

    def end(self, task: Task, outcome: Any, failure: BaseException | None) -> None:
        """finish() for a task that is not linked."""
        task.value = outcome
        task.error = failure
        self.wake_joiners(task)
        native.track(task.context)  # its deallocator expects that
        task.fn = task.context = task.greenlet = task.scope = task.pending = None
        task.stepper = task.face = None
        task.args = None
        if task.number:  # the label is fn: do not keep alive what it is bound to
            task.label = native.name_of(task.label)
        if outcome is not None or failure is not None:
            native.track(task)  # from now on it may be part of a cycle
        if task.index >= 0:
            self.timers.remove(task)
        if task.locals is not None or task.callbacks is not None:
            callbacks = (task.locals or []) + (task.callbacks or [])
            task.locals = task.callbacks = None
            for fn in callbacks:
                task.call_back(fn)
        if task.home is not None:
            home = task.home
            task.home = None
            home.task_ended(task)

    def wake_joiners(self, task: Task) -> None:
        """Make task DONE and wake who waits for that: one step, as Task._done_or_enlist() is."""
        task.state = _task.DONE
        if task.joiners is not None:
            while (waiter := task.joiners.popleft()) is not None:
                wake(waiter)

    # --- looking at it

    def is_alone(self) -> bool:
        """Tell whether nothing but main can run or be woken: then it may as well block."""
        return (
            self.live == 0
            and self.current is self.main
            and not (self.main.attention or self.in_poll or self.inbox)
            and self.clock is None
            and len(schedulers()) == 1
            and _originals.thread_count() <= _pool_threads
        )

    def is_main_s_turn(self, frame: Any) -> bool:
        """Tell whether main's own code runs in frame, not this scheduler on its stack."""
        main = self.main
        if self.current is not main or main.state != _task.RUNNABLE or self.in_poll:
            return False
        return frame is None or not report.is_core_code(frame.f_code)

    def tasks(self) -> list[Task]:
        """Return every task that has not ended: main, then the others from old to new."""
        found = []
        task = self.newest
        while task is not None:
            found.append(task)
            task = task.older
        found.append(self.main)
        found.reverse()
        return found

    def is_deadlock(self) -> bool:
        """Tell whether nothing outside could wake anyone: no other thread, no signal handler."""
        if self.inbox or self.loops or len(schedulers()) > 1:
            return False
        if _originals.thread_count() > _pool_threads:
            return False
        signal = _originals.signal
        for number in signal.valid_signals():
            handler = signal.getsignal(number)
            if callable(handler) and handler not in (on_sigint, signal.default_int_handler):
                return False
        return True

    def suspect_deadlock(self) -> None:
        """Raise DeadlockError in main, unless a thread that was just started may show up.

        On a busy machine that takes its time. So while there are threads that the interpreter does
        not count, the loop comes here again; only so often, for a C library's are never counted.
        """
        if self.ready.head is not None or not self.is_deadlock():
            self.suspicions = 0
        elif self.suspicions < DEADLOCK_PAUSES and uncounted_threads():
            self.suspicions += 1
        else:
            self.suspicions = 0
            fail(self.main, DeadlockError(self.deadlock_text()))

    def deadlock_text(self) -> str:
        """Return the message of a DeadlockError."""
        parked = [task for task in self.tasks() if task.state == _task.PARKED]
        count = "1 task waits" if len(parked) == 1 else f"{len(parked)} tasks wait"
        lines = report.waiting(parked[:50])
        more = f"\n  and {len(parked) - 50} more" if len(parked) > 50 else ""
        return f"nothing can run: {count} and nothing is left to wake them\n{lines}{more}"

    def check(self) -> None:
        """Assert the invariants. O(tasks): only under GREENROOM_DEBUG."""
        ready = self.ready.tasks()
        assert len(set(map(id, ready))) == len(ready), "ready: a task stands there twice"
        for task in ready:
            assert task.queue is None, f"{task!r} is ready and in {task.queue!r}"
            assert task.state in (_task.NEW, _task.RUNNABLE), f"ready holds {task!r}"
        for task in self.tasks():
            assert task.state != _task.DONE, f"{task!r} is still on a carrier"
            queue = task.queue
            if queue is not None:
                assert task in queue.waiters(), f"{task!r} is not in the queue it names"
            case = task.cases
            assert case is None or task.state == _task.PARKED, f"{task!r} waits and does not"
            while case is not None:
                assert case.task is task, f"{case!r} does not stand for {task!r}"
                assert case.queue is None or case in case.queue.waiters(), f"{case!r} is lost"
                case = case.sibling
            if task.state == _task.PARKED:
                assert task not in ready, f"{task!r} is parked and ready"
        for place, timed in enumerate(self.timers.heap):
            assert timed.index == place, "timers: an entry does not know its place"
            if place:
                above = self.timers.heap[(place - 1) // 2]
                assert (above.key, above.key_seq) <= (timed.key, timed.key_seq), "timers: order"
            assert timed.key <= timed.deadline, "timers: filed too late"

    # --- fds and the end

    def drop_fd(self, fd: int, closer: str | None) -> None:
        """Forget fd; closer says who closes it, for those who still wait on it."""
        state = self.poller.drop(fd)
        if state is None:
            return
        for queue, way in ((state.readers, "read"), (state.writers, "write")):
            while queue.head is not None:
                error = ClosedError(f"cannot wait to {way} fd {fd}: it was closed by {closer}")
                if queue.head is not None:  # making the error ran Python code
                    fail(queue.head, error)

    def kill_all(self) -> None:
        """Kill every task but main and wait until their `finally` blocks have run."""
        shield = Scope(FOREVER, True)
        self.current.push_scope(shield)
        try:
            while self.live:
                tasks = [task for task in self.tasks() if task is not self.main]
                for task in tasks:
                    task.kill()
                for task in tasks:
                    task.join()
        finally:
            self.current.pop_scope(shield)

    def join_all(self) -> None:
        """Wait until every task but main has ended."""
        while self.live:
            for task in self.tasks():
                if task is not self.main:
                    task.join()

    def close_fds(self) -> None:
        """Give back the fds: all that can be done from a finalizer, which must not switch."""
        if replace_schedulers(self, None):
            self.poller.close()
            self.wakeup.close()

    def adopt_main(self, old: Scheduler) -> None:
        """After a fork: the task that forked, with its scopes, locals and locks, is main here."""
        task = old.current
        self.main = self.current = task
        self.main_owner = old.main_owner if task is old.main else task
        task.scheduler = self
        if task.index >= 0:  # a deadline that no longer counts: timers are lazy
            old.timers.remove(task)
        task.pending = task.face = None
        task.killed = False
        task.attention = task.scope is not None
        native.track(task)

    def abandon(self, survivor: Task | None) -> None:
        """The thread has ended, or is not there after a fork: its tasks will never run again.

        Take them out of the queues they stand in, lest they be handed what others wait for.
        """
        for task in self.tasks():
            if task is not survivor and task.state != _task.DONE:
                if task.queue is not None:
                    task.queue.remove(task)
                withdraw(task)
                task.state = _task.DONE


def hub_main(scheduler: Scheduler) -> None:
    """The hub: start carriers, and pass the turn on when one ends."""
    native.link_frames()
    native.switch(scheduler.main.greenlet)
    while True:
        if scheduler.current.greenlet is not None:
            native.switch(scheduler.current.greenlet)
            continue
        try:
            carrier = greenlet(carrier_main, scheduler.hub)
            native.switch(carrier)
        except BaseException as error:  # MemoryError, for one
            if scheduler.current.state == _task.NEW:
                scheduler.finish(scheduler.current, None, error)
            scheduler.throw(scheduler.main, error)
            scheduler.next_task()
        carrier = None


def carrier_main() -> None:
    """A carrier: run the current task, then whatever is NEW; wait in idle otherwise.

    A function, not a method, and no bigger than this: its C frames lie below every parked task.
    """
    scheduler = get()
    me = native.current_greenlet()
    native.link_frames()
    native.untrack_greenlet(me)
    while True:
        if scheduler.current.greenlet is not None:
            # A raw greenlet of the user's has ended, and its parent was this carrier's last task.
            native.switch(scheduler.current.greenlet)
            continue
        scheduler.current.greenlet = me
        if scheduler.current.stepper is not None:
            scheduler.run_step(scheduler.current)
        elif scheduler.current.killed:
            scheduler.finish_unrun()
        else:
            scheduler.run_task(scheduler.current)
        scheduler.next_task()
        if scheduler.current.greenlet is None:
            continue
        if len(scheduler.idle) >= IDLE_CARRIERS:
            native.track_greenlet(me)
            return  # the hub takes over
        scheduler.idle.append(me)
        native.switch(scheduler.current.greenlet)


def shielded(task: Task) -> bool:
    """Tell whether a shield keeps outer cancellation from the task's waits."""
    scope = task.scope
    while scope is not None:
        if scope.cancelled:
            return False
        if scope.shields:
            return True
        scope = scope.parent
    return False


def get() -> Scheduler:
    """Return the scheduler of this OS thread, made on first use."""
    scheduler = native.thread_scheduler()
    if scheduler is None:
        scheduler = _make()
    return scheduler  # type: ignore[no-any-return]


def can_wait() -> bool:
    """Tell whether the calling code may park: it is a task's, and does not run between two tasks.

    False in an OS thread that has no scheduler: nothing there would run meanwhile.
    """
    scheduler = native.thread_scheduler()
    if scheduler is None:
        return False
    return scheduler.current.state == _task.RUNNABLE and not scheduler.in_poll


def unpark(task: Task) -> bool:
    """Make a parked task ready. Returns False, and does nothing, if it is not parked (any more).

    Callable from any thread; a task of another thread goes through that one's inbox.
    """
    # INVARIANT one-winner: the state is the token. Nothing between here and the append runs foreign
    #   code or lets another thread in (compiled: no GIL switch point; uncompiled: atomic(), below).
    # Checked by: test_timer_and_event_in_one_tick_wake_once, test_kill_and_release_in_one_tick.
    if task.state != _task.PARKED:
        return False
    task.state = _task.RUNNABLE
    if task.queue is not None:
        task.queue.remove(task)
    elif task.cases is not None:
        withdraw(task)
    task.deadline = FOREVER
    owner = task.scheduler
    if native.is_thread_scheduler(owner):
        owner.ready.append(task)
    else:
        owner.post(task)
    return True


def withdraw(task: Task) -> None:
    """Take the operations of which task waited for one out of their queues."""
    case = task.cases
    task.cases = None
    while case is not None:
        if case.queue is not None:
            case.queue.remove(case)
        case.task = None
        following = case.sibling
        case.sibling = None
        case = following


def claim(waiter: Waiter) -> Task | None:
    """The first half of wake(), for who must run foreign code before the second, deliver().

    The first of a queue: it leaves it, so that nobody else can wake it, and its task does not run
    yet. Returns the task, None: it has none but a listener.
    """
    if isinstance(waiter, Task):
        task = waiter
    else:
        case: Any = waiter
        task = case.task
        if task is None:
            case.queue.remove(case)
            return None
        task.value = case
    task.state = _task.RUNNABLE
    if task.queue is not None:
        task.queue.remove(task)
    withdraw(task)
    task.deadline = FOREVER
    return task


def deliver(waiter: Waiter, task: Task | None, error: BaseException | None) -> None:
    """Make a claimed waiter's task ready; its wait raises error, if that is one."""
    if task is None:
        if error is not None:
            waiter.failed(error)
        else:
            waiter.woken()
        return
    task.error = error
    owner = task.scheduler
    if native.is_thread_scheduler(owner):
        owner.ready.append(task)
    else:
        owner.post(task)


def wake(waiter: Waiter) -> bool:
    """Make ready whoever waits as waiter: a task, or one with several operations.

    Returns False, and does nothing, if that is a task which is not parked (any more).
    """
    if isinstance(waiter, Task):
        return unpark(waiter)
    waiter.woken()
    return True


def fail(waiter: Waiter, error: BaseException) -> None:
    """Make a parked task ready; its wait raises error."""
    if isinstance(waiter, Task):
        task = waiter
        if task.state == _task.PARKED:
            task.error = error
            unpark(task)
    else:
        waiter.failed(error)


def expire(waiter: Timed) -> None:
    """Make a parked task ready; its wait ends as at its deadline."""
    if isinstance(waiter, Task):
        task = waiter
        if task.state == _task.PARKED:
            task.timed_out = True
            unpark(task)
        elif task.state == _task.NEW and task.face is not None:
            task.face.look(task)


def current_owner() -> object:
    """Return what tells the caller from others as an owner of locks.

    The task; or the thread's number for code outside any task, be there a scheduler yet or not.
    """
    scheduler = native.thread_scheduler()
    if scheduler is None:
        return _originals.get_ident()
    if scheduler.current is scheduler.main:
        return scheduler.main_owner
    return scheduler.current


def current_face() -> Face | None:
    """Return the face of the running task, None for most and outside any."""
    scheduler = native.thread_scheduler()
    return None if scheduler is None else scheduler.current.face


def wake_first(queue: WaitQueue) -> bool:
    """Make the first task of queue ready. Returns False if there is none."""
    if queue is None:
        raise TypeError("cannot wake anyone in None: was __init__ of the base class called?")
    waiter = queue.head
    if waiter is None:
        return False
    wake(waiter)
    return True


def closing_fd(fd: int) -> None:
    """Tell every scheduler that fd is about to be closed: who waits on it gets a ClosedError."""
    closer = None
    for scheduler in schedulers():
        if fd < len(scheduler.poller.states):
            state = scheduler.poller.states[fd]
            if state is None:
                continue
            if closer is None and (state.readers.count or state.writers.count):
                closer = _describe_caller()
            scheduler.drop_fd(fd, closer)


def closing_fds(low: int, high: int) -> None:
    """closing_fd() for each number from low up to, not with, high."""
    for scheduler in schedulers():
        for fd in range(max(low, 0), min(high, len(scheduler.poller.states))):
            if scheduler.poller.states[fd] is not None:
                closing_fd(fd)


def _describe_caller() -> str:
    scheduler = native.thread_scheduler()
    if scheduler is None:
        return f"thread {_originals.get_ident()}"
    return f"<Task {scheduler.current.name}> at {report.where(scheduler.current)}"


def new_fd(fd: int, known: bool = False) -> None:
    """Tell every scheduler that fd is a new file: what was known of the number is void.

    known   the number was given, not made by the kernel: those who wait on it may be right to,
            if it is still the file they wait for
    """
    for scheduler in schedulers():
        if fd < len(scheduler.poller.states):
            state = scheduler.poller.states[fd]
            if state is None:
                continue
            waited = state.readers.count or state.writers.count
            if not (known and waited and scheduler.poller.watches(state)):
                scheduler.drop_fd(fd, "code that greenroom did not see")


def thread_of(ident: int) -> int:
    """Return the OS thread that the task with this ident runs in; ident itself if there is none."""
    for scheduler in schedulers():
        for task in scheduler.tasks():
            if id(task) == ident:
                return scheduler.thread
    return ident


def is_here(scheduler: Scheduler) -> bool:
    """Tell whether scheduler is that of the calling OS thread."""
    return native.is_thread_scheduler(scheduler)


def schedulers() -> tuple[Scheduler, ...]:
    """Return every scheduler that is in use."""
    if not FREE_THREADED:
        return _schedulers
    with _lock:  # else, without a GIL, another thread could free the tuple before it is held here
        return _schedulers


def replace_schedulers(gone: Scheduler | None, new: Scheduler | None) -> bool:
    """Take one scheduler out of those in use, or put one in. Returns False if nothing changes."""
    global _schedulers
    with _lock:
        while True:
            before = _schedulers
            if gone is not None and gone not in before:
                return False
            after = tuple([one for one in before if one is not gone])
            if new is not None:
                after = (*after, new)
            if _schedulers is before:  # else a finalizer came here while the tuples were made
                _schedulers = after
                return True


def of_thread() -> Scheduler | None:
    """Return the calling OS thread's scheduler, None if it has not used one."""
    return native.thread_scheduler()  # type: ignore[no-any-return]


def in_use(scheduler: Scheduler) -> bool:
    """Tell whether the thread of scheduler, of this process, has not ended."""
    return scheduler in schedulers()


def add_pool_threads(count: int) -> None:
    """Say that so many real threads more only ever do what is asked of them here."""
    global _pool_threads
    with _lock:
        _pool_threads += count


def uncounted_threads() -> bool:
    """Tell whether the process has threads that the interpreter does not count, or not yet."""
    try:
        return len(os.listdir("/proc/self/task")) > 1 + _originals.thread_count()
    except OSError:
        return False  # no /proc


# --- a thread's beginning and end ---------------------------------------------------------------

_thread_locals = _originals.thread_local()
_main_scheduler: Scheduler | None = None
_hooked = False


class _ThreadEnd:
    """Lies in a thread's locals; when the thread ends, the scheduler's fds are closed.

    Other schedulers may wait for good, because this thread might have woken somebody: they look
    again whether that is a deadlock.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler: Scheduler | None = scheduler

    def __del__(self) -> None:
        scheduler = self.scheduler
        if scheduler is not None and not sys.is_finalizing():
            scheduler.close_fds()
            scheduler.abandon(None)
            for forget in scheduler.main.locals or ():
                forget(scheduler.main)
            for other in schedulers():
                other.post((_look_again, ()))


def _look_again() -> None:
    """Nothing to do but to wake up."""


def _make() -> Scheduler:
    """Make the scheduler of this thread."""
    global _main_scheduler, _hooked
    scheduler = Scheduler()
    replace_schedulers(None, scheduler)
    native.adopt_scheduler(scheduler)
    _thread_locals.end = _ThreadEnd(scheduler)
    with _lock:
        if not _hooked:
            _hooked = True
            atexit.register(_at_exit)
    try:
        if _originals.signal.getsignal(_originals.signal.SIGINT) in (
            _originals.signal.default_int_handler,
            on_sigint,
        ):
            _originals.signal.signal(_originals.signal.SIGINT, on_sigint)
    except ValueError:
        return scheduler  # not the main thread
    _main_scheduler = scheduler
    scheduler.wakeup.watch_signals()
    return scheduler


def on_sigint(signum: int, frame: Any) -> None:
    """Ctrl-C: KeyboardInterrupt in main, wherever it waits. A second one interrupts what runs."""
    scheduler = _main_scheduler
    if hooks.signal_came(signum):
        return
    if scheduler is None:
        raise KeyboardInterrupt
    scheduler.interrupted = True
    main = scheduler.main
    own_code = scheduler.in_poll or (frame is not None and report.is_own_code(frame.f_code))
    undelivered = isinstance(main.pending or main.error, KeyboardInterrupt)
    if (scheduler.current is main and not own_code) or undelivered:
        raise KeyboardInterrupt
    scheduler.throw(main, KeyboardInterrupt())


def call_handler(handler: Callable[[int, Any], object], signum: int, frame: Any) -> None:
    """Call a program's signal handler. What it raises is raised in main, whatever runs now."""
    scheduler = _main_scheduler
    if scheduler is None or scheduler.is_main_s_turn(frame):
        handler(signum, frame)
        return
    try:
        handler(signum, frame)
    except BaseException as error:
        if isinstance(error, Cancelled) and scheduler.current.attention:
            raise  # the handler waited, and the task it runs in was killed or timed out
        scheduler.throw(scheduler.main, error)


def run_signal_handlers(scheduler: Scheduler) -> None:
    """Run pending signal handlers, in a task: they may wait. What they raise is raised in main."""
    try:
        native.check_signals()
    except BaseException as error:
        if isinstance(error, Cancelled) and scheduler.current.killed:
            raise
        scheduler.throw(scheduler.main, error)


def _at_exit() -> None:
    """After Ctrl-C let every `finally` run; otherwise tasks end as daemon threads do."""
    scheduler = native.thread_scheduler()
    if scheduler is not None and scheduler.interrupted and scheduler.live:
        try:
            scheduler.kill_all()
        except KeyboardInterrupt:
            pass  # pressed again: enough


def _after_fork_in_child() -> None:
    """Give the child a fresh scheduler. The task that forked is its main; the others are not there.

    The old schedulers keep their greenlets, which must never run here. Their fds are closed, no
    more: an epoll_ctl would act on the parent's registrations, for the epoll instance is shared.
    """
    global _main_scheduler
    old = native.thread_scheduler()
    survivor = None
    if old is not None:
        survivor = old.current
        _thread_locals.end.scheduler = None  # the thread has not ended
    for scheduler in schedulers():
        scheduler.close_fds()
        scheduler.abandon(survivor)
    native.disown_scheduler()
    _main_scheduler = None
    _thread_locals.end = None
    if old is not None:
        fresh = get()
        fresh.clock = old.clock
        fresh.adopt_main(old)


# Here, and not when the first scheduler is made: before threading, whose own hook asks who is main.
os.register_at_fork(after_in_child=_after_fork_in_child)


def end_forked_child(task: Task) -> None:
    """End a child process whose main was a task: its function has returned, nothing is left."""
    status = 0
    error = task.exception
    if isinstance(error, SystemExit):
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        if status == 1 and error.code != 1:
            print(error.code, file=sys.stderr)
    elif error is not None:
        status = 1
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # nobody is left to tell
            pass
    os._exit(status)


atomic(globals(), "unpark", "withdraw", "claim", "wake", "fail", "expire", "wake_first")
atomic(Scheduler, "enlist", "interrupt", "throw", "wake_joiners")
