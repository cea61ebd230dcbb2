"""multiprocessing: its locks, its connections, and what it made on import.       layer: green

SemLock. The C type waits in sem_wait(3), which has no fd to park on. So a task tries without
blocking; if that fails it stands in a queue of this process, and only one task of that queue asks
the kernel again, with a pause of 1 to 10 ms in between. A release in this process wakes the first
of the queue at once. Where no other task is there that could run (a worker of a Pool, most of the
time), sem_wait(3) itself is called: nobody is kept waiting by it, and it wakes without delay.

The C type tells owners apart by OS thread. Here each task is an owner of its own; the C object
below is a plain semaphore, and on it processes that are not patched see the same lock.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

from greenroom import _config, _originals
from greenroom.core import scheduler as _scheduler
from greenroom.core.local import local
from greenroom.core.timers import FOREVER
from greenroom.core.waitqueue import WaitQueue

_RECURSIVE_MUTEX, _SEMAPHORE = 0, 1  # multiprocessing.synchronize's
_SemLock: Any = None  # the C type: to import it here could lead back here, by patch/imports.py


class SemLock:
    """_multiprocessing.SemLock whose acquire() parks."""

    SEM_VALUE_MAX: int
    wait_reason = "a lock between processes"

    def __init__(self, kind: int, value: int, maxvalue: int, name: str, unlink: bool) -> None:
        plain = _SEMAPHORE if kind == _RECURSIVE_MUTEX else kind  # a wrong one is refused below
        self._adopt(_SemLock(plain, value, maxvalue, name, unlink), kind)

    @classmethod
    def _rebuild(cls, handle: int, kind: int, maxvalue: int, name: str | None) -> "SemLock":
        self = cls.__new__(cls)
        self._adopt(_SemLock._rebuild(handle, _SEMAPHORE, maxvalue, name), kind)
        return self

    def _adopt(self, semaphore: Any, kind: int) -> None:
        self._semaphore = semaphore
        self.kind = kind
        self.handle: int = semaphore.handle
        self.maxvalue: int = semaphore.maxvalue
        self.name: str | None = semaphore.name
        self._after_fork()

    def _after_fork(self) -> None:
        self._held = 0  # acquired less released in this process, as the C type counts
        self._owner: object = None  # who acquired last
        self._waiters = WaitQueue()
        self._poller: Any = None  # the one task that asks the kernel

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Lower the semaphore by one; an RLock's owner may again, at once.

        timeout   seconds, None = for ever
        Returns   True, or False if the time was over first, or block is False
        Switches  only if it is 0
        """
        me = _scheduler.current_owner()
        if self.kind == _RECURSIVE_MUTEX and self._is_mine():
            self._held += 1
            return True
        if self._take(me, False, None):
            return True
        if not block:
            return False
        deadline = _scheduler.get().deadline_after(timeout)
        try:
            return self._wait(me, deadline)
        finally:
            if self._poller is None or self._poller is _scheduler.get().current:
                self._poller = None
                _scheduler.wake_first(self._waiters)  # who asks the kernel from now on

    def _take(self, me: object, block: bool, timeout: float | None) -> bool:
        """Ask the kernel."""
        if not self._semaphore.acquire(block, timeout):
            return False
        self._owner = me
        self._held += 1
        return True

    def _wait(self, me: object, deadline: float) -> bool:
        scheduler = _scheduler.get()
        task = scheduler.current
        pause = _config.SEMAPHORE_PAUSES[0]
        while True:
            now = scheduler.now()
            if scheduler.is_alone():
                # In slices: a signal handler may have spawned a task, or interrupted main.
                slice = min(max(deadline - now, 0.0), _config.SEMAPHORE_SLICE)
                if self._take(me, True, slice):
                    return True
            else:
                until = deadline
                # The poller of before a fork is done in the child.
                if self._poller is None or self._poller is task or self._poller.done:
                    self._poller = task
                    until = min(deadline, now + pause)
                    pause = min(pause * 2, _config.SEMAPHORE_PAUSES[1])
                scheduler.enlist(self._waiters, self, until)
                if self._poller is None:  # it has just left, in another OS thread
                    _scheduler.wake_first(self._waiters)
                scheduler.wait()
                if self._take(me, False, None):
                    return True
            if deadline != FOREVER and scheduler.now() >= deadline:
                return False

    def release(self) -> None:
        """Raise the semaphore by one and wake the first who waits. Never switches.

        Raises    AssertionError: an RLock that the caller does not own; ValueError: more releases
                  than the maximum allows
        """
        if self.kind == _RECURSIVE_MUTEX:
            if not self._is_mine():
                raise AssertionError("attempt to release recursive lock not owned by thread")
            if self._held > 1:
                self._held -= 1
                return
        self._semaphore.release()
        self._held -= 1
        _scheduler.wake_first(self._waiters)

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, kind: object = None, error: object = None, trace: object = None) -> None:
        self.release()

    def _count(self) -> int:
        return self._held

    def _is_mine(self) -> bool:
        return self._held > 0 and self._owner == _scheduler.current_owner()

    def _get_value(self) -> int:
        value: int = self._semaphore._get_value()
        return value

    def _is_zero(self) -> bool:
        zero: bool = self._semaphore._is_zero()
        return zero

    def __repr__(self) -> str:
        return f"<SemLock {self.name} at {id(self):#x}: {len(self._waiters)} waiting>"


def sem_lock_around(original: Any) -> type[SemLock]:
    """Return SemLock, made of the C type."""
    global _SemLock
    _SemLock = original
    SemLock.SEM_VALUE_MAX = original.SEM_VALUE_MAX
    return SemLock


def recv_around(original: Callable[..., Any]) -> Callable[..., Any]:
    """Connection._recv took os.read as a default when the module was imported."""

    def _recv(self: Any, size: int, read: Callable[..., bytes] | None = None) -> Any:
        return original(self, size, os.read if read is None else read)

    return _recv


def send_around(original: Callable[..., Any]) -> Callable[..., Any]:
    """Connection._send took os.write as a default when the module was imported."""

    def _send(self: Any, buf: Any, write: Callable[..., int] | None = None) -> Any:
        return original(self, buf, os.write if write is None else write)

    return _send


def close_around(original: Callable[..., Any]) -> Callable[..., Any]:
    """Connection._close: who waits on the fd is told."""
    # Not looked up when called: __del__ calls it, at a time when modules may be empty.
    closing_fd, close, is_finalizing = _scheduler.closing_fd, _originals.os_close, sys.is_finalizing

    def _close(self: Any, _close: Callable[[int], object] = close) -> Any:
        if not is_finalizing():
            closing_fd(self._handle)
        return original(self, _close)

    return _close


def fork_aware_local(original: Any) -> Any:
    """Return util.ForkAwareLocal with a value for each task: a manager's proxies connect by it."""
    if issubclass(original, local):
        return original
    members = {name: vars(original)[name] for name in ("__init__", "__reduce__")}
    return type(original)(original.__name__, (local,), members)


def fresh_local(original: Any) -> local:
    """Return one with a value for each task in place of one that was made before patching."""
    return local()


class _NoSignals:
    """In place of the module signal: without pthread_sigmask, whose mask is the whole thread's.

    The server of resource_sharer blocks all signals in its thread, and that is the main thread.
    """


def no_signals(original: Any) -> Any:
    """Return what resource_sharer sees of the module signal."""
    return _NoSignals()
