"""asyncio's event loop, as a face of the scheduler.                             layer: aio

The loop has no loop. Its callbacks are tasks of the scheduler (callbacks.py); run_forever() parks
its caller until stop(). So any number of loops run beside each other and beside green threads in
one OS thread, and a callback that blocks parks by itself.

What is not about callbacks, timers and fds (connections, servers, subprocesses, TLS) is asyncio's
own code, inherited. What of its inside that rests on, by version, is listed in docs/design.md.

Differences from asyncio's loop, all of them:
- A blocking call in a callback or coroutine parks that one alone; the others run on.
- run_in_executor(None, …) uses real threads even where threading is patched, and getaddrinfo() the
  resolver of greenroom.
- Timers fire at their time, not up to the clock's resolution before.
- Ready fds and due timers are looked for when run_forever() begins, when nothing else is ready, and
  after some switches; not between any two rounds.
"""

from __future__ import annotations

import asyncio
import errno
import inspect
import os
import selectors
import threading
from asyncio import base_events, futures, unix_events
from collections.abc import Callable
from typing import Any

from greenroom import _originals
from greenroom.aio.callbacks import Callbacks, Handle, LoopTask
from greenroom.aio.transports import SocketTransport
from greenroom.core import api, offload
from greenroom.core import scheduler as _scheduler
from greenroom.core.scope import Scope
from greenroom.core.timers import FOREVER
from greenroom.core.waitqueue import WaitQueue
from greenroom.green import resolver, socket


class _Selector:
    """In the place of the selector that asyncio's loop would make: says what is watched."""

    watchers: dict[tuple[int, bool], Any]

    def get_key(self, file: Any) -> Any:
        """Return an object with `events`, for the repr of asyncio's transports."""
        fd = _fileno(file)
        events = selectors.EVENT_READ if (fd, False) in self.watchers else 0
        events |= selectors.EVENT_WRITE if (fd, True) in self.watchers else 0
        if not events:
            raise KeyError(fd)
        return selectors.SelectorKey(fd, fd, events, None)

    def close(self) -> None:
        """Nothing to do."""


# Through these a program may have put something of its own in the place of a module.
_events: Any = base_events
_unix: Any = unix_events
# What stands there if the program has put nothing of its own in its place.
_getaddrinfo = _events.socket.getaddrinfo
_GETNAMEINFO = (_events.socket.getnameinfo, resolver.getnameinfo)

_Base: Any = _unix._UnixSelectorEventLoop


