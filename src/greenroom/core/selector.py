"""The plain poller, on the standard library's selectors.                        layer: core

For an install without a compiler, and the oracle of the tests: GREENROOM_POLLER=selectors. It asks
the kernel for a direction only while a task waits for it, level-triggered, so there is no edge to
miss; that costs one or two epoll_ctl(2) a wait.
"""

import select
import selectors

from greenroom.core.poller import FdState, Poller
from greenroom.core.timers import FOREVER

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class _Selector(selectors.DefaultSelector):
    """The real one, whatever patching does to the class in selectors."""

    _selector_cls = getattr(selectors.DefaultSelector, "_selector_cls", None)
    select = selectors.DefaultSelector.select


_MASKS = {0: 0, READ: select.EPOLLIN, WRITE: select.EPOLLOUT, 3: select.EPOLLIN | select.EPOLLOUT}

# poll(2) and epoll_wait(2) take an int of milliseconds.
_LONGEST = 2.0**31 / 1000 - 1


class SelectorPoller(Poller):
    """selectors.DefaultSelector under the contract of poller.py."""

    name = "selectors"

    def __init__(self, wake_fd: int) -> None:
        super().__init__(wake_fd)
        self._selector = _Selector()
        self._selector.register(wake_fd, READ, None)

    def close(self) -> None:
        self._selector.close()

    def arm(self, state: FdState, write: bool, level: bool) -> None:
        wanted = state.interest | (WRITE if write else READ)
        if wanted == state.interest and state.registered:
            if self.watches(state):
                return
            state.registered = False  # closed behind our back, and the number given out again
        try:
            if not state.registered:
                self._forget_number(state.fd)
                self._selector.register(state.fd, wanted, state)
                state.registered = True
            else:
                self._selector.modify(state.fd, wanted, state)
        except PermissionError:  # a regular file: always ready
            state.registered = False
            self._forget_number(state.fd)
            self.fired(state, True, True, False)
            return
        except FileNotFoundError:  # closed behind our back, and the number given out again
            self._forget_number(state.fd)
            self._selector.register(state.fd, wanted, state)
            state.registered = True
        state.interest = wanted

    def watches(self, state: FdState) -> bool:
        if not state.registered:
            return False
        if not isinstance(self._selector, selectors.EpollSelector):
            return True  # no other kind can tell
        try:
            # modify() of the selector itself asks the kernel only if the events are others.
            self._selector._selector.modify(state.fd, _MASKS[state.interest])  # type: ignore[attr-defined]
        except OSError:
            return False
        return True

    def _forget_number(self, fd: int) -> None:
        if fd in self._selector.get_map():
            self._selector.unregister(fd)

    def unregister(self, state: FdState) -> None:
        state.registered = False
        state.interest = 0
        self._forget_number(state.fd)

    def poll(self, timeout: float) -> int:
        if timeout > _LONGEST:
            limit = None if timeout == FOREVER else _LONGEST
        else:
            limit = timeout
        for key, events in self._selector.select(limit):
            state = key.data
            if state is None:
                self.wake_seen = True
                continue
            read, write = bool(events & READ), bool(events & WRITE)
            self.fired(state, read, write, True)
            wanted = (READ if state.readers else 0) | (WRITE if state.writers else 0)
            if wanted != state.interest:
                state.interest = wanted
                if wanted:
                    self._selector.modify(state.fd, wanted, state)
                else:
                    state.registered = False
                    self._forget_number(state.fd)
        return 0
