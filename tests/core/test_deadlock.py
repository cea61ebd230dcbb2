"""When nothing can ever run again, main is told who waits for what, and where.

In child processes: any other thread, or a signal handler of the test runner, could still wake one.
"""

from children import output_of, run_child

PROLOGUE = """
import greenroom
from greenroom import Condition, DeadlockError, Event, Lock, joinall, sleep, spawn
"""


def lines_of(code):
    return output_of(PROLOGUE + code)


def test_deadlock_names_each_task_what_it_waits_for_and_its_line():
    lines = lines_of(
        """
lock = Lock()
def take_twice():
    lock.acquire()
    lock.acquire()
task = spawn(take_twice, name="greedy")
try:
    task.join()
except DeadlockError as error:
    print(str(error).replace(repr(lock), "LOCK"))
"""
    )
    assert lines == [
        "nothing can run: 2 tasks wait and nothing is left to wake them",
        "  <Task main> waits for the end of <Task greedy> at <string>:11 in <module>",
        "  <Task greedy> waits for LOCK at <string>:8 in take_twice",
    ]


def test_deadlock_of_main_alone_ends_the_process_with_status_1():
    done = run_child("import greenroom; greenroom.Event().wait()")
    assert done.returncode == 1
    assert "DeadlockError: nothing can run: 1 task waits" in done.stderr


def test_the_program_goes_on_after_a_deadlock():
    assert lines_of(
        """
event = Event()
task = spawn(event.wait)
try:
    task.join()
except DeadlockError:
    event.set()
print(task.result())
"""
    ) == ["True"]


def test_deadlock_of_a_hundred_tasks_shows_the_first_ones():
    lines = lines_of(
        """
event = Event()
tasks = [spawn(event.wait) for _ in range(100)]
try:
    event.wait()
except DeadlockError as error:
    print(error)
"""
    )
    assert "101 tasks wait" in lines[0] and len(lines) == 52
    assert lines[-1] == "  and 51 more"


def test_deadlock_is_found_while_main_takes_a_lock_back_after_a_wait():
    """Symptom: the process spun for ever, deaf to Ctrl-C.

    Taking the lock back is shielded, so the DeadlockError could not be raised there.
    """
    done = run_child(
        PROLOGUE
        + """
condition = Condition()
def hold():
    condition.acquire()
    condition.notify()
    Event().wait()
spawn(hold)
with condition:
    condition.wait()
""",
    )
    assert "DeadlockError" in done.stderr


def test_no_deadlock_while_a_timer_runs():
    assert lines_of("print(Event().wait(timeout=0.01))") == ["False"]


def test_no_deadlock_while_a_signal_handler_could_wake_someone():
    assert lines_of(
        """
import signal
event = Event()
signal.signal(signal.SIGALRM, lambda *_: event.set())
signal.setitimer(signal.ITIMER_REAL, 0.02)
print(event.wait())
"""
    ) == ["True"]


def test_no_deadlock_while_another_thread_could_wake_someone():
    assert lines_of(
        """
import _thread, time
event = Event()
begun = _thread.allocate_lock()
begun.acquire()
def other():
    begun.release()
    time.sleep(0.02)
    event.set()
_thread.start_new_thread(other, ())
begun.acquire()  # a thread that has not begun is not counted
print(event.wait())
"""
    ) == ["True"]


def test_no_deadlock_while_a_thread_that_was_started_has_not_begun():
    """Symptom: on a busy machine ten threads had not begun after the pause; main was given up.

    The interpreter counts a thread only when it runs. Here it does not until it was looked for ten
    times.
    """
    assert lines_of(
        """
import _thread
from greenroom import _originals
event, gate, looks = Event(), _thread.allocate_lock(), []
def thread_count():
    looks.append(1)
    if len(looks) == 10:
        gate.release()
    return 0
def other():
    gate.acquire()
    event.set()
gate.acquire()
_originals.thread_count = thread_count
_thread.start_new_thread(other, ())
print(event.wait())
"""
    ) == ["True"]


def test_deadlock_is_found_when_the_thread_that_could_wake_someone_has_ended():
    """Symptom: main waited for ever; that the thread was there had been looked at once."""
    assert lines_of(
        """
import threading, time
def other():
    sleep()  # it has a scheduler now, as a thread that is to wake someone may have
    time.sleep(0.05)
threading.Thread(target=other).start()
try:
    Event().wait()
except DeadlockError:
    print("deadlock")
"""
    ) == ["deadlock"]


def test_deadlock_error_of_a_main_that_was_woken_meanwhile_is_not_raised_later():
    """Symptom: a wait long after, of something else, raised a DeadlockError about the first.

    While the check runs Python code, a finalizer or another thread may wake main.
    """
    assert lines_of(
        """
from greenroom import _originals
event = Event()
def thread_count():
    event.set()
    return 0
sleep()
_originals.thread_count = thread_count
print(event.wait())
sleep()
print("slept")
"""
    ) == ["True", "slept"]


def test_idle_threads_of_the_offload_pool_do_not_hide_a_deadlock():
    """Symptom: after the first name look-up a deadlock was a silent hang."""
    done = run_child(
        PROLOGUE
        + """
from greenroom.core import offload
offload.call(int)
Event().wait()
""",
    )
    assert "DeadlockError" in done.stderr


def test_deadlock_inside_run_ends_the_rest_and_is_raised():
    assert lines_of(
        """
def program():
    try:
        Event().wait()
    finally:
        print("finally")
try:
    greenroom.run(program)
except DeadlockError:
    print("deadlock")
"""
    ) == ["finally", "deadlock"]


def test_sleeping_for_ever_counts_as_waiting_for_nothing():
    done = run_child(PROLOGUE + "sleep(float('inf'))")
    assert "waits for a sleep" in done.stderr
