"""Event and Result."""

import pytest

import greenroom
from greenroom import Event, Result, joinall, sleep, spawn


def test_wait_returns_at_once_when_the_flag_is_up():
    event = Event()
    assert not event.is_set()
    event.set()
    assert event.is_set() and event.wait() is True and event.wait(timeout=0) is True


def test_set_wakes_all_in_the_order_in_which_they_came():
    event, woken = Event(), []
    tasks = [spawn(lambda name=name: (event.wait(), woken.append(name))) for name in "abcd"]
    sleep()
    event.set()
    assert woken == []  # set() never switches
    joinall(tasks)
    assert woken == list("abcd")


def test_clear_lowers_the_flag_and_those_woken_before_stay_awake():
    event = Event()
    task = spawn(event.wait)
    sleep()
    event.set()
    event.clear()
    assert task.result() is True and not event.is_set()


def test_wait_with_a_timeout_says_whether_the_flag_came(clock):
    event = Event()
    assert event.wait(timeout=3) is False and clock.now() == 3
    spawn(lambda: (sleep(1), event.set()))
    assert event.wait(timeout=3) is True and clock.now() == 4


def test_event_repr_says_the_state():
    event = Event()
    assert "clear, 0 waiting" in repr(event)
    event.set()
    assert repr(event).endswith(": set>")


def test_result_gives_its_value_to_all():
    result = Result()
    tasks = [spawn(result.get) for _ in range(3)]
    sleep()
    assert not result.done
    result.set(7)
    assert result.done and [task.result() for task in tasks] == [7] * 3 and result.get() == 7


def test_result_raises_its_error_in_all():
    result = Result()
    task = spawn(result.get)
    sleep()
    result.set_error(ValueError("boom"))
    for get in (task.result, result.get, result.get):
        with pytest.raises(ValueError, match="boom"):
            get()


def test_result_comes_once():
    result = Result()
    result.set()
    assert result.get() is None
    with pytest.raises(RuntimeError, match="comes once"):
        result.set(1)
    with pytest.raises(RuntimeError, match="comes once"):
        result.set_error(ValueError())


def test_result_refuses_what_is_no_error():
    result = Result()
    with pytest.raises(TypeError, match="is an exception"):
        result.set_error("boom")
    assert not result.done


def test_result_with_a_timeout(clock):
    result = Result()
    with pytest.raises(TimeoutError, match="has not come after 2 s"):
        result.get(timeout=2)
    assert clock.now() == 2
    result.set(1)
    assert result.get(timeout=0) == 1


def test_kill_of_one_waiter_leaves_the_others_their_result():
    result = Result()
    tasks = [spawn(result.get) for _ in range(3)]
    sleep()
    tasks[1].kill()
    result.set("value")
    joinall(tasks)
    assert [task.result() for task in (tasks[0], tasks[2])] == ["value"] * 2
    assert isinstance(tasks[1].exception, greenroom.TaskKilled)
