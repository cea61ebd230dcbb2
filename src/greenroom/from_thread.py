"""from_thread.run(): from a real thread, call a function among the tasks.         layer: sync

For code that to_thread() (or a ThreadPool, or offload()) runs, and for any other thread that is
given a scheduler. What it asks for travels through the scheduler's inbox, runs in a task of its
own, and the answer comes back through a real queue, for a real thread cannot park.
"""

from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from greenroom import _config, _originals
from greenroom.core import offload
from greenroom.core import scheduler as _scheduler
from greenroom.core.scheduler import Scheduler
from greenroom.core.task import Task

__all__ = ["run"]


def run(fn: Callable[..., Any], /, *args: Any, scheduler: Scheduler | None = None) -> Any:
    """Call fn(*args) in a task of the scheduler that asked for this thread's call; wait for it.

    The task sees the context variables of the calling code. The real thread blocks meanwhile, and
    any tasks of its own with it.

    scheduler  another one: what `greenroom.current().scheduler` is in a task of its thread
    Returns    what fn returned
    Raises     what fn raised; TaskKilled: the task was killed; RuntimeError: this is no thread that
               to_thread() uses, or it is the scheduler's own, or that one's thread has ended
    Switches   never: it blocks
    """
    if scheduler is None:
        scheduler = offload.asking_scheduler()
        if scheduler is None:
            raise RuntimeError(
                f"from_thread.run({_name(fn)}) does not know where to run it: no to_thread() asked "
                "for this thread; give it scheduler=, a task's greenroom.current().scheduler"
            )
    if _scheduler.is_here(scheduler):
        raise RuntimeError(
            f"from_thread.run({_name(fn)}) would wait for its own thread: this is a task of that "
            "scheduler; call the function itself"
        )
    answers: Any = _originals.SimpleQueue()
    scheduler.call_soon_threadsafe(_start, scheduler, fn, args, copy_context(), answers.put)
    while True:
        try:
            task: Task = answers.get(True, _config.FROM_THREAD_PAUSE)
        except _originals.Empty:
            if not _scheduler.in_use(scheduler):
                raise RuntimeError(
                    f"from_thread.run({_name(fn)}) gets no answer: the thread of its scheduler, "
                    f"{scheduler.thread}, has ended; let it wait for the threads that it started"
                ) from None
            continue
        return task.result()


def _start(
    scheduler: Scheduler,
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    context: Any,
    done: Callable[[Task], object],
) -> None:
    """In the scheduler's thread, between two tasks."""
    scheduler.spawn(fn, args, None, context).add_done_callback(done)


def _name(fn: object) -> str:
    return str(getattr(fn, "__name__", fn))
