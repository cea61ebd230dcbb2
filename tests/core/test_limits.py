"""Large numbers, and the recursion limit: the process goes on."""

import sys

import pytest
from children import output_of

import greenroom
from greenroom import Event, _config, joinall, sleep, spawn
from greenroom.core import native

# The checks of GREENROOM_DEBUG are O(tasks) a switch.
MANY = 300 if _config.DEBUG else 100_000

plain_poller_is_limited = pytest.mark.skipif(
    not native.compiled() or _config.POLLER == "selectors",
    reason="a known limit of the plain poller: docs/design.md",
)


def recurse():
    return recurse()


def test_recursion_to_the_limit_in_a_task_fails_that_task_alone():
    other = spawn(sleep)
    task = spawn(recurse)
    with pytest.raises(RecursionError):
        task.result()
    assert other.join() and spawn(int, 3).result() == 3


def test_recursion_limit_is_each_task_s_own(clock):
    limit = sys.getrecursionlimit()

    def dive(depth):
        if depth:
            return dive(depth - 1)
        sleep(1)
        return True

    tasks = [spawn(dive, limit // 2) for _ in range(10)]
    assert [task.result() for task in tasks] == [True] * 10


@plain_poller_is_limited
def test_a_task_that_waits_at_each_level_down_to_the_limit_fails_alone():
    """Symptom: the error of the deep task was raised in main, out of the scheduler's loop."""
    lines = output_of(
        """
        import greenroom
        from greenroom import sleep, spawn
        def dive():
            sleep(0.00001)
            dive()
        other = spawn(lambda: [sleep(0.00001) for _ in range(100)])
        task = spawn(dive)
        task.observed = True
        print(other.join(), task.join(), type(task.exception).__name__)
        """
    )
    assert lines == ["True True RecursionError"]


@plain_poller_is_limited
def test_result_of_an_offloaded_call_survives_a_poll_on_a_stack_at_its_limit():
    """The loop runs on the stack of whoever waits, which may have no level left."""
    lines = output_of(
        """
        import greenroom, logging
        from greenroom import sleep, spawn
        from greenroom.core import offload
        def deep():
            try:
                deep()
            except RecursionError:
                for _ in range(3):
                    try:
                        sleep(0.002)
                    except RecursionError:
                        pass
                raise
        task = spawn(deep)
        task.observed = True
        callers = [spawn(offload.call, int, number) for number in range(50)]
        print([caller.result(timeout=60) for caller in callers] == list(range(50)))
        task.kill()
        print(task.join(60))
        """
    )
    assert lines == ["True", "True"]


def test_100_000_tasks_alive_at_once(clock):
    event = Event()
    tasks = [spawn(event.wait) for _ in range(MANY)]
    sleep()
    assert all(task.state_name == "parked" for task in tasks)
    event.set()
    assert len(joinall(tasks)) == MANY
    assert all(task.result() for task in tasks)


def test_100_000_tasks_killed_at_once(clock):
    cleaned = []

    def wait():
        try:
            sleep(1000)
        finally:
            cleaned.append(True)

    tasks = [spawn(wait) for _ in range(MANY)]
    sleep()
    for task in tasks:
        task.kill()
    joinall(tasks)
    assert len(cleaned) == MANY and clock.now() == 0


def test_100_000_tasks_killed_before_they_ran():
    ran = []
    tasks = [spawn(ran.append, number) for number in range(MANY)]
    for task in tasks:
        task.kill()
    joinall(tasks)
    assert ran == []


def test_100_000_joiners_of_one_task():
    event = Event()
    target = spawn(event.wait)
    joiners = [spawn(target.join) for _ in range(MANY)]
    sleep()
    event.set()
    joinall(joiners)
    assert all(joiner.result() for joiner in joiners)


def test_a_chain_of_done_callbacks_that_spawn_is_no_recursion():
    left = [1000]
    done = Event()

    def again(task):
        left[0] -= 1
        if left[0]:
            spawn(int).add_done_callback(again)
        else:
            done.set()

    spawn(int).add_done_callback(again)
    assert done.wait(10)


def test_errors_of_a_thousand_tasks_are_each_kept():
    def fail(number):
        raise ValueError(number)

    tasks = [spawn(fail, number) for number in range(1000)]
    for task in tasks:
        task.observed = True
    greenroom.joinall(tasks)
    assert [task.exception.args[0] for task in tasks] == list(range(1000))
