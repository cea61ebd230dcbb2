"""Real threads for calls that cannot park.                                      layer: core

A small pool for the whole process, made on first use: the threads take jobs from one queue and
wake the task that asked. They are daemons: a process that ends
does not wait for a look-up that hangs.
"""

import os
import sys
import weakref
from _queue import SimpleQueue
from collections.abc import Callable
from typing import Any

from greenroom import _config, _originals
from greenroom.core import scheduler as _scheduler
from greenroom.core.timers import FOREVER
from greenroom.core.waitqueue import WaitQueue

# Taken now: patching replaces queue.SimpleQueue; get() of this one blocks the real thread.
_RealQueue = SimpleQueue


class Job:
    """One call, and the task that waits for it, unless it has given up.

    A task that is killed leaves. A call that has not begun is then taken back; one that has goes
    on, and counts as something that may still wake others until it ends. list.pop() is atomic, so
    of two who pop one comes first.

    scheduler   of the task that waits
    unclaimed   popped by the thread that makes the call, or by the task that takes it back
    partings    popped by the task that leaves and by the thread that has finished
    """

    __slots__ = (
        "args",
        "error",
        "fn",
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
        self.taken_back = False

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
        """In the task's thread: the call that nobody waits for has ended."""
        assert self.scheduler is not None
        self.scheduler.external -= 1


def _end() -> None:
    """The call that ends a thread of a pool."""


_pools: "weakref.WeakSet[Offload]" = weakref.WeakSet()


class Offload:
    """A pool of real threads."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.forget()
        _pools.add(self)

    def forget(self) -> None:
        """Begin without threads: when new, and in the child of a fork, which has none."""
        self._started = 0
        self._idle = 0
        self._jobs: Any = _RealQueue()

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
        more = self._started < self._size and self._idle <= self._jobs.qsize()
        if more and job.fn is not _end:
            _originals.start_new_thread(self._work, ())
            self._started += 1
            _scheduler.add_pool_threads(1)
        scheduler.enlist(job.waiter, job, FOREVER)
        scheduler.external += 1
        try:
            self._jobs.put(job)
            scheduler.wait()
        except BaseException:
            if job.take_back() or job.part():
                scheduler.external -= 1
            raise
        scheduler.external -= 1
        if job.error is not None:
            raise job.error
        return job.result

    def _work(self) -> None:
        """A thread of the pool."""
        while True:
            self._idle += 1
            job = self._jobs.get()
            self._idle -= 1
            if job.fn is _end:
                self._started -= 1
                _scheduler.add_pool_threads(-1)
                if job.scheduler is not None:
                    _scheduler.wake_first(job.waiter)
                return
            if not job.claim():
                continue
            try:
                job.result = job.fn(*job.args)
            except BaseException as error:
                job.error = error
            if job.part():
                job.scheduler.call_soon_threadsafe(job.uncount)
            else:
                _scheduler.wake_first(job.waiter)
            del job

    def end_threads(self) -> None:
        """Let the threads finish what they were given, and wait until all have ended.

        Nothing more may be asked of them.
        """
        while self._started:
            self.run(Job(_end, (), "close"))

    def dismiss_threads(self) -> None:
        """As end_threads(), without waiting."""
        for _ in range(self._started):
            self._jobs.put(Job(_end, ()))

    @property
    def threads(self) -> int:
        """How many threads there are."""
        return self._started


_pool = Offload(_config.OFFLOAD_THREADS)
_unbounded = Offload(sys.maxsize)


def call_unbounded(fn: Callable[..., Any], *args: Any) -> Any:
    """call() for what may wait without bound, and for another task: it takes no thread of the pool.

    As many threads are made as there are such calls at once; they are used again.
    """
    return _unbounded.call(fn, *args)


def call(fn: Callable[..., Any], *args: Any) -> Any:
    """Offload.call() of the process's pool."""
    return _pool.call(fn, *args)


def run(job: Job) -> Any:
    """Offload.run() of the process's pool."""
    return _pool.run(job)


def pool_threads() -> int:
    """Return how many threads the process's pool has."""
    return _pool.threads


def _forget_threads() -> None:
    """After a fork the child has none of the threads."""
    for pool in list(_pools):
        _scheduler.add_pool_threads(-pool.threads)
        pool.forget()


os.register_at_fork(after_in_child=_forget_threads)
