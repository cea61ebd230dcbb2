"""Real threads for calls that cannot park.                                      layer: core

Two pools for the whole process, made on first use: the threads of a pool take jobs from one queue
and wake the task that asked. They are daemons: a process that ends does not wait for a look-up that
hangs.

  call            a small pool, for calls that end by themselves (a look-up): no more than so many
                  at once ask a server or the kernel
  call_unbounded  a pool that grows as needed, and whose idle threads end, for calls that may wait
                  for ever (the end of a child): in the small one, ten of these would let no
                  look-up run

A call may start tasks, as code does that starts threads where threading is patched. They belong to
the scheduler of the thread, which runs them while the call waits. If some are alive when the call
returns, the thread leaves the pool, runs them to their end and ends; another takes its place.

The threads block every signal: one that a program waits for with sigwait() must not end up here,
and none needs to interrupt these calls.
"""

from __future__ import annotations

import os
import warnings
from _collections import deque
from _weakref import ref

from greenroom import _config, _originals
from greenroom.core import scheduler as _scheduler
from greenroom.core.scope import Scope
from greenroom.core.timers import FOREVER
from greenroom.core.waitqueue import WaitQueue
from greenroom.errors import Cancelled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any


class Job:
    """One call, and the task that waits for it, unless it has given up.

    A task that is killed leaves. A call that has not begun is then taken back; one that has goes
    on, and counts as something that may still wake others until it ends; if it must_end, the task
    waits for that. list.pop() is atomic, so of two who pop one comes first.

    scheduler   of the task that waits
    must_end    a task that is cancelled does not leave a call that has begun
    left        a task has left, or waits for the end of, a call that has begun
    unclaimed   popped by the thread that makes the call, or by the task that takes it back
    partings    popped by the task that leaves and by the thread that has finished
    """

    __slots__ = (
        "args",
        "error",
        "fn",
        "left",
        "must_end",
        "partings",
        "result",
        "scheduler",
        "taken_back",
        "unclaimed",
        "waiter",
        "what",
    )

    def __init__(self, fn: Callable[..., Any], args: tuple[Any, ...], what: object = None) -> None:
        self.waiter = WaitQueue()
        self.fn = fn
        self.args = args
        self.result: Any = None
        self.error: BaseException | None = None
        self.what = f"{getattr(what or fn, '__name__', what or fn)}() in a thread"
        self.scheduler: _scheduler.Scheduler | None = None
        self.unclaimed = [True]
        self.partings = ["second", "first"]
        self.taken_back = self.must_end = False
        self.left = False

    @property
    def wait_reason(self) -> str:
        return self.what

    def claim(self) -> bool:
        """Return True, once: the caller has the call, to make it or to take it back."""
        try:
            return self.unclaimed.pop()
        except IndexError:
            return False

    def take_back(self) -> bool:
        """Return whether the call is not made, and never will be."""
        self.taken_back = self.claim() or self.taken_back
        return self.taken_back

    def part(self) -> bool:
        """Leave the job; True if the other side has left before."""
        return self.partings.pop() == "second"

    def uncount(self) -> None:
        """In the scheduler's thread: the call that the task was to leave has ended."""
        assert self.scheduler is not None
        self.scheduler.external -= 1
        self.left = False
        _scheduler.wake_first(self.waiter)

    def wait_for_end(self) -> None:
        """Wait until uncount(), whatever happens to the task."""
        assert self.scheduler is not None
        task = self.scheduler.current
        shield = Scope(FOREVER, True)
        task.push_scope(shield)
        try:
            while self.left:
                self.scheduler.park(self.waiter, self, FOREVER)
        finally:
            task.pop_scope(shield)


def _end() -> None:
    """The call that ends a thread of a pool."""


_locals = _originals.thread_local()


class _ThreadEnd:
    """Lies in the locals of a thread of a pool that ends, and goes when the thread is gone.

    That is, when the interpreter no longer counts it: were it taken from the pool's threads before,
    a deadlock in between would not be seen, for there would seem to be another thread.

    job   the one that asked for its end, if any
    """

    def __init__(self, pool: Offload, key: object, job: Job | None) -> None:
        self.pool = pool
        self.key = key
        self.job = job

    def __del__(self) -> None:
        self.pool.thread_ended(self.key, self.job)


_pools: list[ref[Offload]] = []


