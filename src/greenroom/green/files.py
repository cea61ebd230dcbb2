"""The classes of io, whose waits park.                                          layer: green

The standard library's own C classes, with two things changed:
- FileIO makes its system calls through fdio.py, so it parks where they would wait.
- The buffered classes let one task in at a time. The C code below holds a lock around the call of
  the raw file; a second task of the same thread that came along while the first is parked inside
  would get "reentrant call inside …". To ask for a turn at each call would double the cost of a
  small read. So a file of the disk starts out as plain C, and the first time the raw file has to
  wait, the object changes its class to one whose methods take turns. (A bound method taken before
  that remains the plain one: two tasks that share a file should not share `write = file.write`.)

Text files are the C TextIOWrapper on top, unchanged: any number of tasks may print to one, but they
should not read from one without a lock of their own, just as OS threads should not.

sys.stdin, stdout and stderr exist before anything is patched and are referred to from everywhere. C
looks up `readinto` and `write` on the object below at each call, so functions set on those three
objects themselves do what the subclasses do for others.
"""

from __future__ import annotations

import _io
import atexit
import io
import os
import stat
from _weakref import ref
from abc import ABCMeta

from greenroom.core import scheduler as _scheduler
from greenroom.core.atomic import atomic
from greenroom.core.scheduler import Scheduler
from greenroom.core.timers import FOREVER
from greenroom.core.waitqueue import WaitQueue
from greenroom.errors import ClosedError
from greenroom.green import fdcalls, fdio
from greenroom.green import os as _os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_FileIO = _io.FileIO
_Reader = _io.BufferedReader
_Writer = _io.BufferedWriter
_Random = _io.BufferedRandom
_Pair = _io.BufferedRWPair

# Taken now: a lookup on the type at each call would cost as much as the call.
_file_readable, _file_writable, _fileno = _FileIO.readable, _FileIO.writable, _FileIO.fileno


