"""select, poll and epoll that park.                                             layer: green

All three rest on one fact: an epoll instance is itself a file that becomes readable when one of its
fds is ready (epoll(7)). So each look is the C function's, with a timeout of 0, and in between the
task parks on an epoll fd that watches the same fds.

A loop that always finds something, or asks with a timeout of 0, lets the others run now and then.
"""

from __future__ import annotations

import select as _stdlib
import sys

from greenroom import _originals
from greenroom.core import scheduler as _scheduler
from greenroom.core.timers import FOREVER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

_Epoll, _poll, _select = (
    _originals.select_epoll,
    _originals.select_poll,
    _originals.select_select,
)
_LONGEST_MS = 2**31 - 1  # what poll(2) and epoll_wait(2) take
IN, PRI, OUT = _stdlib.EPOLLIN, _stdlib.EPOLLPRI, _stdlib.EPOLLOUT


def _watch(masks: dict[int, int]) -> Any:
    """Return a C-level epoll that watches the fds, or None if one of them is always ready."""
    epoll = _Epoll(max(len(masks), 1))
    try:
        for fd, mask in masks.items():
            try:
                # Edge-triggered: a hang-up that nobody asked for is reported once, not for ever.
                epoll.register(fd, mask | _stdlib.EPOLLET)
            except PermissionError:  # a regular file: always ready, but for urgent data
                if mask != PRI:
                    epoll.close()
                    return None
    except BaseException:
        epoll.close()
        raise
    return epoll


def _park_on(epoll: Any, deadline: float) -> bool:
    """Park until the epoll has something to say; False: the deadline came first.

    A loop of asyncio that waits here is the running loop of its task. Others of this OS thread,
    for which asyncio keeps just one, must not see it. Loops of ours have a face, which the
    scheduler itself takes off and puts on.
    """
    scheduler = _scheduler.get()
    asyncio = sys.modules.get("asyncio.events")
    loop = None if asyncio is None else asyncio._get_running_loop()
    if loop is None or scheduler.current.face is not None:
        return scheduler.wait_fd(epoll.fileno(), False, deadline, True)
    asyncio._set_running_loop(None)  # type: ignore[union-attr]
    try:
        return scheduler.wait_fd(epoll.fileno(), False, deadline, True)
    finally:
        asyncio._set_running_loop(loop)  # type: ignore[union-attr]


def _close(epoll: Any) -> None:
    _scheduler.closing_fd(epoll.fileno())
    epoll.close()


def _fileno(thing: Any) -> int:
    return thing if isinstance(thing, int) else thing.fileno()


def select(
    rlist: Iterable[Any], wlist: Iterable[Any], xlist: Iterable[Any], timeout: float | None = None
) -> tuple[list[Any], list[Any], list[Any]]:
    """select(2). Switches if nothing is ready and timeout is not 0, and after many calls.

    timeout   seconds, None = for ever
    """
    if timeout is not None and timeout < 0:
        raise ValueError("timeout must be non-negative")
    # A list is given as it is, for a fileno() may change it; an iterator is used up by one look.
    rlist, wlist, xlist = (
        things if isinstance(things, list) else list(things) for things in (rlist, wlist, xlist)
    )
    _scheduler.get().spend_budget()  # who looks again and again must let the others run
    found = _select(rlist, wlist, xlist, 0)
    if timeout == 0 or any(found):
        return found
    deadline = _scheduler.get().deadline_after(timeout)
    masks: dict[int, int] = {}
    for things, mask in ((rlist, IN), (wlist, OUT), (xlist, PRI)):
        for thing in things:
            fd = _fileno(thing)
            masks[fd] = masks.get(fd, 0) | mask
    epoll = _watch(masks)
    if epoll is None:
        return _select(rlist, wlist, xlist, 0)
    try:
        while _park_on(epoll, deadline):
            found = _select(rlist, wlist, xlist, 0)
            if any(found):
                break
            epoll.poll(0)  # what was reported is dealt with
    finally:
        _close(epoll)
    return found


def select_of_selector(
    self: Any, rlist: Any, wlist: Any, xlist: Any, timeout: float | None = None
) -> tuple[list[Any], list[Any], list[Any]]:
    """selectors.SelectSelector._select, which ignores the third list on Linux too."""
    return select(rlist, wlist, [], timeout)


def poll() -> Poll:
    """Return an object to watch fds with. Never switches."""
    self = object.__new__(Poll)
    self._poll = _poll()
    self._masks = {}
    self._polling = False
    return self


poll_of_selector = staticmethod(poll)  # in a class, where a function would become a method


