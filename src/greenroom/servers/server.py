"""The life of a server: start, serve, stop.                                     layer: servers

    NEW ──start()──▶ RUNNING ──stop()──▶ STOPPING ──▶ STOPPED
                                         │ no new work; handlers may finish for `grace` seconds
                                         │ the rest is cancelled, and waited for
                                         │ every socket is closed

INVARIANT one-end: what a handler was given (a connection) is closed by whoever sees the task's end,
  not only by the task's own code: a task that is killed before its first switch runs none.
"""

from __future__ import annotations

import logging
from typing import Any, Self

from greenroom.core import api
from greenroom.core import scheduler as _scheduler
from greenroom.core.task import Task
from greenroom.servers import address as _address
from greenroom.sync.cancel import CancelScope
from greenroom.sync.event import Event

log = logging.getLogger("greenroom.servers")

NEW, RUNNING, STOPPING, STOPPED = "new", "running", "stopping", "stopped"


class Server:
    """What TCPServer and UDPServer share. Not used by itself.

    state     "new", "running", "stopping" or "stopped"
    sockets   those it listens on
    handlers  the tasks at work, each with what it was given
    """

    kind: int  # of sockets
    answers_on_sockets = False  # handlers use the sockets, which are closed after them

    def __init__(self, address: Any, *, backlog: int, reuse_port: bool, name: str | None) -> None:
        _address.check(address)  # what is wrong with it is said here, not in start()
        self.wanted = address
        self.backlog = backlog
        self.reuse_port = reuse_port
        self.name = name or type(self).__name__
        self.state = NEW
        self.sockets: list[Any] = []
        self.handlers: dict[Task, Any] = {}
        self.error: BaseException | None = None
        self._listeners: list[Task] = []
        self._files = _address.SocketFiles()
        self._closed = False
        self._ended = Event()  # it is STOPPED, or a listener has failed
        self._idle = Event()  # a handler has ended while it stops
        self._stoppers: list[Task] = []  # tasks inside stop(): they do not wait for one another

    # --- what a kind of server defines

    def listen(self, sock: Any) -> None:
        """Take in work from one socket until it is killed. Runs in a task of its own."""
        raise NotImplementedError

    def release(self, given: Any) -> None:
        """Give back what a handler was given; its task has ended. Must not wait."""

    def on_stop(self) -> None:
        """Called once when it begins to stop: end what is idle. Must not wait."""

    # --- the life

    def start(self) -> None:
        """Listen, and take in work in the background. Once only.

        Raises    OSError: it cannot listen there; RuntimeError: it was started before
        Switches  only if there is a name to look up
        """
        if self.state != NEW:
            raise RuntimeError(f"cannot start {self!r} again: make a new one")
        sock = _address.listen(
            self.wanted, self.kind, backlog=self.backlog, reuse_port=self.reuse_port
        )
        if self.state != NEW:  # somebody else has started or stopped it during the look-up
            sock.close()
            raise RuntimeError(f"cannot start {self!r} again: make a new one")
        self.sockets.append(sock)
        self._note_file(sock)
        self.prepare(sock)
        self.state = RUNNING
        for sock in self.sockets:
            listener = api.spawn(self.listen, sock)
            listener.name = f"{self.name} {_address.show(sock.getsockname())}"
            listener.observed = True  # serve_forever() raises what it raised
            listener.add_done_callback(self._listener_ended)
            self._listeners.append(listener)

    def prepare(self, sock: Any) -> None:
        """Set what a listening socket needs beyond the usual. Must not wait."""

    def serve_forever(self) -> None:
        """start(), if that was not called, and wait until the server has stopped.

        Leaving it by an exception (Ctrl-C, a kill, a timeout) stops the server at once.

        Raises    what ended a listener: the socket was closed by somebody else, for one
        Switches  always
        """
        if self.state == NEW:
            self.start()
        try:
            self._ended.wait()
        except BaseException:
            with CancelScope(shield=True):
                self.stop(0)
            raise
        if self.error is not None:
            self.stop(0)
            raise self.error

    def stop(self, grace: float | None = None) -> None:
        """Stop: no new work, an end for what is at work, every socket closed.

        grace     seconds that handlers may go on for; None = as long as they take; 0 = cancel them
                  now. A second call with a shorter grace shortens the first one's
        Switches  always, unless it was not started or has stopped

        From any task, a handler's too, which is not waited for and not cancelled then; and from a
        signal handler. Returns when all is over, also if another task has begun to stop it. If the
        wait is cut short, the handlers are cancelled, waited for all the same, and then it raises.
        """
        if self.state in (NEW, STOPPED):
            self.state = STOPPED
            self._ended.set()
            return
        first = self.state == RUNNING
        if first:
            self.state = STOPPING
            for listener in self._listeners:
                listener.kill()
            if not self.answers_on_sockets:
                self._close_sockets()
            self.on_stop()
        self._stoppers.append(api.current())
        self._idle.set()
        try:
            self._wait_for_handlers(grace)
        finally:
            try:
                with CancelScope(shield=True):
                    for task in self._others():
                        task.kill()
                    self._wait_for_handlers(None)
            finally:
                self._stoppers.remove(api.current())
                self._idle.set()
                self._close_sockets()
                self.state = STOPPED
                self._ended.set()

    def _others(self) -> list[Task]:
        """Return the tasks that stop() waits for."""
        tasks = [*self.handlers, *(task for task in self._listeners if not task.done)]
        return [task for task in tasks if task not in self._stoppers]

    def _wait_for_handlers(self, grace: float | None) -> None:
        scheduler = _scheduler.get()
        deadline = scheduler.deadline_after(grace)
        while self._others():
            self._idle.clear()
            left = deadline - scheduler.now()
            if left <= 0 or not self._idle.wait(None if grace is None else left):
                return

    def _close_sockets(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._files.remove()
        self._address = self._first_address()
        for sock in self.sockets:
            sock.close()

    def _note_file(self, sock: Any) -> None:
        """Remember the file of a Unix socket that was made here, to remove it at the end."""
        path = sock.getsockname()
        if not isinstance(path, (str, bytes)) or path[:1] in ("", b"", "\0", b"\0"):
            return
        if not hasattr(self.wanted, "getsockname") and not str(self.wanted).startswith("fd:"):
            self._files.note(path)

    def _listener_ended(self, task: Task) -> None:
        self._idle.set()
        if self.state == RUNNING:
            self.error = task.exception or RuntimeError(f"the listener of {self!r} has returned")
            self._ended.set()

    # --- handlers

    def enter(self, task: Task, given: Any) -> None:
        """Note a task that was spawned to handle something."""
        self.handlers[task] = given
        task.observed = True
        task.add_done_callback(self.leave)

    def leave(self, task: Task) -> None:
        """A handler's task has ended."""
        self.release(self.handlers.pop(task, None))
        self._idle.set()

    @property
    def closing(self) -> bool:
        """True from stop() on: a handler that could go on for ever should end."""
        return self.state is not RUNNING

    @property
    def connections(self) -> int:
        """How many handlers are at work."""
        return len(self.handlers)

    # --- what it says of itself

    def _first_address(self) -> Any:
        return self.sockets[0].getsockname() if self.sockets else None

    @property
    def address(self) -> Any:
        """Where it listens, as socket.getsockname(); the last one once it is stopped.

        Raises    RuntimeError: it was not started
        """
        if self._closed:
            return self._address
        if not self.sockets:
            raise RuntimeError(f"{self!r} has no address: it was not started")
        return self._first_address()

    def __enter__(self) -> Self:
        if self.state == NEW:
            self.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Stop: at once if the block failed, else when the handlers are done."""
        if kind is None:
            self.stop()
            return
        with CancelScope(shield=True):  # what cancels the block must not cut this short
            self.stop(0)

    def __repr__(self) -> str:
        where = self.wanted
        if self.sockets and self.state == RUNNING:
            where = self._first_address()
        shown = _address.show(where) if isinstance(where, (tuple, bytes)) else where
        return f"<{type(self).__name__} {shown} {self.state}, {len(self.handlers)} at work>"
