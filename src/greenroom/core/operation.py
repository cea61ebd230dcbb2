# cython: nonecheck=True
"""Something a task may wait for, as an object.                                  layer: core

A blocking call, `queue.get()`, tries, stands in one queue, waits. An Operation is that call taken
apart, for those who wait for one of several (select), or have no stack to wait on (generators,
coroutines):

  attempt()   take effect now, if that needs no waiting
  enlist()    stand in the queue, for `task`, which is parked already
  result()    what the call would have returned or raised; after attempt() was True, or a waker came

INVARIANT exactly-one: an operation that stands in a queue belongs to a task that is parked and not
  yet woken. Whoever wakes the first of a queue hands over (waiter.value), then calls wake(): the
  operation makes its task ready, and in the same step unpark() takes all its siblings out of their
  queues. So no waker can meet an operation that has lost, and none has to ask.
Order: 1 attempt all, 2 park, 3 enlist each, unless the task has been woken meanwhile. enlist()
  stands in the queue first and looks then: what came between 1 and 3, from another thread or
  foreign code, is either handed over or seen (then the whole begins again). That the task is still
  parked, and that it now stands in the queue, is one step: stand(), atomic when uncompiled.
Checked by: Scheduler.check(); tests/sync/test_select.py, test_select_model.py

Which calls have an operation says one table, from the method (or the type of what is waited for
itself) to an operation that makes others of its kind. A subclass's own `get` is not in it.
"""

from __future__ import annotations

from greenroom import _config
from greenroom.core import hooks, native
from greenroom.core import scheduler as _scheduler
from greenroom.core import task as _task
from greenroom.core.atomic import atomic
from greenroom.core.scheduler import Scheduler
from greenroom.core.task import Task
from greenroom.core.timers import FOREVER
from greenroom.core.waitqueue import Case

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any


TIME_OVER = object()

FREE_THREADED = _config.FREE_THREADED

_kinds: dict[Any, Operation] = {}
_recent: tuple[Any, Any] = (None, None)  # the key and the kind that were last looked up
_function: Any = None  # the type of the functions among the keys: compiled ones have their own


class Listener:
    """Who is told that an operation came about, if it is no parked task.

    who    whom statistics() shall show as waiting
    since  the time at which that began, on now()'s clock
    """

    who: object
    since: float

    def came(self, waited: Operation) -> None:
        """waited came about, and has left its queue. Called from any thread; must not wait."""
        raise NotImplementedError

    def failed(self, waited: Operation, error: BaseException) -> None:
        """As came(), for a wait that must raise error."""
        raise NotImplementedError


class Operation(Case):
    """One call that may have to wait. For one task at a time; it may be waited for again.

    task     who waits, while it does; the `value` it is woken with is the operation that came about
    listener who is told instead, where there is no task
    limited  it is over after `seconds` all the same: result() is asked then
    """

    listener: Any  # a Listener or None
    limited: bool
    seconds: float

    def of(self, owner: Any, args: tuple[Any, ...]) -> Operation | None:
        """Return an operation of this kind for the call owner.method(*args).

        None: not with these arguments.
        """
        raise NotImplementedError

    def attempt(self) -> bool:
        """Do it now, if that needs no waiting. Returns whether it is done."""
        raise NotImplementedError

    def enlist(self) -> bool:
        """Stand in the queue. False: it can be done now, so try again instead.

        Runs no foreign code before it stands in the queue, and looks afterwards if it runs any.
        """
        raise NotImplementedError

    def result(self) -> Any:
        """Return, or raise, what the blocking call would have. Asked once each time."""
        return None

    def reason(self) -> object:
        """Return what it waits for, for reports."""
        return self

    def woken(self) -> None:
        """It came about: make the task ready, with this as the one of its operations."""
        task = self.task
        if task is None:
            if self.listener is not None:  # else nobody waits with it any more
                self.listener.came(self)
        elif task.state == _task.PARKED:
            task.value = self
            _scheduler.unpark(task)

    def failed(self, error: BaseException) -> None:
        """As woken(), for a wait that must raise error."""
        task = self.task
        if task is None:
            if self.listener is not None:
                self.listener.failed(self, error)
        elif task.state == _task.PARKED:
            task.error = error
            _scheduler.unpark(task)

    def __await__(self) -> Generator[Any, Any, Any]:
        return hooks.await_thing(self)  # type: ignore[no-any-return]


class TaskEnd(Operation):
    """Waits for the end of a task; its result is the task's."""

    awaited: Task

    def of(self, owner: Any, args: tuple[Any, ...]) -> Operation | None:
        """As Operation.of."""
        if args:
            return None
        made = TaskEnd.__new__(TaskEnd)
        made.awaited = owner
        return made

    def attempt(self) -> bool:
        """As Operation.attempt."""
        return self.awaited.state == _task.DONE

    def enlist(self) -> bool:
        """As Operation.enlist."""
        if self.awaited is self.task:
            raise RuntimeError(f"{self.awaited!r} cannot wait for its own end")
        self.awaited.observed = True
        return self.awaited.add_joiner(self)

    def result(self) -> Any:
        """Return what the task returned, or raise what it failed with."""
        return self.awaited.result()

    def reason(self) -> object:
        """Return the task."""
        return self.awaited


class TaskJoin(TaskEnd):
    """task.join(): waits for its end, and raises nothing that it failed with."""

    def of(self, owner: Any, args: tuple[Any, ...]) -> Operation | None:
        """As Operation.of."""
        if args:
            return None
        made = TaskJoin.__new__(TaskJoin)
        made.awaited = owner
        return made

    def enlist(self) -> bool:
        """As Operation.enlist."""
        if self.awaited is self.task:
            raise RuntimeError(f"{self.awaited!r} cannot wait for its own end")
        return self.awaited.add_joiner(self)

    def result(self) -> bool:
        """Return True."""
        return True


