"""to_process(): results, errors, dead workers, kills, reuse, and the ends of both sides."""

import os
import pickle
import signal
import sys
import time

import pytest
from patch.children import output_of, run_child, run_greenroom

import greenroom
from greenroom import BrokenWorkerError, CapacityLimiter, joinall, sleep, spawn, to_process
from greenroom.sync import processes


@pytest.fixture(autouse=True)
def no_workers_before_and_after():
    processes._close_all()
    yield
    processes._close_all()


def add(a, b):
    return a + b


def where():
    return os.getpid()


def fail(text):
    raise KeyError(text)


class Odd(Exception):
    def __init__(self, first, second):
        super().__init__(first)


def fail_oddly():
    raise Odd("first", "second")


def end_the_process(how):
    if how == "exit":
        os._exit(3)
    os.kill(os.getpid(), signal.SIGSEGV)


def no_pickle():
    return lambda: 1


def leave_a_child_that_runs_on():
    if os.fork() == 0:
        time.sleep(30)
        os._exit(0)
    os._exit(5)


def write_pid(path, seconds):
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    os.rename(path, path + ".ready")
    time.sleep(seconds)


def pid_in(path):
    """Wait until the worker has written its pid."""
    while not os.path.exists(path + ".ready"):
        sleep(0.005)
    with open(path + ".ready") as file:
        return int(file.read())


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_call_runs_in_another_process_that_is_used_again():
    assert to_process(add, 1, 2) == 3
    first = to_process(where)
    assert first != os.getpid() and to_process(where) == first


def test_large_arguments_and_results():
    data = os.urandom(5_000_000)
    assert to_process(add, data, data) == data + data


def test_several_tasks_at_once_bounded_by_a_limiter():
    limiter = CapacityLimiter(3)
    most = []

    def call(number):
        most.append(len(processes._workers))
        return to_process(add, number, 1, limiter=limiter)

    assert list(greenroom.map(call, range(30), limit=30)) == list(range(1, 31))
    assert max(most) <= 3 and limiter.borrowed == 0


def test_an_error_has_the_traceback_of_the_worker():
    with pytest.raises(KeyError, match="why") as caught:
        to_process(fail, "why")
    assert "raise KeyError(text)" in str(caught.value.__cause__)
    assert "process_worker.py" not in str(caught.value.__cause__)
    assert to_process(add, 1, 2) == 3


def test_an_error_that_does_not_survive_pickling_is_told_as_text():
    with pytest.raises(RuntimeError, match=r"Odd: first \(in a worker process") as caught:
        to_process(fail_oddly)
    assert "fail_oddly" in str(caught.value.__cause__)


@pytest.mark.parametrize(
    ("how", "text"), [("exit", "exit code 3"), ("signal", r"killed by signal 11 \(Segm")]
)
def test_a_worker_that_dies_is_one_clear_error(how, text):
    with pytest.raises(
        BrokenWorkerError, match=rf"before end_the_process\(\) had a result: {text}"
    ):
        to_process(end_the_process, how)
    assert to_process(add, 1, 2) == 3


def test_a_worker_that_dies_and_leaves_a_child():
    with pytest.raises(BrokenWorkerError, match="exit code 5"):
        to_process(leave_a_child_that_runs_on)


def test_an_idle_worker_that_died_is_replaced():
    pid = to_process(where)
    os.kill(pid, signal.SIGKILL)
    while processes._idle[0].is_alive():
        sleep(0.001)
    assert to_process(where) != pid


def test_what_does_not_pickle():
    with pytest.raises((AttributeError, pickle.PicklingError)) as caught:
        to_process(lambda: 1)
    assert any("not a lambda" in note for note in caught.value.__notes__)  # 3.14 adds its own
    with pytest.raises((AttributeError, pickle.PicklingError)):
        to_process(no_pickle)
    with pytest.raises(TypeError, match="not callable"):
        to_process(3)


def test_a_kill_kills_the_worker_and_waits_until_it_is_gone(tmp_path):
    path = str(tmp_path / "pid")
    task = spawn(to_process, write_pid, path, 60)
    pid = pid_in(path)
    task.kill()
    assert task.join(60)
    assert not os.path.exists(f"/proc/{pid}")
    assert to_process(add, 1, 2) == 3


