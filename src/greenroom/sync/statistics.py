"""What the statistics() of a primitive returns.                                  layer: sync

Loaded when one is first asked for: dataclasses are dear to import. Each is a picture of one moment.
How long a task has waited is counted from its scheduler's last look at the clock before the wait,
for to read the clock at every wait is a tenth of its cost.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from greenroom.core import scheduler as _scheduler
from greenroom.core.task import Task
from greenroom.core.waitqueue import WaitQueue

Tasks = tuple[Task, ...]


class Waiting(tuple[Any, ...]):
    """Who waits, the first first: Tasks, and the asyncio tasks of coroutines that `await`.

    seconds  how long each has, as floats in the same order; too many by no more than what its
             scheduler ran between two looks at the clock, the last 64 switches
    """

    seconds: tuple[float, ...]

    def __new__(cls, tasks: Iterable[Any], seconds: Iterable[float]) -> "Waiting":
        made = super().__new__(cls, tasks)
        made.__dict__["seconds"] = tuple(seconds)
        return made

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"cannot set {name!r} of {self!r}: it is a picture of one moment")


def tasks_in(queue: WaitQueue) -> Waiting:
    """Return who stands in queue."""
    tasks, seconds = [], []
    waiters: list[Any] = queue.waiters()
    for waiter in waiters:
        task = waiter if isinstance(waiter, Task) else waiter.task
        if task is not None:
            since, now = task.since, task.scheduler.now()
        elif waiter.listener is not None:
            task, since, now = waiter.listener.who, waiter.listener.since, _scheduler.get().now()
        else:
            continue  # woken by another thread just now
        tasks.append(task)
        seconds.append(max(now - since, 0.0))
    return Waiting(tasks, seconds)


@dataclass(frozen=True)
class EventStatistics:
    """Of an Event or a Result.

    is_set    the flag is up; the result is there
    waiting   who waits, and how long: Waiting (so everywhere below)
    """

    is_set: bool
    waiting: Waiting


@dataclass(frozen=True)
class LockStatistics:
    """Of a Lock or RLock.

    locked    somebody holds it
    owner     of an RLock: the task, or for code outside tasks its thread's number; None: nobody,
              or a Lock, which knows no owner
    count     how often it must be released until it is free
    """

    locked: bool
    owner: Task | int | None
    count: int
    waiting: Waiting


@dataclass(frozen=True)
class SemaphoreStatistics:
    """Of a Semaphore. value: how many may pass without waiting; bound: None, or its highest."""

    value: int
    bound: int | None
    waiting: Waiting


@dataclass(frozen=True)
class ConditionStatistics:
    """Of a Condition. lock: the statistics of its lock; waiting: those in wait()."""

    lock: Any
    waiting: Waiting


@dataclass(frozen=True)
class BarrierStatistics:
    """Of a Barrier."""

    parties: int
    broken: bool
    waiting: Waiting


@dataclass(frozen=True)
class QueueStatistics:
    """Of a queue of any kind.

    size        items in it now
    maxsize     how many there may be; 0: no limit
    unfinished  items put that task_done() was not called for; a SimpleQueue does not count: 0
    getting     who waits in get()
    putting     who waits in put()
    joining     who waits in join()
    """

    size: int
    maxsize: int
    unfinished: int
    is_shutdown: bool
    getting: Waiting
    putting: Waiting
    joining: Waiting


@dataclass(frozen=True)
class ThreadPoolStatistics:
    """Of a ThreadPool.

    size     how many threads there may be
    threads  how many there are
    busy     how many are inside a call
    queued   calls that no thread has begun
    tasks    those of submit() that have not ended, in no order
    """

    size: int
    threads: int
    busy: int
    queued: int
    closed: bool
    tasks: Tasks


@dataclass(frozen=True)
class TaskGroupStatistics:
    """Of a TaskGroup.

    children   tasks that have not ended, the oldest first
    errors     how many errors it will raise, so far
    cancelled  the children are cancelled
    closed     the block has ended
    """

    children: Tasks
    errors: int
    cancelled: bool
    closed: bool


@dataclass(frozen=True)
class GroupStatistics:
    """Of a Group or Pool.

    tasks    those that have not ended, the oldest first
    size     how many there may be, inf = no limit
    waiting  who waits for room in a Pool
    joining  who waits in join()
    """

    tasks: Tasks
    size: float
    waiting: Waiting
    joining: Waiting


@dataclass(frozen=True)
class ChannelStatistics:
    """Of a Channel, or of one of its ends.

    fill               items that lie in it
    capacity           how many can, inf = no limit
    senders            sending ends that are open; None: a Channel that was made without ends
    receivers          receiving ends, likewise
    waiting_senders    who waits to send
    waiting_receivers  who waits to receive
    """

    fill: int
    capacity: float
    senders: int | None
    receivers: int | None
    waiting_senders: Waiting
    waiting_receivers: Waiting


@dataclass(frozen=True)
class CapacityStatistics:
    """Of a CapacityLimiter.

    borrowed   tokens that are held
    total      how many there are
    borrowers  who holds them
    waiting    who waits for one
    """

    borrowed: int
    total: float
    borrowers: tuple[Any, ...]
    waiting: Waiting


@dataclass(frozen=True)
class RateStatistics:
    """Of a RateLimiter.

    waiting    who waits for their turn
    available  how many would pass at once now
    """

    waiting: Waiting
    available: int


@dataclass(frozen=True)
class SupervisorStatistics:
    """Of a Supervisor.

    running   children that run
    pausing   children that wait to be restarted
    restarts  how many there were
    recent    how many of them within the last `within` seconds
    """

    running: int
    pausing: int
    restarts: int
    recent: int