class FileIO(_FileIO):
    """io.FileIO whose reads and writes park."""

    above: Any = None  # a weak reference to the buffered file that reads or writes through this
    in_turn = False  # the buffered file above is used in turn
    on_disk: bool | None = None  # what fdio.on_disk() says, once it was asked

    def __init__(
        self, file: Any, mode: str = "r", closefd: bool = True, opener: Any = None
    ) -> None:
        if file.__class__ is int:
            _FileIO.__init__(self, file, mode, closefd, opener)
            return
        if opener is None and fdcalls.is_fifo(file):
            opener = _open_fifo
        _FileIO.__init__(self, file, mode, closefd, opener)
        if closefd:
            _scheduler.new_fd(_fileno(self))

    def readinto(self, buffer: Any, /) -> int | None:
        """Read what comes, at most as much as buffer holds; None: nothing, and O_NONBLOCK is set.

        Switches as fdio.read()
        """
        if not _file_readable(self) or not _scheduler.can_wait():
            return _FileIO.readinto(self, buffer)
        _let_others_run(self)
        fd = _fileno(self)
        got = fdcalls.try_readinto(fd, buffer)
        if got < 0:
            got = waiting(self, fdio.readinto_waiting, fd, buffer, -got)
        elif got and self.above is None and is_on_disk(self):
            with memoryview(buffer) as view, view.cast("B") as octets:
                if got < len(octets) and fdcalls.more_on_disk(fd):
                    got += fdio.readinto_waiting(fd, octets[got:], fdio.EAGAIN)
        return got

    def read(self, size: int | None = -1, /) -> bytes | None:  # type: ignore[override]
        """Read at most size bytes with one call; all that there is if size is negative or None."""
        if not _file_readable(self) or not _scheduler.can_wait():
            return _FileIO.read(self, size)
        if size is None or size < 0:
            return vars(FileIO)["readall"](self)  # type: ignore[no-any-return]
        _let_others_run(self)
        return _read_once(self, _fileno(self), size)

    def readall(self) -> bytes | None:  # type: ignore[override]
        """Read until the end."""
        if not _file_readable(self) or not _scheduler.can_wait():
            return _FileIO.readall(self)
        fd = _fileno(self)
        chunks: list[bytes] = []
        size = _left_in(fd)
        while True:
            _let_others_run(self)
            chunk = _read_once(self, fd, size)
            if not chunk:
                break
            chunks.append(chunk)
            size = io.DEFAULT_BUFFER_SIZE if len(chunk) < size else min(2 * size, 1 << 20)
        if chunk is None and not chunks:
            return None
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def write(self, data: Any, /) -> int | None:  # type: ignore[override]
        """Write data; returns how much of it was taken, None: nothing, and O_NONBLOCK is set."""
        if not _file_writable(self) or not _scheduler.can_wait():
            return _FileIO.write(self, data)
        fd = _fileno(self)
        _let_others_run(self)
        with memoryview(data) as view:
            if is_on_disk(self):
                if fdio.is_quick(fd, view.nbytes):
                    return _FileIO.write(self, data)
                sent = 0
            else:
                sent = fdcalls.try_write(fd, view)
                if sent == view.nbytes:
                    return sent
            with view.cast("B") as octets:
                more = waiting(self, fdio.write, fd, octets[max(sent, 0) :])
        if sent > 0:
            return sent + (more or 0)
        return more  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close the fd, if it is to be closed. Tasks that wait on it get a ClosedError."""
        if not self.closed and self.closefd:
            _scheduler.closing_fd(_fileno(self))
        _FileIO.close(self)

    def __reduce_ex__(self, protocol: Any, /) -> Any:
        """Refuse, as C's class does: for C this is a program's subclass, which may be pickled."""
        if self.__class__ is FileIO:
            raise TypeError("cannot pickle '_io.FileIO' object")
        return _FileIO.__reduce_ex__(self, protocol)


def is_on_disk(file: Any) -> bool:
    """Ask it once of a raw file: whether there is no readiness to wait for."""
    if file.on_disk is None:
        file.on_disk = fdcalls.on_disk(_fileno(file))
    return file.on_disk  # type: ignore[no-any-return]


def _let_others_run(file: Any) -> None:
    """Spend the budget, unless C holds the lock of a buffered file above: see Turn.enter()."""
    if file.above is None and not file.in_turn:
        _scheduler.get().spend_budget()


def _read_once(file: Any, fd: int, size: int) -> bytes | None:
    found: Any = fdcalls.try_read(fd, size)
    if found.__class__ is not bytes:
        found = waiting(file, fdio.read_waiting, fd, size, found)
    elif 0 < len(found) < size and file.above is None and fdcalls.more_on_disk(fd):
        found += fdio.read_waiting(fd, size - len(found), fdio.EAGAIN)
    return found  # type: ignore[no-any-return]


def waiting(file: Any, call: Callable[..., Any], *args: Any) -> Any:
    """Call what will wait; nobody else may enter the buffered file above meanwhile."""
    turn = None
    if file.above is not None and (buffered := file.above()) is not None:
        turn = share(buffered)
        turn.inside = True
    try:
        return call(*args)
    except BlockingIOError:
        return None
    finally:
        if turn is not None:
            turn.inside = False
            while _scheduler.wake_first(turn.outside):
                pass


def _left_in(fd: int) -> int:
    """Return how much a first read of everything should ask for."""
    info = os.fstat(fd)
    if stat.S_ISREG(info.st_mode):
        try:
            return max(info.st_size - os.lseek(fd, 0, os.SEEK_CUR), 0) + 1
        except OSError:
            pass
    return io.DEFAULT_BUFFER_SIZE


def _open_fifo(path: Any, flags: int) -> int:
    return _os.open(path, flags, 0o666)


class Turn:
    """Lets one task at a time into a buffered file; the same task may enter again.

    inside    a task waits in the raw file. It may have come in before there was a turn to take, so
              having the turn is not enough
    outside   tasks that have the turn and wait for the one inside
    closing   a task is about to close the file
    """

    def __init__(self) -> None:
        self.owner: object = None
        self.depth = 0
        self.waiters = WaitQueue()
        self.inside = False
        self.outside = WaitQueue()
        self.closing = False

    def enter(self) -> None:
        """Wait for the turn. Switches if another task has it, or the budget is spent.

        The budget is spent here and not in the raw file, for there C holds its lock: another task
        that forks would leave it held in the child.
        """
        if _scheduler.can_wait():
            _scheduler.get().spend_budget()
        me = _scheduler.current_owner()
        if not self.take(me):
            scheduler = _scheduler.get()
            if not self.take_or_enlist(me, scheduler):
                scheduler.wait()
        try:
            while self.inside:
                _scheduler.get().park(self.outside, _WHAT, FOREVER)
        except BaseException:
            self.leave()
            raise

    def take(self, me: object) -> bool:
        """Take the turn if nobody else has it."""
        if self.depth and self.owner is not me and self.owner != me:
            return False
        self.owner = me
        self.depth += 1
        return True

    def take_or_enlist(self, me: object, scheduler: Scheduler) -> bool:
        """Take the turn, or stand in the queue: then only scheduler.wait() may follow."""
        if self.take(me):
            return True
        scheduler.current.value = me
        scheduler.enlist(self.waiters, _WHAT, FOREVER)
        return False

    def leave(self) -> None:
        """Give the turn to the first who waits; a task that goes on writing must not overtake."""
        self.depth -= 1
        if self.depth == 0:
            waiter = self.waiters.head
            if waiter is None:
                self.owner = None
            else:
                self.owner = waiter.value
                waiter.value = None
                self.depth = 1
                _scheduler.unpark(waiter)

    def evict(self, file: Any) -> None:
        """Have a ClosedError raised in the task that waits in a file, and in those behind it."""
        if self.closing or not (
            self.inside or (self.depth and self.owner != _scheduler.current_owner())
        ):
            return
        self.closing = True  # who closes it too must not be driven away
        try:
            _scheduler.closing_fd(file.fileno())
        except (AttributeError, OSError, ValueError):
            pass  # there is no fd below
        for queue in (self.waiters, self.outside):
            while queue.head is not None:
                _scheduler.fail(queue.head, ClosedError(f"{file!r} was closed by another task"))


_WHAT = "its turn on a buffered file"


def in_turn(method: Callable[..., Any], field: str = "turn") -> Any:
    """Wrap a method of a C class: called by one task at a time."""

    def call(self: Any, *args: Any) -> Any:
        turn = getattr(self, field)
        turn.enter()
        try:
            return method(self, *args)
        finally:
            turn.leave()

    call.__name__ = method.__name__
    call.__doc__ = method.__doc__
    return call


class _Kind(ABCMeta):
    """Makes isinstance hold for what C code made: io.BufferedReader is bound to our subclass."""

    def __instancecheck__(cls, thing: Any) -> bool:
        c_class = cls.__dict__.get("c_class")  # a program's subclass has none of its own
        if c_class is not None and isinstance(thing, c_class):
            return True
        return super().__instancecheck__(thing)


def _look_below(buffered: Any, raw: Any) -> None:
    """Have a raw file of the disk call share() before it waits; others are waited for in turn."""
    if raw.__class__ is FileIO and buffered.__class__ in _PLAIN and is_on_disk(raw):
        raw.above = ref(buffered)
    else:
        share(buffered)


def share(buffered: Any) -> Turn:
    """Let the tasks that use a buffered file take turns from now on; return what they take."""
    if not hasattr(buffered, "turn"):
        buffered.turn = Turn()
        buffered.__class__ = _shared_form(buffered.__class__)
        if isinstance(buffered.raw, FileIO):
            buffered.raw.in_turn = True
    turn: Turn = buffered.turn
    return turn


class BufferedReader(_Reader, metaclass=_Kind):
    """io.BufferedReader, whose methods are C until tasks must take turns."""

    c_class = _Reader

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _Reader.__init__(self, *args, **kwargs)
        _look_below(self, self.raw)


class BufferedWriter(_Writer, metaclass=_Kind):
    """io.BufferedWriter, whose methods are C until tasks must take turns."""

    c_class = _Writer

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _Writer.__init__(self, *args, **kwargs)
        _look_below(self, self.raw)


class BufferedRandom(_Random, metaclass=_Kind):
    """io.BufferedRandom, whose methods are C until tasks must take turns."""

    c_class = _Random

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _Random.__init__(self, *args, **kwargs)
        _look_below(self, self.raw)


_READING = ("read", "read1", "readinto", "readinto1", "readline", "peek")
_WRITING = ("write", "flush")
_BOTH = ("seek", "truncate", "detach")
_PLAIN: dict[type, tuple[str, ...]] = {
    BufferedReader: (*_READING, *_BOTH),
    BufferedWriter: (*_WRITING, *_BOTH, "close"),
    BufferedRandom: (*_READING, *_WRITING, *_BOTH, "close"),
}


_shared_forms: dict[type, type] = {}


def _shared_form(kind: type) -> type:
    """Return a subclass of a buffered class, or of a program's own, that tasks use in turn."""
    if kind in _shared_forms:
        return _shared_forms[kind]
    names = next(names for plain, names in _PLAIN.items() if issubclass(kind, plain))
    methods = {name: in_turn(getattr(kind, name)) for name in names}
    if "close" not in methods:
        methods["close"] = _close_in_turn(kind.close)  # type: ignore[attr-defined]
    # pickle and copy are to see the class that the program knows.
    methods["__class__"] = property(lambda self: kind)
    methods["__reduce_ex__"] = _reduced_as(kind)
    about = {name: getattr(kind, name) for name in ("__doc__", "__module__", "__qualname__")}
    shared = type(kind)(kind.__name__, (kind,), {"__slots__": (), **about, **methods})
    return _shared_forms.setdefault(kind, shared)