class Poll:
    """What poll() returns: its poll() parks."""

    _poll: Any
    _masks: dict[int, int]
    _polling: bool

    def __new__(cls) -> Poll:
        """Made by poll() alone, as in the standard library."""
        raise TypeError(f"cannot create '{cls.__module__}.{cls.__name__}' instances")

    def register(
        self, fd: Any, eventmask: int = _stdlib.POLLIN | _stdlib.POLLPRI | _stdlib.POLLOUT
    ) -> None:
        """Watch fd from now on. Never switches."""
        self._poll.register(fd, eventmask)
        self._masks[_fileno(fd)] = eventmask

    def modify(self, fd: Any, eventmask: int) -> None:
        """Change what fd is watched for. OSError with ENOENT if it is not. Never switches."""
        self._poll.modify(fd, eventmask)
        self._masks[_fileno(fd)] = eventmask

    def unregister(self, fd: Any) -> None:
        """Stop watching fd. KeyError if it is not watched. Never switches."""
        self._poll.unregister(fd)
        self._masks.pop(_fileno(fd), None)

    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
        """poll(2). Returns [(fd, events)]. Switches as select() does.

        timeout   milliseconds, None or negative = for ever
        """
        if timeout is not None and timeout > _LONGEST_MS:
            raise OverflowError("timeout is too large")
        if self._polling:
            raise RuntimeError("concurrent poll() invocation")
        _scheduler.get().spend_budget()
        found: list[tuple[int, int]] = self._poll.poll(0)
        if found or timeout == 0:
            return found
        seconds = None if timeout is None or timeout < 0 else timeout / 1000
        deadline = _scheduler.get().deadline_after(seconds)
        self._polling = True
        try:
            return self._park(deadline)
        finally:
            self._polling = False

    def _park(self, deadline: float) -> list[tuple[int, int]]:
        """Wait until poll(2) finds something, or until deadline."""
        found: list[tuple[int, int]] = []
        epoll = _watch(self._masks)  # POLLIN … POLLHUP have the values of EPOLLIN … EPOLLHUP
        if epoll is None:
            found = self._poll.poll(0)
            return found
        try:
            while _park_on(epoll, deadline):
                found = self._poll.poll(0)
                if found:
                    break
                epoll.poll(0)  # what was reported is dealt with
        finally:
            _close(epoll)
        return found


class epoll:
    """select.epoll() whose poll() parks."""

    def __init__(self, sizehint: int = -1, flags: int = 0) -> None:
        self._epoll = _Epoll(sizehint, flags)
        _scheduler.new_fd(self._epoll.fileno())

    @classmethod
    def fromfd(cls, fd: int, /) -> epoll:
        """An epoll on an fd that exists."""
        self = cls.__new__(cls)
        self._epoll = _Epoll.fromfd(fd)
        return self

    @property
    def closed(self) -> bool:
        """True after close()."""
        return self._epoll.closed

    def fileno(self) -> int:
        """Return the epoll's own fd."""
        return self._epoll.fileno()

    def close(self) -> None:
        """Close it. Tasks that wait in poll() get a ClosedError."""
        if not self._epoll.closed:
            _close(self._epoll)

    def register(self, fd: Any, eventmask: int = IN | PRI | OUT) -> None:
        """epoll_ctl(2), ADD. Never switches."""
        self._epoll.register(fd, eventmask)

    def modify(self, fd: Any, eventmask: int) -> None:
        """epoll_ctl(2), MOD. Never switches."""
        self._epoll.modify(fd, eventmask)

    def unregister(self, fd: Any) -> None:
        """epoll_ctl(2), DEL. Never switches."""
        self._epoll.unregister(fd)

    def poll(self, timeout: float | None = None, maxevents: int = -1) -> list[tuple[int, int]]:
        """epoll_wait(2). Returns [(fd, events)]. Switches as select() does.

        timeout   seconds, None or negative = for ever
        """
        if timeout is not None and timeout * 1000 > _LONGEST_MS:
            raise OverflowError("timeout is too large")
        _scheduler.get().spend_budget()
        found = self._epoll.poll(0, maxevents)
        if found or timeout == 0:
            return found
        deadline = FOREVER
        if timeout is not None and timeout >= 0:
            deadline = _scheduler.get().deadline_after(timeout)
        while not found and _park_on(self._epoll, deadline):
            found = self._epoll.poll(0, maxevents)
        return found

    def __enter__(self) -> epoll:
        if self._epoll.closed:
            raise ValueError("I/O operation on closed epoll object")
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def run_once_after(original: Callable[[Any], None]) -> Callable[[Any], None]:
    """Wrap BaseEventLoop._run_once: whatever its selector is, others run now and then."""

    def _run_once(self: Any) -> None:
        _scheduler.get().spend_budget()
        original(self)

    return _run_once


def __getattr__(name: str) -> Any:
    return getattr(_stdlib, name)
