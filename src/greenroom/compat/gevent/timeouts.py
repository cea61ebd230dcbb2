"""gevent.Timeout: an exception that raises itself.                              layer: compat"""

from collections.abc import Callable
from typing import Any

from greenroom.core import scheduler as _scheduler
from greenroom.core.scope import Scope
from greenroom.core.timers import FOREVER


class _Once(Scope):
    """A scope that raises an exception at its deadline, once."""

    def __init__(self, timeout: "Timeout") -> None:
        Scope.__init__(self)
        self.timeout = timeout

    def make_error(self, task: object) -> BaseException:
        self.ends = FOREVER
        error = self.timeout.exception
        if error is None or error is False or isinstance(error, str):
            return self.timeout
        return error() if isinstance(error, type) else error  # type: ignore[no-any-return]


class Timeout(BaseException):
    """Raises itself, or `exception`, in the task that started it when `seconds` are over.

    As a context manager with exception=False it only ends the block.
    """

    def __init__(self, seconds: float | None = None, exception: Any = None) -> None:
        super().__init__(seconds, exception)
        self.seconds = seconds
        self.exception = exception
        self._scope: _Once | None = None

    def start(self) -> None:
        """Start the clock."""
        if self._scope is not None:
            raise RuntimeError(f"{self!r} is already started; to restart it, cancel it first")
        if self.seconds is None:
            return
        scheduler = _scheduler.get()
        self._scope = _Once(self)
        self._scope.ends = scheduler.deadline_after(self.seconds)
        self._task = scheduler.current
        self._task.push_scope(self._scope)

    @classmethod
    def start_new(cls, timeout: Any = None, exception: Any = None) -> "Timeout":
        """Start a new one; a Timeout given is started, if it is not."""
        if isinstance(timeout, Timeout):
            if not timeout.pending:
                timeout.start()
            return timeout
        self = cls(timeout, exception)
        self.start()
        return self

    @property
    def pending(self) -> bool:
        """Whether the clock runs."""
        return self._scope is not None and self._scope.ends != FOREVER

    def cancel(self) -> None:
        """Stop the clock."""
        scope, self._scope = self._scope, None
        if scope is not None:
            self._task.remove_scope(scope)

    close = cancel

    def __enter__(self) -> "Timeout":
        if not self.pending:
            self.start()
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> bool:
        self.cancel()
        return error is self and self.exception is False

    def __str__(self) -> str:
        if self.seconds is None:
            return ""
        return f"{self.seconds} second{'' if self.seconds == 1 else 's'}"


def with_timeout(seconds: float, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call function; after so many seconds return timeout_value, or raise Timeout without one."""
    missing = object()
    value = kwargs.pop("timeout_value", missing)
    timeout = Timeout.start_new(seconds)
    try:
        return function(*args, **kwargs)
    except Timeout as error:
        if error is timeout and value is not missing:
            return value
        raise
    finally:
        timeout.cancel()
