"""Waiting on fds: closed meanwhile, number given out again, dup, regular files, many waiters."""

import os
from contextlib import contextmanager

import pytest

from greenroom import ClosedError, joinall, sleep, spawn
from greenroom.core import scheduler as _scheduler
from greenroom.core.timers import FOREVER


def wait_readable(fd, deadline=FOREVER):
    return _scheduler.get().wait_fd(fd, False, deadline, True)


def wait_writable(fd):
    return _scheduler.get().wait_fd(fd, True, FOREVER, True)


def close(fd):
    _scheduler.closing_fd(fd)
    os.close(fd)


@contextmanager
def pipe():
    """A pipe whose ends that are still open are closed at the end."""
    ends = os.pipe()
    inodes = [os.fstat(fd).st_ino for fd in ends]
    try:
        yield ends
    finally:
        for fd, inode in zip(ends, inodes, strict=True):
            try:
                if os.fstat(fd).st_ino == inode:
                    close(fd)
            except OSError:
                pass


def test_wait_ends_when_there_is_something_to_read():
    with pipe() as (read, write):
        task = spawn(wait_readable, read)
        sleep()
        assert not task.done and f"fd {read} to read" in repr(task)
        os.write(write, b"x")
        assert task.result() is True


def test_wait_ends_at_once_when_the_fd_is_ready_already():
    with pipe() as (read, write):
        assert wait_writable(write) is True
        os.write(write, b"x")
        assert wait_readable(read) is True
        assert wait_readable(read) is True  # nobody has read it


def test_wait_ends_when_the_peer_hangs_up():
    with pipe() as (read, write):
        task = spawn(wait_readable, read)
        sleep()
        close(write)
        assert task.result() is True


def test_wait_with_a_deadline(clock):
    with pipe() as (read, _):
        assert wait_readable(read, clock.now() + 5) is False
        assert clock.now() == 5


def test_all_who_wait_on_one_fd_are_woken():
    with pipe() as (read, write):
        tasks = [spawn(wait_readable, read) for _ in range(5)]
        sleep()
        os.write(write, b"x")
        joinall(tasks)
        assert [task.result() for task in tasks] == [True] * 5


def test_fd_closed_by_one_task_while_another_waits_gives_it_an_error_that_says_who():
    with pipe() as (read, _):
        waiter = spawn(wait_readable, read)
        sleep()
        spawn(close, read, name="closer").join()
        with pytest.raises(ClosedError, match=r"was closed by <Task closer> at .*test_fds.py:\d+"):
            waiter.result()


def test_waiter_on_a_closed_fd_never_sees_the_events_of_a_new_one_with_its_number():
    with pipe() as (read, _):
        waiter = spawn(wait_readable, read)
        sleep()
        close(read)
        again, write = os.pipe()
        assert again == read
        os.write(write, b"x")
        newcomer = spawn(wait_readable, again)
        with pytest.raises(ClosedError):
            waiter.result()
        assert newcomer.result() is True
        close(again)
        close(write)


def test_event_of_the_old_fd_does_not_wake_who_waits_on_the_new_one():
    """The old file lives on in a dup, and its registration with it."""
    with pipe() as (read, write):
        other = os.dup(read)
        first = spawn(wait_readable, read)
        sleep()
        close(read)
        again, new_write = os.pipe()
        assert again == read
        waiter = spawn(wait_readable, again)
        sleep()
        os.write(write, b"old")
        for _ in range(3):
            sleep(0.001)
        assert not waiter.done
        os.write(new_write, b"new")
        assert waiter.result() is True
        assert isinstance(first.exception, ClosedError)
        for fd in (other, again, new_write):
            close(fd)


@pytest.mark.skipif(_scheduler.get().poller.name != "epoll", reason="only epoll.pyx can tell")
def test_event_of_a_file_closed_behind_our_back_that_lives_on_in_a_dup_is_ignored():
    """Its registration cannot be removed any more: the number belongs to the new file."""
    with pipe() as (read, write):
        spawn(os.write, write, b"x")
        wait_readable(read)
        other = os.dup(read)
        os.close(read)  # no closing_fd: a C library did it
        again, new_write = os.pipe()
        assert again == read
        _scheduler.new_fd(again)
        waiter = spawn(wait_readable, again)
        sleep()
        os.write(write, b"old")
        for _ in range(3):
            sleep(0.001)
        assert not waiter.done
        os.write(new_write, b"new")
        assert waiter.result() is True
        for fd in (other, again, new_write):
            close(fd)


def test_number_given_out_again_behind_our_back_is_registered_anew():
    with pipe() as (read, write):
        os.write(write, b"x")
        wait_readable(read)
        os.close(read)  # no closing_fd: a C library did it
        again, new_write = os.pipe()
        assert again == read
        waiter = spawn(wait_readable, again)
        sleep()
        assert not waiter.done
        os.write(new_write, b"x")
        assert waiter.result() is True
        close(again)
        close(new_write)


def test_dup_of_a_registered_fd_is_waited_on_by_itself():
    with pipe() as (read, write):
        other = os.dup(read)
        tasks = [spawn(wait_readable, read), spawn(wait_readable, other)]
        sleep()
        os.write(write, b"x")
        joinall(tasks)
        assert [task.result() for task in tasks] == [True, True]
        close(other)


def test_regular_file_is_always_ready(tmp_path):
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    for _ in range(2):
        assert wait_readable(fd) is True and wait_writable(fd) is True
    close(fd)


@pytest.mark.parametrize("fd", [-1, 1_000_000])
def test_wait_on_what_is_no_open_fd_is_an_error(fd):
    with pytest.raises((ValueError, OSError)):
        wait_readable(fd)
    assert spawn(int).result() == 0


def test_kill_while_waiting_on_an_fd_leaves_the_fd_to_the_others():
    with pipe() as (read, write):
        tasks = [spawn(wait_readable, read) for _ in range(2)]
        sleep()
        tasks[0].kill()
        tasks[0].join()
        os.write(write, b"x")
        assert tasks[1].result() is True


def test_kill_and_event_of_an_fd_in_one_tick_wake_once():
    with pipe() as (read, write):
        turns = []

        def wait():
            wait_readable(read)
            turns.append("io")
            sleep()
            turns.append("never")

        task = spawn(wait)
        sleep()
        os.write(write, b"x")
        task.kill()
        task.join()
        assert turns in ([], ["io"])
        assert task.done


def test_many_pipes_at_once():
    pairs = [os.pipe() for _ in range(200)]
    tasks = [spawn(lambda fd=read: wait_readable(fd) and os.read(fd, 9)) for read, _ in pairs]
    sleep()
    for number, (_, write) in enumerate(reversed(pairs)):
        os.write(write, b"%d" % number)
    assert [task.result() for task in tasks] == [b"%d" % (199 - number) for number in range(200)]
    for pair in pairs:
        for fd in pair:
            close(fd)
