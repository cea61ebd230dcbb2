# cython: nonecheck=True
"""Group, Pool and map(): many tasks at once, and no more than so many.          layer: sync

A Pool's room is a semaphore: who spawns into a full pool waits (back-pressure), and is handed the
place of the task that ends next.

imap() and map() have a feeder, a task of their own that takes items from the iterable and starts a
task for each. It stops when the pool is full, or when so many calls have begun whose results nobody
has taken (the look-ahead); so an iterable may be endless, and one that waits for its next item
holds up no result. Tried and left: to let the consumer take the items in its own next(). It needs
no feeder, but a result that is there then waits for the next item.

The consumer holds Results, the tasks hold Calls: an iterator that is forgotten is found by its
finalizer, which kills what runs. A finalizer must not wait, so only close() does.
"""

from __future__ import annotations

from _collections import deque

from greenroom.core import api as _api
from greenroom.core import hooks, native
from greenroom.core import scheduler as _scheduler
from greenroom.core import task as _task
from greenroom.core.atomic import atomic
from greenroom.core.scheduler import Scheduler
from greenroom.core.scope import Scope
from greenroom.core.task import Task
from greenroom.core.timers import FOREVER
from greenroom.core.waitqueue import WaitQueue
from greenroom.errors import TaskKilled, WouldBlock
from greenroom.sync.lock import Semaphore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator
    from contextvars import Context
    from typing import Any

    from greenroom.sync.statistics import GroupStatistics


class Group:
    """A set of tasks. One that ends leaves it; what it failed with is logged, as for spawn().

    As a context manager it waits at the end until it is empty; if the block raises, its tasks are
    killed and waited for. Iterating gives the tasks, len() their number.
    """

    members: dict[Task, None]
    joiners: WaitQueue

    def __init__(self) -> None:
        self.members = {}  # in order
        self.joiners = WaitQueue()

    def spawn(
        self,
        fn: Callable[..., Any] | Generator[Any, Any, Any] | Coroutine[Any, Any, Any],
        /,
        *args: Any,
        name: str | None = None,
        context: Context | None = None,
    ) -> Task:
        """Start a task that calls fn(*args), in the group; arguments as greenroom.spawn().

        Switches  never
        """
        return self.start(fn, args, name, context)

    def start(
        self,
        fn: Any,
        args: tuple[Any, ...],
        name: str | None,
        context: Context | None,
        on_end: Any = None,
    ) -> Task:
        """spawn(), with its arguments collected. on_end is its done callback, if not ended()."""
        task: Task
        if callable(fn):
            task = _scheduler.get().spawn(fn, args, name, context)
        else:
            task = _api.spawn_other(fn, args, name, context)
        self.members[task] = None
        task.callbacks = [self.ended if on_end is None else on_end]
        return task

    def add(self, task: Task) -> None:
        """Take a task that runs already into the group; one that has ended stays out.

        Raises    TypeError: it is no Task
        Switches  never
        """
        self.check(task)
        if task not in self.members:
            self.admit(task)

    def check(self, task: Task) -> None:
        """Raise TypeError if task is none."""
        if not isinstance(task, Task):
            raise TypeError(f"cannot add {task!r}: it is not a Task; give what spawn returned")

    def admit(self, task: Task) -> None:
        """Let task be a member until it ends."""
        self.members[task] = None
        observed = task.observed
        task.add_done_callback(self.ended)
        task.observed = observed  # the callback asks for no error

    def ended(self, task: Task) -> None:
        """A member has ended, or leaves."""
        del self.members[task]
        if not self.members:
            while _scheduler.wake_first(self.joiners):
                pass

    def join(self, timeout: float | None = None) -> bool:
        """Wait until the group is empty.

        timeout   seconds, None = for ever
        Returns   True, or False if the time was over first
        Raises    RuntimeError: a task of the group cannot wait for its own end
        Switches  only if it is not empty
        """
        if not self.members:
            return True
        scheduler = _scheduler.get()
        if scheduler.current in self.members:
            raise RuntimeError(
                f"{scheduler.current!r} cannot wait for its own end: it is in {self!r}"
            )
        deadline = scheduler.deadline_after(timeout)
        return self.empty_or_enlist(scheduler, deadline) or scheduler.wait()

    def empty_or_enlist(self, scheduler: Scheduler, deadline: float) -> bool:
        """Return True if it is empty; else stand in the queue: only scheduler.wait() may follow."""
        if self.members:
            scheduler.enlist(self.joiners, self, deadline)
            return False
        return True

    def kill(self) -> None:
        """Kill every task of the group, as Task.kill(). Returns at once; join() waits.

        Switches  never
        """
        for task in list(self.members):
            task.kill()

    def end(self) -> None:
        """Kill every task and wait until all have ended, whatever happens to the caller."""
        task = _scheduler.get().current
        shield = Scope(FOREVER, True)
        task.push_scope(shield)
        try:
            while self.members:  # what ends may leave its place to another
                self.kill()
                self.join()
        finally:
            task.pop_scope(shield)

    def statistics(self) -> GroupStatistics:
        """Return which tasks have not ended, and who waits for room or the end. Never switches."""
        return self.count_up(FOREVER, WaitQueue())

    def count_up(self, size: float, waiters: WaitQueue) -> GroupStatistics:
        """Make the record."""
        records = hooks.module("greenroom.sync.statistics")
        found: GroupStatistics = records.GroupStatistics(
            *(tuple(self.members), size, records.tasks_in(waiters), records.tasks_in(self.joiners))
        )
        return found

    def __enter__(self) -> Any:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self.end()
            return
        try:
            self.join()
        except BaseException:
            self.end()
            raise

    def __iter__(self) -> Iterator[Task]:
        return iter(list(self.members))

    def __len__(self) -> int:
        return len(self.members)

    def __bool__(self) -> bool:
        return True  # an empty group is one, too

    def __contains__(self, task: object) -> bool:
        return task in self.members

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x}: {len(self.members)} tasks>"


