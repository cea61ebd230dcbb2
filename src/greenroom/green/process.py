"""os.wait*, os.system and the wait of subprocess.Popen, that park.               layer: green

A child that ends makes its pidfd readable (pidfd_open(2), Linux 5.3): the task parks on that, and
then reaps the child with the C call and WNOHANG. SIGCHLD is the program's own: nothing here needs
it. Where no pidfd can say what is waited for (any child, a group of them, a child that stops), a
real thread waits with WNOWAIT, which reaps nothing, and then the task does. Who reaps is thus
always the task itself, in one system call: one that is killed has taken nothing.
"""

from __future__ import annotations

import os
import posix

from greenroom.core import offload
from greenroom.core import scheduler as _scheduler
from greenroom.core.timers import FOREVER
from greenroom.core.waitqueue import WaitQueue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# Taken now, before patching.
_wait3, _wait4, _waitid, _waitpid = posix.wait3, posix.wait4, posix.waitid, posix.waitpid
_system = posix.system
_close = posix.close
_pidfd_open: Callable[[int], int] | None = getattr(posix, "pidfd_open", None)
_P_PIDFD = getattr(os, "P_PIDFD", 3)  # Linux 5.4

_NOT_ENDS = os.WUNTRACED | os.WCONTINUED


class _Watch:
    """A real thread that waits for a change of some child, for every task that waits for the same.

    One thread for all: a program that gives up such a wait again and again leaves one behind.
    """

    def __init__(self, key: tuple[int, int, int]) -> None:
        self.key = key
        self.waiters = WaitQueue()
        self.over = False

    @property
    def wait_reason(self) -> str:
        return "a child process"

    def run(self) -> None:
        """The thread: wait, reap nothing, wake them."""
        try:
            _waitid(*self.key)
        finally:
            if _watches.get(self.key) is self:
                del _watches[self.key]
            self.over = True
            while _scheduler.wake_first(self.waiters):
                pass


_watches: dict[tuple[int, int, int], _Watch] = {}
os.register_at_fork(after_in_child=_watches.clear)


def _watch(key: tuple[int, int, int], deadline: float) -> bool:
    """Park until waitid(*key) would return; False: the deadline came first. May wake early."""
    watch = _watches.get(key)
    if watch is None:
        watch = _watches[key] = _Watch(key)
        try:
            offload.start_unbounded(watch.run)
        except BaseException:
            del _watches[key]
            raise
    scheduler = _scheduler.get()
    scheduler.enlist(watch.waiters, watch, deadline)
    scheduler.external += 1
    try:
        if watch.over:  # between the look at the dict and standing in the queue
            _scheduler.wake_first(watch.waiters)
        return scheduler.wait()
    finally:
        scheduler.external -= 1


def wait_exit(pid: int, deadline: float) -> bool:
    """Park until the child has ended or is no child; False: the deadline came first.

    May wake early. Reaps nothing. Switches always.
    """
    try:
        if _pidfd_open is None:
            raise OSError
        fd = _pidfd_open(pid)
    except OSError:  # an old kernel, no fd left, or the child is gone, which waitid() says as well
        return _watch((os.P_PID, pid, os.WEXITED | os.WNOWAIT), deadline)
    _scheduler.new_fd(fd)
    try:
        return _scheduler.get().wait_fd(fd, False, deadline, True)
    finally:
        _scheduler.closing_fd(fd)
        _close(fd)


def _park(pid: int, options: int) -> None:
    """Park until waitpid(pid, options) may have something to say."""
    if pid > 0 and not options & _NOT_ENDS:
        wait_exit(pid, FOREVER)
        return
    kinds = os.WEXITED | os.WNOWAIT
    if options & os.WUNTRACED:
        kinds |= os.WSTOPPED
    if options & os.WCONTINUED:
        kinds |= os.WCONTINUED
    if pid > 0:
        key = (os.P_PID, pid, kinds)
    elif pid == -1:
        key = (os.P_ALL, 0, kinds)
    else:
        key = (os.P_PGID, -pid or os.getpgrp(), kinds)
    _watch(key, FOREVER)


def waitpid(pid: int, options: int, /) -> tuple[int, int]:
    """waitpid(2). Switches only if no such child has ended and options lack WNOHANG."""
    if not _scheduler.can_wait():
        return _waitpid(pid, options)
    while True:
        found = _waitpid(pid, options | os.WNOHANG)
        if found[0]:
            return found
        if options & os.WNOHANG:
            _scheduler.get().spend_budget()  # who asks again and again lets others run
            return found
        _park(pid, options)


def wait() -> tuple[int, int]:
    """wait(2). Switches only if no child has ended."""
    return waitpid(-1, 0)


def wait4(pid: int, options: int) -> tuple[int, int, Any]:
    """wait4(2). Switches only if no such child has ended and options lack WNOHANG."""
    if not _scheduler.can_wait():
        return _wait4(pid, options)
    while True:
        found = _wait4(pid, options | os.WNOHANG)
        if found[0]:
            return found
        if options & os.WNOHANG:
            _scheduler.get().spend_budget()  # who asks again and again lets others run
            return found
        _park(pid, options)


def wait3(options: int) -> tuple[int, int, Any]:
    """wait3(2). Switches only if no child has ended and options lack WNOHANG."""
    if not _scheduler.can_wait():
        return _wait3(options)
    while True:
        found = _wait3(options | os.WNOHANG)
        if found[0]:
            return found
        if options & os.WNOHANG:
            _scheduler.get().spend_budget()  # who asks again and again lets others run
            return found
        _park(-1, options)


def waitid(idtype: int, id: int, options: int, /) -> Any:
    """waitid(2). Switches only if there is no such child and options lack WNOHANG."""
    if not _scheduler.can_wait():
        return _waitid(idtype, id, options)
    while True:
        found = _waitid(idtype, id, options | os.WNOHANG)
        if found is not None:
            return found
        if options & os.WNOHANG:
            _scheduler.get().spend_budget()  # who asks again and again lets others run
            return found
        ends = options & ~os.WNOWAIT == os.WEXITED
        if ends and idtype == os.P_PID:
            wait_exit(id, FOREVER)
        elif ends and idtype == _P_PIDFD:
            _scheduler.get().wait_fd(id, False, FOREVER, True)
        else:
            _watch((int(idtype), id, options | os.WNOWAIT), FOREVER)


def system(command: Any) -> int:
    """system(3), in a real thread. Switches always. A kill does not end the command."""
    if not _scheduler.can_wait():
        return _system(command)
    status: int = offload.call_with_signals(_system, command)
    return status


def wait_of_popen(self: Any, timeout: float | None) -> Any:
    """subprocess.Popen._wait: several tasks may wait for one child, and any may be killed.

    The lock is only held for the system call that reaps. Switches only if the child has not ended.
    """
    deadline = -1.0
    while self.returncode is None:
        if self._waitpid_lock.acquire(False):
            try:
                if self.returncode is not None:
                    break
                pid, status = self._try_wait(os.WNOHANG)
                # The status of a child that was reaped elsewhere is not known; the pid is.
                if pid == self.pid:
                    self._handle_exitstatus(status)
                    break
            finally:
                self._waitpid_lock.release()
        if deadline < 0:
            deadline = _scheduler.get().deadline_after(timeout)
        if not wait_exit(self.pid, deadline) and self.returncode is None:
            import subprocess

            raise subprocess.TimeoutExpired(self.args, timeout)  # type: ignore[arg-type]
    return self.returncode
