"""os.read, os.write and their relatives: what they do on each kind of file."""

import array
import ctypes
import errno
import importlib.util
import os
import pty
import runpy
import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from patch.children import output_of
from waiting import until

import greenroom
from greenroom.errors import ClosedError
from greenroom.green import fdcalls, fdio, resolver, socket
from greenroom.green import os as green_os

from .conftest import outcome

Pipe = tuple[int, int]


@pytest.fixture
def fds() -> Iterator[list[int]]:
    """A list of fds that are closed in the end."""
    found: list[int] = []
    yield found
    for fd in found:
        try:
            os.close(fd)
        except OSError:
            pass


@pytest.fixture
def pipe(fds: list[int]) -> Pipe:
    made = os.pipe()
    fds += made
    return made


def start(call: Callable[..., Any], *args: Any) -> greenroom.Task:
    """Start a task and let it go as far as it can."""
    task = greenroom.spawn(outcome, call, *args)
    greenroom.sleep(0)
    return task


def read_all(fd: int, size: int) -> bytes:
    found = b""
    while len(found) < size:
        found += fdio.read(fd, size - len(found))
    return found


def a_terminal(fds: list[int]) -> Pipe:
    """Both ends of a terminal that changes nothing: what comes out, what goes in."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs, termios.TCSANOW)
    fds += [ours, theirs]
    return theirs, ours


def a_socket(fds: list[int]) -> Pipe:
    made = tuple(sock.detach() for sock in socket.socketpair())
    for fd in made:
        os.set_blocking(fd, True)
    fds += made
    return made  # type: ignore[return-value]


def a_fifo(fds: list[int], folder: Path) -> Pipe:
    path = folder / "fifo"
    os.mkfifo(path)
    opener = start(green_os.open, path, os.O_RDONLY)
    theirs = green_os.open(path, os.O_WRONLY)
    ours = opener.result()[1]
    fds += [ours, theirs]
    return ours, theirs


@pytest.fixture(params=["pipe", "fifo", "terminal", "terminal's other end", "socket"])
def ends(request: Any, fds: list[int], tmp_path: Path) -> Pipe:
    """The two fds of a stream: what is written to the second is read from the first."""
    if request.param == "pipe":
        made = os.pipe()
        fds += made
        return made
    if request.param == "fifo":
        return a_fifo(fds, tmp_path)
    if request.param == "socket":
        return a_socket(fds)
    ours, theirs = a_terminal(fds)
    return (ours, theirs) if request.param == "terminal" else (theirs, ours)


def readv(fd: int, size: int) -> bytes:
    buffers = [bytearray(1), bytearray(size)]
    count = green_os.readv(fd, buffers)
    return bytes(b"".join(buffers))[:count]


def writev(fd: int, data: bytes) -> int:
    return green_os.writev(fd, [data[:1], memoryview(data)[1:]])


# --- streams


@pytest.mark.parametrize("read", [fdio.read, readv])
@pytest.mark.parametrize("write", [fdio.write, writev])
def test_who_reads_what_has_not_come_waits_and_others_run(ends, read, write):
    reader = start(read, ends[0], 10)
    assert not reader.done
    assert write(ends[1], b"news") == 4
    assert reader.result() == ("returned", b"news")
    assert write(ends[1], b"more") == 4
    assert read(ends[0], 10) == b"more"


@pytest.mark.parametrize("write", [fdio.write, writev])
def test_a_large_write_writes_everything(ends, write):
    data = os.urandom(300_000)
    writer = start(write, ends[1], data)
    assert not writer.done
    assert read_all(ends[0], len(data)) == data
    assert writer.result() == ("returned", len(data))


def test_who_waits_is_told_when_the_fd_is_closed(ends):
    reader = start(fdio.read, ends[0], 1)
    green_os.close(ends[0])
    assert reader.result()[1] is ClosedError


def test_who_waits_is_told_when_the_number_is_given_to_another_file(ends, fds):
    other = os.open(os.devnull, os.O_RDONLY)
    fds.append(other)
    reader = start(fdio.read, ends[0], 1)
    green_os.dup2(other, ends[0])
    assert reader.result()[1] is ClosedError
    assert fdio.read(ends[0], 1) == b""


def test_who_waits_is_told_when_a_range_is_closed(ends):
    reader = start(fdio.read, ends[0], 1)
    green_os.closerange(ends[0], ends[0] + 1)
    assert reader.result()[1] is ClosedError


def test_several_readers_get_what_comes_in_their_order(ends):
    readers = [start(fdio.read, ends[0], 1) for _ in range(5)]
    for octet in b"abcde":
        os.write(ends[1], bytes([octet]))
        greenroom.sleep(0.002)
    found = [reader.result()[1] for reader in readers]
    assert sorted(found) == [b"a", b"b", b"c", b"d", b"e"]


def test_a_killed_reader_takes_nothing(ends):
    first, second = (start(fdio.read, ends[0], 10) for _ in range(2))
    first.kill()
    first.join()
    os.write(ends[1], b"all")
    assert second.result() == ("returned", b"all")


def test_a_killed_writer_leaves_a_stream_that_others_can_write(ends):
    writer = start(fdio.write, ends[1], b"x" * 300_000)
    writer.kill()
    writer.join()
    other = start(fdio.write, ends[1], b"end")
    found = b""
    while not found.endswith(b"end"):
        found += fdio.read(ends[0], 65536)
    assert found.rstrip(b"end") == b"x" * (len(found) - 3)
    assert other.result() == ("returned", 3)


@pytest.mark.parametrize("call", ["read", "write", "readv", "writev"])
def test_a_nonblocking_fd_raises_what_the_original_raises(ends, call):
    for fd in ends:
        os.set_blocking(fd, False)
    calls = {
        "read": lambda module: module.read(ends[0], 1),
        "readv": lambda module: module.readv(ends[0], [bytearray(1)]),
        "write": lambda module: module.write(ends[1], b"x" * 4096),
        "writev": lambda module: module.writev(ends[1], [b"x" * 4096]),
    }
    green: Any = fdio if call in ("read", "write") else green_os

    def no_more(module: Any) -> Any:
        """Call until there is no room; of a terminal, a thread of the kernel makes some later."""
        while (found := outcome(calls[call], module))[0] == "returned":
            pass
        return found

    expected = no_more(os)
    assert expected[:2] == ("raised", BlockingIOError)
    assert no_more(green) == expected


def test_the_end_of_a_stream_and_a_reader_that_is_gone_are_as_ever(pipe, fds):
    reader = start(fdio.read, pipe[0], 1)
    os.close(pipe[1])
    assert reader.result() == ("returned", b"")
    ours, theirs = os.pipe()
    fds.append(theirs)
    writer = start(fdio.write, theirs, b"x" * 100_000)
    os.close(ours)
    assert writer.result()[1] is BrokenPipeError


DATA = [
    b"bytes",
    bytearray(b"bytearray"),
    memoryview(b"memoryview"),
    memoryview(b"skipping")[::2],
    array.array("i", range(50_000)),
    (ctypes.c_int * 50_000)(),
    memoryview(bytes(240_000)).cast("B", (200, 300, 4)),
    b"",
]


@pytest.mark.parametrize("data", DATA, ids=lambda data: f"{type(data).__name__}")
def test_anything_with_a_buffer_can_be_written(pipe, data):
    with memoryview(data) as view:
        expected = view.tobytes()
        contiguous = view.c_contiguous
    writer = start(fdio.write, pipe[1], data)
    if not contiguous:
        assert writer.result() == outcome(os.write, pipe[1], data)
        return
    assert read_all(pipe[0], len(expected)) == expected
    assert writer.result() == ("returned", len(expected))


WRONG = [("x", 1), (1.5, 1), (None, 1), (2**40, 1), (10**30, 1), (0, "str"), (0, None), (0, 1.5)]


@pytest.mark.parametrize("args", WRONG)
@pytest.mark.parametrize("name", ["read", "write", "readv", "writev"])
def test_wrong_arguments_raise_the_error_that_the_original_raises(pipe, name, args):
    module: Any = fdio if name in ("read", "write") else green_os
    args = tuple(pipe[1] if arg == 0 else arg for arg in args)
    kind, error, *_ = outcome(getattr(os, name), *args)
    assert outcome(getattr(module, name), *args)[:2] == (kind, error) == ("raised", error)


@pytest.mark.parametrize("args", [(1.5, 1, 0), (0, 1.5, 0), (0, 1, 1.5), (0, -1, 0), (0, 1, -1)])
def test_wrong_arguments_of_pread_raise_what_the_original_raises(pipe, args):
    assert outcome(green_os.pread, *args)[:2] == outcome(os.pread, *args)[:2]


def test_a_length_below_0_is_refused_at_once(pipe):
    assert outcome(fdio.read, pipe[0], -1) == outcome(os.read, pipe[0], -1)


# --- eventfd, sendfile, splice


def test_an_eventfd_is_read_when_it_is_written_and_each_value_once(fds):
    fd = os.eventfd(0)
    fds.append(fd)
    readers = [start(green_os.eventfd_read, fd) for _ in range(2)]
    green_os.eventfd_write(fd, 5)
    greenroom.sleep(0.01)
    assert [reader.done for reader in readers].count(True) == 1
    green_os.eventfd_write(fd, 7)
    assert sorted(reader.result()[1] for reader in readers) == [5, 7]


def test_a_full_eventfd_takes_more_when_it_was_read(fds):
    fd = os.eventfd(0)
    fds.append(fd)
    green_os.eventfd_write(fd, 2**64 - 2)
    writer = start(green_os.eventfd_write, fd, 1)
    assert not writer.done
    assert green_os.eventfd_read(fd) == 2**64 - 2
    assert writer.result() == ("returned", None)
    assert green_os.eventfd_read(fd) == 1


@pytest.mark.parametrize("value", [1.5, "1", None, -1, 2**64])
def test_an_eventfd_takes_no_other_number_than_the_original(fds, value):
    fd = os.eventfd(0)
    fds.append(fd)
    assert outcome(green_os.eventfd_write, fd, value)[0] == "raised"
    assert outcome(os.eventfd_write, fd, value)[0] == "raised"
    assert not select.select([fd], [], [], 0)[0]


def test_sendfile_waits_for_room_in_a_socket(fds, tmp_path):
    path = tmp_path / "file"
    data = os.urandom(2_000_000)
    path.write_bytes(data)
    ours, theirs = a_socket(fds)
    with path.open("rb") as file:

        def send() -> int:
            done = 0
            while done < len(data):
                done += green_os.sendfile(theirs, file.fileno(), done, len(data) - done)
            return done

        sender = start(send)
        assert read_all(ours, len(data)) == data
        assert sender.result() == ("returned", len(data))
    assert os.get_blocking(theirs)


@pytest.mark.skipif(not hasattr(os, "splice"), reason="this interpreter was built without splice")
def test_splice_waits_for_something_to_move(pipe, fds):
    other = os.pipe()
    fds += other
    mover = start(green_os.splice, pipe[0], other[1], 100)
    assert not mover.done
    os.write(pipe[1], b"moved")
    assert mover.result() == ("returned", 5)
    assert os.read(other[0], 100) == b"moved"


# --- regular files

SIZE = 1 << 20


@pytest.fixture(params=["disk", "memory"])
def cold(request: Any, tmp_path: Path, fds: list[int]) -> Iterator[tuple[int, bytes]]:
    """A file of a MiB of which only a page in the middle is in memory, or one of a tmpfs."""
    folder = tmp_path if request.param == "disk" else Path("/dev/shm")
    path = folder / f"greenroom-{os.getpid()}"
    data = b"".join(number.to_bytes(4, "little") for number in range(SIZE // 4))
    path.write_bytes(data)
    fd = os.open(path, os.O_RDWR)
    fds.append(fd)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.pread(fd, 4096, 0)
    os.pread(fd, 4096, SIZE // 2)
    yield fd, data
    path.unlink()


def by_readv(fd: int) -> bytes:
    buffers = [bytearray(1000), bytearray(SIZE), bytearray(10)]
    count = green_os.readv(fd, buffers)
    return b"".join(buffers)[:count]


def by_preadv(fd: int) -> bytes:
    buffers = [bytearray(1000), bytearray(SIZE)]
    count = green_os.preadv(fd, buffers, 0)
    return b"".join(buffers)[:count]


READS: list[Callable[[int], bytes]] = [
    lambda fd: fdio.read(fd, SIZE),
    lambda fd: fdio.read(fd, 10 * SIZE),
    lambda fd: green_os.pread(fd, 10 * SIZE, 0),
    by_readv,
    by_preadv,
]


@pytest.mark.parametrize("read", READS, ids=["read", "read more", "pread", "readv", "preadv"])
def test_one_read_of_a_file_half_in_memory_gives_every_byte(cold, read):
    fd, data = cold
    assert read(fd) == data


def test_the_position_moves_by_what_was_read(cold):
    fd, data = cold
    assert fdio.read(fd, 5000) == data[:5000]
    assert green_os.pread(fd, 10, SIZE // 2 - 5) == data[SIZE // 2 - 5 : SIZE // 2 + 5]
    assert fdio.read(fd, 10) == data[5000:5010]
    assert os.lseek(fd, 0, os.SEEK_CUR) == 5010
    assert green_os.pread(fd, 10, SIZE - 3) == data[-3:]
    assert green_os.pread(fd, 10, SIZE) == b""


@pytest.mark.parametrize("flags", [0, os.O_SYNC, os.O_DSYNC, os.O_APPEND])
def test_writes_to_a_file_are_whole_however_it_was_opened(tmp_path, fds, flags):
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT | flags)
    fds.append(fd)
    assert fdio.write(fd, b"a" * 10) == 10
    assert green_os.writev(fd, [b"b" * 5, b"c" * 5]) == 10
    assert fdio.write(fd, b"d" * (fdio.AT_ONCE + 1)) == fdio.AT_ONCE + 1
    if not flags & os.O_APPEND:
        assert green_os.pwrite(fd, b"X", 0) == 1
        assert green_os.pwritev(fd, [b"Y", b"Z"], 1) == 2
    green_os.fsync(fd)
    start_of_it = b"aaa" if flags & os.O_APPEND else b"XYZ"
    expected = start_of_it + b"a" * 7 + b"bbbbbccccc" + b"d" * (fdio.AT_ONCE + 1)
    assert green_os.pread(fd, 2 * fdio.AT_ONCE, 0) == expected


@pytest.mark.parametrize("flags", [0, os.O_SYNC])
def test_writev_to_a_slow_file_lets_others_run(tmp_path, fds, flags):
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT | flags)
    fds.append(fd)
    large = bytes(fdio.AT_ONCE + 1)
    writer = start(green_os.writev, fd, [b"small" if flags else large])
    assert not writer.done, "it was written in this thread"
    assert writer.result()[0] == "returned"


def test_a_write_is_not_given_up_half_way_when_the_task_is_killed(tmp_path, fds):
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    fds.append(fd)
    data = bytearray(4 * fdio.AT_ONCE)
    writer = start(fdio.write, fd, data)
    writer.kill()
    writer.join()
    data += b"can be resized: nobody holds it any more"
    assert os.fstat(fd).st_size == 4 * fdio.AT_ONCE


def test_a_direct_file_is_read_and_says_what_is_wrong_with_a_buffer(tmp_path, fds):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 8192)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    except OSError as error:
        pytest.skip(f"no O_DIRECT here: {error}")
    fds.append(fd)
    import mmap

    with mmap.mmap(-1, 8192) as aligned:
        assert green_os.preadv(fd, [aligned], 0) == 8192
        assert aligned[:] == b"x" * 8192
    assert outcome(green_os.pread, fd, 10, 3)[:2] == outcome(os.pread, fd, 10, 3)[:2]


def test_reading_a_folder_or_what_is_open_for_writing_fails_as_ever(tmp_path, fds):
    for fd in (
        os.open(tmp_path, os.O_RDONLY),
        os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT),
    ):
        fds.append(fd)
        assert outcome(fdio.read, fd, 1) == outcome(os.read, fd, 1)
        assert outcome(green_os.pread, fd, 1, 0) == outcome(os.pread, fd, 1, 0)
        assert outcome(green_os.readv, fd, [bytearray(1)]) == outcome(os.readv, fd, [bytearray(1)])


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "/dev/urandom", "/proc/self/stat"])
def test_devices_and_proc_files_are_read_at_once(path, fds):
    fd = os.open(path, os.O_RDONLY)
    fds.append(fd)
    assert len(fdio.read(fd, 10)) == (0 if path == "/dev/null" else 10)


# --- both forms of the raw calls


def the_other_form() -> Any:
    """fdcalls.py, whichever form is in use."""
    path = Path(fdcalls.__file__).with_name("fdcalls.py")
    spec = importlib.util.spec_from_file_location("plain_fdcalls", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def on_all_kinds(tmp_path: Path, fds: list[int]) -> list[Any]:
    """Fds of all kinds, in the same state each time this is called."""
    (tmp_path / "file").write_bytes(b"regular")
    ours, theirs = os.pipe()
    full = os.pipe()
    os.set_blocking(full[1], False)
    try:
        while True:
            os.write(full[1], b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(full[1], True)
    gone = os.pipe()
    os.close(gone[0])
    news = os.pipe()
    os.write(news[1], b"news")
    found = [
        ours,
        theirs,
        news[0],
        full[1],
        gone[1],
        os.open(tmp_path / "file", os.O_RDWR),
        os.open(tmp_path, os.O_RDONLY),
        os.open(os.devnull, os.O_RDWR),
        os.eventfd(0),
        os.eventfd(3),
        *a_terminal(fds),
        *a_socket(fds),
    ]
    fds += [*found, *full, news[1]]
    return [*found, -1, 9999]


@pytest.mark.parametrize("size", [0, 1, 8, 100_000])
def test_both_forms_of_the_raw_calls_answer_alike(tmp_path, fds, size):
    answers = []
    for module in (fdcalls, the_other_form()):
        found = []
        for fd in on_all_kinds(tmp_path, fds):
            buffer = bytearray(size)
            found += [
                outcome(module.more_on_disk, fd) if fd >= 0 else None,
                outcome(module.try_read, fd, size),
                outcome(module.try_read, fd, size, 2),
                outcome(module.more_on_disk, fd, 3) if 0 <= fd < 9999 else None,
                outcome(module.on_disk, fd),
                outcome(module.size_of_file, fd),
                outcome(module.try_readinto, fd, buffer),
                bytes(buffer).rstrip(b"\0"),
                outcome(module.try_write, fd, b"x" * size),
            ]
        for path in (tmp_path, "/nope", "a\0b", b"/dev/null", 5, None, [], 10**30):
            found.append(outcome(module.is_fifo, path))
        answers.append(found)
    assert answers[0] == answers[1]


# --- standard streams


# What it waits for is written when others have run meanwhile, and said so in a file.
SCRIPT = """
import sys, greenroom
from pathlib import Path
def others():
    for _ in range(5):
        greenroom.sleep(0.001)
    Path(sys.argv[1]).touch()
