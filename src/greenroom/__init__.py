"""greenroom: green threads for Python. Importing it changes nothing; patch_all() does.

Plain blocking code, a hundred thousand tasks of it in one thread.
"""

from greenroom.core.api import current, run, sleep, spawn
from greenroom.core.local import local
from greenroom.core.task import Task
from greenroom.errors import (
    BrokenBarrierError,
    Cancelled,
    ClosedError,
    DeadlockError,
    GreenroomError,
    TaskKilled,
    Timeout,
)
from greenroom.patch.apply import is_patched, original, patch_all, unpatch_all
from greenroom.sync.condition import Barrier, Condition
from greenroom.sync.event import Event, Result
from greenroom.sync.lock import BoundedSemaphore, Lock, RLock, Semaphore
from greenroom.sync.proxies import offload
from greenroom.sync.queue import LifoQueue, PriorityQueue, Queue, SimpleQueue
from greenroom.sync.threadpool import ThreadPool, to_thread
from greenroom.sync.timeout import timeout
from greenroom.sync.wait import as_completed, joinall, wait

__version__ = "0.1.0"

__all__ = [
    "Barrier",
    "BoundedSemaphore",
    "BrokenBarrierError",
    "Cancelled",
    "ClosedError",
    "Condition",
    "DeadlockError",
    "Event",
    "GreenroomError",
    "LifoQueue",
    "Lock",
    "PriorityQueue",
    "Queue",
    "RLock",
    "Result",
    "Semaphore",
    "SimpleQueue",
    "Task",
    "TaskKilled",
    "ThreadPool",
    "Timeout",
    "as_completed",
    "current",
    "is_patched",
    "joinall",
    "local",
    "offload",
    "original",
    "patch_all",
    "run",
    "sleep",
    "spawn",
    "timeout",
    "to_thread",
    "unpatch_all",
    "wait",
]
