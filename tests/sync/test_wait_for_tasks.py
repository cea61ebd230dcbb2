"""joinall, wait, as_completed."""

import pytest

from greenroom import as_completed, joinall, sleep, spawn, wait


def nap(seconds):
    sleep(seconds)
    return seconds


def fail_after(seconds):
    sleep(seconds)
    raise ValueError(seconds)


def end(tasks):
    for task in tasks:
        task.kill()
    joinall(tasks)


def test_joinall_returns_the_tasks_in_the_order_given(clock):
    tasks = [spawn(nap, seconds) for seconds in (3, 1, 2)]
    assert joinall(tasks) == tasks and clock.now() == 3


def test_joinall_of_nothing_returns_at_once():
    assert joinall([]) == []


def test_joinall_takes_any_iterable(clock):
    task = spawn(nap, 1)
    assert joinall(each for each in (task,)) == [task]


def test_joinall_with_a_timeout_returns_those_that_have_ended(clock):
    tasks = [spawn(nap, seconds) for seconds in (5, 1, 9, 2)]
    assert joinall(tasks, timeout=3) == [tasks[1], tasks[3]]
    assert clock.now() == 3
    joinall(tasks)


def test_joinall_does_not_raise_what_the_tasks_failed_with(clock, caplog):
    tasks = [spawn(fail_after, 1), spawn(nap, 2)]
    assert joinall(tasks) == tasks


def test_joinall_with_raise_error_raises_the_first_failure_as_soon_as_it_happens(clock):
    tasks = [spawn(nap, 9), spawn(fail_after, 3), spawn(fail_after, 2)]
    with pytest.raises(ValueError, match="2"):
        joinall(tasks, raise_error=True)
    assert clock.now() == 2
    for task in tasks:
        task.observed = True
    end(tasks)


def test_joinall_of_what_is_no_task_is_one_clear_sentence():
    with pytest.raises(TypeError, match="it is not a Task"):
        joinall([print])


def test_wait_for_any_returns_the_first_and_the_rest(clock):
    tasks = [spawn(nap, seconds) for seconds in (3, 1, 2)]
    done, pending = wait(tasks, "any")
    assert done == [tasks[1]] and pending == [tasks[0], tasks[2]] and clock.now() == 1
    joinall(tasks)


def test_wait_for_a_number_returns_them_in_the_order_of_their_ends(clock):
    tasks = [spawn(nap, seconds) for seconds in (3, 1, 2)]
    done, pending = wait(tasks, 2)
    assert done == [tasks[1], tasks[2]] and pending == [tasks[0]]
    joinall(tasks)


def test_wait_for_all_and_for_none(clock):
    tasks = [spawn(nap, seconds) for seconds in (3, 1)]
    assert wait(tasks, 0) == ([], tasks) and clock.now() == 0
    assert wait(tasks) == ([tasks[1], tasks[0]], [])
    assert wait(tasks, "any")[0] == tasks
    assert wait([]) == ([], []) == wait([], "any")


def test_wait_with_a_timeout_returns_what_there_is(clock):
    tasks = [spawn(nap, seconds) for seconds in (3, 1)]
    assert wait(tasks, timeout=2) == ([tasks[1]], [tasks[0]])
    joinall(tasks)


def test_wait_for_more_than_there_are_is_refused():
    with pytest.raises(ValueError, match="cannot wait for 2 of 0"):
        wait([], 2)
    with pytest.raises(TypeError, match='"any" or "all"'):
        wait([], "some")


def test_as_completed_yields_in_the_order_of_the_ends(clock):
    tasks = [spawn(nap, seconds) for seconds in (3, 1, 2)]
    assert [task.result() for task in as_completed(tasks)] == [1, 2, 3]


def test_as_completed_yields_failed_and_killed_tasks_too(clock):
    tasks = [spawn(fail_after, 2), spawn(nap, 9)]
    sleep()
    tasks[1].kill()
    assert list(as_completed(tasks)) == [tasks[1], tasks[0]]


def test_as_completed_raises_when_the_time_is_over(clock):
    tasks = [spawn(nap, seconds) for seconds in (1, 5)]
    seen = []
    with pytest.raises(TimeoutError, match="1 of 2 tasks have not ended after 3 s"):
        for task in as_completed(tasks, timeout=3):
            seen.append(task)
    assert seen == [tasks[0]] and clock.now() == 3
    joinall(tasks)


def test_as_completed_that_is_left_early_leaves_no_callbacks(clock):
    tasks = [spawn(nap, seconds) for seconds in (1, 2)]
    steps = as_completed(tasks)
    assert next(steps) is tasks[0]
    steps.close()
    joinall(tasks)


def test_as_completed_counts_its_time_from_the_call_not_from_the_first_step(clock):
    task = spawn(nap, 5)
    steps = as_completed([task], timeout=3)
    sleep(2)
    with pytest.raises(TimeoutError):
        next(steps)
    assert clock.now() == 3
    task.join()
