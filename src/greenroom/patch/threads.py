"""_thread's functions, made of tasks: a thread that a program starts is a task.  layer: patch

Only the leaves are replaced. threading.Thread, Timer, Condition, Event, Barrier and queue.Queue are
the standard library's Python code, running on these. Up to 3.12 a thread's end is seen through the
lock of _set_sentinel(), from 3.13 on through a _ThreadHandle.
"""

from __future__ import annotations

import _thread
import contextvars
import os
import sys
import weakref

from greenroom import _originals
from greenroom.core import hooks
from greenroom.core import scheduler as _scheduler
from greenroom.core.task import Task
from greenroom.errors import Cancelled, TooLateError
from greenroom.sync.event import Event
from greenroom.sync.lock import Lock, PolledLock, RLock, ThreadEndLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_sentinels: dict[int, Lock] = {}  # by the ident of the task
_started: set[Task] = set()


def get_ident() -> int:
    """Return a number that no other running thread or task has. Never switches.

    The callbacks and coroutines of an asyncio loop share the one of who runs the loop: asyncio
    programs compare it. Locks tell them apart all the same (current_owner()).
    """
    face = _scheduler.current_face()
    return _own_ident() if face is None else face.ident


def _own_ident() -> int:
    owner = _scheduler.current_owner()
    return owner if isinstance(owner, int) else id(owner)


class _ThreadOfImports:
    """The module _thread for the import system, whose locks belong to an ident.

    The coroutines of a loop share one: the second to import a module would find it half made.
    """

    get_ident = staticmethod(_own_ident)

    def __getattr__(self, name: str) -> Any:
        return getattr(_thread, name)


thread_of_imports = _ThreadOfImports()


def start_new_thread(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any] | None = None, /
) -> int:
    """Start a task that calls function(*args, **kwargs); return its ident. Never switches."""
    if not callable(function):
        raise TypeError("first arg must be callable")
    if not isinstance(args, tuple):
        raise TypeError("2nd arg must be a tuple")
    if kwargs is not None and not isinstance(kwargs, dict):
        raise TypeError("optional 3rd arg must be a dictionary")
    return id(_start(function, args, kwargs or {}))


def _start(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    _is_finalizing: Callable[[], bool] = sys.is_finalizing,  # sys is gone when it returns True
    _too_late: type[RuntimeError] = TooLateError,
) -> Task:
    if _is_finalizing():
        raise _too_late("can't create new thread at interpreter shutdown")
    name = getattr(function, "__qualname__", None) or repr(function)
    owner = getattr(function, "__self__", None)
    if owner is not None and hasattr(owner, "name"):
        name = str(owner.name)  # threading.Thread._bootstrap
    # A thread starts with an empty context, a task with a copy: this is a thread.
    task = _scheduler.get().spawn(
        _thread_main, (function, args, kwargs), name, contextvars.Context()
    )
    _started.add(task)
    task.add_done_callback(_thread_ended)
    return task


