# cython: nonecheck=True
"""Queues, with the contract of the standard library's queue module.             layer: sync

An item goes straight to the first who waits for one; a put that waits leaves its item with the
task, and the get that makes room moves it in. So nobody overtakes, and an item is always in one
place: in the queue, with a task that waits to put it, or with a task that has been given it. A put
that was killed or timed out has not put; a get that was given an item returns it, even if it is
killed in the same tick (it is the next wait that raises).

Usable between tasks of several OS threads, and by code outside any task.
"""

from __future__ import annotations

from _collections import deque
from _heapq import heappop, heappush

from greenroom import _originals
from greenroom.core import hooks
from greenroom.core import operation as _operation
from greenroom.core import scheduler as _scheduler
from greenroom.core.atomic import atomic
from greenroom.core.operation import Operation
from greenroom.core.scheduler import Scheduler
from greenroom.core.waitqueue import WaitQueue
from greenroom.sync import queue_errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from greenroom.sync.statistics import QueueStatistics

_GenericAlias = type(list[int])  # types need not be imported

NOTHING = object()  # grab() found no item
PUT = object()  # left with a waiting putter: its item is in the queue
SHUT = object()  # left with any waiter: the queue was shut down


class SimpleQueue:
    """An unbounded first-in, first-out queue without task_done."""

    @classmethod
    def __class_getitem__(cls, item: Any) -> Any:
        """As in the standard library: SimpleQueue[int], in annotations."""
        return _GenericAlias(cls, item)  # type: ignore[misc]

    def __init__(self) -> None:
        self.set_up(0)

    def set_up(self, maxsize: int) -> None:
        """Make what every kind of queue has, then what this one keeps its items in."""
        self.maxsize = maxsize
        self.getters = WaitQueue()
        self.putters = WaitQueue()
        self.is_shutdown = False
        # Who overrides _put and _get sees every item; else one goes straight to who waits for it.
        # They are foreign code, as is the comparing of items: it may let another thread in.
        self.mutex = None if type(self) in _direct else _originals.rlock()
        self.queue: Any = None
        self._init(maxsize)

    # What the kinds of queue differ in; a subclass may override them.
    def _init(self, maxsize: int) -> None:
        self.queue = deque()

    def _qsize(self) -> int:
        return len(self.queue)

    def _put(self, item: Any) -> None:
        self.queue.append(item)

    def _get(self) -> Any:
        return self.queue.popleft()

    def count_put(self) -> None:
        """Count an item that has been put."""

    def offer(self, item: Any) -> bool:
        """Put item if there is room, or one who waits for it."""
        if self.mutex is not None:
            with self.mutex:
                return self.offer_foreign(item)
        return self.offer_direct(item)

    def offer_direct(self, item: Any) -> bool:
        if self.is_shutdown:
            raise queue_errors.shut_down()
        getter = self.getters.head
        if getter is not None:
            getter.value = item
            _scheduler.wake(getter)
        elif self.maxsize <= 0 or self._qsize() < self.maxsize:
            self._put(item)
        else:
            return False
        self.count_put()
        return True

    def offer_foreign(self, item: Any) -> bool:
        if self.is_shutdown:
            raise queue_errors.shut_down()
        if 0 < self.maxsize <= self._qsize():
            return False
        self._put(item)
        self.count_put()
        if self.getters.head is not None and self._qsize():
            self.serve_getter()
        return True

    def serve_getter(self) -> None:
        """Give an item to the first who waits, if there still is one."""
        getter = self.getters.head
        if getter is None:
            return
        task = _scheduler.claim(getter)  # foreign code follows, and nobody else may wake it then
        problem = None
        try:
            getter.value = self._get()
        except BaseException as error:
            problem = error
        _scheduler.deliver(getter, task, problem)

    def grab(self) -> Any:
        """Take an item out and let the first waiting put in; NOTHING if the queue is empty."""
        if self.mutex is not None:
            with self.mutex:
                return self.grab_foreign()
        return self.grab_direct()

    def grab_direct(self) -> Any:
        if self._qsize() == 0:
            if self.is_shutdown:
                raise queue_errors.shut_down()
            return NOTHING
        item = self._get()
        putter = self.putters.head
        if putter is not None:
            self._put(putter.value)
            putter.value = PUT
            _scheduler.wake(putter)
            self.count_put()
        return item

    def grab_foreign(self) -> Any:
        if self._qsize() == 0:
            if self.is_shutdown:
                raise queue_errors.shut_down()
            return NOTHING
        item = self._get()
        if self.putters.head is not None and self._qsize() < self.maxsize:
            self.serve_putter()
        return item

    def serve_putter(self) -> None:
        """Put the item of the first who waits to put one, if there still is one."""
        putter = self.putters.head
        if putter is None:
            return
        item = putter.value
        task = _scheduler.claim(putter)
        putter.value = PUT
        problem = None
        try:
            self._put(item)
            self.count_put()
        except BaseException as error:  # an item that does not compare: it is the putter's
            problem = error
        _scheduler.deliver(putter, task, problem)

    def offer_or_enlist(self, scheduler: Scheduler, item: Any, deadline: float) -> bool:
        """Put item, or stand in the queue with it: then only scheduler.wait() may follow."""
        if self.mutex is not None:
            with self.mutex:
                return self.offer_foreign(item) or self.enlist_putter(scheduler, item, deadline)
        return self.offer_or_enlist_direct(scheduler, item, deadline)

    def offer_or_enlist_direct(self, scheduler: Scheduler, item: Any, deadline: float) -> bool:
        return self.offer_direct(item) or self.enlist_putter(scheduler, item, deadline)

    def enlist_putter(self, scheduler: Scheduler, item: Any, deadline: float) -> bool:
        scheduler.current.value = item
        scheduler.enlist(self.putters, self, deadline)
        return False

    def grab_or_enlist(self, scheduler: Scheduler, deadline: float) -> Any:
        """Take an item, or stand in the queue for one: then only scheduler.wait() may follow."""
        if self.mutex is not None:
            with self.mutex:
                item = self.grab_foreign()
                if item is NOTHING:
                    self.enlist_getter(scheduler, deadline)
                return item
        return self.grab_or_enlist_direct(scheduler, deadline)

    def grab_or_enlist_direct(self, scheduler: Scheduler, deadline: float) -> Any:
        item = self.grab_direct()
        if item is NOTHING:
            self.enlist_getter(scheduler, deadline)
        return item

    def enlist_getter(self, scheduler: Scheduler, deadline: float) -> None:
        scheduler.current.value = NOTHING
        scheduler.enlist(self.getters, self, deadline)

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Put item into the queue.

        block     False: do not wait for room
        timeout   seconds to wait for room, None = for ever
        Raises    queue.Full: there is no room, or was none in time; queue.ShutDown
        Switches  only if the queue is full
        """
        if timeout is not None and block and timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")
        if self.offer(item):
            return
        if not block:
            raise queue_errors.full()
        scheduler = _scheduler.get()
        deadline = scheduler.deadline_after(timeout)
        if self.offer_or_enlist(scheduler, item, deadline):
            return
        task = scheduler.current
        try:
            if not scheduler.wait():
                raise queue_errors.full()
            if task.value is SHUT:
                raise queue_errors.shut_down()
        finally:
            task.value = None

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take the next item out of the queue and return it.

        block     False: do not wait for one
        timeout   seconds to wait for one, None = for ever
        Raises    queue.Empty: there is none, or was none in time; queue.ShutDown
        Switches  only if the queue is empty
        """
        if timeout is not None and block and timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")
        item = self.grab()
        if item is not NOTHING:
            return item
        if not block:
            raise queue_errors.Empty
        scheduler = _scheduler.get()
        deadline = scheduler.deadline_after(timeout)
        item = self.grab_or_enlist(scheduler, deadline)
        if item is not NOTHING:
            return item
        task = scheduler.current
        try:
            if not scheduler.wait():
                raise queue_errors.Empty
            item = task.value
        finally:
            task.value = None
        if item is SHUT:
            raise queue_errors.shut_down()
        return item

    def put_nowait(self, item: Any) -> None:
        """put(item, block=False)."""
        self.put(item, False)

    def get_nowait(self) -> Any:
        """get(block=False)."""
        return self.get(False)

    def qsize(self) -> int:
        """Return how many items there are."""
        return self._qsize()

    def empty(self) -> bool:
        """Return whether there is no item."""
        return not self._qsize()

    def statistics(self) -> QueueStatistics:
        """Return how full it is, and who waits for what. Never switches."""
        return self._statistics(0, ())

    def _statistics(self, unfinished: int, joining: tuple[Any, ...]) -> QueueStatistics:
        records = hooks.module("greenroom.sync.statistics")
        getting, putting = records.tasks_in(self.getters), records.tasks_in(self.putters)
        found: QueueStatistics = records.QueueStatistics(
            *(self._qsize(), max(self.maxsize, 0), unfinished, self.is_shutdown),
            *(getting, putting, joining),
        )
        return found

    def __repr__(self) -> str:
        name = type(self).__name__
        bound = f" of {self.maxsize}" if self.maxsize > 0 else ""
        waiting = f"{len(self.getters)} getters and {len(self.putters)} putters waiting"
        return f"<{name} at {id(self):#x}: {self._qsize()}{bound} items, {waiting}>"


