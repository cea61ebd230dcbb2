"""greenroom: green threads for Python. Importing it changes nothing; patch_all() does.

Plain blocking code, a hundred thousand tasks of it in one thread.

The public names are loaded from their modules when they are first used: a program that
`greenroom run` starts pays for none that it does not use.
"""

import sys as _sys

from greenroom import _originals as _originals  # before anything is patched

_originals.__name__  # noqa: B018  # used at once, or `-X lazy_imports=all` imports it too late

if "t" in _sys.abiflags:  # a free-threaded build
    from greenroom import _gil

    _gil.load()

TYPE_CHECKING = False
if TYPE_CHECKING:
    from greenroom import from_thread
    from greenroom.aio.coroutine import await_
    from greenroom.core.api import current, current_time, run, sleep, spawn
    from greenroom.core.local import local
    from greenroom.core.task import Task
    from greenroom.errors import (
        BrokenBarrierError,
        BrokenWorkerError,
        Cancelled,
        ChannelClosed,
        ClosedError,
        DeadlockError,
        EndOfChannel,
        GreenroomError,
        SupervisorError,
        TaskKilled,
        Timeout,
        WouldBlock,
    )
    from greenroom.green.resolver import set_resolver
    from greenroom.patch.apply import is_patched, original, patch_all, unpatch_all
    from greenroom.servers.accesslog import AccessLog
    from greenroom.servers.asgi import ASGIApplication
    from greenroom.servers.http import HTTPServer
    from greenroom.servers.serving import serve
    from greenroom.servers.tcp import TCPServer
    from greenroom.servers.tls import TLS
    from greenroom.servers.udp import UDPServer
    from greenroom.servers.websocket import (
        WebSocket,
        WebSocketApplication,
        WebSocketClosed,
        websocket,
    )
    from greenroom.servers.wsgi import WSGIApplication
    from greenroom.sync.cancel import CancelScope, fail_after, move_on_after, timeout
    from greenroom.sync.channel import Channel, Receiver, Sender, channel
    from greenroom.sync.condition import Barrier, Condition
    from greenroom.sync.event import Event, Result
    from greenroom.sync.group import TaskGroup
    from greenroom.sync.limiter import CapacityLimiter, RateLimiter
    from greenroom.sync.lock import BoundedSemaphore, Lock, RLock, Semaphore
    from greenroom.sync.pool import Group, Pool, map
    from greenroom.sync.processes import to_process
    from greenroom.sync.proxies import offload
    from greenroom.sync.queue import LifoQueue, PriorityQueue, Queue, SimpleQueue
    from greenroom.sync.select import after, op, select
    from greenroom.sync.supervisor import Supervisor
    from greenroom.sync.threadpool import ThreadPool, to_thread
    from greenroom.sync.wait import as_completed, joinall, wait

__version__ = "0.1.0"

__all__ = [  # noqa: RUF022 (it would put TLS first, as a constant)
    "ASGIApplication",
    "AccessLog",
    "Barrier",
    "BoundedSemaphore",
    "BrokenBarrierError",
    "BrokenWorkerError",
    "CancelScope",
    "Cancelled",
    "CapacityLimiter",
    "Channel",
    "ChannelClosed",
    "ClosedError",
    "Condition",
    "DeadlockError",
    "EndOfChannel",
    "Event",
    "GreenroomError",
    "Group",
    "HTTPServer",
    "LifoQueue",
    "Lock",
    "Pool",
    "PriorityQueue",
    "Queue",
    "RLock",
    "RateLimiter",
    "Receiver",
    "Result",
    "Semaphore",
    "Sender",
    "SimpleQueue",
    "Supervisor",
    "SupervisorError",
    "TCPServer",
    "TLS",
    "Task",
    "TaskGroup",
    "TaskKilled",
    "ThreadPool",
    "Timeout",
    "UDPServer",
    "WSGIApplication",
    "WebSocket",
    "WebSocketApplication",
    "WebSocketClosed",
    "WouldBlock",
    "after",
    "as_completed",
    "await_",
    "channel",
    "current",
    "current_time",
    "fail_after",
    "from_thread",
    "is_patched",
    "joinall",
    "local",
    "map",
    "move_on_after",
    "offload",
    "op",
    "original",
    "patch_all",
    "run",
    "select",
    "serve",
    "set_resolver",
    "sleep",
    "spawn",
    "timeout",
    "to_process",
    "to_thread",
    "unpatch_all",
    "wait",
    "websocket",
]

del TYPE_CHECKING

_HOMES = {
    "aio.coroutine": "await_",
    "core.api": "current current_time run sleep spawn",
    "core.local": "local",
    "core.task": "Task",
    "errors": (
        "BrokenBarrierError BrokenWorkerError Cancelled ChannelClosed ClosedError DeadlockError "
        "EndOfChannel GreenroomError SupervisorError TaskKilled Timeout WouldBlock"
    ),
    "green.resolver": "set_resolver",
    "patch.apply": "is_patched original patch_all unpatch_all",
    "servers.accesslog": "AccessLog",
    "servers.asgi": "ASGIApplication",
    "servers.http": "HTTPServer",
    "servers.serving": "serve",
    "servers.tcp": "TCPServer",
    "servers.tls": "TLS",
    "servers.websocket": "WebSocket WebSocketApplication WebSocketClosed websocket",
    "servers.wsgi": "WSGIApplication",
    "servers.udp": "UDPServer",
    "sync.cancel": "CancelScope fail_after move_on_after timeout",
    "sync.channel": "Channel Receiver Sender channel",
    "sync.condition": "Barrier Condition",
    "sync.event": "Event Result",
    "sync.group": "TaskGroup",
    "sync.limiter": "CapacityLimiter RateLimiter",
    "sync.lock": "BoundedSemaphore Lock RLock Semaphore",
    "sync.pool": "Group Pool map",
    "sync.processes": "to_process",
    "sync.proxies": "offload",
    "sync.queue": "LifoQueue PriorityQueue Queue SimpleQueue",
    "sync.select": "after op select",
    "sync.supervisor": "Supervisor",
    "sync.threadpool": "ThreadPool to_thread",
    "sync.wait": "as_completed joinall wait",
}
_MODULES = ("from_thread",)
_HOME = {name: module for module, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    if name in _MODULES:
        __import__(f"{__name__}.{name}")
        return _sys.modules[f"{__name__}.{name}"]
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = f"{__name__}.{_HOME[name]}"
    __import__(module)
    value = globals()[name] = getattr(_sys.modules[module], name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
