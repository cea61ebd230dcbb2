# cython: nonecheck=True
"""Channels: what Go has, and trio's clonable ends.                              layer: sync

A Channel holds up to `capacity` items; with 0, the default, a send waits for its receive. It can be
used as it is, from both sides, as in Go; or channel() gives two ends, a Sender and a Receiver, that
say by their type who does what and count who is left on either side, as in trio.

As in queue.py an item goes straight to the first who waits for one, and a send that waits leaves
its item with the task: an item is always in one place. A send that was killed or timed out has not
sent; a receive that was given an item returns it, even if it is killed in the same tick.

Of what waits on one side, and could meet something on the other, the only one can be a select that
sends to and receives from one channel: it must not meet itself (meets_another()).

Usable between tasks of several OS threads, and by code outside any task.
"""

from __future__ import annotations

from _collections import deque

from greenroom.core import hooks
from greenroom.core import operation as _operation
from greenroom.core import scheduler as _scheduler
from greenroom.core.atomic import atomic
from greenroom.core.operation import Operation
from greenroom.core.scheduler import Scheduler
from greenroom.core.task import Task
from greenroom.core.timers import FOREVER
from greenroom.core.waitqueue import Case, Waiter, WaitQueue
from greenroom.errors import ChannelClosed, EndOfChannel, WouldBlock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from greenroom.sync.statistics import ChannelStatistics

_NOTHING = object()  # there is no item
_SENT = object()  # left with a waiting send: its item was taken
_OVER = object()  # left with any waiter: the other side is gone
_LARGEST = 2**62