def _thread_main(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    try:
        function(*args, **kwargs)
    except SystemExit:
        pass  # ends the thread alone
    except Exception as error:
        _report(function, error)
    finally:
        _forget_locals(_scheduler.get().current)


def _forget_locals(task: Task) -> None:
    """Drop the thread's own values while it can still wait: their finalizers may want to."""
    while task.locals:
        task.locals.pop()(task)


class _Unraisable:
    """What sys.unraisablehook is called with. Its own type cannot be made from Python."""

    def __init__(self, function: Callable[..., Any], error: BaseException) -> None:
        self.exc_type = type(error)
        self.exc_value = error
        self.exc_traceback = error.__traceback__
        self.err_msg = "Exception ignored in thread started by"
        self.object: Any = function
        if sys.version_info >= (3, 13):
            self.err_msg += f" {function!r}"
            self.object = None


def _report(function: Callable[..., Any], error: BaseException) -> None:
    """Report an error that ended a thread which no threading.Thread stands for."""
    hook: Any = sys.unraisablehook
    if hook is sys.__unraisablehook__:
        hooks.log_error(f"thread {function!r} failed", error)
    else:
        hook(_Unraisable(function, error))


def _thread_ended(task: Task) -> None:
    _started.discard(task)
    sentinel = _sentinels.pop(id(task), None)
    if sentinel is not None and sentinel.locked():
        sentinel.release()


def thread_count() -> int:
    """Return how many threads were started and have not ended."""
    return len(_started)


def set_name_around(original: Callable[[str], None]) -> Callable[[str], None]:
    """_thread.set_name of Python 3.14: the OS thread is not the green thread's to name."""

    def set_name(name: str) -> None:
        owner = _scheduler.current_owner()
        if isinstance(owner, Task):
            owner.name = name
        else:
            original(name)

    return set_name


def get_name_around(original: Callable[[], str]) -> Callable[[], str]:
    """_thread._get_name of Python 3.14: a green thread's name, as much as the kernel would keep."""

    def _get_name() -> str:
        owner = _scheduler.current_owner()
        if not isinstance(owner, Task):
            return original()
        octets = owner.name.encode(sys.getfilesystemencoding(), "replace")
        return os.fsdecode(octets.split(b"\0", 1)[0][: getattr(_thread, "_NAME_MAXLEN", None)])

    return _get_name


def cpu_clock_around(original: Callable[[int], int]) -> Callable[[int], int]:
    """time.pthread_getcpuclockid: C would take a green thread's ident for an address."""

    def pthread_getcpuclockid(thread_id: int, /) -> int:
        return original(_scheduler.thread_of(thread_id))

    return pthread_getcpuclockid


def set_sentinel() -> Lock:
    """Return a lock that is released when the calling thread ends (Python 3.11 and 3.12)."""
    lock = ThreadEndLock()
    scheduler = _scheduler.get()
    if scheduler.current is not scheduler.main:
        _sentinels[id(scheduler.current)] = lock
    return lock


class ThreadHandle:
    """_thread._ThreadHandle of Python 3.13: a thread to join."""

    def __init__(self) -> None:
        self.ident = 0
        self._done = Event()
        _handles.add(self)

    def join(self, timeout: float | None = None) -> None:
        """Wait until the thread has ended, or timeout seconds."""
        if not self.ident:
            raise RuntimeError("thread not started")
        _notice_fork()
        if self.ident == get_ident() and not self._done.is_set():
            raise RuntimeError("Cannot join current thread")
        self._done.wait(None if timeout is None or timeout < 0 else timeout)

    def is_done(self) -> bool:
        """Return whether it has ended."""
        _notice_fork()
        return self._done.is_set()

    def _set_done(self) -> None:
        if not self.ident:
            raise RuntimeError("thread not started")
        self._done.set()


_handles: weakref.WeakSet[ThreadHandle] = weakref.WeakSet()
_joinable: set[ThreadHandle] = set()  # those that threading._shutdown() waits for


def start_joinable_thread(
    function: Callable[[], Any], handle: ThreadHandle | None = None, daemon: bool = True
) -> ThreadHandle:
    """_thread.start_joinable_thread of Python 3.13. Never switches."""
    if handle is None:
        handle = ThreadHandle()
    elif handle.ident:
        raise RuntimeError("thread already started")
    task = _start(function, (), {})
    handle.ident = id(task)
    if not daemon:
        _joinable.add(handle)

    def ended(task: Task) -> None:
        _joinable.discard(handle)
        handle._set_done()

    task.add_done_callback(ended)
    return handle


def make_thread_handle(ident: int) -> ThreadHandle:
    """_thread._make_thread_handle of Python 3.13: a handle of a thread that runs already."""
    handle = ThreadHandle()
    handle.ident = ident
    return handle


def shutdown_after(original: Callable[[], None]) -> Callable[[], None]:
    """_thread._shutdown of Python 3.13: wait for every thread that is not a daemon."""

    def shutdown() -> None:
        while _joinable:
            next(iter(_joinable)).join()
        original()  # for real threads that were started before patching

    return shutdown


def excepthook_after(original: Callable[[Any], None]) -> Callable[[Any], None]:
    """threading.excepthook: a thread that was killed has not failed."""

    def excepthook(args: Any, /) -> None:
        if args.exc_type is not Cancelled:
            original(args)

    return excepthook


# The attribute of threading.Thread by which its end is seen: from 3.14 on, in 3.13, and before.
_END_OF_THREAD = ("_os_thread_handle", "_handle", "_tstate_lock")


def mend_main_thread(threading: Any) -> Callable[[], object] | None:
    """Let threading.main_thread() be the main thread's, and a task join it.

    threading took the thread that imported it first for the main one, and that may be a task; or it
    was imported before patching, and has a lock, or a handle, that a task cannot wait for.
    """
    scheduler = _scheduler.get()
    main = threading._main_thread
    name = next(name for name in _END_OF_THREAD if hasattr(main, name))
    original: Any = getattr(main, name)
    if scheduler.current is not scheduler.main:
        threading._active.pop(main._ident, None)
        main._ident = scheduler.main_owner
        threading._active[main._ident] = main
    elif isinstance(original, (ThreadHandle, ThreadEndLock)):
        return None
    if name != "_tstate_lock":
        setattr(main, name, make_thread_handle(main._ident))
    else:
        # threading._shutdown() releases main's lock, and must not wait for one that is not main's.
        threading._shutdown_locks.discard(original)
        main._tstate_lock = ThreadEndLock()
        main._tstate_lock.acquire()
    still = weakref.ref(main)  # after a fork another may be main

    def undo() -> None:
        thread = still()
        if thread is not None:
            setattr(thread, name, original)

    return undo


def fork_around(original: Callable[[], Any]) -> Callable[[], Any]:
    """os.fork and os.forkpty of Python 3.12: warn of threads, as of those that the kernel knows."""

    def fork() -> Any:
        result = original()
        in_parent = result if isinstance(result, int) else result[0]
        if in_parent and _started and len(os.listdir("/proc/self/task")) == 1:
            import warnings  # costs a program that has no reason to be warned

            warnings.warn(
                f"This process (pid={os.getpid()}) is multi-threaded, use of {original.__name__}() "
                "may lead to deadlocks in the child.",
                DeprecationWarning,
                stacklevel=2,
            )
        return result

    fork.__name__ = fork.__qualname__ = original.__name__
    fork.__doc__ = original.__doc__
    return fork


def main_thread_ident_after(original: Callable[[], int]) -> Callable[[], int]:
    """_thread._get_main_thread_ident of Python 3.13: after a fork the task that forked is main."""

    def get_main_thread_ident() -> int:
        ident = original()
        if ident != _originals.get_ident():
            return ident
        owner = _scheduler.get().main_owner
        return owner if isinstance(owner, int) else id(owner)

    return get_main_thread_ident


class _AnyRLockType(type):
    """Makes isinstance(lock, AnyRLock) hold for the plain RLocks that AnyRLock() returns."""

    def __instancecheck__(cls, thing: object) -> bool:
        return isinstance(thing, RLock) if cls is AnyRLock else type.__instancecheck__(cls, thing)


class AnyRLock(RLock, metaclass=_AnyRLockType):
    """RLock as _thread.RLock is called before Python 3.15: it ignores arguments.

    What it makes is a plain RLock, unless it is subclassed.
    """

    def __new__(cls, *args: object, **kwargs: object) -> RLock:  # type: ignore[misc]
        """Return a new lock."""
        return RLock() if cls is AnyRLock else RLock.__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        RLock.__init__(self)


def queue_init_after(original: Callable[..., None]) -> Callable[..., None]:
    """Wrap queue.Queue.__init__: its lock lets others run now and then."""

    def __init__(self: Any, maxsize: int = 0) -> None:
        original(self, maxsize)
        if type(self.mutex) is Lock:  # threads are green, too
            condition = type(self.not_empty)
            self.mutex = PolledLock()
            self.not_empty = condition(self.mutex)
            self.not_full = condition(self.mutex)
            self.all_tasks_done = condition(self.mutex)

    return __init__


def _forget_threads() -> None:
    """After a fork the child has none of the threads but the one that forked."""
    global _pid
    _pid = os.getpid()
    _joinable.clear()
    _started.clear()
    _sentinels.clear()
    me = get_ident()
    for handle in list(_handles):
        if handle.ident and handle.ident != me:
            handle._done = Event()
            handle._done.set()


def _notice_fork() -> None:
    """Do so now: the hook of threading asks before ours has run, if it was imported before us."""
    if os.getpid() != _pid:
        _forget_threads()


_pid = os.getpid()
os.register_at_fork(after_in_child=_forget_threads)


def forget_dummy(init: Callable[[Any], None]) -> Callable[[Any], None]:
    """Wrap threading._DummyThread.__init__: forget the entry when the task ends.

    current_thread() in a task that is no Thread makes one. The next task may have the same ident.
    """

    def __init__(self: Any) -> None:
        init(self)
        scheduler = _scheduler.get()
        task = scheduler.current
        threading: Any = sys.modules["threading"]
        # In a library without this class, 3.11 for one, the entry of a foreign thread stays.
        stays = not hasattr(threading, "_DeleteDummyThreadOnDel")
        if task is scheduler.main or (stays and task in _started):
            return
        active = threading._active
        ident = self.ident

        def forget(task: Task) -> None:
            if active.get(ident) is self:
                del active[ident]

        if task.locals is None:
            task.locals = []
        task.locals.append(forget)

    return __init__