class Pool(Group):
    """A Group of at most size tasks at once: spawn() waits for room.

    size      a whole number, 1 or more
    Raises    ValueError: it is none
    """

    size: int
    room: Semaphore

    def __init__(self, size: int) -> None:
        Group.__init__(self)
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(f"a Pool holds a whole number of tasks, 1 or more, not {size!r}")
        self.size = size
        self.room = Semaphore(size)

    @property
    def free_count(self) -> int:
        """How many tasks may be spawned before one has to wait."""
        return self.room.value

    def spawn(
        self,
        fn: Callable[..., Any] | Generator[Any, Any, Any] | Coroutine[Any, Any, Any],
        /,
        *args: Any,
        block: bool = True,
        name: str | None = None,
        context: Context | None = None,
    ) -> Task:
        """Start a task that calls fn(*args), when there is room; arguments as greenroom.spawn().

        block     False: do not wait for room
        Raises    WouldBlock: there is none, and block is False
        Switches  only if the pool is full
        """
        if not block and not self.room.value:
            raise WouldBlock(
                f"cannot spawn {fn!r}: {self!r} is full; wait for room with block=True"
            )
        return self.start(fn, args, name, context)

    def start(
        self,
        fn: Any,
        args: tuple[Any, ...],
        name: str | None,
        context: Context | None,
        on_end: Any = None,
    ) -> Task:
        """spawn(), with its arguments collected. on_end is its done callback, if not ended()."""
        if not self.room.take():
            self.room.wait(FOREVER)
        try:
            return Group.start(self, fn, args, name, context, on_end)
        except BaseException:
            self.room.release()
            raise

    def add(self, task: Task) -> None:
        """Take a task that runs already into the pool, when there is room.

        Raises    TypeError: it is no Task
        Switches  only if the pool is full
        """
        self.check(task)
        if task in self.members:
            return
        if not self.room.take():
            self.room.wait(FOREVER)
        self.admit(task)

    def ended(self, task: Task) -> None:
        """A member has ended: its place goes to the first who waits for one."""
        self.room.release()
        del self.members[task]
        if not self.members:
            while _scheduler.wake_first(self.joiners):
                pass

    def apply(self, fn: Callable[..., Any], /, *args: Any) -> Any:
        """Call fn(*args) in a task of the pool and return what it returns.

        A task of the pool calls it itself: it has its place already.

        Raises    what fn raises; if the caller is killed or its time is over, so is the task
        Switches  always, if not called by a task of the pool
        """
        if _scheduler.get().current in self.members:
            found = fn(*args)
            return hooks.await_coroutine(found) if native.is_coroutine(found) else found
        task = self.start(fn, args, None, None)
        task.observed = True
        try:
            task.join()
        except BaseException:
            _end_tasks([task])
            raise
        return task.result()

    def map(self, fn: Callable[..., Any], /, *iterables: Iterable[Any]) -> list[Any]:
        """Call fn with an item of each iterable, as builtins.map does, size calls at once.

        Returns   the results in the order of the items
        Raises    the first error in that order; calls that run are killed then, and waited for
        Switches  if there is any item
        """
        return list(self.imap(fn, *iterables))

    def imap(
        self, fn: Callable[..., Any], /, *iterables: Iterable[Any], ahead: int | None = None
    ) -> Results:
        """Call fn with an item of each iterable, size calls at once, as results are asked for.

        ahead     how many results may lie ready, or wait for their turn, beyond the calls that run;
                  None: as many as the pool's size
        Returns   an iterator of the results in the order of the items; see Results
        """
        return Results(self, fn, iterables, True, ahead)

    def imap_unordered(
        self, fn: Callable[..., Any], /, *iterables: Iterable[Any], ahead: int | None = None
    ) -> Results:
        """As imap(), with each result as soon as it is there."""
        return Results(self, fn, iterables, False, ahead)

    def statistics(self) -> GroupStatistics:
        """As Group.statistics."""
        return self.count_up(self.size, self.room.waiters)

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} at {id(self):#x}: {len(self.members)} of {self.size} tasks, "
            f"{len(self.room.waiters)} waiting for room>"
        )


