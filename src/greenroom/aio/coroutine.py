"""Coroutines and plain code wait for one another.                              layer: aio

  spawn(coroutine)    a task that runs it, in the loop that every thread has by itself
  await_(awaitable)   from plain code: park until it is done
  await waitable      in a coroutine: a task, an event, a channel's end, op(queue.get)

The loop of await_() is the running one where a coroutine has called the plain code, else the
thread's own. That one runs whenever the scheduler does, until the thread ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator
from contextvars import Context, copy_context
from typing import Any, TypeVar

from greenroom import _originals
from greenroom.aio.loop import Loop
from greenroom.core import generator
from greenroom.core import operation as _operation
from greenroom.core import scheduler as _scheduler
from greenroom.core.operation import Listener, Operation
from greenroom.core.scope import Scope
from greenroom.core.task import Task
from greenroom.core.timers import FOREVER

T = TypeVar("T")
_own = _originals.thread_local()


def own_loop() -> Loop:
    """Return the loop that this OS thread has by itself, made on first use."""
    loop: Loop | None = getattr(_own, "loop", None)
    if loop is None or loop.is_closed() or loop._core.scheduler is not _scheduler.get():
        loop = _own.loop = _OwnLoop()
        loop.run_in_background()
    return loop


class _OwnLoop(Loop):
    def __del__(self) -> None:
        if not self.is_closed():
            self.end_background()


def running_loop() -> Loop:
    """Return the loop whose coroutine has called this, or the thread's own."""
    loop = asyncio._get_running_loop()
    return loop if isinstance(loop, Loop) else own_loop()


class FutureEnd(Operation):
    """Waits for the end of an asyncio future; its result is the future's."""

    def __init__(self, future: asyncio.Future[Any]) -> None:
        self.future = future

    def attempt(self) -> bool:
        """As Operation.attempt."""
        return self.future.done()

    def enlist(self) -> bool:
        """As Operation.enlist."""
        if self.future.done():
            return False
        self.future.add_done_callback(self._ended)
        return True

    def _ended(self, future: asyncio.Future[Any]) -> None:
        if self.task is not None:  # else it has given up
            self.woken()

    def result(self) -> Any:
        """Return what the future has, or raise it."""
        return self.future.result()

    def reason(self) -> object:
        """Return the future."""
        return self.future


def await_(awaitable: Awaitable[T]) -> T:
    """Wait, in plain code, for a coroutine or anything else that async code can await.

    Returns   what it evaluates to
    Raises    what it raises. If the caller is killed or its time is over, the awaitable is
              cancelled first, and its `finally` blocks have run
    Switches  unless it is done already
    """
    future = asyncio.ensure_future(awaitable, loop=running_loop())
    scheduler = _scheduler.get()
    try:
        return _operation.wait_for(scheduler, FutureEnd(future))  # type: ignore[no-any-return]
    except BaseException:
        if not future.done():
            future.cancel()
            shield = Scope(FOREVER, True)
            scheduler.current.push_scope(shield)
            try:
                _quiet(scheduler, future)
            finally:
                scheduler.current.pop_scope(shield)
        raise


def _quiet(scheduler: Any, future: asyncio.Future[Any]) -> None:
    """Wait for the end of future, whatever it is."""
    try:
        _operation.wait_for(scheduler, FutureEnd(future))
    except BaseException:
        if not future.done():
            raise  # not the future's own


def spawn(coroutine: Any, name: str | None, context: Context | None) -> Task:
    """Start a task that runs coroutine. As api.spawn, which calls this."""
    if context is None:
        context = copy_context()
    if name is None:
        name = getattr(coroutine, "__name__", None)
    # A context of its own for the generator: that of the coroutine is entered while it runs.
    return generator.spawn(_run(coroutine, name, context), name, context.copy())


def _run(coroutine: Any, name: str | None, context: Context) -> Generator[Any, Any, Any]:
    future = own_loop().create_task(coroutine, name=name, context=context)
    try:
        return (yield FutureEnd(future))
    except BaseException:
        if not future.done():
            future.cancel()
            task = _scheduler.get().current
            shield = Scope(FOREVER, True)
            task.push_scope(shield)
            try:
                yield FutureEnd(future)
            except asyncio.CancelledError:
                pass
            finally:
                task.pop_scope(shield)
        raise


class _Came(Listener):
    """Tells a future of an operation that has come about."""

    def __init__(self, loop: Loop, future: asyncio.Future[Any]) -> None:
        self.loop = loop
        self.future = future
        self.who = asyncio.current_task(loop)
        self.since = _scheduler.get().time
        self.won = False
        self.error: BaseException | None = None

    def came(self, waited: Operation) -> None:
        """As Listener.came."""
        self.won = True
        _operation.leave(waited)
        self.loop.call_soon_threadsafe(self.settle)

    def failed(self, waited: Operation, error: BaseException) -> None:
        """As Listener.failed."""
        self.error = error
        self.came(waited)

    def settle(self) -> None:
        """Let the coroutine go on."""
        if not self.future.done():
            self.future.set_result(None)


def await_thing(thing: Any) -> Generator[Any, Any, Any]:
    """The iterator of `await thing`. Awaited in no loop of ours, it blocks."""
    waited = _operation.operation(thing)
    loop = asyncio._get_running_loop()
    if not isinstance(loop, Loop):
        return _operation.wait_for(_scheduler.get(), waited)
    while not waited.attempt():
        came = _Came(loop, loop.create_future())
        waited.listener = came
        alarm = None
        try:
            if not waited.enlist():
                _operation.leave(waited)
                if not came.won:  # by another thread, between the two
                    continue
                if came.error is not None:
                    raise came.error
                break
            if waited.limited:
                alarm = loop.call_later(waited.seconds, came.came, waited)
            try:
                yield from came.future
            except asyncio.CancelledError:
                _operation.leave(waited)
                if not came.won:
                    raise
                # It has come about, and what it brought must not be lost. So the next await raises.
                task = asyncio.current_task()
                if task is not None:
                    task.cancel()
                    task.uncancel()
        finally:
            _operation.leave(waited)
            waited.listener = None
            if alarm is not None:
                alarm.cancel()
        if came.error is not None:
            raise came.error
        break
    return waited.result()
