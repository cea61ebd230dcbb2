"""Supervisor: starts tasks, restarts those that fail, ends them in order.       layer: sync

The rules are Erlang/OTP's: a strategy says who is restarted together, each child says when it is
restarted at all, and more than so many restarts in so much time end the supervisor, whose own
supervisor may then do better. What is added is a pause before each restart that grows while a child
keeps failing.

One task, the monitor, does all of it: it takes ended children from a queue and sleeps until the
next restart is due. The children's tasks only put themselves into that queue.
"""

import contextvars
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from greenroom.core import hooks
from greenroom.core import scheduler as _scheduler
from greenroom.core.scope import Scope
from greenroom.core.task import Task
from greenroom.core.timers import FOREVER
from greenroom.errors import Cancelled, SupervisorError, TaskKilled
from greenroom.sync.queue import SimpleQueue
from greenroom.sync.queue_errors import Empty
from greenroom.sync.statistics import SupervisorStatistics

_STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")
_RESTARTS = ("permanent", "transient", "temporary")


class Child:
    """What a Supervisor knows of one of its children.

    name      as given to start()
    task      the Task that runs it, or ran it last; None before the first time
    state     "new", "running", "pausing" (until it is restarted), or "ended" for good
    restarts  how often it was started again
    """

    def __init__(
        self, fn: Callable[..., Any], args: tuple[Any, ...], name: str, restart: str, grace: float
    ) -> None:
        self.fn = fn
        self.args = args
        self.name = name
        self.restart = restart
        self.grace = grace
        self.stop: Callable[[], object] | None = None
        self.context = contextvars.copy_context()
        self.task: Task | None = None
        self.state = "new"
        self.restarts = 0
        self.started = 0.0  # on the scheduler's clock
        self.due = 0.0  # when pausing: the time of its restart
        self.pause = 0.0  # seconds before its last restart

    def __repr__(self) -> str:
        return f"<Child {self.name}, {self.restart}, {self.state}, {self.restarts} restarts>"


class _Body(Scope):
    """The block of `with Supervisor()`: cancelled when the supervisor gives up."""

    def make_error(self, task: object) -> BaseException:
        return Cancelled("the supervisor of this block gave up", self)


