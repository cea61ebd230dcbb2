"""Files that park: open(), the classes of io, and tasks that share a file."""

import io
import itertools
import os
import pickle
import subprocess
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from patch.children import output_of
from waiting import until

import greenroom
from greenroom.core import offload
from greenroom.errors import ClosedError
from greenroom.green import fdio, files, opening, socket

from .conftest import outcome

Pipe = tuple[int, int]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """The two fds of a pipe; a test may close either."""
    fds = os.pipe()
    before = [os.fstat(fd) for fd in fds]
    yield fds
    for fd, info in zip(fds, before, strict=True):
        try:
            if os.path.samestat(os.fstat(fd), info):
                os.close(fd)
        except OSError:
            pass


def start(call: Callable[..., Any], *args: Any) -> greenroom.Task:
    """Start a task and let it go as far as it can."""
    task = greenroom.spawn(outcome, lambda: call(*args))
    greenroom.sleep(0)
    return task


def results(tasks: list[greenroom.Task]) -> list[Any]:
    return [task.result() for task in tasks]


# --- open() says what the built-in says

MODES = [
    "".join(mode) for length in range(4) for mode in itertools.product("rwax+btU", repeat=length)
]
ARGUMENTS = [
    *(((mode,), {}) for mode in [*MODES, "rb+t", "rwx+", None, 5, b"r"]),
    *(
        ((mode, buffering), {})
        for mode in ("r", "rb", "w", "wb", "r+b")
        for buffering in (-2, -1, 0, 1, 2, 4096, None, "x", True, 1.0, 10**30)
    ),
    *(
        ((mode,), {name: value})
        for mode in ("r", "rb", "w")
        for name, value in [
            *(("encoding", value) for value in ("nope", 5, "locale", "utf-8\0")),
            *(("errors", value) for value in ("nope", "replace", 5)),
            *(("newline", value) for value in ("x", 5, "", "\r\n")),
            *(("closefd", value) for value in (False, 0, "x")),
            *(("opener", value) for value in (5, lambda *_: -1, lambda *_: "x", lambda *_: 1 / 0)),
        ]
    ),
]
WRONG_FILES = [-1, 99, 1.5, None, [], b"/nope/\xff", "/nope/x", "a\0b", 10**30, "", b"", "/", b"/"]


def what_open_does(call: Any, path: Path, existing: bool, *args: Any, **kwargs: Any) -> Any:
    path.unlink(missing_ok=True)
    if existing:
        path.write_text("abc\n")

    def describe() -> Any:
        with call(str(path), *args, **kwargs) as file:
            return (
                type(file).__name__,
                file.mode,
                *(getattr(file, name, None) for name in ("name", "line_buffering", "encoding")),
                *(getattr(file, name, None) for name in ("errors", "newlines", "closefd")),
                file.readable(),
                file.writable(),
                file.fileno() > 2,
            )

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = outcome(describe)
    said = [(warning.category, str(warning.message), warning.filename) for warning in caught]
    return found, said, path.exists() and path.read_text()


@pytest.mark.parametrize("existing", [False, True])
def test_open_does_with_any_arguments_what_the_built_in_does(tmp_path, existing):
    path = tmp_path / "file"
    for args, kwargs in ARGUMENTS:
        expected = what_open_does(io.open, path, existing, *args, **kwargs)
        assert what_open_does(opening.open, path, existing, *args, **kwargs) == expected, args


@pytest.mark.parametrize("file", WRONG_FILES)
def test_open_of_what_is_no_file_raises_what_the_built_in_raises(file):
    for mode in ("r", "wb"):
        assert outcome(opening.open, file, mode) == outcome(io.open, file, mode)


def test_a_number_of_another_type_is_a_number_for_open(pipe):
    class Number:
        def __index__(self) -> int:
            return pipe[0]

    os.write(pipe[1], b"x\n")
    with opening.open(Number()) as file:
        assert file.readline() == "x\n"


def test_binary_files_that_ask_for_lines_are_warned_of_and_park_all_the_same(pipe):
    with pytest.warns(RuntimeWarning, match="isn't supported in binary mode"):
        file = opening.open(pipe[0], "rb", 1)
    reader = start(file.readline)
    os.write(pipe[1], b"x\n")
    assert reader.result() == ("returned", b"x\n")
    file.close()


