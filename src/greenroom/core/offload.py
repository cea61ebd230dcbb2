"""Real threads for calls that cannot park.                                      layer: core

A small pool for the whole process, made on first use: the threads take jobs from one queue and
wake the task that asked. They are daemons: a process that ends
does not wait for a look-up that hangs.
"""

import os
import sys
from _queue import SimpleQueue
from collections.abc import Callable
from typing import Any

from greenroom import _config, _originals
from greenroom.core import scheduler as _scheduler
from greenroom.core.timers import FOREVER
from greenroom.core.waitqueue import WaitQueue

# Taken now: patching replaces queue.SimpleQueue; get() of this one blocks the real thread.
_RealQueue = SimpleQueue


class _Job:
    """One call, and the task that waits for it, unless it has given up."""

    __slots__ = ("args", "error", "fn", "result", "waiter", "what")

    def __init__(self, fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.waiter = WaitQueue()
        self.fn = fn
        self.args = args
        self.result: Any = None
        self.error: BaseException | None = None
        self.what = f"{getattr(fn, '__name__', fn)}() in a thread"

    @property
    def wait_reason(self) -> str:
        return self.what


class Offload:
    """A pool of real threads."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._started = 0
        self._idle = 0
        self._jobs: Any = _RealQueue()

    def call(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Call fn(*args) in a real thread and return what it returns.

        Raises    what fn raises. When the task is killed or times out, the call goes on, and what
                  comes of it is dropped
        Switches  always
        """
        scheduler = _scheduler.get()
        job = _Job(fn, args)
        if self._started < self._size and self._idle <= self._jobs.qsize():
            _originals.start_new_thread(self._work, ())
            self._started += 1
            _scheduler.add_pool_threads(1)
        scheduler.enlist(job.waiter, job, FOREVER)
        scheduler.external += 1
        try:
            self._jobs.put(job)
            scheduler.wait()
        finally:
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
            try:
                job.result = job.fn(*job.args)
            except BaseException as error:
                job.error = error
            _scheduler.wake_first(job.waiter)
            del job

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


def pool_threads() -> int:
    """Return how many threads the process's pool has."""
    return _pool.threads


def _forget_threads() -> None:
    """After a fork the child has none of the threads."""
    global _pool, _unbounded
    _scheduler.add_pool_threads(-_pool.threads - _unbounded.threads)
    _pool = Offload(_config.OFFLOAD_THREADS)
    _unbounded = Offload(sys.maxsize)


os.register_at_fork(after_in_child=_forget_threads)
