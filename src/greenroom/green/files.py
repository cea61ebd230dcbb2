"""open() and the classes of io, whose waits park.                               layer: green

The standard library's own C classes, with two things changed:
- FileIO makes its system calls through fdio.py, so it parks where they would wait.
- The buffered classes let one task in at a time. The C code below holds a lock around the call of
  the raw file; a second task of the same thread that came along while the first is parked inside
  would get "reentrant call inside …".

Text files are the C TextIOWrapper on top, unchanged: any number of tasks may print to one, but they
should not read from one without a lock of their own, just as OS threads should not.

sys.stdin, stdout and stderr exist before anything is patched and are referred to from everywhere. C
looks up `readinto` and `write` on the object below at each call, so functions set on those three
objects themselves do what the subclasses do for others.
"""

import _io
import atexit
import builtins
import errno
import functools
import io
import os
import stat
import sys
from collections.abc import Callable
from typing import Any

from greenroom import _originals
from greenroom.core import scheduler as _scheduler
from greenroom.core.atomic import atomic
from greenroom.core.scheduler import Scheduler
from greenroom.core.timers import FOREVER
from greenroom.core.waitqueue import WaitQueue
from greenroom.green import fdio
from greenroom.green import os as _os

_FileIO = _io.FileIO
_Reader = _io.BufferedReader
_Writer = _io.BufferedWriter
_Random = _io.BufferedRandom
_Pair = _io.BufferedRWPair
_input = builtins.input

# Taken now: a lookup on the type at each call would cost as much as the call.
_file_readable, _file_writable, _fileno = _FileIO.readable, _FileIO.writable, _FileIO.fileno
_reader_read, _reader_read1, _reader_readline = _Reader.read, _Reader.read1, _Reader.readline
_writer_write, _writer_flush = _Writer.write, _Writer.flush


class FileIO(_FileIO):
    """io.FileIO whose reads and writes park."""

    def __init__(
        self, file: Any, mode: str = "r", closefd: bool = True, opener: Any = None
    ) -> None:
        if opener is None and file.__class__ is not int and _is_fifo(file):
            opener = _open_fifo
        _FileIO.__init__(self, file, mode, closefd, opener)
        if closefd and file.__class__ is not int:
            _scheduler.new_fd(_fileno(self))

    def readinto(self, buffer: Any, /) -> int | None:
        """Read what comes, at most as much as buffer holds; None: nothing, and O_NONBLOCK is set.

        Switches as fdio.read()
        """
        if not _file_readable(self):
            return _FileIO.readinto(self, buffer)  # which says so
        try:
            return fdio.readinto(_fileno(self), buffer)
        except BlockingIOError:
            return None

    def read(self, size: int | None = -1, /) -> bytes | None:  # type: ignore[override]
        """Read at most size bytes with one call; all that there is if size is negative or None."""
        if not _file_readable(self):
            return _FileIO.read(self, size)
        if size is None or size < 0:
            return self.readall()
        try:
            return fdio.read(_fileno(self), size)
        except BlockingIOError:
            return None

    def readall(self) -> bytes | None:  # type: ignore[override]
        """Read until the end."""
        if not _file_readable(self):
            return _FileIO.readall(self)
        fd = _fileno(self)
        chunks: list[bytes] = []
        size = _left_in(fd)
        try:
            while chunk := fdio.read(fd, size):
                chunks.append(chunk)
                size = max(size, min(2 * len(chunk), 1 << 20))
        except BlockingIOError:
            if not chunks:
                return None
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def write(self, data: Any, /) -> int | None:  # type: ignore[override]
        """Write data; returns how much of it was taken, None: nothing, and O_NONBLOCK is set."""
        if not _file_writable(self):
            return _FileIO.write(self, data)
        try:
            return fdio.write(_fileno(self), data)
        except BlockingIOError:
            return None

    def close(self) -> None:
        """Close the fd, if it is to be closed. Tasks that wait on it get a ClosedError."""
        if not self.closed and self.closefd:
            _scheduler.closing_fd(_fileno(self))
        _FileIO.close(self)


def _left_in(fd: int) -> int:
    """Return how much a first read of everything should ask for."""
    info = os.fstat(fd)
    if stat.S_ISREG(info.st_mode):
        try:
            return max(info.st_size - os.lseek(fd, 0, os.SEEK_CUR), 0) + 1
        except OSError:
            pass
    return io.DEFAULT_BUFFER_SIZE


def _is_fifo(path: Any) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except (OSError, ValueError, TypeError):
        return False  # there is none yet, or opening it will say what is wrong


def _open_fifo(path: Any, flags: int) -> int:
    return _os.open(path, flags, 0o666)