def _reduced_as(kind: type) -> Any:
    """Wrap __reduce_ex__(): what it says of the shared form holds for the class it is made of."""

    def __reduce_ex__(self: Any, protocol: Any, /) -> Any:
        found: Any = kind.__reduce_ex__(self, protocol)  # type: ignore[call-arg]
        if not isinstance(found, tuple):
            return found
        function, args, *rest = found
        shared = type(self)
        return (function, tuple(kind if one is shared else one for one in args), *rest)

    return __reduce_ex__


def _close_in_turn(method: Callable[..., None]) -> Any:
    """Wrap a reader's close(): a task that waits in the file, or for it, gets a ClosedError."""

    def close(self: Any) -> None:
        turn = self.turn
        if not self.closed:
            turn.evict(self)
        turn.enter()
        try:
            method(self)
        finally:
            turn.leave()

    close.__doc__ = method.__doc__
    return close


class BufferedRWPair(_Pair, metaclass=_Kind):
    """io.BufferedRWPair: one task may read while another writes, and several may do either."""

    c_class = _Pair

    def __init__(self, *args: Any) -> None:
        self.read_turn = Turn()
        self.write_turn = Turn()
        _Pair.__init__(self, *args)
        self.below = args[0]

    read = in_turn(_Pair.read, "read_turn")
    read1 = in_turn(_Pair.read1, "read_turn")
    readinto = in_turn(_Pair.readinto, "read_turn")
    readinto1 = in_turn(_Pair.readinto1, "read_turn")
    peek = in_turn(_Pair.peek, "read_turn")
    write = in_turn(_Pair.write, "write_turn")
    flush = in_turn(_Pair.flush, "write_turn")
    _close = in_turn(in_turn(_Pair.close, "read_turn"), "write_turn")

    def close(self) -> None:
        """Close both files when what is being written is. A task that reads gets a ClosedError."""
        self.read_turn.evict(self.below)
        self._close()


