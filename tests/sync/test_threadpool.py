"""to_thread and ThreadPool: calls in real threads, bounded, and what a kill does to them."""

import _thread
import contextvars
import gc
import threading
import time
import traceback

import pytest
from patch.children import output_of
from waiting import until

import greenroom
from greenroom import Event, ThreadPool, joinall, sleep, spawn, to_thread
from greenroom.core import scheduler as _scheduler

blocking_sleep = time.sleep
variable = contextvars.ContextVar("variable", default="unset")


def test_the_call_runs_in_another_thread_and_its_result_comes_back():
    assert to_thread(_thread.get_ident) != _thread.get_ident()
    assert to_thread(dict, [("a", 1)], b=2) == {"a": 1, "b": 2}


def test_others_run_while_one_blocks():
    go_on = threading.Event()

    def tick():
        for _ in range(5):
            sleep(0.001)
        go_on.set()

    ticker = spawn(tick)
    assert to_thread(go_on.wait, 60)
    ticker.join()


def test_an_error_passes_with_its_traceback():
    def fail_deep_down():
        raise KeyError("why")

    with pytest.raises(KeyError, match="why") as caught:
        to_thread(fail_deep_down)
    assert "fail_deep_down" in "".join(traceback.format_tb(caught.value.__traceback__))


def test_the_callers_context_variables_are_seen_and_not_changed():
    def change():
        seen = variable.get()
        variable.set("changed")
        return seen

    variable.set("mine")
    assert to_thread(change) == "mine"
    assert to_thread(lambda value: change() + value, value="!") == "mine!"
    assert variable.get() == "mine"


def test_a_kill_lets_a_call_that_has_begun_go_on():
    begun, go_on, ended = (_thread.allocate_lock() for _ in range(3))
    for lock in (begun, go_on, ended):
        lock.acquire()

    def call():
        begun.release()
        go_on.acquire()
        ended.release()

    task = spawn(lambda: to_thread(call, cancellable=True))
    to_thread(begun.acquire)
    task.kill()
    assert task.join(60)
    go_on.release()
    assert to_thread(ended.acquire, timeout=60)


def test_a_timeout_around_a_call():
    go_on = threading.Event()
    with pytest.raises(greenroom.Timeout), greenroom.timeout(0.01):
        to_thread(go_on.wait, 60, cancellable=True)
    go_on.set()


def test_a_call_that_goes_on_without_its_task_can_still_wake_others():
    """It is no deadlock to wait for it."""
    output_of("""
        import greenroom, time
        begun, event = greenroom.Event(), greenroom.Event()
        def call():
            begun.set()
            time.sleep(0.3)
            event.set()
        task = greenroom.spawn(lambda: greenroom.to_thread(call, cancellable=True))
        begun.wait()
        task.kill()
        event.wait()
        assert greenroom.core.scheduler.get().external in (0, 1)
        while greenroom.core.scheduler.get().external:
            greenroom.sleep(0.001)
        try:
            greenroom.Event().wait()
        except greenroom.DeadlockError:
            pass
    """)


def test_a_pool_has_no_more_threads_than_its_size():
    running = []
    most = []

    def call(number):
        running.append(number)
        most.append(len(running))
        blocking_sleep(0.01)
        running.remove(number)
        return number

    with ThreadPool(3) as pool:
        tasks = [pool.submit(call, number) for number in range(20)]
        assert [task.result() for task in tasks] == list(range(20))
        assert pool._threads.threads == 3
    assert max(most) <= 3
    assert pool._threads.threads == 0


def test_call_and_map():
    with ThreadPool(4) as pool:
        assert pool.call(divmod, 7, 2) == (3, 1)
        assert list(pool.map(divmod, [7, 8], [2, 3])) == [(3, 1), (2, 2)]
        results = pool.map(divmod, [7, 7, 7], [2, 0, 2])
        assert next(results) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            next(results)
        assert list(results) == []


def test_a_map_that_is_given_up_takes_back_what_has_not_begun():
    calls, go_on = [], threading.Event()

    def call(number):
        if number:
            go_on.wait(60)
        calls.append(number)
        return number

    with ThreadPool(1) as pool:
        results = pool.map(call, range(100))
        assert next(results) == 0
        results.close()
        go_on.set()
    assert calls in ([0], [0, 1])


def test_a_killed_submission_that_has_not_begun_is_taken_back():
    calls, go_on = [], threading.Event()
    with ThreadPool(1) as pool:
        first = pool.submit(go_on.wait, 60)
        waiting = pool.submit(calls.append, 1)
        unrun = pool.submit(calls.append, 2)
        unrun.kill()
        sleep(0.01)
        waiting.kill()
        assert waiting.join(60)
        go_on.set()
        first.result()
    assert calls == []
    assert isinstance(waiting.exception, greenroom.TaskKilled)
    assert isinstance(unrun.exception, greenroom.TaskKilled)


