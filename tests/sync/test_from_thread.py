"""from_thread.run(), and what to_thread() does to a call whose task is cancelled."""

import _thread
import contextvars
import threading
import time

import pytest
from patch.children import output_of

import greenroom
from greenroom import CapacityLimiter, TaskKilled, current, from_thread, sleep, spawn, to_thread

blocking_sleep = time.sleep
variable = contextvars.ContextVar("variable", default="unset")


class Gate:
    """A call that says when it has begun, and goes on when it may."""

    def __init__(self):
        self.begun, self.go_on = _thread.allocate_lock(), _thread.allocate_lock()
        self.begun.acquire()
        self.go_on.acquire()
        self.ended = False

    def __call__(self):
        self.begun.release()
        self.go_on.acquire()
        self.ended = True
        return "result"


# --- cancellable, limiter


def test_a_killed_task_waits_for_a_call_that_has_begun_and_gets_its_result():
    gate, got = Gate(), []

    def work():
        got.append(to_thread(gate))
        sleep()
        got.append("went on")

    task = spawn(work)
    to_thread(gate.begun.acquire)
    task.kill()
    assert not task.join(0.05)
    gate.go_on.release()
    assert task.join(10)
    assert got == ["result"] and isinstance(task.exception, TaskKilled)


def test_a_timeout_does_not_cut_a_call_and_ends_the_next_wait():
    with pytest.raises(greenroom.Timeout), greenroom.timeout(0.01):
        assert to_thread(lambda: blocking_sleep(0.05) or 7) == 7
        sleep(100)


def test_an_error_of_a_call_that_was_waited_for_is_raised():
    gate = Gate()

    def call():
        gate()
        raise KeyError("lost?")

    task = spawn(to_thread, call)
    task.observed = True
    to_thread(gate.begun.acquire)
    task.kill()
    sleep()
    gate.go_on.release()
    task.join()
    assert isinstance(task.exception, KeyError)


def test_a_call_that_has_not_begun_is_taken_back():
    limiter = CapacityLimiter(1)
    gate, calls = Gate(), []
    first = spawn(lambda: to_thread(gate, limiter=limiter))
    second = spawn(lambda: to_thread(calls.append, 1, limiter=limiter))
    to_thread(gate.begun.acquire)
    second.kill()
    assert second.join(10)
    gate.go_on.release()
    assert first.result() == "result"
    assert calls == [] and limiter.borrowed == 0


def test_ctrl_c_does_not_wait_for_a_call():
    assert output_of("""
        import greenroom, os, signal, threading
        never = threading.Event()
        def call():
            os.kill(os.getpid(), signal.SIGINT)
            never.wait()
        try:
            greenroom.to_thread(call)
        except KeyboardInterrupt:
            print("interrupted")
        os._exit(0)
    """) == ["interrupted"]


def test_a_limiter_bounds_calls_also_beyond_the_pools_threads():
    limiter = CapacityLimiter(20)
    inside, most, full = [], [], threading.Barrier(20)

    def call():
        inside.append(1)
        most.append(len(inside))
        full.wait(60)  # twenty must be inside at once, twice
        inside.pop()

    greenroom.joinall(
        [spawn(lambda: to_thread(call, limiter=limiter)) for _ in range(40)], raise_error=True
    )
    assert max(most) <= 20 and limiter.borrowed == 0


def test_a_call_that_was_left_keeps_its_token_until_it_ends():
    limiter, gate = CapacityLimiter(1), Gate()
    task = spawn(lambda: to_thread(gate, cancellable=True, limiter=limiter))
    to_thread(gate.begun.acquire)
    assert "call of" in repr(limiter.statistics().borrowers)
    task.kill()
    assert task.join(10) and limiter.borrowed == 1
    gate.go_on.release()
    assert limiter.acquire(timeout=60)
    assert gate.ended


def test_keyword_arguments_reach_the_function():
    assert to_thread(dict, a=1, cancellable=True, limiter=CapacityLimiter(1)) == {"a": 1}


