"""signal, where the one thread that gets the signals runs many tasks.            layer: green

- A handler runs where CPython runs it: in the main thread, between two bytecodes, and so in any
  task. What it raises is raised in main, as CPython has it. For that each handler is wrapped when
  it is set, and unwrapped when the program asks for it.
- The interpreter's wake-up fd is the scheduler's. The program's own is written to by the wrapper,
  before the handler runs.
- sigwait() and its relatives park on a signalfd, which becomes readable when a blocked signal is
  pending, and take the signal with sigtimedwait(2). One that is not blocked but has a handler would
  reach sigwait(2) and not the handler; here the wrapper gives it to the task that waits.
"""

import functools
import os
import signal as _stdlib
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

from greenroom import _config, _originals
from greenroom.core import hooks, native, report
from greenroom.core import scheduler as _scheduler
from greenroom.core.timers import FOREVER
from greenroom.core.waitqueue import WaitQueue

_C = _originals.signal
_set_wakeup_fd = _C.set_wakeup_fd
_sigtimedwait = _C.sigtimedwait
_write, _close = os.write, os.close


class _Handler:
    """What the interpreter calls in place of a program's handler."""

    __slots__ = ("handler",)

    def __init__(self, handler: Callable[[int, Any], object]) -> None:
        self.handler = handler

    def __call__(self, number: int, frame: Any) -> None:
        # Uncompiled, the interpreter calls it in the middle of a queue's or the scheduler's code
        # too, where nothing may wait, spawn or wake: it is called when the task's wait ends, or
        # else by a task of its own. (To raise the signal once more would meet this frame again.)
        if not native.compiled() and _in_waiting_code(frame):
            _late.append((self, number, frame))
            scheduler = _scheduler.get()
            scheduler.call_soon_threadsafe(scheduler.spawn, _call_late_handlers, ())
        else:
            self.call(number, frame)

    def call(self, number: int, frame: Any) -> None:
        """Call the program's handler, unless a sigwait() takes the signal."""
        if not signal_came(number):
            try:
                _scheduler.call_handler(self.handler, number, frame)
            finally:
                _wake_pausing()

    def __repr__(self) -> str:
        return f"<greenroom around {self.handler!r}>"


def _in_waiting_code(frame: Any) -> bool:
    if native.thread_scheduler() is None:
        return False
    if not _scheduler.can_wait():
        return True
    return frame is not None and report.is_waiting_code(frame.f_code)


def _call_late_handlers() -> None:
    while _late:
        handler, number, frame = _late.popleft()
        handler.call(number, frame)


