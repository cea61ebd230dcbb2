"""kill(): before the first switch, in each kind of wait, and level-triggered."""

import _thread
import os

import pytest

import greenroom
from greenroom import Cancelled, TaskKilled, joinall, sleep, spawn
from greenroom.core import offload
from greenroom.core import scheduler as _scheduler
from greenroom.core.timers import FOREVER


def test_kill_before_first_switch_runs_no_user_code():
    ran = []
    task = spawn(ran.append, 1)
    task.kill()
    task.join()
    assert ran == []
    with pytest.raises(TaskKilled, match="before it ran"):
        task.result()


def test_kill_returns_at_once_and_the_finally_blocks_run_at_the_next_switch():
    ran = []

    def wait():
        try:
            sleep(1000)
        finally:
            ran.append("finally")

    task = spawn(wait)
    sleep()
    task.kill()
    assert ran == []
    task.join()
    assert ran == ["finally"]


def test_killing_twice_and_killing_what_has_ended_does_nothing():
    task = spawn(sleep, 1000)
    sleep()
    task.kill()
    task.kill()
    task.join()
    task.kill()
    assert isinstance(task.exception, TaskKilled)
    ended = spawn(int)
    ended.join()
    ended.kill()
    assert ended.result() == 0


def test_kill_of_main_is_refused():
    with pytest.raises(ValueError, match="main task"):
        greenroom.current().kill()


def test_a_task_may_kill_itself_and_ends_at_its_next_wait():
    ran = []

    def suicide():
        greenroom.current().kill()
        ran.append("still running")
        sleep()
        ran.append("never")

    task = spawn(suicide)
    task.join()
    assert ran == ["still running"] and isinstance(task.exception, TaskKilled)


def test_a_killed_task_that_returns_without_waiting_has_its_result():
    def work():
        greenroom.current().kill()
        return 7

    assert spawn(work).result() == 7


def test_kill_wins_over_an_error_of_the_task_only_if_it_is_the_cancellation():
    def fail_in_cleanup():
        try:
            sleep(1000)
        finally:
            raise ValueError("cleanup")

    task = spawn(fail_in_cleanup)
    sleep()
    task.kill()
    with pytest.raises(ValueError, match="cleanup"):
        task.result()


def _full_queue_put():
    queue = greenroom.Queue(1)
    queue.put(1)
    queue.put(2)


def _lock():
    lock = greenroom.Lock()
    lock.acquire()
    lock.acquire()


def _rlock():
    lock = greenroom.RLock()
    greenroom.spawn(lock.acquire).join()
    lock.acquire()


def _condition():
    condition = greenroom.Condition()
    with condition:
        condition.wait()


def _unfinished():
    queue = greenroom.Queue()
    queue.put(1)
    queue.join()


def _read_pipe():
    read, write = os.pipe()
    try:
        _scheduler.get().wait_fd(read, False, FOREVER, True)
    finally:
        os.close(write)
        _scheduler.closing_fd(read)
        os.close(read)


WAITS = {
    "sleep": lambda: sleep(1000),
    "event": lambda: greenroom.Event().wait(),
    "result": lambda: greenroom.Result().get(),
    "lock": _lock,
    "rlock": _rlock,
    "semaphore": lambda: greenroom.Semaphore(0).acquire(),
    "condition": _condition,
    "barrier": lambda: greenroom.Barrier(2).wait(),
    "queue get": lambda: greenroom.Queue().get(),
    "queue put": _full_queue_put,
    "queue join": _unfinished,
    "simple queue get": lambda: greenroom.SimpleQueue().get(),
    "join main": lambda: _scheduler.get().main.join(),
    "read": _read_pipe,
}


@pytest.mark.parametrize("name", WAITS)
def test_kill_while_parked_raises_cancelled_there(name):
    caught = []

    def wait():
        try:
            WAITS[name]()
        except Cancelled as error:
            caught.append(error)
            raise

    task = spawn(wait)
    for _ in range(3):
        sleep()
    assert task.state_name == "parked"
    task.kill()
    task.join()
    assert len(caught) == 1 and caught[0].scope is None
    assert isinstance(task.exception, TaskKilled)


@pytest.mark.parametrize("name", WAITS)
def test_kill_before_the_wait_keeps_the_task_from_parking(name):
    def wait():
        greenroom.current().kill()
        WAITS[name]()

    task = spawn(wait)
    for _ in range(3):
        sleep()
    assert task.done and isinstance(task.exception, TaskKilled)


def test_kill_is_level_triggered_a_swallowed_cancellation_comes_back():
    caught = []

    def stubborn():
        for _ in range(3):
            try:
                sleep(1000)
            except BaseException as error:
                caught.append(type(error))
        greenroom.Event().wait()

    task = spawn(stubborn)
    sleep()
    task.kill()
    task.join()
    assert caught == [Cancelled] * 3 and isinstance(task.exception, TaskKilled)


def test_except_exception_does_not_catch_the_cancellation():
    def careless():
        while True:
            try:
                sleep(1000)
            except Exception:
                pass

    task = spawn(careless)
    sleep()
    task.kill()
    assert task.join(5)


def test_kill_during_an_offloaded_call_drops_what_comes_of_it():
    lock = _thread.allocate_lock()
    lock.acquire()
    task = spawn(offload.call, lock.acquire)
    sleep()
    task.kill()
    task.join()
    assert isinstance(task.exception, TaskKilled)
    lock.release()
    assert offload.call(int) == 0


def test_killed_waiters_stand_in_no_queue_any_more():
    event = greenroom.Event()
    tasks = [spawn(event.wait) for _ in range(3)]
    sleep()
    assert "3 waiting" in repr(event)
    tasks[1].kill()
    assert "2 waiting" in repr(event)
    event.set()
    joinall(tasks)
    assert [task.exception is None for task in tasks] == [True, False, True]


def test_kill_reaches_the_task_through_a_wait_of_a_wait():
    inner = spawn(sleep, 1000)
    outer = spawn(inner.join)
    sleep()
    outer.kill()
    outer.join()
    assert not inner.done
    inner.kill()
    inner.join()
