"""ThreadPool and to_thread(): calls that block, in real threads.                layer: sync

For what cannot park: C code that waits or computes with the GIL released. The task that asks parks;
the others run on. In a real thread nothing parks for the caller's tasks: it has a scheduler of its
own if it uses one.
"""

import contextvars
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from greenroom.core import hooks, offload
from greenroom.core import scheduler as _scheduler
from greenroom.core.task import Task
from greenroom.sync.limiter import CapacityLimiter

if TYPE_CHECKING:
    from greenroom.sync.statistics import ThreadPoolStatistics


def job(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], what: object = None
) -> offload.Job:
    """Make a job that calls fn(*args, **kwargs) with the caller's context variables.

    what   what reports call it, a name or the function; None: fn
    """
    context = contextvars.copy_context()
    if kwargs:
        return offload.Job(lambda: context.run(fn, *args, **kwargs), (), what or fn)
    return offload.Job(context.run, (fn, *args), what or fn)


def to_thread(
    fn: Callable[..., Any],
    /,
    *args: Any,
    cancellable: bool = False,
    limiter: CapacityLimiter | None = None,
    **kwargs: Any,
) -> Any:
    """Call fn(*args, **kwargs) in a real thread, and return what it returns.

    It sees the caller's context variables; what it sets in them is seen by it alone. Inside,
    greenroom.from_thread.run() calls back into the tasks.

    cancellable  what a kill or a timeout does to a call that has begun; one that has not is never
                 made. False: the task waits for its end, so that what follows (a file closed, a
                 lock released, the process ended) does not happen while it runs; its result is
                 returned, and the task's next wait raises. True: the task leaves at once, the call
                 goes on, and what comes of it is dropped: for calls that may hang
    limiter      a CapacityLimiter that bounds how many such calls run at once, one that was left
                 included; None: the threads of the process's pool do
                 (Both names are taken: to pass them on to fn use functools.partial.)
    Raises       what fn raises
    Switches     always
    """
    if not callable(fn):
        raise TypeError(f"cannot call {fn!r} in a thread: it is not callable")
    if limiter is None:
        made = job(fn, args, kwargs)
        made.must_end = not cancellable
        return offload.run(made)
    token = _Token(fn)
    limiter.acquire_for(token)
    made = job(_release_after, (limiter, token, fn, args, kwargs), {}, fn)
    made.must_end = not cancellable
    try:
        return offload.run_unbounded(made)
    except BaseException:
        if made.take_back():
            limiter.release_for(token)
        raise


class _Token:
    """Stands for a call among the borrowers of a CapacityLimiter."""

    def __init__(self, fn: object) -> None:
        self.fn = fn

    def __repr__(self) -> str:
        return f"<call of {self.fn!r} in a thread>"


def _release_after(
    limiter: CapacityLimiter,
    token: _Token,
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """In the thread: make the call, then give its token back."""
    try:
        return fn(*args, **kwargs)
    finally:
        limiter.release_for(token)


class _Threads(offload.Offload):
    """The threads of a ThreadPool, and the tasks of submit(): both are gone after a fork."""

    tasks: set[Task]

    def forget(self) -> None:
        super().forget()
        self.tasks = set()


class ThreadPool:
    """A pool of real threads of its own. As a context manager it is closed at the end.

    size   how many threads there are at most; each is started when there is something to do for it
    """

    def __init__(self, size: int) -> None:
        self._closed = False
        self._threads = _Threads(size)
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(f"a ThreadPool has a whole number of threads, 1 or more, not {size!r}")
        self.size = size

    def call(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call fn(*args, **kwargs) in a thread and return what it returns.

        Raises    what fn raises; RuntimeError: the pool is closed. If the task is killed or its
                  time is over, a call that has begun goes on, as to_thread(cancellable=True)
        Switches  always
        """
        self._check(fn)
        return self.run(job(fn, args, kwargs))

    def run(self, job: offload.Job) -> Any:
        """Have a thread make the job's call: the other half of call()."""
        return self._threads.run(job)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Task:
        """Have fn(*args, **kwargs) called in a thread, and do not wait.

        Returns   a Task that ends with the call: result(), join() and all that goes with a task;
                  kill() takes back a call that has not begun
        Raises    RuntimeError: the pool is closed
        Switches  never
        """
        self._check(fn)
        name = getattr(fn, "__name__", None) or repr(fn)
        task = _scheduler.get().spawn(self._make, (job(fn, args, kwargs),), f"{name}() in a thread")
        self._threads.tasks.add(task)
        return task

    def map(self, fn: Callable[..., Any], /, *iterables: Iterable[Any]) -> Iterator[Any]:
        """Call fn with an item of each iterable, as builtins.map does, many at once.

        Returns   an iterator of the results in the order of the items. All calls are asked for at
                  once; those that have not begun are taken back when the iterator is given up
        Raises    at its place in the order, what a call raises
        Switches  in each step of the iterator whose result has not come yet
        """
        tasks = [self.submit(fn, *args) for args in zip(*iterables, strict=False)]
        for task in tasks:
            task.observed = True  # what it raises is raised by the iterator, or given up with it

        def results() -> Iterator[Any]:
            try:
                for task in tasks:
                    yield task.result()
            finally:
                for task in tasks:
                    task.kill()

        return results()

    def close(self) -> None:
        """Take no more calls, and wait until all that were asked for have ended, threads and all.

        Switches  if there are any
        """
        self._closed = True
        tasks = self._threads.tasks
        while tasks:
            task = next(iter(tasks))
            task.join()
            tasks.discard(task)  # one that was killed before it ran did not do so itself
        self._threads.end_threads()

    def statistics(self) -> "ThreadPoolStatistics":
        """Return how many threads there are and what they have to do. Never switches."""
        records = hooks.module("greenroom.sync.statistics")
        threads = self._threads
        found: ThreadPoolStatistics = records.ThreadPoolStatistics(
            *(self.size, threads.threads, threads.busy, threads.queued),
            *(self._closed, tuple(task for task in threads.tasks if not task.done)),
        )
        return found

    def _check(self, fn: Callable[..., Any]) -> None:
        if self._closed:
            raise RuntimeError(f"cannot call {fn!r} in {self!r}: it is closed")
        if not callable(fn):
            raise TypeError(f"cannot call {fn!r} in a thread: it is not callable")

    def _make(self, job: offload.Job) -> Any:
        """The task of submit()."""
        try:
            return self._threads.run(job)
        finally:
            self._threads.tasks.discard(_scheduler.get().current)

    def __enter__(self) -> "ThreadPool":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self._threads.dismiss_threads()

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{self._threads.threads} of {self.size} threads"
        return f"<ThreadPool at {id(self):#x}: {state}>"