class After(Operation):
    """Comes about when its seconds are over."""

    def __init__(self, seconds: float) -> None:
        try:
            negative = not seconds >= 0
        except TypeError:
            raise TypeError(f"a time to wait is a number of seconds, not {seconds!r}") from None
        if negative:
            raise ValueError(f"cannot wait for {seconds!r} s: the length must not be negative")
        self.limited = True
        self.seconds = seconds

    def of(self, owner: Any, args: tuple[Any, ...]) -> Operation | None:
        """As Operation.of: of sleep(seconds)."""
        return After(args[0]) if len(args) == 1 else None

    def attempt(self) -> bool:
        """As Operation.attempt."""
        return False

    def enlist(self) -> bool:
        """As Operation.enlist."""
        return True

    def reason(self) -> object:
        """Return "a sleep"."""
        return "a sleep"


if not native.compiled():  # where the fields of a new object are None and 0 by themselves
    Operation.limited = False
    Operation.listener = None


def register(kind: Operation, owner: type, *methods: str) -> None:
    """Say that methods of owner can be waited for, "" is the thing itself: kind.of() makes how."""
    for method in methods:
        _kinds[getattr(owner, method) if method else owner] = kind


def register_function(kind: Operation, function: Any) -> None:
    """As register(), of a function of a module."""
    global _function
    _kinds[function] = kind
    _function = type(function)


def operation(thing: Any, args: tuple[Any, ...] = ()) -> Operation:
    """Return the operation of waiting for thing, or of calling thing(*args).

    thing   an Operation; a task, event, result, channel's end; or a bound method of one that has
            such an operation, as queue.get
    Raises  TypeError: nothing that can be waited for; ValueError: an Operation in use
    """
    global _recent
    if isinstance(thing, Operation):
        given: Operation = thing
        if given.task is not None or given.listener is not None:
            who = given.task or "another"
            raise ValueError(
                f"cannot wait for {describe(given)}: {who!r} waits with this op() already; "
                "make another"
            )
        return given
    key = native.function_of(thing)
    recent = _recent
    if key is recent[0]:
        kind = recent[1]
    else:
        kind = _kinds.get(key)
        if kind is not None:
            if not FREE_THREADED:  # there another thread could free the tuple before it is held
                _recent = (key, kind)
        elif key is _function:
            kind = _kinds.get(thing)
    if kind is not None:
        found: Operation | None = kind.of(native.owner_of(thing), args)
        if found is not None:
            return found
        raise TypeError(
            f"cannot wait for {native.name_of(thing)}() with the arguments {args!r}: give what it "
            "cannot do without, and no timeout; for that there are after(seconds) and timeout()"
        )
    raise TypeError(
        f"cannot wait for {thing!r}: give a task, an event, a channel's end, after(seconds), or a "
        "method as queue.get, not called; with arguments: op(queue.put, item)"
    )


def describe(waited: Operation) -> str:
    """Return the operation in words."""
    return f"{type(waited).__name__} of {waited.reason()!r}"


def wait_for(scheduler: Scheduler, waited: Operation) -> Any:
    """Wait, as the current task, until an operation has come about; return its result."""
    task = scheduler.current
    deadline = deadline_of(scheduler, waited)
    while not waited.attempt():
        park_on(scheduler, task, waited, deadline)
        scheduler.switch_out(task)
        if has_come(scheduler, task, deadline) is not None:
            break
    return waited.result()


def deadline_of(scheduler: Scheduler, waited: Operation) -> float:
    """Return when an operation that begins now is over all the same."""
    return scheduler.now() + waited.seconds if waited.limited else FOREVER


def park_on(scheduler: Scheduler, task: Task, waited: Operation, deadline: float) -> None:
    """Park the current task on an operation that could not be done at once."""
    scheduler.enlist(None, waited.reason(), deadline)
    task.value = None
    stand(task, waited)


def park(scheduler: Scheduler, task: Task, cases: list[Operation], deadline: float) -> None:
    """Park the current task on operations, of which none could be done at once."""
    scheduler.enlist(None, cases, deadline)
    task.value = None
    for case in cases:
        if not stand(task, case):
            return


def stand(task: Task, case: Operation) -> bool:
    """Let case stand in its queue for task. False: task has been woken.

    Raises nothing: the wait does.
    """
    if task.state != _task.PARKED:
        return False
    if case.task is task:
        return True  # the same operation twice
    try:
        if case.task is not None:
            operation(case)  # which says so
        case.task = task
        case.sibling = task.cases
        task.cases = case
        if case.enlist():
            return True
        _scheduler.unpark(task)
    except BaseException as error:  # foreign code: a subclass's _qsize, for one
        _scheduler.fail(task, error)
    return False


def leave(waited: Operation) -> None:
    """Take an operation of a listener out of its queue, if it stands there still."""
    if waited.queue is not None:
        waited.queue.remove(waited)


def has_come(scheduler: Scheduler, task: Task, deadline: float) -> Any:
    """Return the operation that task was woken for; TIME_OVER; None: none yet, park again.

    Raises what interrupts the task.
    """
    won = task.value
    task.value = None
    in_time = scheduler.end_wait(task)
    if won is None and not in_time and deadline != FOREVER and deadline <= scheduler.now():
        return TIME_OVER
    return won


register(TaskEnd(), Task, "", "result")
register(TaskJoin(), Task, "join")
atomic(globals(), "stand", "leave")
