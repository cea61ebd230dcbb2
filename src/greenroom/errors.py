"""The errors of greenroom.                                                    layer: errors

Every one is a whole sentence: what was attempted, what was found, what to do. Timeouts are the
built-in TimeoutError, so that code written for sockets and futures catches them as it is.
"""

import builtins
import errno


# What CPython raises of a wait, or for a thread to start, at interpreter shutdown: new in 3.13.
TooLateError: type[RuntimeError] = getattr(builtins, "PythonFinalizationError", RuntimeError)


class GreenroomError(Exception):
    """Base of the errors that only greenroom raises."""


class DeadlockError(GreenroomError, RuntimeError):
    """Nothing can ever run again: every task waits, and nothing is left that could wake one.

    Raised in the main task. The text lists who waits, for what, and at which line.
    """


class TaskKilled(GreenroomError):
    """The result was asked of a task that was killed before it had one."""


class ClosedError(OSError):
    """A file descriptor was closed while a task waited on it. errno is EBADF."""

    def __init__(self, message: str) -> None:
        super().__init__(errno.EBADF, message)


class Cancelled(BaseException):
    """Raised inside a task at each of its waits once it was killed.

    Derives from BaseException, so that `except Exception` does not catch it. It is level-triggered:
    whoever swallows it meets it again at the next wait. Let it pass.

    scope   the scope whose end it is; None: the task was killed
    """

    def __init__(self, message: str = "", scope: object = None) -> None:
        super().__init__(message)
        self.scope = scope


class Timeout(TimeoutError):
    """What `with timeout(seconds)` raises when its time is over."""


class BrokenBarrierError(GreenroomError, RuntimeError):
    """A Barrier was aborted or reset, or one of its parties gave up."""


class WouldBlock(GreenroomError):
    """A call that was asked not to wait would have had to."""


class ChannelClosed(GreenroomError):
    """A channel cannot be used any more: this end was closed, or the other side.

    end   the Channel, Sender or Receiver that was used; in a select it tells which
    """

    def __init__(self, message: str = "", end: object = None) -> None:
        super().__init__(message)
        self.end = end


class EndOfChannel(GreenroomError):
    """Nothing more will come from a channel: it was closed, and it is empty.

    end   the Channel or Receiver that was used; in a select it tells which
    """

    def __init__(self, message: str = "", end: object = None) -> None:
        super().__init__(message)
        self.end = end


class BrokenWorkerError(GreenroomError, RuntimeError):
    """The worker process of a to_process() ended before it had a result."""


class SupervisorError(GreenroomError):
    """A Supervisor gave up: its children failed more often than it may restart them.

    __cause__   what the last of them failed with
    """
