"""A clock that jumps: tests of timeouts and sleeps without waiting.             layer: testing"""

from greenroom.core import scheduler as _scheduler
from greenroom.core.timers import FOREVER


class VirtualClock:
    """Stands in for the time of the calling thread's scheduler inside a with block.

    When every task waits and no I/O is ready, the time jumps to the next deadline. Calls in real
    threads take real time; the clock stands still until they are back.

        with VirtualClock() as clock:
            greenroom.sleep(3600)
            assert clock.now() == 3600
    """

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def now(self) -> float:
        """Return the time in seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass for the task that runs now: what came due wakes at the next switch."""
        self._now += seconds

    def idle(self, deadline: float, external: int) -> float:
        """How long the poller may really wait, though the next deadline is known."""
        return FOREVER if external else 0.0

    def passed(self, deadline: float, nothing_ready: bool) -> None:
        """The poller has looked; nothing_ready: nothing happened before deadline."""
        if nothing_ready:
            self._now = max(self._now, deadline)

    def __enter__(self) -> "VirtualClock":
        scheduler = _scheduler.get()
        self._before = scheduler.clock
        scheduler.clock = self
        scheduler.time = self._now
        return self

    def __exit__(self, *error: object) -> None:
        scheduler = _scheduler.get()
        scheduler.clock = self._before
        scheduler.time = scheduler.now()