class Offload:
    """A pool of real threads.

    size    how many threads there may be, None = as many as there are calls at once; then one that
            has had nothing to do for a while ends
    """

    def __init__(self, size: int | None) -> None:
        self.size = size
        self.forget()
        _pools.append(ref(self, _pools.remove))

    def forget(self) -> None:
        """Begin without threads: when new, and in the child of a fork, which has none."""
        self._threads: set[object] = set()
        self._jobs: Any = _originals.SimpleQueue()
        # One entry for each thread without a job, taken by the call that will give it one. With a
        # bound there may be more entries than such threads; then there are no more to start anyway.
        self._free: deque[None] = deque()
        self._running: set[object] = set()
        self._closing = False

    def call(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Call fn(*args) in a real thread and return what it returns.

        Raises    what fn raises. When the task is killed or times out, a call that has begun goes
                  on, and what comes of it is dropped
        Switches  always
        """
        return self.run(Job(fn, args))

    def run(self, job: Job) -> Any:
        """Have a thread make the job's call; otherwise as call()."""
        scheduler = job.scheduler = _scheduler.get()
        if job.fn is not _end:
            self._provide_thread()
        try:
            scheduler.enlist(job.waiter, job, FOREVER)
        except BaseException:
            self._free.append(None)
            raise
        scheduler.external += 1
        try:
            self._jobs.put(job)
            if job.fn is _end and not self._threads:
                self._answer_enders()
            scheduler.wait()
        except BaseException as error:
            if job.take_back():
                scheduler.external -= 1
                raise
            job.left = True  # before part(): after it the call's end is on its way
            if job.part():
                job.left = False
                scheduler.external -= 1
            if not (job.must_end and isinstance(error, Cancelled)):
                raise
            job.wait_for_end()  # the next wait of the task raises again
        else:
            scheduler.external -= 1
        if job.error is not None:
            raise job.error
        return job.result

    def start(self, fn: Callable[..., Any], *args: Any) -> None:
        """Call fn(*args) in a real thread; nobody waits for it, and what it raises is dropped."""
        self._provide_thread()
        self._jobs.put(Job(fn, args))

    def _provide_thread(self) -> None:
        """See to it that a thread will take the next job, or that there are as many as may be."""
        try:
            self._free.pop()
        except IndexError:
            if self.size is None or len(self._threads) < self.size:
                self._start_thread()

    def _start_thread(self) -> None:
        key = object()
        self._threads.add(key)
        _scheduler.add_pool_threads(1)
        before = _sigmask(_originals.signal.SIG_BLOCK, _BLOCKED)
        try:
            _originals.start_new_thread(self._work, (key,))
        except BaseException:
            self._threads.discard(key)
            _scheduler.add_pool_threads(-1)
            raise
        finally:
            _sigmask(_originals.signal.SIG_SETMASK, before)

    def _work(self, key: object) -> None:
        """A thread of the pool. It inherits the signal mask."""
        while (job := self._next_job()) is not None and job.fn is not _end:
            if not job.claim():
                self._free.append(None)
                continue
            self._running.add(key)
            _locals.job = job
            try:
                job.result = job.fn(*job.args)
            except BaseException as error:
                job.error = error
            _locals.job = None
            self._running.discard(key)
            scheduler = self._retire(key)
            self._free.append(None)  # this thread, or the new one
            if job.part():
                assert job.scheduler is not None  # of the task that has left
                job.scheduler.call_soon_threadsafe(job.uncount)
            else:
                _scheduler.wake_first(job.waiter)
            del job
            if scheduler is not None:
                scheduler.join_all()
                return
        _locals.end = _ThreadEnd(self, key, job)

    def _retire(self, key: object) -> _scheduler.Scheduler | None:
        """Put a new thread in this one's place if the call has left tasks, which go on here.

        Returns   the scheduler of those tasks; None: there are no tasks, and the thread stays
        """
        scheduler = _scheduler.of_thread()
        if scheduler is None or not scheduler.live:
            return None
        try:
            self._start_thread()
        except RuntimeError:
            return None  # no thread can be started: they go on while the next call waits
        self._threads.discard(key)
        _scheduler.add_pool_threads(-1)
        return scheduler

    def thread_ended(self, key: object, job: Job | None) -> None:
        """Count a thread no longer, and wake who waits for its end."""
        _scheduler.add_pool_threads(-1)
        self._threads.discard(key)
        if job is not None:
            _scheduler.wake_first(job.waiter)
        if self._closing and not self._threads:
            self._answer_enders()

    def _answer_enders(self) -> None:
        """No thread is left to take what end_threads() still asks for: by two tasks, or twice.

        Whoever asks looks for threads after asking, and a thread that ends counts itself out before
        it looks here: so one of the two sees the other.
        """
        while True:
            try:
                job: Job = self._jobs.get(False)
            except _originals.Empty:
                return
            _scheduler.wake_first(job.waiter)

    def _next_job(self) -> Job | None:
        """Wait for a job; None: the pool has no bound, and nothing has come for a while."""
        while True:
            try:
                job: Job = self._jobs.get(True, None if self.size else _config.OFFLOAD_IDLE)
                return job
            except _originals.Empty:
                try:
                    self._free.pop()
                    return None
                except IndexError:
                    pass  # a call counts on this thread: its job is about to come

    def end_threads(self) -> None:
        """Let the threads finish what they were given, and wait until all have ended.

        Nothing more may be asked of them. One that was cut short may be called again.
        """
        self._closing = True
        while self._threads:
            self.run(Job(_end, (), "close"))

    def dismiss_threads(self) -> None:
        """As end_threads(), without waiting."""
        for _ in range(len(self._threads)):
            self._jobs.put(Job(_end, ()))

    @property
    def busy(self) -> int:
        """How many threads are inside a call."""
        return len(self._running)

    @property
    def queued(self) -> int:
        """How many calls no thread has begun; some may have been given up."""
        size: int = self._jobs.qsize()
        return size

    @property
    def threads(self) -> int:
        """How many threads there are."""
        return len(self._threads)


def _all_pools() -> list[Offload]:
    return [pool for one in list(_pools) if (pool := one()) is not None]


# A fault of the thread's own must reach faulthandler: the kernel resets these where blocked.
_FAULTS = ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGTRAP", "SIGSYS")
_BLOCKED = _originals.signal.valid_signals() - {
    getattr(_originals.signal, name) for name in _FAULTS
}
_sigmask = _originals.signal.pthread_sigmask

_pool = Offload(_config.OFFLOAD_THREADS)
_unbounded = Offload(None)


def run_unbounded(job: Job) -> Any:
    """Offload.run(), as call_unbounded()."""
    return _unbounded.run(job)


def call(fn: Callable[..., Any], *args: Any) -> Any:
    """Offload.call() of the small pool: for a call that ends by itself."""
    return _pool.call(fn, *args)


def run(job: Job) -> Any:
    """Offload.run() of the small pool."""
    return _pool.run(job)


def call_unbounded(fn: Callable[..., Any], *args: Any) -> Any:
    """Offload.call() of the pool without a bound: for a call that waits in the kernel."""
    return _unbounded.call(fn, *args)


def start_unbounded(fn: Callable[..., Any], *args: Any) -> None:
    """Offload.start() of the pool without a bound."""
    _unbounded.start(fn, *args)


def call_with_signals(fn: Callable[..., Any], *args: Any) -> Any:
    """call_unbounded() of a call that starts a process: it is to have the caller's signal mask."""
    return _unbounded.call(_with_mask, _sigmask(_originals.signal.SIG_BLOCK, ()), fn, args)


def _with_mask(mask: Iterable[int], fn: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    before = _sigmask(_originals.signal.SIG_SETMASK, mask)
    try:
        return fn(*args)
    finally:
        _sigmask(_originals.signal.SIG_SETMASK, before)


def asking_scheduler() -> _scheduler.Scheduler | None:
    """Return the scheduler whose task asked for the call that this real thread makes, or None."""
    job: Job | None = getattr(_locals, "job", None)
    return None if job is None else job.scheduler


def pool_threads() -> int:
    """Return how many threads there are in both pools."""
    return _pool.threads + _unbounded.threads


def _warn_of_fork() -> None:
    """Warn if a thread is inside a C library now: what it holds there nobody gives back."""
    busy = sum(pool.busy for pool in _all_pools() if pool.size is not None)
    if busy:
        calls = "1 call is" if busy == 1 else f"{busy} calls are"
        warnings.warn(
            f"os.fork() while {calls} running in a thread of greenroom's pools: locks of the C "
            "library that such a thread holds now stay locked in the child for ever; fork before, "
            "or start the child with subprocess or multiprocessing's 'spawn'",
            RuntimeWarning,
            stacklevel=2,
        )


def _forget_threads() -> None:
    """After a fork the child has none of the threads."""
    for pool in _all_pools():
        _scheduler.add_pool_threads(-pool.threads)
        pool.forget()


os.register_at_fork(before=_warn_of_fork, after_in_child=_forget_threads)
