"""flock, lockf and fcntl(F_SETLKW): tasks wait for each other and for other processes."""

import fcntl
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import greenroom
from greenroom.green import fcntl as green_fcntl

from .conftest import outcome

WHOLE = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
FREE = struct.pack("hhqqi", fcntl.F_UNLCK, os.SEEK_SET, 0, 0, 0)


@pytest.fixture
def open_again(tmp_path: Path) -> Iterator[Callable[[], int]]:
    """Return a function that opens one and the same file anew."""
    fds: list[int] = []

    def open_file() -> int:
        fds.append(os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT))
        return fds[-1]

    yield open_file
    for fd in fds:
        os.close(fd)


def start(call: Callable[..., Any], *args: Any) -> greenroom.Task:
    task = greenroom.spawn(outcome, call, *args)
    greenroom.sleep(0)
    return task


# How to take and give back each kind of lock. Those of fcntl(2) are held by an open file here, so
# that they stand in the way of this process too.


def take_flock(fd: int) -> None:
    fcntl.flock(fd, fcntl.LOCK_EX)


def free_flock(fd: int) -> None:
    fcntl.flock(fd, fcntl.LOCK_UN)


def take_record(fd: int) -> None:
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, WHOLE)


def free_record(fd: int) -> None:
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, FREE)


KINDS: dict[str, tuple[Any, Any, Callable[[int], Any]]] = {
    "flock": (take_flock, free_flock, lambda fd: green_fcntl.flock(fd, fcntl.LOCK_EX)),
    "lockf": (take_record, free_record, lambda fd: green_fcntl.lockf(fd, fcntl.LOCK_EX)),
    "os.lockf": (take_record, free_record, lambda fd: green_fcntl.os_lockf(fd, os.F_LOCK, 0)),
    "F_SETLKW": (
        take_record,
        free_record,
        lambda fd: green_fcntl.fcntl(fd, fcntl.F_SETLKW, WHOLE),
    ),
    "F_OFD_SETLKW": (
        take_record,
        free_record,
        lambda fd: green_fcntl.fcntl(fd, fcntl.F_OFD_SETLKW, WHOLE),
    ),
}


@pytest.fixture(params=KINDS)
def kind(request: Any) -> tuple[Any, Any, Callable[[int], Any]]:
    return KINDS[request.param]


def test_who_wants_a_lock_waits_until_it_is_free_and_others_run(kind, open_again, clock):
    take, free, wait = kind
    held, wanted = open_again(), open_again()
    take(held)
    waiter = start(wait, wanted)
    for _ in range(5):
        greenroom.sleep(0.1)
        assert not waiter.done
    free(held)
    greenroom.sleep(green_fcntl.LONGEST + 0.001)
    assert waiter.done
    assert waiter.result()[0] == "returned"


def test_a_free_lock_is_taken_at_once(kind, open_again):
    others: list[int] = []
    other = greenroom.spawn(others.append, 1)
    kind[2](open_again())
    assert not others, "it switched"
    other.join()


def test_a_killed_waiter_does_not_get_the_lock(kind, open_again, clock):
    take, free, wait = kind
    held, wanted, later = open_again(), open_again(), open_again()
    take(held)
    first, second = start(wait, wanted), start(wait, later)
    first.kill()
    first.join()
    free(held)
    assert second.result()[0] == "returned"


def test_a_time_limit_ends_the_wait(kind, open_again, clock):
    take, free, wait = kind
    held, wanted = open_again(), open_again()
    take(held)
    with pytest.raises(greenroom.Timeout), greenroom.timeout(1):
        wait(wanted)
    free(held)
    take(wanted)  # nobody got it


def test_flock_without_waiting_says_so_as_ever(open_again):
    held, wanted = open_again(), open_again()
    fcntl.flock(held, fcntl.LOCK_EX)
    for operation in (fcntl.LOCK_EX | fcntl.LOCK_NB, fcntl.LOCK_SH | fcntl.LOCK_NB):
        expected = outcome(fcntl.flock, wanted, operation)
        assert expected[1] is BlockingIOError
        assert outcome(green_fcntl.flock, wanted, operation) == expected


def test_two_may_share_a_lock_and_the_third_who_wants_it_alone_waits(open_again, clock):
    one, two, three = open_again(), open_again(), open_again()
    green_fcntl.flock(one, fcntl.LOCK_SH)
    green_fcntl.flock(two, fcntl.LOCK_SH)
    alone = start(green_fcntl.flock, three, fcntl.LOCK_EX)
    green_fcntl.flock(one, fcntl.LOCK_UN)
    greenroom.sleep(1)
    assert not alone.done
    green_fcntl.flock(two, fcntl.LOCK_UN)
    assert alone.result() == ("returned", None)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("flock", (99, fcntl.LOCK_EX)),
        ("flock", ("x", fcntl.LOCK_EX)),
        ("flock", (0, "x")),
        ("lockf", (99, fcntl.LOCK_EX)),
        ("lockf", (0, 0)),
        ("fcntl", (99, fcntl.F_SETLKW, WHOLE)),
        ("fcntl", (0, "x")),
        ("fcntl", (0, fcntl.F_SETLKW, b"x" * 2000)),
    ],
)
def test_wrong_arguments_raise_the_error_that_the_original_raises(name, args):
    expected = outcome(getattr(fcntl, name), *args)
    assert expected[0] == "raised"
    assert outcome(getattr(green_fcntl, name), *args)[:2] == expected[:2]


def test_other_commands_of_fcntl_answer_as_ever(open_again):
    fd = open_again()
    assert green_fcntl.fcntl(fd, fcntl.F_GETFD) == fcntl.fcntl(fd, fcntl.F_GETFD)
    assert green_fcntl.fcntl(fd, fcntl.F_SETLKW, WHOLE) == fcntl.fcntl(fd, fcntl.F_SETLKW, WHOLE)
    green_fcntl.lockf(fd, fcntl.LOCK_UN)


HOLDER = """
import fcntl, sys
file = open(sys.argv[1], "r+")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.readline()
"""


def test_a_lock_that_another_process_holds_is_waited_for(tmp_path, open_again):
    fd = open_again()
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "file")]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == "held\n"
        waiter = start(green_fcntl.lockf, fd, fcntl.LOCK_EX)
        greenroom.sleep(0.05)
        assert not waiter.done
        process.stdin.write("\n")
        process.stdin.flush()
        assert waiter.result() == ("returned", None)
