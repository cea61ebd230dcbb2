"""greenroom: green threads for Python. Importing it changes nothing; patch_all() does.

Plain blocking code, a hundred thousand tasks of it in one thread.

The public names are loaded from their modules when they are first used: a program that
`greenroom run` starts pays for none that it does not use.
"""

import sys as _sys

from greenroom import _originals as _originals  # before anything is patched

TYPE_CHECKING = False
if TYPE_CHECKING:
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
    from greenroom.green.resolver import set_resolver
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
    "set_resolver",
    "sleep",
    "spawn",
    "timeout",
    "to_thread",
    "unpatch_all",
    "wait",
]

del TYPE_CHECKING

_HOMES = {
    "core.api": "current run sleep spawn",
    "core.local": "local",
    "core.task": "Task",
    "errors": (
        "BrokenBarrierError Cancelled ClosedError DeadlockError GreenroomError TaskKilled Timeout"
    ),
    "green.resolver": "set_resolver",
    "patch.apply": "is_patched original patch_all unpatch_all",
    "sync.condition": "Barrier Condition",
    "sync.event": "Event Result",
    "sync.lock": "BoundedSemaphore Lock RLock Semaphore",
    "sync.proxies": "offload",
    "sync.queue": "LifoQueue PriorityQueue Queue SimpleQueue",
    "sync.threadpool": "ThreadPool to_thread",
    "sync.timeout": "timeout",
    "sync.wait": "as_completed joinall wait",
}
_HOME = {name: module for module, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = f"{__name__}.{_HOME[name]}"
    __import__(module)
    value = globals()[name] = getattr(_sys.modules[module], name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
