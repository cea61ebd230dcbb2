"""The one wait queue under every lock, event, queue and fd.                     layer: core

A doubly linked list whose links lie in the tasks themselves: nothing is allocated to wait, leaving
from the middle (timeout, kill) is O(1), and the length is known. It is a list of what waits and no
more; parking and waking are the scheduler's (scheduler.park, scheduler.unpark).
"""

from __future__ import annotations

from greenroom.core import native
from greenroom.core.timers import FOREVER, Timed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# INVARIANT one-owner: a waiter is in at most one WaitQueue, and waiter.queue names it.
# Why: whoever wakes it second would resume it inside its next wait.
# Checked by: Scheduler.check() under GREENROOM_DEBUG; test_timer_and_event_in_one_tick_wake_once


class Waiter(Timed):
    """Something that may stand in one wait queue, and in the deadline heap.

    In practice a Task, an Operation that a task waits for (operation.py), or a watcher of an fd.
    Whoever wakes it calls scheduler.wake().

    value   what the waker hands over: a queue's item, for one
    """

    prev: Any  # a Waiter or None
    next: Any
    queue: WaitQueue | None
    value: Any

    def woken(self) -> None:
        """Called by who wakes it; not for tasks. Leaves the queue. Runs no foreign code."""
        raise NotImplementedError

    def failed(self, error: BaseException) -> None:
        """As woken(), for a wait that must raise error."""
        raise NotImplementedError


class Case(Waiter):
    """A Waiter that stands in a queue for a task, which may have several of them. See operation.py.

    task     who waits, while it does
    sibling  the next of the task's cases; the first is task.cases
    """

    task: Any  # a Task or None
    sibling: Any  # a Case or None


if not native.compiled():  # where the fields of a new object are None and 0 by themselves
    for _field in ("prev", "next", "queue", "value", "task", "sibling"):
        setattr(Case if _field in ("task", "sibling") else Waiter, _field, None)
    Waiter.deadline = FOREVER
    Waiter.index = -1


class WaitQueue:
    """Waiters in the order in which they came."""

    head: Any  # a Waiter, in practice a Task, or None
    tail: Any
    count: int

    def __init__(self) -> None:
        self.head = None
        self.tail = None
        self.count = 0

    def __len__(self) -> int:
        return self.count

    def append(self, waiter: Waiter) -> None:
        """Let waiter stand last."""
        tail = self.tail
        waiter.queue = self
        waiter.prev = tail
        if tail is None:
            self.head = waiter
        else:
            tail.next = waiter
        self.tail = waiter
        self.count += 1

    def popleft(self) -> Any:
        """Take out and return the first, or None."""
        head = self.head
        if head is None:
            return None
        self.head = head.next
        if self.head is None:
            self.tail = None
        else:
            self.head.prev = None
            head.next = None
        head.queue = None
        self.count -= 1
        return head

    def remove(self, waiter: Waiter) -> None:
        """Take waiter out, wherever it stands."""
        prev = waiter.prev
        next = waiter.next
        if prev is None:
            self.head = next
        else:
            prev.next = next
        if next is None:
            self.tail = prev
        else:
            next.prev = prev
        waiter.prev = waiter.next = None
        waiter.queue = None
        self.count -= 1

    def waiters(self) -> list[Waiter]:
        """Return the waiters in order."""
        found = []
        waiter = self.head
        while waiter is not None:
            found.append(waiter)
            waiter = waiter.next
        return found
