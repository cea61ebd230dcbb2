"""Calls of the part "files" that wait, for the freeze test."""

import io
import os
import pty
import sys
import tempfile
import threading
from collections.abc import Callable
from functools import cache

import greenroom

from .freeze_help import full_pipe, linger, open_later, pipe, read_later, write_later


def open_fifo() -> None:
    with tempfile.TemporaryDirectory() as folder:
        fifo = f"{folder}/fifo"
        os.mkfifo(fifo)
        open_later(fifo, os.O_WRONLY)
        open(fifo).close()


def io_open() -> None:
    ours, theirs = pipe()
    write_later(theirs, b"x\n")
    with io.open(ours) as file:  # noqa: UP020
        file.readline()


def raw() -> None:
    with io.FileIO(full_pipe()[1], "w") as file:
        file.write(b"x")


def by_two(call: Callable[..., object], argument: object) -> None:
    """Make the same call of a buffered file in two tasks: the second must wait for its turn."""
    other = greenroom.spawn(call, argument)
    call(argument)
    other.result()


def reader() -> None:
    ours, theirs = pipe()
    write_later(theirs, b"xx")
    with io.BufferedReader(io.FileIO(ours)) as file:
        by_two(file.read, 1)


def writer() -> None:
    ours, theirs = pipe()
    read_later(ours, 400_000)
    with io.BufferedWriter(io.FileIO(theirs, "w")) as file:
        by_two(file.write, b"x" * 200_000)


class Slow(io.RawIOBase):
    """A raw file of the program's own that has something to read later."""

    def readable(self) -> bool:
        return True

    writable = seekable = readable

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return 0

    def readinto(self, buffer: memoryview, /) -> int:
        linger()
        buffer[:2] = b"xx"
        return 2


def random() -> None:
    with io.BufferedRandom(Slow()) as file:
        by_two(file.read, 1)


def pair() -> None:
    ours, theirs = pipe()
    write_later(theirs, b"xx")
    with io.BufferedRWPair(io.FileIO(ours), io.FileIO(pipe()[1], "w")) as file:
        by_two(file.read, 1)


@cache
def stdin_lock(name: str) -> threading.Lock:
    """A text file is read by one at a time."""
    return threading.Lock()


@cache
def stdin_pipe() -> int:
    """Put a pipe on fd 0; return its other end."""
    ours, theirs = pipe()
    os.dup2(ours, 0)
    return theirs


@cache
def stdin_terminal() -> int:
    """Put a terminal on fds 0 and 1; return its other end."""
    ours, theirs = pty.openpty()
    os.dup2(theirs, 0)
    os.dup2(theirs, 1)
    return ours


def std_streams() -> None:
    write_later(stdin_pipe(), b"line\n")
    with stdin_lock("pipe"):
        assert sys.stdin.readline() == "line\n"


def call_input() -> None:
    write_later(stdin_terminal(), b"line\n")
    with stdin_lock("terminal"):
        assert input("? ") == "line"


FREEZE: dict[str, Callable[[], None]] = {
    "builtins:open": open_fifo,
    "io:open": io_open,
    "io:FileIO": raw,
    "io:BufferedReader": reader,
    "io:BufferedWriter": writer,
    "io:BufferedRandom": random,
    "io:BufferedRWPair": pair,
    "sys:": std_streams,
    "builtins:input": call_input,
}

NEVER_WAIT = {"tokenize:_builtin_open": "reads source files, and must let nobody run meanwhile"}