class Turn:
    """Lets one task at a time into a buffered file; the same task may enter again."""

    def __init__(self) -> None:
        self.owner: object = None
        self.depth = 0
        self.waiters = WaitQueue()

    def enter(self) -> None:
        """Wait for the turn. Switches only if another task has it."""
        me = _scheduler.current_owner()
        if not self.take(me):
            scheduler = _scheduler.get()
            while not self.take_or_enlist(me, scheduler):
                scheduler.wait()

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
        scheduler.enlist(self.waiters, "its turn on a buffered file", FOREVER)
        return False

    def leave(self) -> None:
        """Give the turn back; the first who waits tries again."""
        self.depth -= 1
        if self.depth == 0:
            self.owner = None
            _scheduler.wake_first(self.waiters)

    @property
    def taken(self) -> bool:
        """Whether another task has it."""
        return bool(self.depth) and self.owner != _scheduler.current_owner()


def in_turn(method: Callable[..., Any], field: str = "_turn") -> Any:
    """Wrap a method of a C class: called by one task at a time."""

    @functools.wraps(method)
    def call(self: Any, *args: Any) -> Any:
        turn = getattr(self, field)
        turn.enter()
        try:
            return method(self, *args)
        finally:
            turn.leave()

    return call


class _Kind(type(io.BufferedIOBase)):  # type: ignore[misc]
    """Makes isinstance hold for what C code made: io.BufferedReader is bound to our subclass."""

    def __instancecheck__(cls, thing: Any) -> bool:
        return isinstance(thing, cls.__dict__.get("c_class", cls)) or super().__instancecheck__(
            thing
        )


class BufferedReader(_Reader, metaclass=_Kind):
    """io.BufferedReader that several tasks may use."""

    c_class = _Reader

    def __init__(self, raw: Any, buffer_size: int = io.DEFAULT_BUFFER_SIZE) -> None:
        self._turn = Turn()
        _Reader.__init__(self, raw, buffer_size)

    def read(self, size: int | None = -1, /) -> bytes:
        """Read size bytes, all if it is negative or None."""
        self._turn.enter()
        try:
            return _reader_read(self, size)
        finally:
            self._turn.leave()

    def read1(self, size: int = -1, /) -> bytes:
        """Read at most size bytes with at most one call of the raw file's."""
        self._turn.enter()
        try:
            return _reader_read1(self, size)
        finally:
            self._turn.leave()

    def readline(self, size: int | None = -1, /) -> bytes:
        """Read up to and with the next newline."""
        self._turn.enter()
        try:
            return _reader_readline(self, size)
        finally:
            self._turn.leave()

    readinto = in_turn(_Reader.readinto)
    readinto1 = in_turn(_Reader.readinto1)
    peek = in_turn(_Reader.peek)
    seek = in_turn(_Reader.seek)
    truncate = in_turn(_Reader.truncate)
    detach = in_turn(_Reader.detach)

    def close(self) -> None:
        """Close the file. A task that waits in it gets a ClosedError."""
        _send_out(self)
        self._turn.enter()
        try:
            _Reader.close(self)
        finally:
            self._turn.leave()


class BufferedWriter(_Writer, metaclass=_Kind):
    """io.BufferedWriter that several tasks may use."""

    c_class = _Writer

    def __init__(self, raw: Any, buffer_size: int = io.DEFAULT_BUFFER_SIZE) -> None:
        self._turn = Turn()
        _Writer.__init__(self, raw, buffer_size)

    def write(self, data: Any, /) -> int:
        """Write data; it may stay in the buffer."""
        self._turn.enter()
        try:
            return _writer_write(self, data)
        finally:
            self._turn.leave()

    def flush(self) -> None:
        """Hand what is in the buffer to the raw file."""
        self._turn.enter()
        try:
            _writer_flush(self)
        finally:
            self._turn.leave()

    seek = in_turn(_Writer.seek)
    truncate = in_turn(_Writer.truncate)
    detach = in_turn(_Writer.detach)
    close = in_turn(_Writer.close)


class BufferedRandom(_Random, metaclass=_Kind):
    """io.BufferedRandom that several tasks may use."""

    c_class = _Random

    def __init__(self, raw: Any, buffer_size: int = io.DEFAULT_BUFFER_SIZE) -> None:
        self._turn = Turn()
        _Random.__init__(self, raw, buffer_size)

    read = in_turn(_Random.read)
    read1 = in_turn(_Random.read1)
    readline = in_turn(_Random.readline)
    readinto = in_turn(_Random.readinto)
    readinto1 = in_turn(_Random.readinto1)
    peek = in_turn(_Random.peek)
    write = in_turn(_Random.write)
    flush = in_turn(_Random.flush)
    seek = in_turn(_Random.seek)
    truncate = in_turn(_Random.truncate)
    detach = in_turn(_Random.detach)
    close = in_turn(_Random.close)