def test_many_kills_of_calls_that_are_waited_for_leave_nothing_counted():
    for turn in range(50):
        tasks = [spawn(to_thread, blocking_sleep, 0.0005) for _ in range(6)]
        sleep(0.0003 * (turn % 4))
        for task in tasks:
            task.kill()
        greenroom.joinall(tasks)
    assert current().scheduler.external == 0


# --- from_thread.run


def test_it_runs_in_a_task_of_the_scheduler_that_asked():
    me = current().scheduler

    def in_task(a, b):
        sleep(0.001)
        return current().scheduler is me, _thread.get_ident(), a + b

    def in_thread():
        return from_thread.run(in_task, 1, 2), _thread.get_ident()

    (mine, ident, total), thread = to_thread(in_thread)
    assert mine and ident == _thread.get_ident() != thread and total == 3


def test_the_tasks_go_on_while_the_thread_waits():
    event = greenroom.Event()
    task = spawn(to_thread, from_thread.run, event.wait)
    sleep(0.01)
    event.set()
    assert task.result(10) is True


def test_errors_and_kills_come_back():
    def fail():
        raise KeyError("why")

    with pytest.raises(KeyError, match="why"):
        to_thread(from_thread.run, fail)

    def kill_me():
        current().kill()
        sleep()

    with pytest.raises(TaskKilled):
        to_thread(from_thread.run, kill_me)


def test_context_variables_pass_both_ways_in():
    variable.set("mine")

    def in_thread():
        seen = variable.get()
        variable.set("the thread's")
        return seen, from_thread.run(variable.get)

    assert to_thread(in_thread) == ("mine", "the thread's")
    assert variable.get() == "mine"


def test_from_a_thread_pool_and_an_offloaded_function():
    with greenroom.ThreadPool(1) as pool:
        assert pool.call(from_thread.run, divmod, 7, 2) == (3, 1)
    assert greenroom.offload(from_thread.run)(divmod, 7, 2) == (3, 1)


def test_a_thread_of_ones_own_is_given_the_scheduler():
    got = []
    scheduler = current().scheduler

    def target():
        with pytest.raises(RuntimeError, match="does not know where"):
            from_thread.run(int)
        got.append(from_thread.run(divmod, 7, 2, scheduler=scheduler))

    thread = threading.Thread(target=target)
    thread.start()
    to_thread(thread.join)
    assert got == [(3, 1)]


def test_in_a_task_it_says_to_call_the_function_itself():
    with pytest.raises(RuntimeError, match="call the function itself"):
        from_thread.run(int, scheduler=current().scheduler)
    with pytest.raises(RuntimeError, match="does not know where"):
        from_thread.run(int)

    def nested():
        return from_thread.run(int, scheduler=current().scheduler)

    with pytest.raises(RuntimeError, match="call the function itself"):
        to_thread(from_thread.run, nested)


@pytest.mark.parametrize("ends", ["before", "meanwhile"])
def test_a_scheduler_whose_thread_ends_is_one_clear_error(ends):
    schedulers, failed = [], []
    begun, event = greenroom.Event(), greenroom.Event()  # the latter is never set

    def owner():
        schedulers.append(current().scheduler)
        if ends == "meanwhile":
            asking.start()
            begun.wait()  # the task runs up to its wait

    def wait():
        begun.set()
        event.wait()

    def ask():
        try:
            from_thread.run(wait, scheduler=schedulers[0])
        except RuntimeError as error:
            failed.append(str(error))

    asking = threading.Thread(target=ask)
    thread = threading.Thread(target=owner)
    thread.start()
    to_thread(thread.join)
    if ends == "before":
        asking.start()
    to_thread(asking.join)
    assert len(failed) == 1 and "has ended" in failed[0]


def test_patched_and_unpatched_from_several_tasks_at_once():
    for patch in ("", "greenroom.patch_all()"):
        assert output_of(f"""
            import greenroom, time
            {patch}
            def in_thread(number):
                return greenroom.from_thread.run(lambda: (greenroom.sleep(0.01), number * 2)[1])
            def call(number):
                return greenroom.to_thread(in_thread, number)
            print(list(greenroom.map(call, range(5), limit=5)))
        """) == ["[0, 2, 4, 6, 8]"]