class Supervisor:
    """Runs children, each a task, and restarts them as the strategy says.

    strategy      who is restarted when a child is: "one_for_one" it alone; "one_for_all" all;
                  "rest_for_one" it and those that were started after it
    max_restarts  so many restarts within `within` seconds are tried; the next failure makes the
                  supervisor shut its children down and raise SupervisorError
    backoff       (first, factor, longest): seconds before a restart; `factor` times as many at each
                  failure that comes within `within` seconds of the last start, up to `longest`
    name          shown in errors, logs and reports
    Raises        ValueError: an argument is none of these

        with greenroom.Supervisor() as supervisor:
            supervisor.start(serve, listener, name="server")
            supervisor.start(clean_up, restart="transient")

    The end of the block waits until every child has ended for good, or stop() was called. If the
    block raises, is killed or times out, the children are shut down: the last started first, each
    given its grace. Instead of the block: start() children, then run(). To nest, start another
    supervisor's run as a child. What a child fails with is logged with its traceback.
    """

    def __init__(
        self,
        strategy: str = "one_for_one",
        *,
        max_restarts: int = 3,
        within: float = 5.0,
        backoff: Sequence[float] = (0.1, 2.0, 30.0),
        name: str = "supervisor",
    ) -> None:
        if strategy not in _STRATEGIES:
            raise ValueError(f"strategy is one of {', '.join(_STRATEGIES)}, not {strategy!r}")
        if isinstance(max_restarts, bool) or not isinstance(max_restarts, int) or max_restarts < 0:
            raise ValueError(f"max_restarts is a whole number, 0 or more, not {max_restarts!r}")
        if not _is_number(within) or not within > 0:
            raise ValueError(f"within is a number of seconds above 0, not {within!r}")
        numbers = tuple(backoff) if isinstance(backoff, Sequence) else ()
        if len(numbers) != 3 or not all(map(_is_number, numbers)):
            raise ValueError(f"backoff is three numbers (first, factor, longest), not {backoff!r}")
        first, factor, longest = numbers
        if not (0 <= first <= longest and factor >= 1):
            raise ValueError(f"backoff is (first, factor, longest), factor from 1, not {backoff!r}")
        self.strategy = strategy
        self.max_restarts = max_restarts
        self.within = within
        self.backoff = (first, factor, longest)
        self.name = name
        self._children: list[Child] = []  # in the order of start()
        self._times: deque[float] = deque()  # of the last restarts
        self._restarts = 0
        self._ended: Any = SimpleQueue()  # (child, task), and None to look again
        self._monitor: Task | None = None
        self._body = _Body()
        self._body_runs = self._stopping = False

    # --- what a program calls

    def start(
        self,
        fn: Callable[..., Any],
        /,
        *args: Any,
        name: str | None = None,
        restart: str = "permanent",
        grace: float = 5.0,
        stop: Callable[[], object] | None = None,
    ) -> Child:
        """Add a child that calls fn(*args): now if the supervisor runs, else when it does.

        restart   "permanent": started again whenever it ends; "transient": if it failed or was
                  killed; "temporary": never
        grace     seconds it is given to end at a shutdown; first after stop(), then once killed.
                  One that has not ended then is left, and the log says so
        stop      called at a shutdown to ask it to end; it must not raise. None: it is killed at
                  once, as by Task.kill(): its waits raise, its `finally` blocks run
        Returns   a Child
        Raises    RuntimeError: the supervisor is shutting down
        Switches  never
        """
        if not callable(fn):
            raise TypeError(f"cannot start {fn!r}: it is not callable; give the function, its args")
        if restart not in _RESTARTS:
            raise ValueError(f"restart is one of {', '.join(_RESTARTS)}, not {restart!r}")
        if not _is_number(grace) or not grace >= 0:
            raise ValueError(f"grace is a number of seconds, 0 or more, not {grace!r}")
        if stop is not None and not callable(stop):
            raise TypeError(f"stop is a function that asks the child to end, or None, not {stop!r}")
        if self._stopping and self._monitor is not None:
            raise RuntimeError(f"cannot start {fn!r}: {self!r} is shutting down")
        if name is None:
            name = getattr(fn, "__name__", None) or repr(fn)
        child = Child(fn, args, name, restart, grace)
        child.stop = stop
        self._children.append(child)
        if self._monitor is not None:
            self._launch(child)
        return child

    def run(self) -> None:
        """Start the children and wait until all have ended for good, or stop() is called.

        Raises    SupervisorError: it gave up; RuntimeError: it runs already
        Switches  always
        """
        with self:
            pass

    def stop(self) -> None:
        """Shut the children down, in the reverse order of their starts. Returns at once.

        run(), or the end of the block, returns when that is done.

        Switches  never
        """
        self._stopping = True
        self._ended.put(None)

    def children(self) -> list[Child]:
        """Return the children in the order of their starts, those that have ended included."""
        return list(self._children)

    def statistics(self) -> SupervisorStatistics:
        """Return a SupervisorStatistics. Never switches."""
        states = [child.state for child in self._children]
        oldest = _scheduler.get().now() - self.within
        recent = sum(time > oldest for time in self._times)
        return SupervisorStatistics(
            states.count("running"), states.count("pausing"), self._restarts, recent
        )

    def __enter__(self) -> "Supervisor":
        if self._monitor is not None:
            raise RuntimeError(f"{self!r} runs already")
        scheduler = _scheduler.get()
        self._stopping = False
        self._ended = SimpleQueue()
        self._times.clear()
        self._body_runs = True
        self._body = _Body()
        self._owner = scheduler.current
        self._monitor = scheduler.spawn(self._supervise, (), f"{self.name} (monitor)")
        self._monitor.observed = True
        for child in self._children:
            child.pause = 0.0
            self._launch(child)
        self._owner.push_scope(self._body)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._monitor is not None
        monitor, self._body_runs = self._monitor, False
        self._owner.pop_scope(self._body)
        try:
            if error is None:
                self._ended.put(None)
                monitor.join()
        finally:
            if not monitor.done:
                self._end(monitor)
            self._monitor = None
        failure = monitor.exception
        if error is None or (isinstance(error, Cancelled) and error.scope is self._body):
            if failure is not None:
                raise failure
        elif isinstance(failure, SupervisorError):
            hooks.log_error(f"{self!r} gave up, and its block failed with {error!r}", failure)

    def _end(self, monitor: Task) -> None:
        """Shut down and wait for it, whatever happens to the caller."""
        shield = Scope(FOREVER, True)
        self._owner.push_scope(shield)
        try:
            self.stop()
            monitor.join()
        finally:
            self._owner.pop_scope(shield)

    # --- the monitor

    def _supervise(self) -> None:
        """The monitor: restart what is due, look at what has ended, until there is nothing left."""
        try:
            while not self._stopping and (
                self._body_runs or any(_alive(child) for child in self._children)
            ):
                try:
                    ended = self._ended.get(timeout=self._next_due())
                except Empty:
                    self._restart_due()
                    continue
                if ended is not None:
                    self._handle(*ended)
        except SupervisorError:
            self._body.cancelled = True
            if self._body_runs:
                self._owner.scheduler.interrupt(self._owner)
            raise
        finally:
            self._stopping = True
            self._shut_down(self._children)
            for child in self._children:
                child.state = "ended"

    def _next_due(self) -> float | None:
        """Return the seconds until the next restart; None: there is none."""
        dues = [child.due for child in self._children if child.state == "pausing"]
        return max(min(dues) - _scheduler.get().now(), 0.0) if dues else None

    def _restart_due(self) -> None:
        now = _scheduler.get().now()
        for child in self._children:
            if child.state == "pausing" and child.due <= now:
                child.restarts += 1
                self._launch(child)

    def _launch(self, child: Child) -> None:
        """Start a child's task."""
        scheduler = self._owner.scheduler
        task: Task = scheduler.spawn(child.fn, child.args, child.name, child.context.copy())
        child.task = task
        child.state = "running"
        child.started = scheduler.now()
        ended = self._ended
        task.add_done_callback(lambda task: ended.put((child, task)))

    def _handle(self, child: Child, task: Task) -> None:
        """A child's task has ended: log, and have restarted what is to be."""
        if child.task is not task or child.state != "running":
            return  # it was shut down, and is dealt with
        error = task.exception
        child.state = "ended"
        again = child.restart == "permanent" or (child.restart == "transient" and error is not None)
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            return  # it ends the program
        what = "ended" if error is None else "was killed" if _was_killed(error) else "failed"
        if not again:
            if what == "failed":
                self._log(child, "failed, and is not restarted", error)
            return
        now = _scheduler.get().now()
        while self._times and self._times[0] <= now - self.within:
            self._times.popleft()
        if len(self._times) >= self.max_restarts:
            self._log(child, f"{what}; the supervisor gives up", error)
            times = "1 restart" if self.max_restarts == 1 else f"{self.max_restarts} restarts"
            raise SupervisorError(
                f"{self.name} gives up: child {child.name!r} {what}, after {times} within "
                f"{self.within:g} s, the most that are allowed"
            ) from error
        self._times.append(now)
        self._restarts += 1
        first, factor, longest = self.backoff
        soon = child.pause and now - child.started < self.within
        pause = child.pause = min(child.pause * factor, longest) if soon else first
        self._log(child, f"{what}; it is restarted in {pause:g} s", error)
        group = self._group_of(child)
        self._shut_down([other for other in group if other is not child])
        due = max([now + pause, *(other.due for other in group if other.state == "pausing")])
        for other in group:
            if other is child or (other.state == "stopped" and other.restart != "temporary"):
                other.state = "pausing"
            elif other.state == "stopped":
                other.state = "ended"
            other.due = due
        if not due > now:
            self._restart_due()

    def _group_of(self, child: Child) -> list[Child]:
        """Return those that are restarted together with child."""
        if self.strategy == "one_for_one":
            return [child]
        if self.strategy == "one_for_all":
            return list(self._children)
        return self._children[self._children.index(child) :]

    def _shut_down(self, children: list[Child]) -> None:
        """End the children that run, the last started first; they are "stopped" then."""
        monitor = _scheduler.get().current
        shield = Scope(FOREVER, True)
        monitor.push_scope(shield)
        try:
            for child in reversed(children):
                if child.state == "running":
                    self._end_child(child)
                    child.state = "stopped"
        finally:
            monitor.pop_scope(shield)

    def _end_child(self, child: Child) -> None:
        """Ask the child to end, kill it after its grace, leave it after another."""
        task = child.task
        assert task is not None
        if child.stop is not None and not task.done:
            try:
                child.stop()
            except Exception as error:
                self._log(child, "cannot be asked to stop, and is killed", error)
            else:
                task.join(child.grace)
        if not task.done:
            task.kill()
            if not task.join(child.grace):
                hooks.log_warning(
                    f"{self.name}: child {child.name!r} has not ended {child.grace:g} s after it "
                    f"was killed, and is left: {task!r}"
                )
                task.observed = False
                return
        failure = task.exception
        if isinstance(failure, Exception) and not _was_killed(failure):
            self._log(child, "failed while it was shut down", failure)

    def _log(self, child: Child, what: str, error: BaseException | None) -> None:
        message = f"{self.name}: child {child.name!r} {what}"
        if error is None or _was_killed(error):
            hooks.log_warning(message)
        else:
            hooks.log_error(message, error)

    def __repr__(self) -> str:
        running = sum(child.state == "running" for child in self._children)
        return f"<Supervisor {self.name}, {self.strategy}: {running} children run>"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _alive(child: Child) -> bool:
    return child.state in ("running", "pausing")


def _was_killed(error: BaseException) -> bool:
    return isinstance(error, TaskKilled)