# --- text


TEXT = "eins\r\nzwei\rdrei\nvier äöü\r\n\r\nfünf"


@pytest.mark.parametrize("newline", [None, "", "\n", "\r", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
@pytest.mark.parametrize("buffering", [-1, 2])
def test_text_comes_through_a_pipe_as_from_a_file(tmp_path, pipe, newline, encoding, buffering):
    path = tmp_path / "file"
    data = TEXT.encode(encoding)
    path.write_bytes(data)
    with open(path, encoding=encoding, newline=newline) as file:
        expected = list(file), file.newlines

    def feed() -> None:
        for octet in data:
            os.write(pipe[1], bytes([octet]))
            greenroom.sleep(0)
        os.close(pipe[1])

    greenroom.spawn(feed)
    with opening.open(pipe[0], "r", buffering, encoding, newline=newline) as file:
        assert (list(file), file.newlines) == expected


def test_bytes_that_are_no_text_are_treated_as_errors_says(pipe):
    os.write(pipe[1], b"\xff\n")
    with opening.open(pipe[0], encoding="ascii", errors="backslashreplace") as file:
        assert file.readline() == "\\xff\n"


def test_lines_that_many_tasks_write_come_whole_and_in_order(pipe):
    with opening.open(pipe[1], "w") as file:

        def write(line: str) -> None:
            file.write(f"{line}\n")
            file.flush()

        lines = [f"{number} " + "x" * 20_000 for number in range(20)]
        tasks = [start(write, line) for line in lines]
        with opening.open(pipe[0], closefd=False) as reader:
            assert [reader.readline().rstrip("\n") for _ in lines] == lines
        assert {task.result() for task in tasks} == {("returned", None)}


# --- one buffered file, several tasks


def test_readers_of_a_pipe_get_whole_lines_first_come_first_served(pipe):
    with opening.open(pipe[0], "rb") as file:
        readers = [start(file.readline) for _ in range(5)]
        for part in (b"a", b"\nb\nc", b"\n", b"d\ne\n"):
            os.write(pipe[1], part)
            greenroom.sleep(0.002)
        assert [found for _, found in results(readers)] == [b"a\n", b"b\n", b"c\n", b"d\n", b"e\n"]


def test_a_method_taken_before_the_first_wait_takes_turns_too(pipe):
    with opening.open(pipe[0], "rb") as file:
        read = file.read
        readers = [start(read, 2) for _ in range(3)]
        os.write(pipe[1], b"aabbcc")
        assert [found for _, found in results(readers)] == [b"aa", b"bb", b"cc"]


def test_writers_of_a_full_pipe_write_their_records_whole_and_in_order(pipe):
    with opening.open(pipe[1], "wb") as file:
        records = [bytes([number]) * 100_000 for number in range(5)]
        writers = [start(file.write, record) for record in records]
        flusher = start(file.flush)
        found = b""
        while len(found) < 500_000:
            found += fdio.read(pipe[0], 65536)
        assert found == b"".join(records)
        assert {task.result() for task in writers} == {("returned", 100_000)}
        assert flusher.result() == ("returned", None)


class Slow(io.RawIOBase):
    """A raw file of the program's own, whose calls wait."""

    def __init__(self) -> None:
        self.inside = 0
        self.data = bytearray()

    def readable(self) -> bool:
        return True

    writable = seekable = readable

    def _work(self) -> None:
        assert self.inside == 0
        self.inside += 1
        greenroom.sleep(0.001)
        self.inside -= 1

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._work()
        return offset

    def readinto(self, buffer: Any, /) -> int:
        self._work()
        buffer[:1] = b"x"
        return 1

    def write(self, data: Any, /) -> int:
        self._work()
        self.data += data
        return len(data)


def test_one_task_at_a_time_is_inside_a_raw_file_below_a_random_one():
    with files.BufferedRandom(Slow(), 16) as file:
        tasks = [start(file.read, 1) for _ in range(3)]
        tasks += [start(file.write, b"y" * 20) for _ in range(3)]
        tasks += [start(file.seek, 0), start(file.flush)]
        assert {kind for kind, *_ in results(tasks)} == {"returned"}


def test_one_task_reads_a_pair_while_another_writes(pipe):
    back = os.pipe()
    file = files.BufferedRWPair(files.FileIO(pipe[0]), files.FileIO(back[1], "w"))
    readers = [start(file.read, 1) for _ in range(2)]
    file.write(b"out")
    file.flush()
    assert os.read(back[0], 10) == b"out"
    os.write(pipe[1], b"in")
    assert [found for _, found in results(readers)] == [b"i", b"n"]
    file.close()
    os.close(back[0])


def test_a_program_s_own_subclass_takes_turns_and_is_still_itself(pipe):
    class Lines(files.BufferedReader):
        def readline(self, size: Any = -1, /) -> bytes:
            return b"> " + super().readline(size)

    with Lines(files.FileIO(pipe[0])) as file:
        assert isinstance(file, Lines)
        assert type(file).__name__ == "Lines"
        readers = [start(file.readline) for _ in range(2)]
        os.write(pipe[1], b"a\nb\n")
        assert [found for _, found in results(readers)] == [b"> a\n", b"> b\n"]


def test_several_tasks_read_a_socket_s_makefile_and_others_write_it():
    code = """
        import greenroom
        greenroom.patch_all()
        import socket
        from greenroom import spawn, sleep
        one, two = socket.socketpair()
        with one, two, one.makefile("rwb") as ours, two.makefile("rwb") as theirs:
            readers = [spawn(ours.readline) for _ in range(4)]
            sleep(0)
            for number in range(4):
                theirs.write(b"%d\\n" % number)
            theirs.flush()
            print([reader.result() for reader in readers])
            records = [bytes([65 + number]) * 150_000 for number in range(4)]
            writers = [spawn(ours.write, record) for record in records]
            writers.append(spawn(ours.flush))
            print(theirs.read(600_000) == b"".join(records))
            print([writer.result() for writer in writers])
    """
    lines = "[b'0\\n', b'1\\n', b'2\\n', b'3\\n']"
    assert output_of(code) == [lines, "True", "[150000, 150000, 150000, 150000, None]"]


def test_pickles_written_by_several_tasks_can_be_read_one_after_the_other(pipe):
    with opening.open(pipe[1], "wb") as out, opening.open(pipe[0], "rb") as source:
        things = [["x" * 50_000, number] for number in range(6)]
        writers = [start(out.write, pickle.dumps(thing)) for thing in things]
        flusher = start(out.flush)
        assert [pickle.load(source) for _ in things] == things
        results([*writers, flusher])


def test_a_real_thread_and_tasks_use_the_same_file(pipe):
    with opening.open(pipe[0], "rb") as file:
        found: list[bytes] = []
        reader = start(file.readline)
        thread = threading.Thread(target=lambda: found.append(file.readline()))
        thread.start()
        greenroom.sleep(0.02)
        os.write(pipe[1], b"a\nb\n")
        found.append(reader.result()[1])
        thread.join()
        assert sorted(found) == [b"a\n", b"b\n"]


# --- killed in the middle


def test_a_reader_killed_in_its_turn_lets_the_next_one_in(pipe):
    with opening.open(pipe[0], "rb") as file:
        readers = [start(file.readline) for _ in range(4)]
        readers[0].kill()
        readers[2].kill()
        os.write(pipe[1], b"a\nb\n")
        assert readers[1].result() == ("returned", b"a\n")
        assert readers[3].result() == ("returned", b"b\n")
        greenroom.joinall(readers)


def test_what_a_killed_reader_had_taken_from_the_pipe_is_there_for_the_next(pipe):
    with opening.open(pipe[0], "rb") as file:
        first = start(file.readline)
        os.write(pipe[1], b"begun ")
        greenroom.sleep(0.01)
        first.kill()
        first.join()
        second = start(file.readline)
        os.write(pipe[1], b"and done\n")
        assert second.result()[1] in (b"begun and done\n", b"and done\n")


def test_a_writer_killed_in_its_turn_leaves_a_file_that_others_can_write(pipe):
    with opening.open(pipe[1], "wb") as file:
        first, second = (start(file.write, bytes([octet]) * 200_000) for octet in b"ab")
        first.kill()
        first.join()
        found = b""
        while found.count(b"b") < 200_000:
            found += fdio.read(pipe[0], 65536)
        assert found == b"a" * found.count(b"a") + b"b" * 200_000
        assert second.result() == ("returned", 200_000)


# --- closed by another task


def is_closed_error(found: Any) -> bool:
    return found[0] == "raised" and issubclass(found[1], ClosedError)


@pytest.mark.parametrize("mode", ["rb", "r"])
def test_closing_a_file_tells_the_task_that_reads_it(pipe, mode):
    file = opening.open(pipe[0], mode)
    reader = start(file.readline)
    file.close()
    assert is_closed_error(reader.result())


def test_closing_a_file_tells_all_who_read_it_or_wait_for_their_turn(pipe):
    file = opening.open(pipe[0], "rb")
    readers = [start(file.read, 1) for _ in range(3)]
    closers = [start(file.close) for _ in range(2)]
    assert all(is_closed_error(found) for found in results(readers))
    assert {closer.result() for closer in closers} == {("returned", None)}
    assert file.closed


def test_closing_a_pair_tells_who_reads_it(pipe):
    back = os.pipe()
    file = files.BufferedRWPair(files.FileIO(pipe[0]), files.FileIO(back[1], "w"))
    readers = [start(file.read, 1) for _ in range(2)]
    file.close()
    assert all(is_closed_error(found) for found in results(readers))
    os.close(back[0])


@pytest.mark.parametrize("way", ["read", "write"])
def test_closing_an_unbuffered_file_tells_who_reads_or_writes_it(pipe, way):
    if way == "read":
        file = opening.open(pipe[0], "rb", 0)
        task = start(file.read, 1)
    else:
        file = opening.open(pipe[1], "wb", 0)
        task = start(file.write, b"x" * 200_000)
    file.close()
    assert is_closed_error(task.result())


def test_closing_a_file_that_is_written_waits_until_all_is_written(pipe):
    file = opening.open(pipe[1], "wb")
    writer = start(file.write, b"x" * 200_000)
    closer = start(file.close)
    found = b""
    while len(found) < 200_000:
        found += fdio.read(pipe[0], 65536)
    assert (writer.result(), closer.result()) == (("returned", 200_000), ("returned", None))
    assert file.closed


# --- a disk


@pytest.fixture
def cold(tmp_path: Path) -> tuple[Path, bytes]:
    """A file of a MiB of which every other part is in memory."""
    path = tmp_path / "cold"
    data = b"".join(number.to_bytes(4, "little") for number in range(1 << 18))
    path.write_bytes(data)
    forget(path)
    return path, data


def forget(path: Path) -> None:
    """Have the kernel drop what it keeps of a file in memory, but for a part in the middle."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        os.pread(file.fileno(), 4096, 0)
        os.pread(file.fileno(), 4096, 1 << 19)


@pytest.mark.parametrize("buffering", [0, -1, 100])
def test_a_file_half_in_memory_is_read_whole(cold, buffering):
    path, data = cold
    with opening.open(path, "rb", buffering) as file:
        assert file.read() == data
    forget(path)
    with opening.open(path, "rb", buffering) as file:
        assert file.read(len(data)) == data
    forget(path)
    with opening.open(path, "rb", buffering) as file:
        buffer = bytearray(len(data) + 10)
        assert file.readinto(buffer) == len(data)
        assert buffer[:-10] == data
        assert file.read() == b""


def test_text_of_a_file_half_in_memory_is_read_whole(cold):
    path, data = cold
    with opening.open(path, encoding="latin-1", newline="") as file:
        assert "".join(file) == data.decode("latin-1")


def test_several_tasks_read_one_cold_file_and_get_all_of_it(cold):
    path, data = cold
    with opening.open(path, "rb") as file:
        found: list[bytes] = []

        def read() -> None:
            while part := file.read(4096):
                found.append(part)

        greenroom.joinall([greenroom.spawn(read) for _ in range(4)])
        assert sorted(found) == sorted(data[at : at + 4096] for at in range(0, len(data), 4096))


@pytest.mark.parametrize(
    "path", ["/proc/self/status", "/proc/cpuinfo", "/sys/kernel/mm/transparent_hugepage/enabled"]
)
def test_files_that_the_kernel_makes_up_are_read(path):
    if not os.path.exists(path):
        pytest.skip(f"no {path} here")
    with opening.open(path) as green, open(path) as plain:
        assert green.readline() == plain.readline()
        assert green.read()[:20] == plain.read()[:20]


def test_appending_sparse_and_synchronous_files(tmp_path):
    path = tmp_path / "file"
    with opening.open(path, "wb") as file:
        file.seek(100_000)
        file.write(b"end")
    with opening.open(path, "ab") as file:
        assert file.tell() == 100_003
        file.write(b"more")
        file.seek(0)
        file.write(b"again")
    fd = os.open(path, os.O_WRONLY | os.O_SYNC | os.O_APPEND)
    with opening.open(fd, "wb", 0) as file:
        assert file.write(b"synced") == 6
    with opening.open(path, "rb") as file:
        assert file.read() == bytes(100_000) + b"endmoreagainsynced"


def test_read_write_files_are_as_the_original_s(tmp_path):
    def work(call: Any, path: Path) -> Any:
        with call(path, "w+b") as file:
            file.write(b"0123456789" * 1000)
            file.seek(5)
            seen = [file.read(3), file.tell(), file.peek(2)[:2], file.write(b"XX"), file.tell()]
            file.seek(-4, 2)
            seen += [file.readline(), file.truncate(20), file.seek(0), file.read()]
        return seen

    assert work(opening.open, tmp_path / "one") == work(io.open, tmp_path / "two")


# --- FIFOs


def test_opening_a_fifo_waits_for_the_other_end(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    order: list[str] = []

    def read() -> bytes:
        with opening.open(path, "rb") as file:
            order.append("open")
            return file.read()  # type: ignore[no-any-return]

    reader = start(read)
    greenroom.sleep(0.01)
    order.append("others run")
    with opening.open(path, "wb") as file:
        file.write(b"through")
    assert reader.result() == ("returned", b"through")
    assert order == ["others run", "open"]


def test_a_task_killed_while_it_opens_a_fifo_leaves_no_fd_behind(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    before, calls = os.listdir("/proc/self/fd"), offload._unbounded.busy
    opener = start(opening.open, path, "rb")
    # A call that no thread has begun would be taken back, and nobody open the other end.
    until(lambda: offload._unbounded.busy > calls)
    opener.kill()
    opener.join()
    os.close(os.open(path, os.O_WRONLY))  # the thread that opens it goes on
    until(lambda: os.listdir("/proc/self/fd") == before)


# --- processes


def test_lines_of_a_process_are_read_while_others_write_to_it():
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        with (
            opening.open(process.stdin.fileno(), "wb", closefd=False) as out,
            opening.open(process.stdout.fileno(), "rb", closefd=False) as source,
        ):
            lines = [b"%d" % number * 10_000 + b"\n" for number in range(30)]
            writers = [start(out.write, line) for line in lines]
            flusher = start(out.flush)
            assert [source.readline() for _ in lines] == lines
            results([*writers, flusher])


def test_a_child_of_fork_reads_and_writes_files_of_its_parent(tmp_path, pipe):
    with opening.open(tmp_path / "file", "w+") as file, opening.open(pipe[0], "rb") as source:
        waiting = start(source.readline)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                file.write("child")
                file.flush()
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0
        os.write(pipe[1], b"parent\n")
        assert waiting.result() == ("returned", b"parent\n")
    assert (tmp_path / "file").read_text() == "child"


def test_a_socket_s_file_and_the_socket_itself_end_together():
    one, two = socket.socketpair()
    with one, two, one.makefile("rb") as file:
        reader = start(file.readline)
        two.sendall(b"last")
        two.close()
        assert reader.result() == ("returned", b"last")
