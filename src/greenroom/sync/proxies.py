"""offload(): a module, a class or a function whose calls run in real threads.    layer: sync

For C extensions that block with the GIL released, sqlite3 above all. A proxy stands for each object
that is the module's own; a call of one of its methods runs in a real thread while the task parks.

Objects that were made from one another (a connection, its cursors) share a lock: one call at a time
is inside them, in whatever thread. That is what sqlite3's check_same_thread is for, so connections
are made without it; a thread for each connection would do as well, and cost one for each.
"""

import enum
import functools
from collections.abc import Callable, Iterable
from types import GeneratorType, ModuleType
from typing import Any
from weakref import WeakValueDictionary

from greenroom import _originals
from greenroom.core import offload as _threads
from greenroom.core import scheduler as _scheduler
from greenroom.core.scope import Scope
from greenroom.core.timers import FOREVER
from greenroom.sync import threadpool
from greenroom.sync.lock import Lock
from greenroom.sync.threadpool import ThreadPool

# Classes whose objects are data, and quick to use: they are handed out as they are.
_PLAIN = {"sqlite3": ("Row", "PrepareProtocol")}
# Methods that are meant to be called while another call is inside the object, and do not wait.
_FREE = {"sqlite3": ("interrupt",)}
_VALUES = (int, float, complex, str, bytes, bytearray, memoryview, tuple, enum.Enum)

# What puts things in order again. It must run in a task that is being killed too.
_CLOSING = {"__exit__", "close"}

# fmt: off
_SPECIAL = (
    "__enter__", "__exit__", "__iter__", "__next__", "__reversed__", "__call__", "__len__",
    "__bool__", "__contains__", "__getitem__", "__setitem__", "__delitem__", "__lt__", "__le__",
    "__gt__", "__ge__", "__int__", "__float__", "__index__", "__bytes__", "__str__", "__format__",
    "__add__", "__radd__", "__iadd__", "__sub__", "__rsub__", "__isub__", "__mul__", "__rmul__",
    "__imul__", "__truediv__", "__rtruediv__", "__floordiv__", "__mod__", "__pow__", "__matmul__",
    "__and__", "__or__", "__xor__", "__neg__", "__pos__", "__abs__", "__invert__",
)
# fmt: on

_here = _originals.thread_local()  # .locks: those of the call that this real thread makes


def offload(thing: Any, pool: ThreadPool | None = None, plain: Iterable[str] = ()) -> Any:
    """Return a stand-in for thing whose calls run in real threads, while the calling task parks.

    thing     a function: its result is handed over as it is
              a class: calling it makes the object in a thread and returns a proxy of it
              a module: its functions and classes are wrapped so, and results that are objects of
              the module's own classes are proxies in turn. Exceptions and constants are the
              module's
    pool      a ThreadPool that bounds how many calls run at once; None: as many threads as calls,
              for calls that wait for one another, as two writers of a database do, must not wait
              for a thread
    plain     names of classes whose objects are data and are handed over as they are, without a
              proxy; sqlite3.Row is
    Returns   a function, class or module to use in the place of thing
    Raises    TypeError: thing is none of the three

    With a proxy:
    - Each method, operator, step of an iteration, and attribute read or set is a call in a thread
      (some 20 us): cursor.fetchall() is cheaper than a loop over the cursor.
    - Calls of one object, and of those made from it, run one after the other. When the task is
      killed or its time is over, a call that has begun goes on, what comes of it is dropped, and
      the next call waits for its end (sqlite3's interrupt() does not, and ends it). A with block is
      left, and close() called, even so.
    - Functions that are given to it (sqlite3's create_function, row_factory, progress handlers) are
      called in the real thread, where nothing parks for the tasks: they must not wait for one. The
      caller's context variables are seen there.
    - isinstance() takes it for the object; type(), C code and pickle do not. A class of the module
      can be a base class; the subclass is an ordinary one, to be passed as sqlite3's factory, or
      to offload().
    """
    if isinstance(thing, ModuleType):
        package = thing.__name__.partition(".")[0]
        return _Module(thing, _Home(pool, package, {*plain, *_PLAIN.get(package, ())}))
    if isinstance(thing, type):
        home = _Home(pool, None, set(plain))
        home.own[thing] = True
        return _Class(thing, home)
    if callable(thing):
        return _Home(pool, None, set()).function(thing)
    raise TypeError(f"cannot offload {thing!r}: it is no module, no class and no function")