greenroom.spawn(others)
name = input("name? ")
print(f"hello {name}!")
print(repr(sys.stdin.readline()), file=sys.stderr)
"""


@pytest.mark.parametrize("options", [[], ["-u"]])
def test_standard_streams_on_pipes_park(tmp_path, options):
    import subprocess

    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    ran = tmp_path / "others ran"
    command = [sys.executable, *options, "-m", "greenroom", "run", str(path), str(ran)]
    with subprocess.Popen(
        command, stdin=-1, stdout=-1, stderr=-1, text=True, env=without_unbuffered()
    ) as process:
        assert process.stdin is not None
        until(ran.exists)
        output, errors = process.communicate("you\nlast\n", timeout=60)
    assert (output, errors) == ("name? hello you!\n", "'last\\n'\n")


def without_unbuffered() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


@pytest.mark.parametrize("extra", ["", "import readline\n"])
def test_standard_streams_on_a_terminal_park(tmp_path, fds, extra):
    import subprocess

    path = tmp_path / "script.py"
    path.write_text(extra + SCRIPT)
    ran = tmp_path / "others ran"
    ours, theirs = pty.openpty()
    fds += [ours, theirs]
    process = subprocess.Popen(
        [sys.executable, "-m", "greenroom", "run", str(path), str(ran)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**without_unbuffered(), "TERM": "dumb"},
    )
    seen = b""

    def see(text: bytes) -> None:
        nonlocal seen
        while text not in seen:
            assert select.select([ours], [], [], 60)[0], seen
            seen += os.read(ours, 1000)

    see(b"name? ")
    until(ran.exists)
    os.write(ours, b"you\n")
    see(b"hello you!")
    os.write(ours, b"last\n")
    see(b"'last\\n'")
    assert process.wait(60) == 0
    assert seen.count(b"name? ") == 1
    assert seen.count(b"you\r\n") == 1


def test_what_finalizers_and_atexit_print_comes_out():
    code = """
        import greenroom
        greenroom.patch_all()
        import atexit, sys
        class Last:
            def __del__(self, print=print):
                print("finalizer")
        last = Last()
        atexit.register(print, "atexit")
        left_open = open("/dev/null", "w")
        left_open.write("x")
        print("main")
    """
    assert output_of(code) == ["main", "atexit", "finalizer"]


def test_a_file_that_is_only_dropped_is_written_at_exit(tmp_path):
    path = tmp_path / "file"
    code = f"""
        import greenroom
        greenroom.patch_all()
        left_open = open({str(path)!r}, "w")
        left_open.write("kept")
    """
    assert output_of(code) == []
    assert path.read_text() == "kept"


# --- look-ups


def test_a_look_up_whose_thread_cannot_be_started_is_asked_anew(monkeypatch):
    def fail(*args: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(resolver._pool, "start", fail)
    assert outcome(resolver.gethostbyname, "localhost")[1] is RuntimeError
    monkeypatch.undo()
    assert outcome(resolver.gethostbyname, "localhost")[0] == "returned"


def test_errno_of_what_is_read_and_cannot_be_is_as_ever(fds):
    fd = os.eventfd(3)
    fds.append(fd)
    assert outcome(fdio.read, fd, 4)[2][0] == errno.EINVAL


def test_the_plain_twin_cannot_tell_where_python_has_no_rwf_nowait(monkeypatch):
    """A Python that was built with musl before 1.2.5; importing the twin failed there."""
    monkeypatch.delattr(os, "RWF_NOWAIT")
    twin = runpy.run_path(str(Path(fdio.__file__).with_name("fdcalls.py")))
    read_end, write_end = os.pipe()
    try:
        assert twin["try_read"](read_end, 1) == errno.ENOSYS
        assert twin["try_readinto"](read_end, bytearray(1)) == -errno.ENOSYS
        assert twin["try_write"](write_end, b"x") == -errno.ENOSYS
    finally:
        os.close(read_end)
        os.close(write_end)
