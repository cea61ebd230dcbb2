"""fork in mid-flight: the child starts afresh, and the parent notices nothing."""

from children import output_of, run_child

PROLOGUE = """
import os, sys, greenroom
from greenroom import Event, Lock, Queue, RLock, local, sleep, spawn, timeout
from greenroom.core import scheduler as _scheduler
from greenroom.core.timers import FOREVER

def in_child(fn):
    "Fork; run fn in the child; return its exit status."
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            fn()
            sys.stdout.flush()
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


def lines_of(code):
    return output_of(PROLOGUE + code)


def test_child_has_a_scheduler_of_its_own_without_the_other_tasks():
    assert lines_of(
        """
event = Event()
tasks = [spawn(event.wait) for _ in range(3)]
sleep()
def child():
    print(len(_scheduler.get().tasks()), greenroom.current().name)
    print(spawn(int, 7).result())
assert in_child(child) == 0
event.set()
print([task.result() for task in tasks])
"""
    ) == ["1 main", "7", "[True, True, True]"]


def test_fork_in_a_task_makes_it_the_child_s_main():
    assert lines_of(
        """
def work():
    def child():
        me = greenroom.current()
        print(me.name, me is _scheduler.get().main)
        print(spawn(sleep, 0.001).join())
    assert in_child(child) == 0
other = spawn(sleep, 0.002)
spawn(work, name="forker").result()
other.join()
print("parent goes on")
"""
    ) == ["forker True", "True", "parent goes on"]


def test_child_whose_task_returns_ends_and_runs_nothing_of_the_parent():
    assert lines_of(
        """
def work():
    pid = os.fork()
    if pid == 0:
        print("child")
        return
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
other = spawn(lambda: (sleep(0.01), print("other")))
print(spawn(work).result())
other.join()
"""
    ) == ["child", "0", "other"]


def test_status_of_a_child_whose_task_fails_or_exits():
    assert lines_of(
        """
import logging
logging.disable()
def work(error):
    pid = os.fork()
    if pid == 0:
        raise error
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
for error in (ValueError(), SystemExit(7), SystemExit(None)):
    print(spawn(work, error).result())
"""
    ) == ["1", "7", "0"]


def test_parent_s_registrations_survive_a_child_that_closes_and_waits():
    """An epoll instance is shared by both: an epoll_ctl of the child would act on the parent's."""
    assert lines_of(
        """
read, write = os.pipe()
def wait():
    _scheduler.get().wait_fd(read, False, FOREVER, True)
    return os.read(read, 10)
reader = spawn(wait)
sleep()
def child():
    _scheduler.closing_fd(read)
    os.close(read)
    r, w = os.pipe()
    os.write(w, b"child")
    _scheduler.get().wait_fd(r, False, FOREVER, True)
    print(os.read(r, 10))
assert in_child(child) == 0
os.write(write, b"parent")
print(reader.result())
"""
    ) == ["b'child'", "b'parent'"]


def test_child_waits_on_the_fds_of_the_parent_for_itself():
    assert lines_of(
        """
read, write = os.pipe()
reader = spawn(lambda: _scheduler.get().wait_fd(read, False, FOREVER, True))
sleep()
def child():
    spawn(os.write, write, b"x")
    _scheduler.get().wait_fd(read, False, FOREVER, True)
    print(os.read(read, 10))
assert in_child(child) == 0
os.write(write, b"y")
reader.join()
print(os.read(read, 10))
"""
    ) == ["b'x'", "b'y'"]


def test_main_lock_held_over_a_fork_is_still_main_s_in_the_child():
    assert lines_of(
        """
lock = RLock()
with lock:
    def child():
        with lock:
            print("taken again")
        lock.release()
        print(lock.locked())
    assert in_child(child) == 0
"""
    ) == ["taken again", "False"]


def test_rlock_held_by_the_task_that_forks_is_still_its_own_in_the_child():
    """Symptom: a `with rlock:` around os.fork() in a task could not be left in the child."""
    assert lines_of(
        """
def work():
    lock = RLock()
    def child():
        with lock:
            print("taken again")
        lock.release()
        print(lock.locked())
    with lock:
        return in_child(child)
print(spawn(work).result())
"""
    ) == ["taken again", "False", "0"]


def test_timeout_entered_before_a_fork_is_left_in_the_child():
    """Symptom: the child's later waits raised Cancelled by a block it had long left."""
    assert lines_of(
        """
from greenroom.testing.clock import VirtualClock
with VirtualClock():
    with timeout(5):
        pid = os.fork()
    if pid == 0:
        try:
            sleep(10)
        except BaseException as error:
            print(repr(error))
        else:
            print("slept")
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(pid, 0)
"""
    ) == ["slept"]


def test_timeout_entered_before_a_fork_still_ends_waits_in_the_child():
    assert lines_of(
        """
from greenroom.testing.clock import VirtualClock
with VirtualClock():
    def child():
        try:
            sleep(10)
        except BaseException as error:
            print(type(error).__name__)
    with timeout(5):
        assert in_child(child) == 0
"""
    ) == ["Cancelled"]


def test_timer_of_a_wait_that_ended_early_is_not_taken_into_the_child():
    """Symptom: a segmentation fault in the child's first wait with a timeout."""
    assert lines_of(
        """
event = Event()
def work():
    spawn(event.set)
    print(event.wait(60))
    def child():
        others = [spawn(sleep, 0.001) for _ in range(3)]
        greenroom.joinall(others)
        print([task.done for task in others])
    return in_child(child)
print(spawn(work).result(), work())
"""
    ) == ["True", "[True, True, True]", "True", "[True, True, True]", "0 0"]


def test_local_values_of_the_task_that_forks_are_there_in_the_child():
    """As with threading.local, whose values the child of a fork still sees."""
    assert lines_of(
        """
data = local()
data.x = "main's"
def work():
    data.x = "the task's"
    return in_child(lambda: print(data.x))
print(spawn(work).result(), in_child(lambda: print(data.x)))
"""
    ) == ["the task's", "main's", "0 0"]


def test_context_variables_are_there_in_the_child():
    assert lines_of(
        """
import contextvars
var = contextvars.ContextVar("var")
var.set("main's")
def work():
    var.set("the task's")
    return in_child(lambda: print(var.get(), spawn(var.get).result()))
assert spawn(work).result() == 0
"""
    ) == ["the task's the task's"]


def test_offload_works_in_the_child():
    assert lines_of(
        """
from greenroom.core import offload
assert offload.call(int, 1) == 1
def child():
    print(offload.call(int, 2))
assert in_child(child) == 0
print(offload.call(int, 3))
"""
    ) == ["2", "3"]


def test_fork_inside_run_and_run_again_in_the_child():
    assert lines_of(
        """
def program():
    return in_child(lambda: print(greenroom.run(int, 5)))
print(greenroom.run(program))
"""
    ) == ["5", "0"]


def test_child_of_main_that_returns_normally_exits_with_status_0():
    done = run_child(
        PROLOGUE
        + """
task = spawn(sleep, 1000)
sleep()
pid = os.fork()
if pid:
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
else:
    print("child")
"""
    )
    assert done.stdout.split() == ["child", "0"], done.stderr


def test_ctrl_c_works_in_the_child():
    assert lines_of(
        """
import signal
def child():
    try:
        spawn(lambda: os.kill(os.getpid(), signal.SIGINT))
        sleep(30)
    except KeyboardInterrupt:
        print("interrupted")
def work():
    return in_child(child)
print(spawn(work).result())
"""
    ) == ["interrupted", "0"]
