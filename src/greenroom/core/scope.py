"""A stretch of a task's code that can be cancelled as a whole.                  layer: core

Scopes nest: task.scope is the innermost. Before each wait, and when a deadline wakes it, the task
looks from the innermost outwards, up to the first shield, for scopes that are cancelled or past
their deadline; the outermost of them raises. That makes cancelling level-triggered: every further
wait raises again, whatever the code between does with the exception. It also makes entering a
scope cheap: no timer is started, a wait simply ends at the nearest deadline of all.

Who changes a scope from outside (cancels it, moves its deadline) calls Scheduler.interrupt() for
the task in it, which looks again if it is parked.
"""

from __future__ import annotations

from greenroom.core.timers import FOREVER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Scope:
    """What `CancelScope`, `timeout()`, groups and shields are made of.

    parent     the scope around it, None for the outermost
    ends       its deadline: absolute seconds on the scheduler's clock, FOREVER for none
    cancelled  every wait inside raises
    shields    what is outside cannot interrupt waits inside
    """

    parent: Scope | None
    ends: float
    cancelled: bool
    shields: bool

    def __init__(self, ends: float = FOREVER, shields: bool = False) -> None:
        self.parent = None
        self.ends = ends
        self.cancelled = False
        self.shields = shields

    def make_error(self, task: Any) -> BaseException:
        """Return what a wait of task inside this scope raises now that it is over."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it raises")

    def task_ended(self, task: Any) -> None:
        """Called when a task that has this scope as its home is DONE. It must not wait."""