class Channel:
    """A first-in, first-out channel, used from both sides: send, receive, close, `for item in ch`.

    capacity  how many items may lie in it that nobody has received yet: a whole number, 0 or more
              (0: a send waits for its receive), or math.inf
    Raises    ValueError, TypeError: the capacity is none
    """

    limit: int
    items: Any
    senders: WaitQueue
    receivers: WaitQueue
    sender_ends: int
    receiver_ends: int
    no_more: bool
    unheard: bool

    def __init__(self, capacity: float = 0) -> None:
        self.limit = _checked(capacity)
        self.items = deque()
        self.senders = WaitQueue()
        self.receivers = WaitQueue()
        self.sender_ends = self.receiver_ends = -1  # without ends, until channel() makes them
        self.no_more = False  # nobody will send
        self.unheard = False  # nobody will receive

    # --- the steps, each of which tests and does, or tests and enlists

    def offer(self, item: Any, end: object) -> bool:
        """Give item to the first who waits for one, or put it in if there is room."""
        if self.no_more or self.unheard:
            raise self.refusal(end)
        receiver = self.receivers.head
        if receiver is not None:
            receiver.value = item
            _scheduler.wake(receiver)
            return True
        if len(self.items) < self.limit:
            self.items.append(item)
            return True
        return False

    def grab(self, end: object) -> Any:
        """Take an item, out of the channel or from the first who waits to send; else _NOTHING."""
        sender = self.senders.head
        if self.items:
            item = self.items.popleft()
            if sender is not None:
                self.items.append(sender.value)
                sender.value = _SENT
                _scheduler.wake(sender)
            return item
        if sender is not None:
            item = sender.value
            sender.value = _SENT
            _scheduler.wake(sender)
            return item
        if self.no_more:
            raise self.over(end)
        return _NOTHING

    def offer_or_enlist(self, scheduler: Scheduler, item: Any, end: object) -> bool:
        """Send item, or stand in the queue with it: then only scheduler.wait() may follow."""
        if self.offer(item, end):
            return True
        scheduler.current.value = item
        scheduler.enlist(self.senders, end, FOREVER)
        return False

    def grab_or_enlist(self, scheduler: Scheduler, end: object) -> Any:
        """Take an item, or stand in the queue for one: then only scheduler.wait() may follow."""
        item = self.grab(end)
        if item is _NOTHING:
            scheduler.current.value = _NOTHING
            scheduler.enlist(self.receivers, end, FOREVER)
        return item

    def send_from(self, item: Any, end: object) -> None:
        """Send item for end, which is this or a Sender."""
        if self.offer(item, end):
            return
        scheduler = _scheduler.get()
        if self.offer_or_enlist(scheduler, item, end):
            return
        task = scheduler.current
        try:
            scheduler.wait()
            if task.value is _OVER:
                raise self.refusal(end)
        finally:
            task.value = None

    def receive_for(self, end: object) -> Any:
        """Return the next item for end, which is this or a Receiver."""
        item = self.grab(end)
        if item is not _NOTHING:
            return item
        scheduler = _scheduler.get()
        item = self.grab_or_enlist(scheduler, end)
        if item is not _NOTHING:
            return item
        task = scheduler.current
        try:
            scheduler.wait()
            item = task.value
        finally:
            task.value = None
        if item is _OVER:
            raise self.over(end)
        return item

    # --- closing

    def refusal(self, end: object) -> BaseException:
        """Return what a send raises."""
        if self.no_more:
            return ChannelClosed(f"cannot send to {end!r}: the channel was closed", end)
        return ChannelClosed(f"cannot send to {end!r}: every Receiver of it was closed", end)

    def over(self, end: object) -> BaseException:
        """Return what a receive raises when nothing is left."""
        return EndOfChannel(f"nothing more comes from {end!r}: all that was sent is received", end)

    def finish(self) -> None:
        """Nobody will send any more. What lies in it can still be received."""
        self.no_more = True
        for waiters in (self.senders, self.receivers):
            while waiters.head is not None:
                waiters.head.value = _OVER
                _scheduler.wake_first(waiters)

    def abandon(self) -> None:
        """Nobody will receive any more. What lies in it is lost."""
        self.unheard = True
        while self.senders.head is not None:
            self.senders.head.value = _OVER
            _scheduler.wake_first(self.senders)

    def fail_waiters_of(self, end: Any, waiters: WaitQueue) -> None:
        """Let every wait of end raise: it is being closed."""
        for waiter in waiters.waiters():
            if _end_of(waiter) is end:
                error = _closed(end)
                if waiter.queue is waiters:  # it still is: making the error ran Python code
                    _scheduler.fail(waiter, error)

    # --- what a program calls

    def send(self, item: Any) -> None:
        """Send item: wait until there is room for it or, with capacity 0, until it is received.

        item      any object
        Raises    ChannelClosed: the channel was closed, before or meanwhile
        Switches  only if it has to wait
        """
        self.send_from(item, self)

    def receive(self) -> Any:
        """Return the next item, waiting for it.

        Raises    EndOfChannel: the channel was closed, and nothing is left in it
        Switches  only if it has to wait
        """
        return self.receive_for(self)

    def send_nowait(self, item: Any) -> None:
        """send() without waiting. Raises WouldBlock, ChannelClosed. Never switches."""
        self.send_at_once(item, self)

    def send_at_once(self, item: Any, end: object) -> None:
        if not self.offer(item, end):
            raise WouldBlock(f"cannot send to {end!r} without waiting: it has no room")

    def receive_nowait(self) -> Any:
        """receive() without waiting. Raises WouldBlock, EndOfChannel. Never switches."""
        return self.receive_at_once(self)

    def receive_at_once(self, end: object) -> Any:
        item = self.grab(end)
        if item is _NOTHING:
            raise WouldBlock(f"cannot receive from {end!r} without waiting: there is no item")
        return item

    def close(self) -> None:
        """Say that nothing more is sent: receivers get what is left, then EndOfChannel.

        Sends raise ChannelClosed, those that wait as well. To close twice is no error.

        Switches  never
        """
        self.finish()

    def statistics(self) -> ChannelStatistics:
        """Return how full it is and who waits, as a ChannelStatistics. Never switches."""
        records = hooks.module("greenroom.sync.statistics")
        return records.ChannelStatistics(  # type: ignore[no-any-return]
            fill=len(self.items),
            capacity=FOREVER if self.limit == _LARGEST else self.limit,
            senders=None if self.sender_ends < 0 else self.sender_ends,
            receivers=None if self.receiver_ends < 0 else self.receiver_ends,
            waiting_senders=records.tasks_in(self.senders),
            waiting_receivers=records.tasks_in(self.receivers),
        )

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, kind: object = None, error: object = None, trace: object = None) -> None:
        self.close()

    def __iter__(self) -> Channel:
        return self

    def __next__(self) -> Any:
        try:
            return self.receive_for(self)
        except EndOfChannel:
            raise StopIteration from None

    def __await__(self) -> Generator[Any, Any, Any]:
        return hooks.await_thing(self)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        of = "" if self.limit == _LARGEST else f" of {self.limit}"
        waiting = f"{len(self.senders)} senders and {len(self.receivers)} receivers waiting"
        closed = "closed, " if self.no_more else ""
        return f"<Channel at {id(self):#x}: {closed}{len(self.items)}{of} items, {waiting}>"