class BufferedRWPair(_Pair, metaclass=_Kind):
    """io.BufferedRWPair: one task may read while another writes, and several may do either."""

    c_class = _Pair

    def __init__(
        self, reader: Any, writer: Any, buffer_size: int = io.DEFAULT_BUFFER_SIZE, /
    ) -> None:
        self._read_turn = Turn()
        self._write_turn = Turn()
        _Pair.__init__(self, reader, writer, buffer_size)

    read = in_turn(_Pair.read, "_read_turn")
    read1 = in_turn(_Pair.read1, "_read_turn")
    readinto = in_turn(_Pair.readinto, "_read_turn")
    readinto1 = in_turn(_Pair.readinto1, "_read_turn")
    peek = in_turn(_Pair.peek, "_read_turn")
    write = in_turn(_Pair.write, "_write_turn")
    flush = in_turn(_Pair.flush, "_write_turn")


def _send_out(file: Any) -> None:
    """Let a task that waits in a file about to be closed get a ClosedError."""
    if file._turn.taken and not file.closed:
        try:
            _scheduler.closing_fd(file.fileno())
        except (OSError, ValueError):
            pass  # there is no fd below


def open(
    file: Any,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Any = None,
) -> Any:
    """As the built-in open(), of the same arguments. The file's waits park.

    Raises    as the built-in does
    Switches  only for a FIFO whose other end nobody has opened
    """
    if (
        not isinstance(mode, str)
        or not isinstance(buffering, int)
        or not _is_good_mode(mode)
        or ("b" in mode and not (encoding is errors is newline is None))
        or (buffering == 0 and "b" not in mode)
        or (buffering == 1 and "b" in mode)
    ):
        # The original has a word to say about it.
        return _originals.open(file, mode, buffering, encoding, errors, newline, closefd, opener)
    if not isinstance(file, int):
        file = os.fspath(file)
    text = "b" not in mode
    result: Any = FileIO(file, mode.replace("b", "").replace("t", ""), closefd, opener)
    try:
        line_buffering = False
        if buffering == 1 or (buffering < 0 and result.isatty()):
            buffering = -1
            line_buffering = True
        if buffering < 0:
            buffering = result._blksize
        if buffering == 0:
            return result
        if "+" in mode:
            result = BufferedRandom(result, buffering)
        elif "r" in mode:
            result = BufferedReader(result, buffering)
        else:
            result = BufferedWriter(result, buffering)
        if text:
            if encoding is None:
                encoding = io.text_encoding(None)
            result = io.TextIOWrapper(result, encoding, errors, newline, line_buffering)
            result.mode = mode
        return result
    except BaseException:
        result.close()
        raise


def _is_good_mode(mode: str) -> bool:
    letters = set(mode)
    return (
        len(letters) == len(mode)
        and letters <= set("rwaxbt+")
        and len(letters & set("rwax")) == 1
        and not letters >= {"b", "t"}
    )


def input(prompt: object = "", /) -> str:
    """As the built-in input(). Switches until a line has come.

    On a terminal the prompt is written and the wait parks; the built-in, with GNU readline if that
    is loaded, then takes the line, which is there.
    """
    try:
        on_terminal = (
            sys.stdin.fileno() == 0 and os.isatty(0) and sys.stdout.fileno() == 1 and os.isatty(1)
        )
    except (AttributeError, OSError, ValueError):
        on_terminal = False
    if not on_terminal or not _scheduler.can_wait():
        return _input(prompt)
    sys.stdout.write(str(prompt))
    sys.stdout.flush()
    fdio.wait_for(0, False, errno.EOPNOTSUPP)
    return _input()


def green_std_streams(module: Any) -> Callable[[], None]:
    """Make sys.stdin, stdout and stderr park, where they are pipes, terminals or sockets."""
    changed: list[tuple[Any, list[str]]] = []
    for name in ("stdin", "stdout", "stderr"):
        stream = getattr(module, name, None)
        buffer = getattr(stream, "buffer", None)
        raw = getattr(buffer, "raw", None)
        if type(raw) is not _FileIO or type(buffer) not in (_Reader, _Writer):
            continue  # None, or an object of the program's own
        try:
            if fdio.on_disk(os.fstat(raw.fileno())):
                continue
        except (OSError, ValueError):
            continue  # closed
        turn = Turn()
        methods = _READER_METHODS if type(buffer) is _Reader else _WRITER_METHODS
        for method in methods:
            setattr(buffer, method, _bound_in_turn(getattr(buffer, method), turn))
        changed.append((buffer, list(methods)))
        for method in _RAW_METHODS:
            setattr(raw, method, functools.partial(vars(FileIO)[method], raw))
        changed.append((raw, list(_RAW_METHODS)))

    def undo() -> None:
        while changed:
            thing, names = changed.pop()
            for name in names:
                delattr(thing, name)

    # What finalizers print after the interpreter has begun to take modules apart must come out.
    atexit.register(undo)
    return undo


_RAW_METHODS = ("readinto", "read", "readall", "write")
_READER_METHODS = ("read", "read1", "readinto", "readinto1", "readline", "peek")
_WRITER_METHODS = ("write", "flush")


def _bound_in_turn(method: Callable[..., Any], turn: Turn) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        turn.enter()
        try:
            return method(*args)
        finally:
            turn.leave()

    return call


atomic(Turn, "take", "take_or_enlist", "leave")