class QueueGet(Operation):
    """queue.get(), as something to wait for together with others."""

    source: SimpleQueue

    def of(self, owner: Any, args: tuple[Any, ...]) -> Operation | None:
        """As Operation.of."""
        if args:
            return None
        made = QueueGet.__new__(QueueGet)
        made.source = owner
        return made

    def attempt(self) -> bool:
        """As Operation.attempt."""
        self.value = self.source.grab()
        return self.value is not NOTHING

    def enlist(self) -> bool:
        """As Operation.enlist."""
        self.source.getters.append(self)
        return not (self.source._qsize() or self.source.is_shutdown)

    def result(self) -> Any:
        """Return the item."""
        item = self.value
        self.value = None
        if item is SHUT:
            raise queue_errors.shut_down()
        return item

    def reason(self) -> object:
        """Return the queue."""
        return self.source


class QueuePut(Operation):
    """queue.put(item), as something to wait for together with others."""

    target: SimpleQueue
    item: Any

    def of(self, owner: Any, args: tuple[Any, ...]) -> Operation | None:
        """As Operation.of."""
        if len(args) != 1:
            return None
        made = QueuePut.__new__(QueuePut)
        made.target = owner
        made.item = args[0]
        return made

    def attempt(self) -> bool:
        """As Operation.attempt."""
        self.value = PUT
        return self.target.offer(self.item)

    def enlist(self) -> bool:
        """As Operation.enlist."""
        queue = self.target
        self.value = self.item
        queue.putters.append(self)
        return not (queue.is_shutdown or queue.maxsize <= 0 or queue._qsize() < queue.maxsize)

    def result(self) -> None:
        """Return None, or raise if the queue was shut down."""
        if self.value is SHUT:
            raise queue_errors.shut_down()

    def reason(self) -> object:
        """Return the queue."""
        return self.target