class Sender:
    """The end of a channel that sends. Made by channel() and clone(); to be closed, or `with`."""

    target: Channel
    closed: bool

    def __init__(self, target: Channel) -> None:
        self.target = target
        self.closed = False
        self.target.sender_ends = max(self.target.sender_ends, 0) + 1

    def send(self, item: Any) -> None:
        """Send item: wait until there is room for it or, with capacity 0, until it is received.

        item      any object
        Raises    ChannelClosed: this end, or every Receiver, was closed, before or meanwhile
        Switches  only if it has to wait
        """
        if self.closed:
            raise _closed(self)
        self.target.send_from(item, self)

    def send_nowait(self, item: Any) -> None:
        """send() without waiting. Raises WouldBlock, ChannelClosed. Never switches."""
        if self.closed:
            raise _closed(self)
        self.target.send_at_once(item, self)

    def clone(self) -> Sender:
        """Return another Sender of this channel. Raises ChannelClosed: this one was closed."""
        if self.closed:
            raise _closed(self)
        return Sender(self.target)

    def close(self) -> None:
        """Close this end: what waits in it raises ChannelClosed. The last one ends the channel.

        The Receivers then get what is left, and EndOfChannel. To close twice is no error.

        Switches  never
        """
        if not self.closed:
            self.closed = True
            self.target.fail_waiters_of(self, self.target.senders)
            self.target.sender_ends -= 1
            if self.target.sender_ends == 0:
                self.target.finish()

    def statistics(self) -> ChannelStatistics:
        """Return how full the channel is and who waits, as Channel.statistics."""
        return self.target.statistics()

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, kind: object = None, error: object = None, trace: object = None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{'closed ' if self.closed else ''}Sender at {id(self):#x} of {self.target!r}>"


class Receiver:
    """The end of a channel that receives: receive(), or `for item in receiver`.

    Made by channel() and clone(); to be closed, or `with`. It can be waited for as it is, in
    select, in a generator, by await: that is a receive().
    """

    source: Channel
    closed: bool

    def __init__(self, source: Channel) -> None:
        self.source = source
        self.closed = False
        self.source.receiver_ends = max(self.source.receiver_ends, 0) + 1

    def receive(self) -> Any:
        """Return the next item, waiting for it.

        Raises    EndOfChannel: every Sender was closed, and nothing is left
                  ChannelClosed: this end was closed, before or meanwhile
        Switches  only if it has to wait
        """
        if self.closed:
            raise _closed(self)
        return self.source.receive_for(self)

    def receive_nowait(self) -> Any:
        """receive() without waiting. Raises as that, or WouldBlock. Never switches."""
        if self.closed:
            raise _closed(self)
        return self.source.receive_at_once(self)

    def clone(self) -> Receiver:
        """Return another Receiver of this channel: each item goes to one of them.

        Raises    ChannelClosed: this one was closed
        Switches  never
        """
        if self.closed:
            raise _closed(self)
        return Receiver(self.source)

    def close(self) -> None:
        """Close this end: what waits in it raises ChannelClosed. To close twice is no error.

        With the last one every send raises ChannelClosed, and what nobody has received is lost.

        Switches  never
        """
        if not self.closed:
            self.closed = True
            self.source.fail_waiters_of(self, self.source.receivers)
            self.source.receiver_ends -= 1
            if self.source.receiver_ends == 0:
                self.source.abandon()

    def statistics(self) -> ChannelStatistics:
        """Return how full the channel is and who waits, as Channel.statistics."""
        return self.source.statistics()

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, kind: object = None, error: object = None, trace: object = None) -> None:
        self.close()

    def __iter__(self) -> Receiver:
        return self

    def __next__(self) -> Any:
        try:
            return self.receive()
        except EndOfChannel:
            raise StopIteration from None

    def __await__(self) -> Generator[Any, Any, Any]:
        return hooks.await_thing(self)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"<{'closed ' if self.closed else ''}Receiver at {id(self):#x} of {self.source!r}>"


