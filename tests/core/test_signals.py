"""Signal handlers run between or in tasks, and may wait."""

import pytest
from children import output_of

from greenroom import _config
from greenroom.core import native

PROLOGUE = """
import os, signal, greenroom
from greenroom import Event, Queue, sleep, spawn
def alarm(seconds=0.02):
    signal.setitimer(signal.ITIMER_REAL, seconds)
"""


def lines_of(code):
    return output_of(PROLOGUE + code)


@pytest.mark.skipif(
    not native.compiled() or _config.POLLER == "selectors",
    reason="a known limit of the plain poller: docs/design.md",
)
def test_handler_that_waits_while_all_tasks_wait():
    assert lines_of(
        """
def handler(*_):
    print("before")
    sleep(0.001)
    print("after")
    event.set()
event = Event()
signal.signal(signal.SIGALRM, handler)
alarm()
print(event.wait())
"""
    ) == ["before", "after", "True"]


def test_handler_that_waits_in_the_middle_of_a_task_s_code():
    assert lines_of(
        """
def handler(*_):
    print("before")
    sleep(0.001)
    print("after")
signal.signal(signal.SIGUSR1, handler)
def work():
    os.kill(os.getpid(), signal.SIGUSR1)
    for _ in range(1000):
        pass
    print("work goes on")
spawn(work).join()
"""
    ) == ["before", "after", "work goes on"]


def test_handler_may_use_queues_and_spawn():
    assert lines_of(
        """
queue = Queue()
signal.signal(signal.SIGALRM, lambda *_: spawn(queue.put, "from a handler"))
alarm()
print(queue.get())
"""
    ) == ["from a handler"]


def test_what_a_handler_raises_while_all_wait_is_raised_in_main():
    assert lines_of(
        """
class Stop(Exception): pass
def handler(*_):
    raise Stop
signal.signal(signal.SIGALRM, handler)
event = Event()
task = spawn(event.wait)
try:
    alarm()
    sleep(60)
except Stop:
    print("main was stopped")
event.set()
print(task.join())
"""
    ) == ["main was stopped", "True"]


def test_each_of_many_signals_runs_its_handler():
    assert lines_of(
        """
got = []
event = Event()
def handler(number, _):
    got.append(number)
    if len(got) == 3:
        event.set()
for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM):
    signal.signal(number, handler)
def send():
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM):
        os.kill(os.getpid(), number)
        sleep(0.001)
spawn(send)
print(event.wait(20), len(set(got)))
"""
    ) == ["True 3"]


def test_wake_up_fd_of_the_program_is_kept():
    assert lines_of(
        """
read, write = os.pipe2(os.O_NONBLOCK)
signal.set_wakeup_fd(write)
sleep()
print(signal.set_wakeup_fd(-1) == write)
"""
    ) == ["True"]