def _any_thread(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """Change the arguments of sqlite3.connect: the lock does what check_same_thread is for."""
    if len(args) > 4:
        return (*args[:4], False, *args[5:]), kwargs
    return args, {**kwargs, "check_same_thread": False}


class _Home:
    """What the proxies of one offload() share.

    own       by class: whether its objects are wrapped
    package   the module's top-level name; None if only a class, or a function, was offloaded
    proxies   by the object's id: so that one object has one proxy
    """

    def __init__(self, pool: ThreadPool | None, package: str | None, plain: set[str]) -> None:
        self.run = _threads.run_unbounded if pool is None else pool.run
        self.package = package
        self.plain = plain
        self.own: dict[type, bool] = {}
        self.proxies: WeakValueDictionary[int, Proxy] = WeakValueDictionary()

    def owns(self, kind: type) -> bool:
        """Return whether objects of a class are wrapped."""
        found = self.own.get(kind)
        if found is None:
            found = self.own[kind] = self._decide(kind)
        return found

    def _decide(self, kind: type) -> bool:
        if issubclass(kind, (BaseException, type, *_VALUES)):
            return False
        for base in kind.__mro__:
            if base in self.own:
                return self.own[base]
            # sqlite3's classes are of "sqlite3", those of other extensions often of "_name".
            package = base.__module__.partition(".")[0].lstrip("_")
            if self.package is not None and package == self.package.lstrip("_"):
                return base.__name__ not in self.plain
        return False

    def wrap(self, value: Any, lock: Lock | None) -> Any:
        """Return a proxy of an object that is the module's own, anything else as it is."""
        kind = type(value)
        # A generator that a method made goes on using the object.
        if not self.owns(kind) and (kind is not GeneratorType or lock is None):
            return value
        proxy = self.proxies.get(id(value))
        if proxy is None:
            proxy = _proxy_class(kind)(value, self, lock or Lock())
            self.proxies[id(value)] = proxy
        return proxy

    def function(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a function."""

        @functools.wraps(fn)
        def call(*args: Any, **kwargs: Any) -> Any:
            return self.call(fn, args, kwargs)

        return call

    def call(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        lock: Lock | None = None,
        name: str | None = None,
    ) -> Any:
        """Call fn in a real thread, with the objects in place of their proxies."""
        kwargs = kwargs or {}
        locks = [] if lock is None else [lock]
        locks += [_lock_of(arg) for arg in (*args, *kwargs.values()) if type(arg) in _classes]
        args = tuple(map(unwrap, args))
        kwargs = {key: unwrap(value) for key, value in kwargs.items()}
        if self.package == "sqlite3" and name is None and _makes_connection(fn):
            args, kwargs = _any_thread(args, kwargs)
        held = getattr(_here, "locks", None)
        # In the order of their ids, so that two calls do not wait for each other.
        wanted = sorted({*locks} - {*(held or ())}, key=id)
        work = functools.partial(fn, *args, **kwargs)
        if held is not None:
            result = _call_here(work, wanted, held)  # from a function that C code calls back
        elif name in _CLOSING:
            task = _scheduler.get().current
            shield = Scope(FOREVER, True)
            task.push_scope(shield)
            try:
                result = self._call_there(work, wanted, name or fn)
            finally:
                task.pop_scope(shield)
        else:
            result = self._call_there(work, wanted, name or fn)
        return self.wrap(result, locks[0] if locks else None)

    def _call_there(self, work: Callable[[], Any], locks: list[Lock], what: Any) -> Any:
        """Make the call in a thread of the pool; the locks are held until it has ended."""
        _acquire(locks)
        job = threadpool.job(_release_after, (work, locks), {}, what)
        try:
            return self.run(job)
        except BaseException:
            if job.take_back():
                _release(locks)
            raise


def _acquire(locks: list[Lock]) -> None:
    taken = []
    try:
        for lock in locks:
            lock.acquire()
            taken.append(lock)
    except BaseException:
        _release(taken)
        raise


def _release(locks: list[Lock]) -> None:
    for lock in locks:
        lock.release()


def _release_after(work: Callable[[], Any], locks: list[Lock]) -> Any:
    """In the thread: make the call."""
    _here.locks = locks
    try:
        return work()
    finally:
        _here.locks = None
        _release(locks)


def _call_here(work: Callable[[], Any], locks: list[Lock], held: list[Lock]) -> Any:
    """In a thread that makes a call already: make another, inside it."""
    _acquire(locks)
    _here.locks = [*held, *locks]
    try:
        return work()
    finally:
        _here.locks = held
        _release(locks)


def _makes_connection(fn: Any) -> bool:
    import sqlite3

    return fn is sqlite3.connect or (isinstance(fn, type) and issubclass(fn, sqlite3.Connection))


# --- the stand-ins ------------------------------------------------------------------------------


class Proxy:
    """Stands for an object whose methods run in real threads. See offload()."""

    __slots__ = ("__weakref__", "_greenroom_home", "_greenroom_lock", "_greenroom_real")

    def __init__(self, real: Any, home: _Home, lock: Lock) -> None:
        object.__setattr__(self, "_greenroom_real", real)
        object.__setattr__(self, "_greenroom_home", home)
        object.__setattr__(self, "_greenroom_lock", lock)

    def __getattr__(self, name: str) -> Any:
        real = self._greenroom_real
        if name in _FREE.get(self._greenroom_home.package, ()):
            return getattr(real, name)
        for base in type(real).__mro__:
            if name in vars(base):
                found = vars(base)[name]
                if callable(found) or isinstance(found, classmethod):
                    return _method(self, name)
                break
        return _call(self, getattr, (real, name), {}, name)

    def __setattr__(self, name: str, value: Any) -> None:
        _call(self, setattr, (self._greenroom_real, name, value), {}, name)

    def __delattr__(self, name: str) -> None:
        _call(self, delattr, (self._greenroom_real, name), {}, name)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self._greenroom_real)

    def __eq__(self, other: object) -> Any:
        return self._greenroom_real == unwrap(other)

    def __hash__(self) -> int:
        return hash(self._greenroom_real)

    def __dir__(self) -> Iterable[str]:
        return dir(self._greenroom_real)

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(f"cannot pickle or copy {self!r}: it stands for an object in other threads")

    def __repr__(self) -> str:
        return f"<offloaded {self._greenroom_real!r}>"


def _call(
    proxy: Proxy, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], name: str
) -> Any:
    return proxy._greenroom_home.call(fn, args, kwargs, proxy._greenroom_lock, name)


def _method(proxy: Proxy, name: str) -> Callable[..., Any]:
    bound = getattr(proxy._greenroom_real, name)

    def method(*args: Any, **kwargs: Any) -> Any:
        return _call(proxy, bound, args, kwargs, name)

    for attribute in ("__name__", "__qualname__", "__doc__"):
        if hasattr(bound, attribute):
            setattr(method, attribute, getattr(bound, attribute))
    return method


def _special(name: str) -> Callable[..., Any]:
    def special(self: Proxy, *args: Any, **kwargs: Any) -> Any:
        return _call(self, getattr(self._greenroom_real, name), args, kwargs, name)

    special.__name__ = name
    return special


_made: dict[type, type[Proxy]] = {}  # by class: that of its proxies
_classes: set[type] = set()  # of proxies


def _proxy_class(real: type) -> type[Proxy]:
    """Return the class of the proxies of a class's objects, with the operators that it has."""
    if real in _made:
        return _made[real]
    names: dict[str, Any] = {"__slots__": (), "__doc__": real.__doc__}
    for name in _SPECIAL:
        if any(name in vars(base) for base in real.__mro__[:-1]):
            names[name] = _special(name)
    made = type(real.__name__, (Proxy,), names)
    _made[real] = made
    _classes.add(made)
    return made


def _lock_of(proxy: Proxy) -> Lock:
    lock: Lock = proxy._greenroom_lock
    return lock


def unwrap(value: Any) -> Any:
    """Return the object that a proxy stands for, anything else as it is."""
    if type(value) in _classes:
        return value._greenroom_real
    if type(value) is _Class:
        return value._greenroom_real
    return value


class _Class:
    """Stands for a class: what it makes is made in a thread."""

    def __init__(self, real: type, home: _Home) -> None:
        self._greenroom_real = real
        self._greenroom_home = home
        self.__name__ = real.__name__
        self.__qualname__ = real.__qualname__
        self.__module__ = real.__module__
        self.__doc__ = real.__doc__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._greenroom_home.call(self._greenroom_real, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        return _member(getattr(self._greenroom_real, name), self._greenroom_home)

    def __instancecheck__(self, value: Any) -> bool:
        return isinstance(value, self._greenroom_real)

    def __subclasscheck__(self, kind: type) -> bool:
        return issubclass(unwrap(kind), self._greenroom_real)

    def __mro_entries__(self, bases: Any) -> tuple[type, ...]:
        return (self._greenroom_real,)

    def __eq__(self, other: object) -> bool:
        return self._greenroom_real is unwrap(other)

    def __hash__(self) -> int:
        return hash(self._greenroom_real)

    def __repr__(self) -> str:
        return f"<offloaded {self._greenroom_real!r}>"


def _member(value: Any, home: _Home) -> Any:
    """Wrap what a module or a class has."""
    if isinstance(value, ModuleType):
        inside = value.__name__.partition(".")[0] == home.package
        return _Module(value, home) if inside else value
    if isinstance(value, type):
        return _Class(value, home) if home.owns(value) else value
    if callable(value):
        return home.function(value)
    return home.wrap(value, None)


class _Module(ModuleType):
    """Stands for a module."""

    def __init__(self, real: ModuleType, home: _Home) -> None:
        super().__init__(real.__name__, real.__doc__)
        self.__dict__.update(_greenroom_real=real, _greenroom_home=home)
        for name in ("__file__", "__path__", "__package__", "__spec__", "__loader__"):
            if hasattr(real, name):
                self.__dict__[name] = getattr(real, name)

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__
        value = _member(getattr(own["_greenroom_real"], name), own["_greenroom_home"])
        if isinstance(value, (_Class, _Module)) or callable(value):
            own[name] = value
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__.pop(name, None)
        setattr(self.__dict__["_greenroom_real"], name, unwrap(value))

    def __dir__(self) -> Iterable[str]:
        return dir(self.__dict__["_greenroom_real"])

    def __repr__(self) -> str:
        return f"<offloaded {self.__dict__['_greenroom_real']!r}>"