def test_close_waits_for_what_was_asked_for_and_refuses_more():
    done = []
    pool = ThreadPool(2)
    for number in range(6):
        pool.submit(lambda number=number: (blocking_sleep(0.01), done.append(number)))
    caller = spawn(pool.call, blocking_sleep, 0.02)
    sleep()
    pool.close()
    assert sorted(done) == list(range(6))
    assert caller.join(60)
    for use in (pool.call, pool.submit, pool.map):
        with pytest.raises(RuntimeError, match="it is closed"):
            args = ([1],) if use == pool.map else ()
            use(int, *args)
    pool.close()


def test_close_while_a_killed_call_goes_on_waits_for_it():
    begun, go_on, done = Event(), threading.Event(), []
    pool = ThreadPool(1)
    task = pool.submit(lambda: (begun.set(), go_on.wait(60), done.append(1)))
    assert begun.wait(60)
    task.kill()
    assert task.join(60) and not done
    closing = spawn(pool.close)
    sleep(0.01)
    assert not closing.done
    go_on.set()
    closing.result()
    assert done


def test_a_forgotten_pool_ends_its_threads():
    pool = ThreadPool(4)
    list(pool.map(threading.Barrier(4).wait, [60] * 4))
    threads = pool._threads
    assert threads.threads == 4
    del pool
    gc.collect()
    until(lambda: threads.threads == 0)


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "4"])
def test_a_size_that_is_none(size):
    with pytest.raises(ValueError, match="1 or more"):
        ThreadPool(size)


def test_a_close_that_was_cut_short_may_be_called_again():
    """The second call waited for ever."""
    pool = ThreadPool(1)
    begun, go_on = Event(), threading.Event()
    call = spawn(pool.call, lambda: [begun.set(), go_on.wait()])
    assert begun.wait(60)
    closing = spawn(pool.close)
    sleep()
    closing.kill()
    closing.join()
    go_on.set()
    pool.close()
    call.join()
    assert pool.statistics().threads == 0


def test_two_tasks_may_close_a_pool_at_once():
    """The second one waited for ever."""
    pool = ThreadPool(2)
    joinall([pool.submit(int), pool.submit(int)])
    joinall([spawn(pool.close) for _ in range(3)], raise_error=True)
    assert pool.statistics().threads == 0


def test_what_is_not_callable():
    with ThreadPool(1) as pool, pytest.raises(TypeError, match="not callable"):
        pool.submit(3)
    with pytest.raises(TypeError, match="cannot call 3 in a thread: it is not callable"):
        to_thread(3)


def test_threads_of_a_pool_do_not_hide_a_deadlock():
    assert output_of("""
        import greenroom
        pool = greenroom.ThreadPool(3)
        pool.call(int)
        for use in range(2):
            try:
                greenroom.Event().wait()
            except greenroom.DeadlockError:
                print("deadlock")
            pool.close()
    """) == ["deadlock", "deadlock"]


def test_a_pool_works_in_a_forked_child():
    assert output_of("""
        import greenroom, os, time, warnings
        warnings.simplefilter("ignore")  # it is said that a call is running in a thread
        pool = greenroom.ThreadPool(2)
        running = pool.submit(time.sleep, 0.5)
        pool.call(int)
        greenroom.to_thread(int)
        pid = os.fork()
        if pid == 0:
            assert pool.call(divmod, 7, 2) == (3, 1) == greenroom.to_thread(divmod, 7, 2)
            pool.close()
            os._exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), pool.call(int, "3"))
        pool.close()
    """) == ["7 3"]


def test_a_pool_shared_by_two_threads():
    with ThreadPool(2) as pool:

        def elsewhere():
            tasks = [pool.submit(blocking_sleep, 0.001) for _ in range(20)]
            joinall(tasks)
            return all(task.done for task in tasks)

        other = spawn(to_thread, elsewhere)
        assert list(pool.map(int, range(100))) == list(range(100))
        assert other.result(60)


def test_many_kills_leave_nothing_counted():
    with ThreadPool(3) as pool:
        for turn in range(200):
            tasks = [pool.submit(blocking_sleep, 0.0005) for _ in range(6)]
            sleep(0.0003 * (turn % 4))
            for task in tasks:
                task.kill()
            joinall(tasks)
        assert pool.call(int) == 0
    until(lambda: _scheduler.get().external == 0)