class Calls:
    """The calls of one imap(): what its feeder, its tasks and its consumer share.

    items        what is left of the iterables
    bound        how many calls may have begun whose results were not taken
    outstanding  how many there are
    ready        ordered: the tasks in order, ended or not; else those that have ended
    running      not ordered: the tasks that have not ended
    feeder       the task that starts the others
    given_up     nobody will take a result any more
    fed          the feeder has ended: no further call begins
    failure      what the iterable raised
    hungry       the feeder waits here for results to be taken
    takers       consumers wait here
    on_end       call_ended, bound once; None when no further call begins, for it makes a cycle
    """

    pool: Pool
    fn: Callable[..., Any]
    items: Iterator[tuple[Any, ...]]
    ordered: bool
    bound: int
    outstanding: int
    ready: deque[Task]
    running: dict[Task, None]
    scheduler: Scheduler
    feeder: Task
    given_up: bool
    fed: bool
    failure: BaseException | None
    hungry: WaitQueue
    takers: WaitQueue
    on_end: Any

    def __init__(
        self, pool: Pool, fn: Any, iterables: tuple[Iterable[Any], ...], ordered: bool, bound: int
    ) -> None:
        self.pool = pool
        self.fn = fn
        self.items = zip(*iterables, strict=False)
        self.ordered = ordered
        self.bound = bound
        self.outstanding = 0
        self.ready = deque()
        self.running = {}
        self.given_up = self.fed = False
        self.failure = None
        self.hungry = WaitQueue()
        self.takers = WaitQueue()
        self.on_end = self.call_ended
        self.scheduler = _scheduler.get()
        self.feeder = self.scheduler.spawn(self.feed, (), f"map of {_name(fn)}", None)
        self.feeder.add_done_callback(self.feeding_ended)

    @property
    def wait_reason(self) -> str:
        return f"results of {_name(self.fn)}"

    def feed(self) -> None:
        """The feeder: start a call for each item."""
        for args in self.items:
            task = self.pool.start(self.fn, args, None, None, self.on_end)
            if self.given_up:  # killed, but handed a place in the pool in the same tick
                task.callbacks = [self.pool.ended]
                task.kill()
                return
            task.observed = True  # what it fails with is raised, or logged, by the iterator
            self.outstanding += 1
            if self.ordered:
                self.ready.append(task)
            else:
                self.running[task] = None
            while self.outstanding >= self.bound:
                self.scheduler.park(self.hungry, self, FOREVER)

    def feeding_ended(self, task: Task) -> None:
        """The feeder's done callback."""
        self.fed = True
        self.on_end = None
        self.failure = task.error
        while _scheduler.wake_first(self.takers):
            pass

    def call_ended(self, task: Task) -> None:
        """The done callback of each call."""
        self.pool.ended(task)
        if not self.ordered:
            del self.running[task]
            self.ready.append(task)
        if self.takers.head is not None and self.has_result():
            _scheduler.wake_first(self.takers)

    def has_result(self) -> bool:
        """Return whether the next result is there."""
        if not self.ready:
            return False
        task: Task = self.ready[0]
        return task.state == _task.DONE

    def take(self) -> Task | None:
        """Wait for the next call to end and return its task; None: there is no further one."""
        while not self.has_result():
            if self.fed and not self.outstanding:
                if self.failure is not None:
                    raise self.failure
                return None
            self.scheduler.park(self.takers, self, FOREVER)
        task: Task = self.ready.popleft()
        self.outstanding -= 1
        _scheduler.wake_first(self.hungry)
        if self.takers.head is not None and (self.has_result() or not self.outstanding):
            _scheduler.wake_first(self.takers)
        return task

    def give_up(self) -> list[Task]:
        """Let no further call begin; return those whose results were not taken."""
        self.given_up = True
        self.feeder.kill()
        return [*self.ready, *self.running]