def _wait_and_call(wait: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def call(scheduler: Any) -> bool:
        woken = wait(scheduler)
        if _late:
            _call_late_handlers()
        return woken

    return call


_late: deque[tuple[_Handler, int, Any]] = deque()
if not native.compiled():
    _scheduler.Scheduler.wait = _wait_and_call(  # type: ignore[method-assign, assignment]
        _scheduler.Scheduler.wait
    )


def _wrapped(number: Any, handler: Any) -> Any:
    """Return what to give to the interpreter for a program's handler."""
    if not callable(handler) or isinstance(handler, (_Handler, _stdlib.Handlers)):
        return handler
    if handler is _C.default_int_handler and number == _C.SIGINT:
        return _scheduler.on_sigint
    return _Handler(handler)


def _unwrapped(handler: Any) -> Any:
    """Return the program's handler."""
    if isinstance(handler, _Handler):
        return handler.handler
    return _C.default_int_handler if handler is _scheduler.on_sigint else handler


def signal_around(original: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """signal.signal: what a handler raises is raised in main."""

    @functools.wraps(original)
    def signal(signalnum: Any, handler: Any) -> Any:
        return _unwrapped(original(signalnum, _wrapped(signalnum, handler)))

    return signal


def getsignal_around(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """signal.getsignal: return what the program has set."""

    @functools.wraps(original)
    def getsignal(signalnum: Any) -> Any:
        return _unwrapped(original(signalnum))

    return getsignal


# --- what becomes of a signal that came


class _Wait:
    """A task in sigwait() and its relatives."""

    __slots__ = ("came", "numbers", "task")

    def __init__(self, numbers: set[int], task: Any) -> None:
        self.numbers = numbers
        self.task = task
        self.came = 0


_waits: list[_Wait] = []
_pausing = WaitQueue()
_wakeup_fd = -1
_warn_on_full_buffer = True


def signal_came(number: int) -> bool:
    """Note a signal for which there is a handler; return True if sigwait() takes it instead."""
    for wait in _waits:
        if number in wait.numbers and not wait.came:
            wait.came = number
            _scheduler.unpark(wait.task)
            return True
    if _wakeup_fd >= 0:
        try:
            _write(_wakeup_fd, bytes((number,)))
        except OSError as error:
            if _warn_on_full_buffer or not isinstance(error, BlockingIOError):
                _complain(error)
    return False


def _wake_pausing() -> None:
    while _scheduler.wake_first(_pausing):
        pass


def _complain(error: OSError) -> None:
    """Say that the wake-up fd does not take the number, as the interpreter does."""
    word = "while" if sys.version_info >= (3, 14) else "when"
    message = f"Exception ignored {word} trying to write to the signal wakeup fd"
    if sys.unraisablehook is not sys.__unraisablehook__:
        # The interpreter's own type for this cannot be made from Python.
        what: Any = SimpleNamespace(
            exc_type=type(error),
            exc_value=error,
            exc_traceback=error.__traceback__,
            err_msg=message,
            object=None,
        )
        sys.unraisablehook(what)
    elif sys.stderr is not None:
        print(message + ":", file=sys.stderr)
        traceback.print_exception(error)


def set_wakeup_fd(fd: int, /, *, warn_on_full_buffer: bool = True) -> int:
    """As signal.set_wakeup_fd, with its errors; the fd gets each number before the handler runs.

    Returns   the program's fd of before, -1 if there was none
    Switches  never
    """
    global _wakeup_fd, _warn_on_full_buffer
    _scheduler.get()  # has its own fd there from now on
    # The C function does every check; then the scheduler's fd goes back.
    own = _set_wakeup_fd(fd, warn_on_full_buffer=warn_on_full_buffer)
    _set_wakeup_fd(own, warn_on_full_buffer=False)
    before, _wakeup_fd = _wakeup_fd, fd
    _warn_on_full_buffer = bool(warn_on_full_buffer)
    return before


def pause() -> None:
    """Wait until a signal handler has run. Switches always."""
    scheduler = _scheduler.get()
    scheduler.enlist(_pausing, "a signal", FOREVER)
    scheduler.external += 1
    try:
        scheduler.wait()
    finally:
        scheduler.external -= 1


# --- waiting for signals


def _wait(sigset: Iterable[int], deadline: float) -> Any:
    """Take the first of the signals that is or becomes pending; None at the deadline."""
    numbers = set(sigset)
    scheduler = _scheduler.get()
    wait = _Wait(numbers, scheduler.current)
    fd = _signalfd(numbers)
    pause = _config.SIGNAL_PAUSES[0]
    _waits.append(wait)
    scheduler.external += 1
    try:
        while True:
            if fd >= 0:
                scheduler.wait_fd(fd, False, deadline, True)
            else:
                scheduler.enlist(WaitQueue(), "a signal", min(deadline, scheduler.now() + pause))
                scheduler.wait()
                pause = min(pause * 2, _config.SIGNAL_PAUSES[1])
            if wait.came:
                return _C.struct_siginfo((wait.came, 0, 0, 0, 0, 0, 0))
            info = _sigtimedwait(numbers, 0)
            if info is not None or (deadline != FOREVER and scheduler.now() >= deadline):
                return info
    finally:
        scheduler.external -= 1
        _waits.remove(wait)
        if fd >= 0:
            _scheduler.closing_fd(fd)
            _close(fd)


def _signalfd(numbers: set[int]) -> int:
    """Open a signalfd(2) for the signals; -1 where that cannot be."""
    try:
        # Imported here: few programs need it.
        import ctypes

        libc = ctypes.CDLL(None)
        mask = ctypes.create_string_buffer(1024 // 8)  # sigset_t of glibc; musl's is as long
        libc.sigemptyset(mask)
        for number in numbers:
            libc.sigaddset(mask, int(number))
        fd: int = libc.signalfd(-1, mask, os.O_NONBLOCK | os.O_CLOEXEC)
    except (ImportError, OSError, AttributeError):
        return -1
    if fd >= 0:
        _scheduler.new_fd(fd)
    return fd


def sigwaitinfo(sigset: Iterable[int], /) -> Any:
    """sigwaitinfo(2). Switches only if none of the signals is pending."""
    numbers = list(sigset)
    found = _sigtimedwait(numbers, 0)
    return _wait(numbers, FOREVER) if found is None else found


def sigtimedwait(sigset: Iterable[int], timeout: float, /) -> Any:
    """sigtimedwait(2). Switches only if none of the signals is pending and timeout is not 0."""
    numbers = list(sigset)
    try:
        at_once = timeout <= 0
    except TypeError:
        at_once = True  # the C function says what is wrong
    found = _sigtimedwait(numbers, timeout if at_once else 0)
    if found is not None or at_once:
        return found
    return _wait(numbers, _scheduler.get().deadline_after(timeout))


def sigwait(sigset: Iterable[int], /) -> Any:
    """sigwait(3). Switches only if none of the signals is pending."""
    number = sigwaitinfo(sigset).si_signo
    try:
        return _stdlib.Signals(number)
    except ValueError:
        return number


# --- the ident of a green thread is no pthread


def pthread_kill(thread_id: int, signalnum: int, /) -> None:
    """pthread_kill(3); for a green thread, to the OS thread it runs in. Never switches."""
    _C.pthread_kill(_scheduler.thread_of(thread_id), signalnum)


for _function in (pause, pthread_kill, set_wakeup_fd, sigtimedwait, sigwait, sigwaitinfo):
    _function.__module__ = "signal"  # where pydoc lists them


# --- what was set before patching


def adopt(module: Any) -> Callable[[], None] | None:
    """Wrap the handlers that are set already, and take over the program's wake-up fd."""
    global _wakeup_fd
    try:
        found = _scheduler.get().wakeup.claim_signals()
    except ValueError:  # not the main thread
        return None
    if found >= 0:
        _wakeup_fd = found
    for number in _C.valid_signals():
        handler = _C.getsignal(number)
        wrapped = _wrapped(number, handler)
        if wrapped is not handler and handler is not _scheduler.on_sigint:
            _C.signal(number, wrapped)
    hooks.signal_came = signal_came
    return _leave


def _leave() -> None:
    """Put everything back, but for the wake-up fd: the scheduler keeps it."""
    hooks.signal_came = hooks.no_signal_taken
    for number in _C.valid_signals():
        handler = _C.getsignal(number)
        if isinstance(handler, _Handler):
            _C.signal(number, handler.handler)
