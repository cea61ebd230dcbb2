"""gevent.Greenlet and the functions around it.                                  layer: compat"""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from greenlet import GreenletExit

from greenroom.core import api
from greenroom.core.task import Task
from greenroom.errors import TaskKilled
from greenroom.sync import wait as _wait

__all__ = ["Greenlet", "GreenletExit"]


class Greenlet:
    """A task with gevent's names: get, value, ready, successful, dead, link, start."""

    def __init__(self, run: Callable[..., Any] | None = None, *args: Any, **kwargs: Any) -> None:
        self._target = functools.partial(run or self._run, *args, **kwargs)
        self._name = getattr(run, "__name__", type(self).__name__)
        self._task: Task | None = None
        self._links: list[Callable[[Greenlet], object]] = []

    def _run(self) -> Any:
        """What a subclass overrides instead of giving a function."""
        raise NotImplementedError("give Greenlet a function, or override _run()")

    @classmethod
    def spawn(cls, *args: Any, **kwargs: Any) -> "Greenlet":
        """Make one and start it."""
        self = cls(*args, **kwargs)
        self.start()
        return self

    @classmethod
    def spawn_later(cls, seconds: float, *args: Any, **kwargs: Any) -> "Greenlet":
        """Make one and start it after so many seconds."""
        self = cls(*args, **kwargs)
        self.start_later(seconds)
        return self

    def start(self) -> None:
        """Let it run when its turn comes."""
        self._start(self._target)

    def start_later(self, seconds: float) -> None:
        """Let it run after so many seconds."""

        def later() -> Any:
            api.sleep(seconds)
            return self._target()

        self._start(later)

    def _start(self, target: Callable[[], Any]) -> None:
        if self._task is not None:
            return
        self._task = api.spawn(_exit_is_value, target, name=self._name)
        self._task.add_done_callback(self._ended)
        self._task.observed = False  # the callback is ours: nobody asked for the error yet

    def _ended(self, task: Task) -> None:
        for link in self._links:
            api.spawn(link, self)

    @property
    def task(self) -> Task:
        """The greenroom task under it."""
        if self._task is None:
            raise RuntimeError(f"{self!r} was not started: call start() first")
        return self._task

    def ready(self) -> bool:
        """Whether it has ended."""
        return self._task is not None and self._task.done

    dead = property(ready)
    started = property(lambda self: self._task is not None)

    def successful(self) -> bool:
        """Whether it has ended without an error."""
        return self.ready() and self.exception is None

    @property
    def value(self) -> Any:
        """What it returned; None while it runs, and if it failed."""
        if not self.ready() or self.exception is not None:
            return None
        if isinstance(self.task.exception, TaskKilled):
            return GreenletExit()
        return self.task.result()

    @property
    def exception(self) -> BaseException | None:
        """What it failed with, or None. Being killed is no failure."""
        if self._task is None or isinstance(self._task.exception, TaskKilled):
            return None
        return self._task.exception

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Wait for what it returns, and return it; raise what it failed with."""
        from greenroom.compat.gevent.timeouts import Timeout

        task = self.task
        if not task.done:
            if not block:
                raise Timeout()
            task.observed = True
            if not task.join(timeout):
                raise Timeout(timeout)
        if isinstance(task.exception, TaskKilled):
            return GreenletExit()
        return task.result()

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended."""
        self.task.join(timeout)

    def kill(
        self, exception: Any = GreenletExit, block: bool = True, timeout: float | None = None
    ) -> None:
        """Cancel it, and wait until it has ended unless block is False."""
        if self._task is None:
            self._start(lambda: None)
        self.task.kill()
        if block:
            self.task.join(timeout)

    def link(self, callback: "Callable[[Greenlet], object]") -> None:
        """Call callback(self), in a task of its own, when it has ended."""
        if self.ready():
            api.spawn(callback, self)
        else:
            self._links.append(callback)

    rawlink = link

    def __bool__(self) -> bool:
        return self._task is not None and not self._task.done

    def __repr__(self) -> str:
        return f"<Greenlet {self._task if self._task is not None else self._name + ' not started'}>"


def _exit_is_value(target: Callable[[], Any]) -> Any:
    """GreenletExit raised inside is no error: it is the value."""
    try:
        return target()
    except GreenletExit as exit:
        return exit


def spawn(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Greenlet:
    """Start a Greenlet."""
    return Greenlet.spawn(fn, *args, **kwargs)


def spawn_later(seconds: float, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Greenlet:
    """Start a Greenlet after so many seconds."""
    return Greenlet.spawn_later(seconds, fn, *args, **kwargs)


def _tasks(greenlets: Iterable[Any]) -> tuple[list[Any], dict[int, Any]]:
    found = list(greenlets)
    return found, {id(one.task if isinstance(one, Greenlet) else one): one for one in found}


def joinall(
    greenlets: Iterable[Any],
    timeout: float | None = None,
    raise_error: bool = False,
    count: int | None = None,
) -> list[Any]:
    """Wait until all, or count of them, have ended; return those that have."""
    found, by_task = _tasks(greenlets)
    tasks = [one.task if isinstance(one, Greenlet) else one for one in found]
    if count is None and not raise_error:
        done = _wait.joinall(tasks, timeout)
    else:
        done = []
        for task in _wait.as_completed(tasks, timeout, _silent=True):
            done.append(task)
            if raise_error and by_task[id(task)].exception is not None:
                raise by_task[id(task)].exception
            if count is not None and len(done) >= count:
                break
    return [by_task[id(task)] for task in done]


def wait(
    objects: Iterable[Any] | None = None, timeout: float | None = None, count: int | None = None
) -> list[Any]:
    """Wait for the greenlets; without any, for every task of the thread."""
    if objects is None:
        objects = [task for task in api.current().scheduler.tasks() if task is not api.current()]
    return joinall(objects, timeout, count=count)


def iwait(
    objects: Iterable[Any], timeout: float | None = None, count: int | None = None
) -> Iterator[Any]:
    """Yield the greenlets as they end."""
    found, by_task = _tasks(objects)
    tasks = [one.task if isinstance(one, Greenlet) else one for one in found]
    for number, task in enumerate(_wait.as_completed(tasks, timeout, _silent=True), 1):
        yield by_task[id(task)]
        if number == count:
            return


def kill(
    greenlet: Any, exception: Any = GreenletExit, block: bool = True, timeout: float | None = None
) -> None:
    """Cancel one greenlet or task."""
    killall([greenlet], exception, block, timeout)


def killall(
    greenlets: Iterable[Any],
    exception: Any = GreenletExit,
    block: bool = True,
    timeout: float | None = None,
) -> None:
    """Cancel all of them, then wait until they have ended unless block is False."""
    found = list(greenlets)
    for one in found:
        if isinstance(one, Greenlet):
            one.kill(block=False)
        else:
            one.kill()
    if block:
        joinall(found, timeout)


def sleep(seconds: float = 0, ref: bool = True) -> None:
    """Let others run for so many seconds; 0: let each ready one run once."""
    api.sleep(max(seconds, 0))


def idle(priority: int = 0) -> None:
    """Let the others run first."""
    api.sleep(0)


def getcurrent() -> Any:
    """Return the running task."""
    return api.current()