class Results:
    """An iterator over the results of many calls.

    The first step starts the calls. An error of a call is raised at its place in the order. What a
    step raises ends the iteration: the calls that run are killed, and the step waits for their
    ends. close() does the same, and so does the end of `with results:`. An iterator that is
    dropped, by `break` or an error in the loop's body, kills the calls and cannot wait for them.
    What else calls have failed with is then logged.

    Switches  in each step whose result has not come yet
    """

    pool: Pool
    fn: Callable[..., Any]
    iterables: tuple[Iterable[Any], ...]
    ordered: bool
    bound: int
    calls: Calls | None
    closed: bool

    def __init__(
        self,
        pool: Pool,
        fn: Any,
        iterables: tuple[Iterable[Any], ...],
        ordered: bool,
        ahead: int | None,
    ) -> None:
        self.closed = True  # for __del__, if this raises
        self.calls = None
        if not callable(fn):
            raise TypeError(f"cannot call {fn!r}: it is not callable")
        if not iterables:
            raise TypeError(f"cannot map {fn!r} over nothing: give at least one iterable")
        if ahead is None:
            ahead = pool.size
        elif isinstance(ahead, bool) or not isinstance(ahead, int) or ahead < 0:
            raise ValueError(f"ahead is a whole number of results, 0 or more, not {ahead!r}")
        self.pool = pool
        self.fn = fn
        self.iterables = iterables
        self.ordered = ordered
        self.bound = pool.size + ahead
        self.closed = False

    def __iter__(self) -> Results:
        return self

    def __next__(self) -> Any:
        if self.closed:
            raise StopIteration
        calls = self.calls
        if calls is None:
            calls = self.begin()
        elif calls.scheduler is not _scheduler.get():
            raise RuntimeError(
                f"{self!r} was begun in another thread: one iterator belongs to one thread"
            )
        try:
            task = calls.take()
        except BaseException:
            self.close()
            raise
        if task is None:
            self.closed = True
            raise StopIteration
        if task.error is not None:
            self.fail(task.error)
        return task.value

    def begin(self) -> Calls:
        """Start the feeder."""
        self.calls = Calls(self.pool, self.fn, self.iterables, self.ordered, self.bound)
        self.iterables = ()
        return self.calls

    def fail(self, error: BaseException) -> None:
        """Raise what a call failed with."""
        self.close()
        if isinstance(error, StopIteration):  # it would look like the end of the results
            raise RuntimeError(f"{_name(self.fn)} raised StopIteration") from error
        raise error

    def close(self) -> None:
        """Kill the calls that run and wait for their ends; log what untaken ones failed with.

        Switches  if any runs
        """
        if self.closed:
            return
        self.closed = True
        self.iterables = ()
        if self.calls is not None:
            tasks = self.calls.give_up()
            _end_tasks([self.calls.feeder, *tasks])
            _log_failures(tasks)

    def __enter__(self) -> Results:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()

    def __del__(self) -> None:
        calls = self.calls
        if self.closed or calls is None:
            return
        failed = False
        for task in calls.give_up():
            if task.state == _task.DONE:
                failed = failed or task.error is not None
            else:
                task.observed = False
                task.kill()
        if failed:  # to log may mean to wait, which a finalizer must not
            calls.scheduler.post((_log_soon, (calls,)))

    def __repr__(self) -> str:
        state = "closed" if self.closed else "not begun" if self.calls is None else "open"
        return f"<Results of {_name(self.fn)} at {id(self):#x}: {state}>"