def green_std_streams(module: Any) -> Callable[[], None]:
    """Make sys.stdin, stdout and stderr park."""
    changed: list[tuple[Any, tuple[str, ...]]] = []
    for name in ("stdin", "stdout", "stderr"):
        stream = getattr(module, name, None)
        buffer = getattr(stream, "buffer", None)
        raw = getattr(buffer, "raw", buffer)  # unbuffered (python -u), there is none in between
        if type(raw) is not _FileIO:
            continue  # None, or an object of the program's own
        if type(buffer) in (_Reader, _Writer):
            turn = Turn()
            names = _READING if type(buffer) is _Reader else _WRITING
            for method in names:
                setattr(buffer, method, _bound_in_turn(getattr(buffer, method), turn))
            changed.append((buffer, names))
        for method in _RAW_METHODS:
            setattr(raw, method, vars(FileIO)[method].__get__(raw))
        vars(raw).update(above=None, in_turn=raw is not buffer, on_disk=None)
        changed.append((raw, (*_RAW_METHODS, "above", "in_turn", "on_disk")))

    def undo() -> None:
        while changed:
            thing, names = changed.pop()
            for name in names:
                delattr(thing, name)
        atexit.unregister(undo)

    # What finalizers print after the interpreter has begun to take modules apart must come out.
    atexit.register(undo)
    return undo


_RAW_METHODS = ("readinto", "read", "readall", "write")


def _bound_in_turn(method: Callable[..., Any], turn: Turn) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        turn.enter()
        try:
            return method(*args)
        finally:
            turn.leave()

    return call


for _kind in (FileIO, BufferedReader, BufferedWriter, BufferedRandom, BufferedRWPair):
    _kind.__module__ = "_io"  # as the classes that they stand for


def _repr(self: Any) -> str:
    """As C has it: "<_io.BufferedReader name=…>" for its own class, "<Sub name=…>" for others."""
    text = str(self.c_class.__repr__(self))
    if self.__class__.__module__ == "_io":
        _, space, rest = text.partition(" ")  # a raw file without a name: "<BufferedReader>"
        return f"<_io.{self.c_class.__name__}{space}{rest or '>'}"
    return text


def _reduce_ex(self: Any, protocol: Any, /) -> Any:
    """Refuse, as C's class does; a program's subclass may be pickled."""
    if self.__class__.__module__ == "_io":
        raise TypeError(f"cannot pickle '_io.{self.c_class.__name__}' object")
    return self.c_class.__reduce_ex__(self, protocol)


for _kind in (BufferedReader, BufferedWriter, BufferedRandom):
    _kind.__repr__ = _repr  # type: ignore[method-assign]
    _kind.__reduce_ex__ = _reduce_ex  # type: ignore[method-assign]

atomic(Turn, "take", "take_or_enlist", "leave")
