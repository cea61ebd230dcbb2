"""Condition and Barrier."""

import pytest

import greenroom
from greenroom import Barrier, BrokenBarrierError, Condition, Lock, RLock, joinall, sleep, spawn

both_locks = pytest.mark.parametrize("make", [Lock, RLock])


def test_notify_wakes_the_first_who_waits_in_order():
    condition, woken = Condition(), []

    def wait(name):
        with condition:
            condition.wait()
            woken.append(name)

    tasks = [spawn(wait, name) for name in range(4)]
    sleep()
    for count in (1, 2):
        with condition:
            condition.notify(count)
        sleep()
        sleep()
        sleep()
    assert woken == [0, 1, 2]
    with condition:
        condition.notify_all()
    joinall(tasks)
    assert woken == [0, 1, 2, 3]


def test_notify_without_waiters_is_not_remembered(clock):
    condition = Condition()
    with condition:
        condition.notify()
        assert condition.wait(timeout=1) is False


@both_locks
def test_lock_is_free_during_the_wait_and_held_after_it(make):
    condition = Condition(make())
    seen = []

    def wait():
        with condition:
            condition.wait()
            seen.append(spawn(condition.acquire, False).result())

    task = spawn(wait)
    sleep()
    with condition:
        condition.notify()
    task.join()
    assert seen == [False]
    assert condition.acquire(blocking=False)
    condition.release()


@both_locks
def test_kill_during_the_wait_takes_the_lock_back_before_it_raises(make):
    """Else `with condition:` would release a lock that is another's."""
    condition, order = Condition(make()), []

    def wait():
        with condition:
            try:
                condition.wait()
            finally:
                order.append("waiter holds it")

    task = spawn(wait)
    sleep()
    with condition:
        task.kill()
        sleep()
        sleep()
        order.append("main holds it")
    task.join()
    assert order == ["main holds it", "waiter holds it"]
    assert isinstance(task.exception, greenroom.TaskKilled)
    assert condition.acquire(blocking=False)
    condition.release()


@both_locks
def test_timeout_during_the_wait_takes_the_lock_back_however_long_that_takes(clock, make):
    condition = Condition(make())

    def wait():
        with condition:
            return condition.wait(timeout=1), clock.now()

    task = spawn(wait)
    sleep()
    with condition:
        sleep(10)
    assert task.result() == (False, 10)


def test_timeout_block_around_a_wait_leaves_the_lock_as_it_was(clock):
    condition = Condition(Lock())

    def wait():
        with pytest.raises(greenroom.Timeout), greenroom.timeout(1), condition:
            condition.wait()
        return condition.acquire(blocking=False)

    assert spawn(wait).result() is True


def test_wait_in_a_lock_taken_twice_gives_it_up_and_takes_it_back_twice():
    condition = Condition()

    def wait():
        with condition, condition:
            condition.wait()
        return True

    task = spawn(wait)
    sleep()
    with condition:
        condition.notify()
    assert task.result()
    assert spawn(condition.acquire, False).result()


def test_wait_for_returns_the_last_value_of_the_predicate(clock):
    condition, items = Condition(), []

    def wait(timeout):
        with condition:
            return condition.wait_for(lambda: items[0] if items else None, timeout)

    late = spawn(wait, 1)
    patient = spawn(wait, None)
    sleep(2)
    with condition:
        condition.notify_all()  # for nothing
    sleep()
    with condition:
        items.append("item")
        condition.notify_all()
    assert patient.result() == "item" and late.result() is None


def test_wait_and_notify_without_the_lock_are_refused():
    condition = Condition()
    for misuse in (condition.wait, condition.notify, condition.notify_all):
        with pytest.raises(RuntimeError, match="un-acquired lock"):
            misuse()


def test_killed_waiter_does_not_swallow_a_notify():
    condition, woken = Condition(), []

    def wait(name):
        with condition:
            condition.wait()
            woken.append(name)

    tasks = [spawn(wait, name) for name in "ab"]
    sleep()
    with condition:
        tasks[0].kill()
        condition.notify()
    joinall(tasks)
    assert woken == ["b"]


def test_barrier_lets_all_pass_together_each_with_a_number_of_its_own():
    barrier, passed = Barrier(3), []

    def party():
        for turn in range(3):
            number = barrier.wait()
            passed.append((turn, number))

    joinall([spawn(party) for _ in range(3)])
    assert [turn for turn, _ in passed] == [0] * 3 + [1] * 3 + [2] * 3
    assert sorted(passed) == [(turn, number) for turn in range(3) for number in range(3)]


def test_barrier_action_runs_once_before_they_go_on():
    order = []
    barrier = Barrier(2, action=lambda: order.append("action"))

    def party():
        barrier.wait()
        order.append("passed")

    joinall([spawn(party), spawn(party)])
    assert order == ["action", "passed", "passed"]


def test_barrier_action_that_raises_breaks_it():
    def action():
        raise ValueError("action")

    barrier = Barrier(2, action)
    first = spawn(barrier.wait)
    sleep()
    with pytest.raises(ValueError, match="action"):
        barrier.wait()
    with pytest.raises(BrokenBarrierError):
        first.result()
    assert barrier.broken


def test_barrier_is_broken_by_a_timeout(clock):
    barrier = Barrier(3)
    other = spawn(barrier.wait)
    sleep()
    assert barrier.n_waiting == 1
    with pytest.raises(BrokenBarrierError):
        barrier.wait(timeout=1)
    with pytest.raises(BrokenBarrierError):
        other.result()
    with pytest.raises(BrokenBarrierError):
        barrier.wait()
    assert barrier.broken and barrier.n_waiting == 0


def test_barrier_is_broken_by_a_kill():
    barrier = Barrier(3)
    tasks = [spawn(barrier.wait) for _ in range(2)]
    sleep()
    tasks[0].kill()
    with pytest.raises(BrokenBarrierError):
        tasks[1].result()
    tasks[0].join()
    assert barrier.broken


def test_barrier_after_reset_is_as_new():
    barrier = Barrier(2)
    early = spawn(barrier.wait)
    sleep()
    barrier.reset()
    with pytest.raises(BrokenBarrierError):
        early.result()
    assert not barrier.broken
    other = spawn(barrier.wait)
    assert sorted([barrier.wait(), other.result()]) == [0, 1]


def test_barrier_abort_wakes_all_with_an_error():
    barrier = Barrier(5)
    tasks = [spawn(barrier.wait) for _ in range(3)]
    sleep()
    barrier.abort()
    for task in tasks:
        with pytest.raises(BrokenBarrierError):
            task.result()


def test_barrier_passed_in_the_tick_of_a_kill_is_not_broken():
    barrier = Barrier(2)
    passed = []

    def party():
        barrier.wait()
        passed.append(True)

    task = spawn(party)
    sleep()
    barrier.wait()
    task.kill()
    task.join()
    assert passed == [True] and not barrier.broken


def test_barrier_needs_a_party():
    with pytest.raises(ValueError):
        Barrier(0)
