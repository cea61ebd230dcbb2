"""Ctrl-C: KeyboardInterrupt in main, wherever it waits; every `finally` runs."""

import signal

from children import output_of, run_child

PROLOGUE = """
import os, signal, sys, greenroom
from greenroom import Condition, Event, Lock, sleep, spawn
from greenroom.core import scheduler as _scheduler
from greenroom.core.timers import FOREVER

def ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)

def clean(name):
    try:
        sleep(1000)
    finally:
        print("finally", name, flush=True)
"""


def run(code):
    return run_child(PROLOGUE + code)


def test_main_that_is_parked_gets_it_and_the_process_ends_as_killed_by_it():
    done = run("spawn(ctrl_c); Event().wait(30)")
    assert done.returncode == -signal.SIGINT
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")


def test_finally_blocks_of_all_tasks_run_when_main_ends_by_it():
    done = run(
        """
for name in "abc":
    spawn(clean, name)
sleep()
spawn(ctrl_c)
sleep(1000)
"""
    )
    assert done.stdout.splitlines() == [f"finally {name}" for name in "abc"]
    assert done.returncode == -signal.SIGINT


def test_signal_that_comes_while_nothing_runs_wakes_the_poller():
    done = run(
        """
signal.signal(signal.SIGALRM, lambda *_: ctrl_c())
spawn(clean, "a")
sleep()
signal.setitimer(signal.ITIMER_REAL, 0.05)
Event().wait()
"""
    )
    assert done.stdout.splitlines() == ["finally a"]
    assert done.returncode == -signal.SIGINT


def test_main_may_catch_it_and_go_on():
    lines = output_of(
        PROLOGUE
        + """
event = Event()
task = spawn(event.wait)
spawn(ctrl_c)
try:
    task.join()
except KeyboardInterrupt:
    print("caught")
event.set()
print(task.join())
"""
    )
    assert lines == ["caught", "True"]


def test_busy_main_gets_it_at_once():
    lines = output_of(
        PROLOGUE
        + """
spawn(int).join()
try:
    ctrl_c()
    for _ in range(1000):
        pass
    print("went on")
except KeyboardInterrupt:
    print("caught")
"""
    )
    assert lines == ["caught"]


def test_in_a_busy_task_it_goes_to_main_when_the_task_next_waits():
    lines = output_of(
        PROLOGUE
        + """
def busy():
    ctrl_c()
    for _ in range(1000):
        pass
    print("still busy")
    try:
        sleep(1000)
    finally:
        print("finally")
task = spawn(busy)
try:
    task.join()
except KeyboardInterrupt:
    print("main", task.done)
"""
    )
    assert lines == ["still busy", "main False", "finally"]


def test_second_one_interrupts_a_task_that_never_waits():
    """Symptom: `while True: pass` in a task took three presses."""
    lines = output_of(
        PROLOGUE
        + """
def busy():
    try:
        for press in (1, 2, 3):
            print("press", press)
            ctrl_c()
            for _ in range(1000):
                pass
    except KeyboardInterrupt:
        print("interrupted")
        raise
try:
    spawn(busy).join()
except KeyboardInterrupt:
    print("main")
try:
    sleep()
except KeyboardInterrupt:
    pass
"""
    )
    assert lines == ["press 1", "press 2", "interrupted", "main"]


def test_run_that_is_interrupted_ends_all_tasks_before_it_raises():
    lines = output_of(
        PROLOGUE
        + """
def program():
    for name in "ab":
        spawn(clean, name)
    sleep()
    ctrl_c()
    sleep(1000)
try:
    greenroom.run(program)
except KeyboardInterrupt:
    print("raised", len(_scheduler.get().tasks()))
"""
    )
    assert lines == ["finally a", "finally b", "raised 1"]


def test_io_goes_on_while_main_is_interrupted_but_must_take_a_lock_back():
    """Symptom: the process spun without looking at I/O.

    Taking the lock of a Condition back is shielded from the KeyboardInterrupt, which waits.
    """
    lines = output_of(
        PROLOGUE
        + """
condition = Condition(Lock())
read, write = os.pipe()
def hold():
    condition.acquire()
    condition.notify()
    sleep()  # main now waits for the lock
    ctrl_c()
    pid = os.fork()
    if pid == 0:
        import time
        time.sleep(0.05)
        os.write(write, b"x")
        os._exit(0)
    _scheduler.get().wait_fd(read, False, FOREVER, True)
    print("read")
    os.waitpid(pid, 0)
    condition.release()
spawn(hold)
try:
    with condition:
        condition.wait()
        print("held again")
        sleep()
except KeyboardInterrupt:
    print("interrupted")
"""
    )
    assert lines[0] == "read" and lines[-1] == "interrupted"


def test_own_sigint_handler_of_the_program_is_left_alone():
    lines = output_of(
        """
import os, signal
signal.signal(signal.SIGINT, lambda *_: print("mine"))
import greenroom
greenroom.spawn(os.kill, os.getpid(), signal.SIGINT).join()
"""
    )
    assert lines == ["mine"]


def test_importing_greenroom_does_not_touch_the_handler():
    lines = output_of(
        """
import signal
before = signal.getsignal(signal.SIGINT)
import greenroom
print(signal.getsignal(signal.SIGINT) is before)
"""
    )
    assert lines == ["True"]


def test_cleanup_that_hangs_is_left_at_the_second_press():
    done = run(
        """
def stubborn():
    while True:
        try:
            sleep(1000)
        finally:
            print("cleaning", flush=True)
            ctrl_c()
            for _ in range(1000):
                pass
            continue
spawn(stubborn)
sleep()
spawn(ctrl_c)
sleep(1000)
"""
    )
    assert "cleaning" in done.stdout and done.returncode
