"""Nobody starves: I/O beside a busy ready queue, tasks beside I/O that never has to wait."""

import os
from contextlib import contextmanager

import greenroom
from greenroom import _config, joinall, sleep, spawn
from greenroom.core import scheduler as _scheduler
from greenroom.core.timers import FOREVER


@contextmanager
def pipe():
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    try:
        yield read, write
    finally:
        for fd in (read, write):
            _scheduler.closing_fd(fd)
            os.close(fd)


def wait_readable(fd):
    _scheduler.get().wait_fd(fd, False, FOREVER, True)


def test_io_is_looked_at_while_the_ready_queue_is_never_empty():
    stop = []

    def spin():
        turns = 0
        while not stop:
            sleep()
            turns += 1
        return turns

    with pipe() as (read, write):
        spinner = spawn(spin)
        reader = spawn(wait_readable, read)
        sleep()
        os.write(write, b"x")
        reader.add_done_callback(stop.append)
        assert spinner.result() <= 2 * _config.POLL_INTERVAL


def test_timers_fire_while_the_ready_queue_is_never_empty(clock):
    stop = []

    def spin():
        turns = 0
        while not stop:
            sleep()
            turns += 1
        return turns

    spinner = spawn(spin)
    sleeper = spawn(sleep, 5)
    sleep()
    clock.advance(5)
    sleeper.add_done_callback(stop.append)
    assert spinner.result() <= 2 * _config.POLL_INTERVAL


def test_messages_of_other_threads_arrive_while_the_ready_queue_is_never_empty():
    stop = []
    scheduler = _scheduler.get()

    def spin():
        turns = 0
        while not stop:
            sleep()
            turns += 1
        return turns

    spinner = spawn(spin)
    scheduler.call_soon_threadsafe(stop.append, 1)
    assert spinner.result() <= 2 * _config.POLL_INTERVAL


def test_io_that_never_waits_yields_after_a_budget():
    """Symptom: an echo loop whose peer is always faster than it kept all other tasks out."""
    others = []
    scheduler = _scheduler.get()

    def always_ready():
        for _ in range(3 * _config.IO_BUDGET):
            scheduler.spend_budget()
        return len(others)

    def other():
        for turn in range(3):
            others.append(turn)
            sleep()

    busy = spawn(always_ready)
    spawn(other).join()
    assert busy.result() >= 2


def test_wait_on_an_fd_that_is_always_ready_lets_the_others_run():
    turns = []

    def writer(fd):
        for _ in range(5):
            _scheduler.get().wait_fd(fd, True, FOREVER, True)
            turns.append("io")

    def other():
        for _ in range(5):
            sleep()
            turns.append("other")

    with pipe() as (_, write):
        joinall([spawn(writer, write), spawn(other)])
    assert sorted(turns[:6]) != ["io"] * 5 + ["other"]


def test_tasks_that_yield_take_turns_in_order():
    order = []

    def step(name):
        for _ in range(100):
            order.append(name)
            greenroom.sleep()

    joinall([spawn(step, name) for name in range(7)])
    assert order == list(range(7)) * 100
