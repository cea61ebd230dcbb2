"""Waiting for several tasks: joinall, wait, as_completed.                       layer: sync"""

from collections.abc import Iterable, Iterator
from typing import Literal

from greenroom.core import scheduler as _scheduler
from greenroom.core import task as _task
from greenroom.core.task import Task
from greenroom.core.timers import FOREVER
from greenroom.sync.queue import SimpleQueue
from greenroom.sync.queue_errors import Empty


def joinall(
    tasks: Iterable[Task], timeout: float | None = None, raise_error: bool = False
) -> list[Task]:
    """Wait until all tasks have ended.

    timeout      seconds for all of them together, None = for ever
    raise_error  raise what the first of them to fail failed with, as soon as it does
    Returns      the tasks that have ended, in the order given
    Raises       TypeError: one is not a Task
    Switches     only if one has not ended
    """
    found = _checked(tasks)
    if raise_error:
        for task in as_completed(found, timeout, _silent=True):
            if task.exception is not None:
                raise task.exception
    else:
        deadline = _scheduler.get().deadline_after(timeout)
        for task in found:
            if task.state != _task.DONE and not task.join(_remaining(deadline)):
                break
    return [task for task in found if task.state == _task.DONE]


def wait(
    tasks: Iterable[Task],
    count: int | Literal["all", "any"] = "all",
    timeout: float | None = None,
) -> tuple[list[Task], list[Task]]:
    """Wait until so many of the tasks have ended.

    count     a number, or "any" for 1, or "all"
    timeout   seconds, None = for ever
    Returns   (those that have ended, in the order of their ends; the others, in the order given)
    Raises    ValueError: count is more than there are tasks
    Switches  only if not enough have ended
    """
    tasks = list(dict.fromkeys(_checked(tasks)))  # each once
    if count == "all":
        wanted = len(tasks)
    elif count == "any":
        wanted = min(1, len(tasks))
    elif isinstance(count, int):
        wanted = count
    else:
        raise TypeError(f'count is a number, "any" or "all", not {count!r}')
    if wanted > len(tasks):
        raise ValueError(f"cannot wait for {wanted} of {len(tasks)} tasks")
    done: list[Task] = []
    if wanted > 0:
        for task in as_completed(tasks, timeout, _silent=True):
            done.append(task)
            if len(done) >= wanted:
                break
    known = set(map(id, done))
    done += [task for task in tasks if task.done and id(task) not in known]
    known = set(map(id, done))
    return done, [task for task in tasks if id(task) not in known]


def as_completed(
    tasks: Iterable[Task], timeout: float | None = None, *, _silent: bool = False
) -> Iterator[Task]:
    """Yield each task when it has ended, in the order of their ends.

    timeout   seconds for all of them together, None = for ever
    Raises    TimeoutError: the time was over before all had ended
    Switches  at each step, if no further task has ended
    """
    tasks = list(dict.fromkeys(_checked(tasks)))  # each once
    deadline = _scheduler.get().deadline_after(timeout)
    return _as_completed(tasks, deadline, timeout, _silent)


def _as_completed(
    tasks: list[Task], deadline: float, timeout: float | None, silent: bool
) -> Iterator[Task]:
    ended: SimpleQueue = SimpleQueue()
    for task in tasks:
        task.add_done_callback(ended.put)
    try:
        for count in range(len(tasks)):
            try:
                yield ended.get(timeout=_remaining(deadline))
            except Empty:
                if silent:
                    return
                raise TimeoutError(
                    f"{len(tasks) - count} of {len(tasks)} tasks have not ended after {timeout} s"
                ) from None
    finally:
        for task in tasks:
            task.remove_done_callback(ended.put)


def _checked(tasks: Iterable[Task]) -> list[Task]:
    """Return the tasks as a list."""
    found = list(tasks)
    for task in found:
        if not isinstance(task, Task):
            raise TypeError(f"cannot wait for {task!r}: it is not a Task; give what spawn returned")
    return found


def _remaining(deadline: float) -> float | None:
    """Return the seconds until deadline, None for FOREVER."""
    if deadline == FOREVER:
        return None
    return max(deadline - _scheduler.get().now(), 0.0)