class Loop(_Base):  # type: ignore[misc]
    """An asyncio event loop whose callbacks are tasks of the thread's scheduler.

    asyncio.SelectorEventLoop, patched. A selector given to it makes asyncio's own loop: whoever
    brings one wants it to be asked.
    """

    def __new__(cls, selector: Any = None) -> Any:
        return super().__new__(cls) if selector is None else _Base(selector)

    def __init__(self, selector: None = None) -> None:
        watched = _Selector()
        super().__init__(watched)
        self._stopping: bool
        self._thread_id: int | None
        self._core = Callbacks(self)
        watched.watchers = self._core.watchers
        # What was given to be watched, if it is no number, by fd and for writing.
        self._files: dict[tuple[int, bool], Any] = {}
        self._waiting = WaitQueue()
        self._threads: offload.Offload | None = None
        if type(self).call_soon is Loop.call_soon and not self._debug:
            self.__dict__["call_soon"] = self._core.call_soon  # a Python frame less a callback
        self._core.debug = self._debug

    # --- running

    def run_forever(self) -> None:
        """Run until stop() is called: park the caller meanwhile.

        As asyncio: with a stop() before, or due at once, what the fds have brought by now runs too.
        Raises    RuntimeError: it runs already, or the caller is a callback of a running loop
        Switches  always
        """
        self._check_closed()
        self._check_running()
        scheduler = _scheduler.get()
        self._set_coroutine_origin_tracking(self._debug)
        self._thread_id = self._core.face.ident = threading.get_ident()
        self._core.start(scheduler, scheduler.current)
        scheduler.loops += 1
        try:
            if self._stopping:
                scheduler.yield_now()
            while not self._stopping:
                scheduler.park(self._waiting, self, FOREVER)
        finally:
            scheduler.loops -= 1
            self._core.stop()
            self._stopping = False
            self._thread_id = None
            self._set_coroutine_origin_tracking(False)

    def run_in_background(self) -> None:
        """Run from now on, without anybody in run_forever(): the loop a thread has by itself."""
        self._thread_id = self._core.face.ident = _originals.get_ident()
        self._core.start(_scheduler.get(), None)

    def stop(self) -> None:
        """Let run_forever() return when what is due now has run. Never switches."""
        self._stopping = True
        _scheduler.wake_first(self._waiting)

    def close(self) -> None:
        """Forget what waits, and end the threads. As asyncio; the loop must not run."""
        super().close()
        self._core.close()
        self._files.clear()
        if self._threads is not None:
            self._threads.dismiss_threads()
            self._threads = None

    def end_background(self) -> None:
        """Undo run_in_background(), and close()."""
        self._core.stop()
        self._thread_id = None
        self.close()

    def time(self) -> float:
        """Return the time on the scheduler's clock."""
        return (self._core.scheduler or _scheduler.get()).now()

    def set_debug(self, enabled: bool) -> None:
        """As asyncio: in debug mode calls from the wrong thread are errors."""
        super().set_debug(enabled)
        if hasattr(self, "_core"):
            self._core.debug = enabled
            self.__dict__.pop("call_soon", None)
            if not enabled and type(self).call_soon is Loop.call_soon:
                self.__dict__["call_soon"] = self._core.call_soon

    @property
    def wait_reason(self) -> str:
        """What a task in run_forever() waits for."""
        return "the end of an asyncio loop"

    # --- callbacks

    def call_soon(
        self, callback: Callable[..., Any], *args: Any, context: Any = None
    ) -> Any:  # an asyncio.Handle by its methods
        """Call callback(*args) when those before it have had their turn. Never switches."""
        self._check_closed()
        if self._debug:
            self._check_thread()
            self._check_callback(callback, "call_soon")
        return self._core.call_soon(callback, *args, context=context)

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Any = None
    ) -> Any:
        """Call callback(*args) in so many seconds."""
        if delay is None:
            raise TypeError("delay must not be None")
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: Any = None
    ) -> Any:
        """Call callback(*args) at a time on the loop's clock."""
        if when is None:
            raise TypeError("when cannot be None")
        self._check_closed()
        if self._debug:
            self._check_thread()
            self._check_callback(callback, "call_at")
        return self._core.call_at(when, callback, args, context)

    def call_soon_threadsafe(
        self, callback: Callable[..., Any], *args: Any, context: Any = None
    ) -> Any:
        """As call_soon(), from any thread."""
        self._check_closed()
        if self._debug:
            self._check_callback(callback, "call_soon_threadsafe")
        handle = Handle(self._core, callback, args, context)
        handle.schedule()
        return handle

    def create_task(self, coro: Any, **options: Any) -> Any:
        """As asyncio; the Task is a LoopTask unless a task factory is set."""
        if self._task_factory is not None:
            return super().create_task(coro, **options)
        self._check_closed()
        task: Any = LoopTask(coro, loop=self, **options)
        if task._source_traceback:
            del task._source_traceback[-1]
        return task

    # --- fds

    # Python 3.15's transports give the context that their connection was made in.

    def _add_reader(
        self, fd: Any, callback: Callable[..., Any], *args: Any, context: Any = None
    ) -> Any:
        return self._watch(fd, False, callback, args, context)

    def _remove_reader(self, fd: Any) -> bool:
        return self._unwatch(fd, False)

    def _add_writer(
        self, fd: Any, callback: Callable[..., Any], *args: Any, context: Any = None
    ) -> Any:
        return self._watch(fd, True, callback, args, context)

    def _remove_writer(self, fd: Any) -> bool:
        return self._unwatch(fd, True)

    def _watch(self, file: Any, write: bool, callback: Any, args: Any, context: Any) -> Any:
        self._check_closed()
        fd = _fileno(file)
        if file is fd:
            self._files.pop((fd, write), None)
        else:
            self._files[fd, write] = file
        return self._core.watch(fd, write, callback, args, context)

    def _unwatch(self, file: Any, write: bool) -> bool:
        if self.is_closed():
            return False
        try:
            fd = _fileno(file)
        except ValueError:
            # It has been closed. As asyncio's selector, know it all the same.
            known = [key for key, one in self._files.items() if one is file and key[1] is write]
            if not known:
                raise
            fd = known[0][0]
        self._files.pop((fd, write), None)
        return self._core.unwatch(fd, write)

    def _make_socket_transport(self, sock: Any, protocol: Any, *args: Any, **options: Any) -> Any:
        return SocketTransport(self, sock, protocol, *args, **options)

    def _check_thread(self) -> None:
        """In debug mode. Another task of the loop's thread may call what a callback may."""
        core = self._core
        if core.running and core.scheduler is not _scheduler.get():
            raise RuntimeError(
                "Non-thread-safe operation invoked on an event loop other than the current one"
            )

    def _make_self_pipe(self) -> None:
        pass  # the scheduler has one

    def _close_self_pipe(self) -> None:
        pass

    # --- subprocesses, threads and look-ups

    async def _make_subprocess_transport(self, *args: Any, **options: Any) -> Any:
        # Starting a process and the thread that waits for it parks where it would block: cancelled
        # there, the process would be nobody's. So only the awaits are interrupted.
        task = _scheduler.get().current
        shield = Scope(FOREVER, True)
        task.push_scope(shield)
        try:
            transport = await super()._make_subprocess_transport(*args, **options)
            if task.pending is not None:
                try:
                    await asyncio.sleep(0)  # raises what was kept off
                except BaseException:
                    transport.close()
                    await transport._wait()
                    raise
            return transport
        finally:
            task.pop_scope(shield)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """As asyncio. None, without a default executor set: real threads, patched or not."""
        if executor is not None or self._default_executor is not None:
            return super().run_in_executor(executor, func, *args)
        self._check_closed()
        if self._debug:
            self._check_callback(func, "run_in_executor")
        if self._executor_shutdown_called:
            raise RuntimeError("Executor shutdown has been called")
        if self._threads is None:
            self._threads = offload.Offload(min(32, (os.cpu_count() or 1) + 4))
        return self.run_in_task(self._threads.run, offload.Job(func, args))

    async def getaddrinfo(
        self,
        host: Any,
        port: Any,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> Any:
        """As socket.getaddrinfo()."""
        if _events.socket.getaddrinfo is not _getaddrinfo:  # the program's own: in a thread
            return await super().getaddrinfo(
                host, port, family=family, type=type, proto=proto, flags=flags
            )
        return await self.run_in_task(socket.getaddrinfo, host, port, family, type, proto, flags)

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> Any:
        """As socket.getnameinfo()."""
        if _events.socket.getnameinfo not in _GETNAMEINFO:
            return await super().getnameinfo(sockaddr, flags)
        return await self.run_in_task(resolver.getnameinfo, sockaddr, flags)

    def run_in_task(self, fn: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """Call fn(*args), which may wait, in a task of its own.

        Returns   an asyncio.Future; cancelling it kills the task
        """
        future: asyncio.Future[Any] = self.create_future()
        task = api.spawn(fn, *args)

        def ended(task: Any) -> None:
            if not future.cancelled():
                settle(future, task.value, task.exception)

        def cancelled(future: asyncio.Future[Any]) -> None:
            if future.cancelled():
                task.kill()

        task.add_done_callback(ended)
        future.add_done_callback(cancelled)
        return future

    # --- signals

    def add_signal_handler(self, sig: int, callback: Callable[..., Any], *args: Any) -> None:
        """As asyncio: call callback(*args) in the loop when the signal has come."""
        if asyncio.iscoroutine(callback) or inspect.iscoroutinefunction(callback):
            raise TypeError("coroutines cannot be used with add_signal_handler()")
        self._check_signal(sig)
        self._check_closed()
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("add_signal_handler() only works in the main thread")
        self._signal_handlers[sig] = asyncio.Handle(callback, args, self, None)
        try:
            _unix.signal.signal(sig, self._signal_came)
            _unix.signal.siginterrupt(sig, False)
        except (OSError, ValueError) as error:
            del self._signal_handlers[sig]
            if isinstance(error, OSError) and error.errno != errno.EINVAL:
                raise
            raise RuntimeError(f"sig {sig} cannot be caught") from error

    def remove_signal_handler(self, sig: int) -> bool:
        """As asyncio. Returns whether there was one."""
        removed: bool = super().remove_signal_handler(sig)
        _scheduler.get().wakeup.watch_signals()  # asyncio's last one takes the wake-up fd with it
        return removed

    def _signal_came(self, signum: int, frame: Any) -> None:
        self._handle_signal(signum)

    def _add_callback_signalsafe(self, handle: Any) -> None:
        self.call_soon_threadsafe(handle._callback, *handle._args, context=handle._context)


def _fileno(thing: Any) -> int:
    """Return the fd of a file object or number, with the selectors module's errors."""
    if isinstance(thing, int):
        fd = thing
    else:
        try:
            fd = int(thing.fileno())
        except (AttributeError, TypeError, ValueError):
            raise ValueError(f"Invalid file object: {thing!r}") from None
    if fd < 0:
        raise ValueError(f"Invalid file descriptor: {fd}")
    return fd


def settle(future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    """Give future a value or an error, unless it has one or was cancelled."""
    if future.done():
        return
    if error is None:
        future.set_result(value)
    elif isinstance(error, StopIteration):
        future.set_exception(RuntimeError(f"a call in a task raised {error!r}"))
    else:
        future.set_exception(futures._convert_future_exc(error))  # type: ignore[attr-defined]


def new_event_loop() -> Loop:
    """Return a new event loop, for asyncio.Runner(loop_factory=new_event_loop). Never switches."""
    return Loop()