def map(
    fn: Callable[..., Any],
    /,
    *iterables: Iterable[Any],
    limit: int,
    ordered: bool = True,
    ahead: int | None = None,
) -> Results:
    """Call fn with an item of each iterable, as builtins.map does, each in a task of its own.

    limit     how many calls run at once, 1 or more
    ordered   True: results come in the order of the items; False: each as soon as it is there
    ahead     how many results may lie ready, or wait for their turn, beyond the calls that run;
              None: as many as limit. The iterable is read no further than that, and may be endless
    Returns   an iterator of the results; see Results
    Raises    at its place in the order, what a call raised, or the iterable
    Switches  never itself; a step does whose result has not come yet

        for page in greenroom.map(fetch, urls, limit=10):
            ...
    """
    return Results(Pool(limit), fn, iterables, ordered, ahead)


def _name(fn: object) -> str:
    """Return what to call fn in a report."""
    return getattr(fn, "__name__", None) or repr(fn)


def _end_tasks(tasks: list[Task]) -> None:
    """Kill the tasks and wait until all have ended, whatever happens to the caller."""
    current = _scheduler.get().current
    shield = Scope(FOREVER, True)
    current.push_scope(shield)
    try:
        for task in tasks:
            task.kill()
        for task in tasks:
            if task is not current:
                task.join()
    finally:
        current.pop_scope(shield)


def _log_failures(tasks: list[Task]) -> None:
    """Log what tasks failed with whose results nobody will take."""
    for task in tasks:
        error = task.error if task.state == _task.DONE else None
        if isinstance(error, Exception) and not isinstance(error, TaskKilled):
            hooks.task_failed(task, error)


def _log_soon(calls: Calls) -> None:
    """Between two tasks: have a task log what the calls of a forgotten iterator failed with."""
    calls.scheduler.spawn(_log_failures, (list(calls.ready),), "map-failures", None)


atomic(Group, "ended", "empty_or_enlist")
atomic(Pool, "ended")