class PolledSimpleQueue(SimpleQueue):
    """A SimpleQueue whose get() lets others run now and then though there is an item.

    For threads: one that always finds work, or polls an empty queue, would keep its turn for ever.
    """

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """As SimpleQueue.get."""
        _scheduler.get().spend_budget()
        return SimpleQueue.get(self, block, timeout)


class Queue(SimpleQueue):
    """A first-in, first-out queue. As queue.Queue, shutdown() of Python 3.13 included.

    maxsize   the number of items it holds at most; 0 or less: no limit
    """

    def __init__(self, maxsize: int = 0) -> None:
        self.set_up(maxsize)
        self.unfinished_tasks = 0
        self.joiners = WaitQueue()

    def full(self) -> bool:
        """Return whether there is no room."""
        return 0 < self.maxsize <= self._qsize()

    def count_put(self) -> None:
        """Count an item that has been put, for join()."""
        self.unfinished_tasks += 1

    def statistics(self) -> QueueStatistics:
        """As SimpleQueue.statistics."""
        joining = hooks.module("greenroom.sync.statistics").tasks_in(self.joiners)
        return self._statistics(self.unfinished_tasks, joining)

    def task_done(self) -> None:
        """Say that an item that get() returned is dealt with. Never switches.

        Raises    ValueError: said more often than items were put
        """
        if self.unfinished_tasks <= 0:
            raise ValueError("task_done() called too many times")
        self.unfinished_tasks -= 1
        if self.unfinished_tasks == 0:
            self._wake_joiners()

    def _wake_joiners(self) -> None:
        while _scheduler.wake_first(self.joiners):
            pass

    def join(self, timeout: float | None = None) -> bool:
        """Wait until task_done() was called for every item that was put.

        timeout   seconds, None = for ever
        Returns   True, or False if the time was over first
        Switches  only if something is unfinished
        """
        if self.unfinished_tasks == 0:
            return True
        scheduler = _scheduler.get()
        if self.finished_or_enlist(scheduler, scheduler.deadline_after(timeout)):
            return True
        return scheduler.wait()

    def finished_or_enlist(self, scheduler: Scheduler, deadline: float) -> bool:
        """Return True if nothing is unfinished, or stand in the queue of those who join."""
        if self.unfinished_tasks:
            scheduler.enlist(self.joiners, self, deadline)
            return False
        return True

    def shutdown(self, immediate: bool = False) -> None:
        """Let put() raise ShutDown from now on, and get() too once the queue is empty.

        immediate  throw the items away: get() raises at once, join() does not wait for them
        """
        self.is_shutdown = True
        if immediate:
            while self._qsize():
                self._get()
                self.unfinished_tasks = max(self.unfinished_tasks - 1, 0)
            if self.unfinished_tasks == 0:
                self._wake_joiners()
        for waiters in (self.getters, self.putters):
            while waiters.head is not None:
                waiters.head.value = SHUT
                _scheduler.wake_first(waiters)


class LifoQueue(Queue):
    """A queue that returns the item that was put last."""

    def _init(self, maxsize: int) -> None:
        self.queue = []

    def _get(self) -> Any:
        return self.queue.pop()


class PriorityQueue(Queue):
    """A queue that returns the smallest item; (priority, data) is the usual form."""

    def _init(self, maxsize: int) -> None:
        self.queue = []

    def _put(self, item: Any) -> None:
        heappush(self.queue, item)

    def _get(self) -> Any:
        return heappop(self.queue)


# Those that run no foreign code.
_direct = (SimpleQueue, PolledSimpleQueue, Queue, LifoQueue)

_operation.register(QueueGet(), SimpleQueue, "get")
_operation.register(QueueGet(), PolledSimpleQueue, "get")
_operation.register(QueuePut(), SimpleQueue, "put")
atomic(SimpleQueue, "offer_direct", "grab_direct", "offer_or_enlist_direct")
atomic(SimpleQueue, "grab_or_enlist_direct")
atomic(Queue, "task_done", "finished_or_enlist", "shutdown")
