"""Calls of the parts "thread", "queue" and "time" that wait, for the freeze test."""

import _queue
import _thread
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import greenroom

from .freeze_help import again, later, linger


def lock_of(module: Any, name: str) -> Callable[[], None]:
    """A lock that another thread releases."""

    def call() -> None:
        lock = getattr(module, name)()
        lock.acquire()
        later(lock.release)
        lock.acquire()

    return call


def rlock_of(module: Any, name: str) -> Callable[[], None]:
    """A re-entrant lock that another task holds."""

    def call() -> None:
        wait_for(getattr(module, name)())

    return call


def wait_for(lock: Any) -> None:
    def hold() -> None:
        with lock:
            linger()

    greenroom.spawn(hold)
    greenroom.sleep(0)
    with lock:
        pass


def start_of(module: Any, name: str) -> Callable[[], None]:
    """A thread that sleeps, and then releases a lock."""

    def call() -> None:
        done = threading.Lock()
        done.acquire()

        def run() -> None:
            linger()
            done.release()

        getattr(module, name)(run, ())
        done.acquire()

    return call


def sentinel_of(module: Any) -> Callable[[], None]:
    """The lock that is released when a thread ends."""

    def call() -> None:
        sentinels: list[Any] = []

        def run() -> None:
            sentinels.append(module._set_sentinel())
            sentinels[0].acquire()
            linger()

        _thread.start_new_thread(run, ())
        while not sentinels:
            time.sleep(0.001)
        sentinels[0].acquire()

    return call


def joinable_of(module: Any, name: str) -> Callable[[], None]:
    def call() -> None:
        getattr(module, name)(linger).join()

    return call


def handle_of(module: Any) -> Callable[[], None]:
    def call() -> None:
        handle = module._ThreadHandle()
        _thread.start_joinable_thread(linger, handle)  # type: ignore[attr-defined]
        handle.join()

    return call


def made_handle_of(module: Any) -> Callable[[], None]:
    def call() -> None:
        handle = module._make_thread_handle(1)
        later(handle._set_done)
        handle.join()

    return call


def shutdown() -> None:
    # A task is a daemon to threading, and what it starts would be one.
    threading.Thread(target=linger, daemon=False).start()
    threading._thread_shutdown()  # type: ignore[attr-defined]


def queue_of(module: Any) -> Callable[[], None]:
    def call() -> None:
        things = module.SimpleQueue()
        later(things.put, 1)
        things.get()

    return call


FREEZE: dict[str, Callable[[], None]] = {
    **{
        f"_thread:{name}": lock_of(_thread, name)
        for name in ("allocate_lock", "allocate", "LockType", "lock")
    },
    **{
        f"threading:{name}": lock_of(threading, name)
        for name in ("_allocate_lock", "Lock", "_LockType")
    },
    "_thread:RLock": rlock_of(_thread, "RLock"),
    "threading:_CRLock": rlock_of(threading, "_CRLock"),
    "_thread:start_new_thread": start_of(_thread, "start_new_thread"),
    "_thread:start_new": start_of(_thread, "start_new"),
    "threading:_start_new_thread": start_of(threading, "_start_new_thread"),
    "_thread:_set_sentinel": sentinel_of(_thread),
    "threading:_set_sentinel": sentinel_of(threading),
    "_thread:start_joinable_thread": joinable_of(_thread, "start_joinable_thread"),
    "threading:_start_joinable_thread": joinable_of(threading, "_start_joinable_thread"),
    "_thread:_ThreadHandle": handle_of(_thread),
    "threading:_ThreadHandle": handle_of(threading),
    "_thread:_make_thread_handle": made_handle_of(_thread),
    "threading:_make_thread_handle": made_handle_of(threading),
    "threading:_thread_shutdown": shutdown,
    "_queue:SimpleQueue": queue_of(_queue),
    "queue:SimpleQueue": queue_of(queue),
    "time:sleep": lambda: again(time.sleep, 0.001),
}

NEVER_WAIT = {
    "_frozen_importlib:_thread": "a number",
    "_thread:get_ident": "a number",
    "threading:get_ident": "a number",
    "_thread:_count": "a number",
    "_thread:_local": "a place for values",
    "threading:local": "a place for values",
    "_thread:set_name": "names the task",
    "threading:_set_name": "names the task",
    "_thread:_get_name": "says the task's name",
    "threading:excepthook": "tells what a thread failed with",
    "threading:_DummyThread.__init__": "makes an entry",
    "_queue:Empty": "an exception",
    "threading:": "corrects who is the main thread",
    "_thread:_get_main_thread_ident": "a number",
    "threading:_get_main_thread_ident": "a number",
    **{f"{module}:{name}": "warns" for module in ("os", "posix") for name in ("fork", "forkpty")},
    "queue:Queue.__init__": "makes a queue",
}
