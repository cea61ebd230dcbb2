"""timeout(): a time limit on a block of code.                                   layer: sync"""

from types import TracebackType

from greenroom.core import scheduler as _scheduler
from greenroom.core.scope import Scope
from greenroom.core.task import Task
from greenroom.core.timers import FOREVER
from greenroom.errors import Cancelled, Timeout


class timeout(Scope):
    """A context manager: what waits inside after the time is over is cancelled.

    seconds   None = no limit
    Raises    Timeout, a TimeoutError, when the block is left because its time was over. A block
              that ends by itself, late or not, raises nothing
    Switches  never itself

    Inside, each wait past the deadline raises Cancelled, so that an `except OSError` or a bare
    `except` in the block cannot lose it. Timeouts nest; the outer one wins when both are over.
    """

    def __init__(self, seconds: float | None) -> None:
        Scope.__init__(self)
        self.seconds = seconds
        self._task: Task | None = None

    def __enter__(self) -> "timeout":
        if self._task is not None:
            raise RuntimeError("this timeout() is entered already; make one for each block")
        scheduler = _scheduler.get()
        self.deadline = scheduler.deadline_after(self.seconds)
        self.cancelled = False
        self._task = scheduler.current
        self._task.push_scope(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.pop_scope(self)
        if isinstance(error, Cancelled) and error.scope is self:
            raise Timeout(f"the block was not done after {self.seconds} s") from error

    @property
    def expired(self) -> bool:
        """True if the time is over."""
        return self.deadline != FOREVER and self.deadline <= _scheduler.get().now()

    def make_error(self, task: object) -> BaseException:
        return Cancelled(f"the {self.seconds} s of a timeout() are over", self)