def channel(capacity: float = 0) -> tuple[Sender, Receiver]:
    """Make a channel; return its two ends.

    capacity  as Channel's
    Returns   (a Sender, a Receiver); clone() makes more of either
    Raises    ValueError, TypeError: the capacity is none
    Switches  never
    """
    made = Channel(capacity)
    return Sender(made), Receiver(made)


def _checked(capacity: Any) -> int:
    """Return the capacity as a number of items."""
    if capacity == FOREVER:
        return _LARGEST
    if not isinstance(capacity, int):
        raise TypeError(f"a channel's capacity is a whole number or math.inf, not {capacity!r}")
    if not 0 <= capacity < _LARGEST:
        raise ValueError(f"a channel's capacity is 0 or more, not {capacity!r}")
    return int(capacity)


def _closed(end: Any) -> BaseException:
    """Return what the use of a closed end raises."""
    return ChannelClosed(f"cannot use {end!r}: it was closed; give each user a clone()", end)


def _end_of(waiter: Waiter) -> Any:
    """Return the end through which waiter waits."""
    if isinstance(waiter, Task):
        return waiter.reason
    return waiter.reason() if isinstance(waiter, Operation) else None


def meets_another(waiters: WaitQueue, task: object) -> bool:
    """Tell whether somebody else than task waits there; None: a coroutine, which is in one wait."""
    waiter = waiters.head
    while waiter is not None:
        if task is None or not isinstance(waiter, Case) or waiter.task is not task:
            return True
        waiter = waiter.next
    return False


class ChannelSend(Operation):
    """send(item), as something to wait for together with others."""

    target: Channel
    item: Any
    end: Any

    def of(self, owner: Any, args: tuple[Any, ...]) -> Operation | None:
        """As Operation.of."""
        if len(args) != 1:
            return None
        made = ChannelSend.__new__(ChannelSend)
        if isinstance(owner, Channel):
            made.target = owner
        else:
            sender = owner
            made.target = sender.target
        made.item = args[0]
        made.end = owner
        return made

    def attempt(self) -> bool:
        """As Operation.attempt."""
        if self.end is not self.target and self.end.closed:
            raise _closed(self.end)
        self.value = _SENT
        return self.target.offer(self.item, self.end)

    def enlist(self) -> bool:
        """As Operation.enlist."""
        target = self.target
        self.value = self.item
        target.senders.append(self)
        return not (
            len(target.items) < target.limit
            or target.no_more
            or target.unheard
            or (target.receivers.head is not None and meets_another(target.receivers, self.task))
        )

    def result(self) -> None:
        """Return None, or raise if the channel was closed."""
        value = self.value
        self.value = None
        if value is _OVER:
            raise self.target.refusal(self.end)

    def reason(self) -> object:
        """Return the end."""
        return self.end


class ChannelReceive(Operation):
    """receive(), as something to wait for together with others."""

    source: Channel
    end: Any

    def of(self, owner: Any, args: tuple[Any, ...]) -> Operation | None:
        """As Operation.of."""
        if args:
            return None
        made = ChannelReceive.__new__(ChannelReceive)
        if isinstance(owner, Channel):
            made.source = owner
        else:
            receiver = owner
            made.source = receiver.source
        made.end = owner
        return made

    def attempt(self) -> bool:
        """As Operation.attempt."""
        if self.end is not self.source and self.end.closed:
            raise _closed(self.end)
        self.value = self.source.grab(self.end)
        return self.value is not _NOTHING

    def enlist(self) -> bool:
        """As Operation.enlist."""
        source = self.source
        source.receivers.append(self)
        return not (
            len(source.items) > 0
            or source.no_more
            or (source.senders.head is not None and meets_another(source.senders, self.task))
        )

    def result(self) -> Any:
        """Return the item, or raise if the channel was closed."""
        item = self.value
        self.value = None
        if item is _OVER:
            raise self.source.over(self.end)
        return item

    def reason(self) -> object:
        """Return the end."""
        return self.end


_operation.register(ChannelSend(), Channel, "send")
_operation.register(ChannelSend(), Sender, "send")
_operation.register(ChannelReceive(), Channel, "", "receive")
_operation.register(ChannelReceive(), Receiver, "", "receive")
atomic(Channel, "offer", "grab", "offer_or_enlist", "grab_or_enlist", "finish", "abandon")
atomic(Channel, "fail_waiters_of")
atomic(Sender, "__init__", "close")
atomic(Receiver, "__init__", "close")
