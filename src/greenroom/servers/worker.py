"""A worker process: what it gets from its supervisor, and what it tells it.       layer: servers

The supervisor (servers/workers.py) starts it with an environment variable that names its listening
sockets and one end of a socketpair. Lines go up it: "ready", "beat", "left 3" while it drains,
"retire" when it has served its number of requests, "dumped". Nothing comes down; its end means that
the supervisor is dead.

The heartbeat is a task. It stops when something keeps the scheduler from running others: that is
what the supervisor must know. SIGQUIT then makes the process write what each thread and task does:
faulthandler's C handler for what runs, whatever it is in, and, if that is Python code, a handler in
Python for the tasks that wait.
"""

from __future__ import annotations

import _signal
import faulthandler
import json
import os
import socket
import sys
import traceback

from greenroom import _originals
from greenroom.core import report
from greenroom.core import scheduler as _scheduler
from greenroom.core.api import sleep, spawn
from greenroom.core.task import Task
from greenroom.green.socket import socket as GreenSocket
from greenroom.servers.workers import ROLE
from greenroom.sync.wait import joinall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# Tasks whose stacks are written out. Ten thousand that wait for a request look alike.
DUMP_TASKS = 200

_write = _originals.os_write


class Role:
    """The place of this process among its supervisor's workers.

    number    which worker it is, from 1
    workers   how many there are
    sockets   its listening sockets, one for each address
    """

    def __init__(self, given: dict[str, Any]) -> None:
        self.number: int = given["number"]
        self.workers: int = given["workers"]
        self._beat: float = given["beat"]
        for fd in [*given["sockets"], given["pipe"]]:
            os.set_inheritable(fd, False)
        self.sockets = [GreenSocket(fileno=fd) for fd in given["sockets"]]
        self._pipe = GreenSocket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=given["pipe"])
        self._tasks: list[Task] = []
        self._left: Callable[[], int] | None = None

    def begin(self, orphaned: Callable[[], object]) -> None:
        """Listen to the supervisor's signals, and watch whether it lives.

        orphaned  called when it has died
        """
        dump_on_sigquit(self.dumped)
        # The terminal's Ctrl-C and hang-up reach the supervisor too: it decides.
        for number in (_signal.SIGINT, _signal.SIGHUP):
            _signal.signal(number, _signal.SIG_IGN)
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, [_signal.SIGINT, _signal.SIGHUP])
        self._tasks.append(spawn(self._watch, orphaned))

    def ready(self) -> None:
        """Say that the worker accepts connections. From now on it must give signs of life."""
        self._tell("ready")
        self._tasks.append(spawn(self._beats))

    def draining(self, left: Callable[[], int]) -> None:
        """Say from now on how many requests are left."""
        self._left = left
        self._tell(f"left {left()}")

    def retire(self) -> None:
        """Ask to be replaced."""
        self._tell("retire")

    def dumped(self) -> None:
        """Say that the dump is written."""
        self._tell("dumped")

    def end(self) -> None:
        """End the tasks of this."""
        for task in self._tasks:
            task.kill()
        joinall(self._tasks)

    def _tell(self, line: str) -> None:
        try:
            _write(self._pipe.fileno(), line.encode() + b"\n")
        except BlockingIOError:
            pass  # the supervisor is stopped, and knows when it goes on that it did not listen
        except OSError:
            pass  # dead: _watch() hears of it

    def _beats(self) -> None:
        while True:
            self._tell("beat" if self._left is None else f"left {self._left()}")
            sleep(self._beat)

    def _watch(self, orphaned: Callable[[], object]) -> None:
        try:
            while self._pipe.recv(64):
                pass
        except ConnectionError:
            pass
        orphaned()


def take_role() -> Role | None:
    """Return this process's role if a supervisor has started it, else None. Never switches.

    A second call returns None: the role is one server's. So does a call in a child of a worker.
    """
    given = os.environ.pop(ROLE, None)
    if given is None:
        return None
    found = json.loads(given)
    return Role(found) if found["supervisor"] == os.getppid() else None


def dump_on_sigquit(done: Callable[[], object]) -> None:
    """On SIGQUIT write what all threads and tasks do to standard error, then call done."""

    def dump(number: int, frame: Any) -> None:
        dump_tasks()
        done()

    _signal.signal(_signal.SIGQUIT, dump)
    # Its handler runs first, and in C: also where no Python code runs any more.
    faulthandler.register(_signal.SIGQUIT, file=2, all_threads=True, chain=True)


def dump_tasks() -> None:
    """Write the stack of each task to standard error. Never switches."""
    scheduler = _scheduler.get()
    running = scheduler.current
    tasks = scheduler.tasks()
    lines = [f"\n{len(tasks)} tasks:\n"]
    for task in tasks[:DUMP_TASKS]:
        if task is running:
            lines.append(f"\n<Task {task.name}> runs\n")
        else:
            lines.append(f"\n<Task {task.name}> waits for {report.describe(task.reason)}\n")
        frame = sys._getframe(2) if task is running else report.frame_of(task)
        lines += traceback.format_stack(frame) if frame is not None else ["  not started\n"]
    if len(tasks) > DUMP_TASKS:
        lines.append(f"\nand {len(tasks) - DUMP_TASKS} more\n")
    data = "".join(lines).encode("utf-8", "backslashreplace")
    try:
        while data:
            data = data[_write(2, data) :]
    except OSError:
        pass