def test_a_timeout(tmp_path):
    with pytest.raises(greenroom.Timeout), greenroom.timeout(0.2):
        to_process(time.sleep, 60)
    assert processes._limiter.borrowed == 0 and not processes._workers


def test_many_kills_leave_nothing_behind():
    limiter = CapacityLimiter(4)
    for turn in range(8):
        tasks = [spawn(lambda: to_process(time.sleep, 0.02, limiter=limiter)) for _ in range(6)]
        sleep(0.015 * turn)
        for task in tasks:
            task.kill()
        joinall(tasks)
    assert limiter.borrowed == 0 and greenroom.current().scheduler.external == 0
    assert to_process(add, 1, 2) == 3


def test_a_virtual_clock_stands_still_during_a_call(clock):
    sleeper = spawn(sleep, 1000)
    assert to_process(add, 1, 2) == 3
    assert clock.now() == 0
    sleeper.kill()
    sleeper.join()


def test_two_real_threads():
    def elsewhere():
        return list(greenroom.map(lambda n: to_process(add, n, n), range(10), limit=2))

    other = spawn(greenroom.to_thread, elsewhere)
    assert elsewhere() == other.result() == [2 * n for n in range(10)]


SCRIPT = """
import greenroom, os, sys, time
{patch}
class Point:
    def __init__(self, x):
        self.x = x
def double(point):
    return Point(point.x * 2)
def twice(x):
    time.sleep(0.001)
    return greenroom.to_process(double, Point(x)).x
if __name__ == "__main__":
    print(type(greenroom.to_process(double, Point(4))) is Point)
    print(list(greenroom.map(twice, range(4), limit=4)), greenroom.to_process(twice, 5))
"""


@pytest.mark.parametrize("how", ["plain", "patched", "greenroom run"])
def test_functions_and_classes_of_the_main_module(tmp_path, how):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(patch="greenroom.patch_all()" if how == "patched" else ""))
    done = run_greenroom("run", script) if how == "greenroom run" else run_child(script)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["True", "[0, 2, 4, 6] 10"]


def test_a_main_module_without_a_guard_is_told_so(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import greenroom\nprint(greenroom.to_process(abs, -1))\n")
    done = run_child(script)
    assert done.returncode == 1
    assert "__main__" in done.stderr and "freeze_support" in done.stderr


@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.parametrize("how", ["returns", "SIGKILL"])
def test_workers_end_when_the_parent_ends(tmp_path, how, busy):
    path = str(tmp_path / "pid")
    code = f"""
        import sys
        sys.path.insert(0, {os.path.dirname(__file__)!r})
        sys.path.insert(0, {os.path.dirname(os.path.dirname(__file__))!r})
        import greenroom, os, signal, test_processes
        task = greenroom.spawn(
            greenroom.to_process, test_processes.write_pid, {path!r}, {60 if busy else 0}
        )
        pid = test_processes.pid_in({path!r})
        if not {busy}:
            task.join()
        print(pid, flush=True)
        if {how!r} == "SIGKILL":
            os.kill(os.getpid(), signal.SIGKILL)
    """
    done = run_child(code)
    pid = int(done.stdout)
    while is_running(pid):
        sleep(0.01)


def test_a_forked_child_has_workers_of_its_own():
    assert output_of("""
        import greenroom, os, warnings
        first = greenroom.to_process(os.getpid)
        pid = os.fork()
        if pid == 0:
            other = greenroom.to_process(os.getpid)
            os._exit(7 if other != first else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        print(greenroom.to_process(os.getpid) == first)
    """) == ["7", "True"]


def test_what_a_call_prints_is_not_lost():
    done = run_child("import greenroom; greenroom.to_process(print, 'hello')")
    assert (done.stdout, done.stderr) == ("hello\n", "")


def test_ctrl_c_leaves_the_worker_to_the_parent():
    done = run_child("""
        import greenroom, os, signal, sys, time
        task = greenroom.spawn(greenroom.to_process, time.sleep, 0.3)
        while not greenroom.to_process(int) == 0:
            pass
        for worker in __import__("greenroom.sync.processes", fromlist="x")._workers:
            os.kill(worker.pid, signal.SIGINT)
        print(task.result())
    """)
    assert (done.stdout, done.stderr) == ("None\n", "")


def test_the_worker_has_this_interpreters_path():
    assert to_process(eval, "__import__('sys').path") == sys.path
