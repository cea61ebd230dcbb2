"""A stretch of a task's code that can be cancelled as a whole.                  layer: core

Scopes nest: task.scope is the innermost. Before each wait, and when a deadline wakes it, the task
looks from the innermost outwards, up to the first shield, for scopes that are cancelled or past
their deadline; the outermost of them raises. That makes cancelling level-triggered: every further
wait raises again, whatever the code between does with the exception. It also makes entering a
scope cheap: no timer is started, a wait simply ends at the nearest deadline of all.
"""

from __future__ import annotations

from greenroom.core.timers import FOREVER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Scope:
    """What `timeout()` and its relatives are made of.

    parent     the scope around it, None for the outermost
    deadline   absolute seconds on the scheduler's clock, FOREVER for none
    cancelled  every wait inside raises
    shield     what is outside cannot interrupt waits inside
    """

    parent: Scope | None
    deadline: float
    cancelled: bool
    shield: bool

    def __init__(self, deadline: float = FOREVER, shield: bool = False) -> None:
        self.parent = None
        self.deadline = deadline
        self.cancelled = False
        self.shield = shield

    def make_error(self, task: Any) -> BaseException:
        """Return what a wait of task inside this scope raises now that it is over."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it raises")
