"""CapacityLimiter: tokens, holders, a total that changes. RateLimiter: a rate never passed."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import greenroom
from greenroom import CapacityLimiter, RateLimiter, WouldBlock, current, joinall, sleep, spawn
from greenroom.sync.statistics import CapacityStatistics, RateStatistics
from greenroom.testing.clock import VirtualClock

# --- CapacityLimiter


def test_no_more_than_total_are_inside_first_come_first_served(clock):
    limiter = CapacityLimiter(2)
    entered = []

    def work(number):
        with limiter:
            entered.append((number, clock.now()))
            assert limiter.borrowed <= 2
            sleep(1)

    joinall([spawn(work, number) for number in range(5)])
    assert entered == [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2)]
    assert limiter.borrowed == 0 and limiter.available == 2


def test_main_is_named_as_a_task_in_errors():
    """It was called by the number of its thread."""
    limiter = CapacityLimiter(1)
    with pytest.raises(RuntimeError, match=r"^<Task main runnable> cannot give a token"):
        limiter.release()
    with limiter, pytest.raises(RuntimeError, match=r"^<Task main runnable> holds a token"):
        limiter.acquire()


def test_statistics_name_who_holds_and_who_waits(clock):
    limiter = CapacityLimiter(1)

    def work():
        with limiter:
            sleep(1)

    tasks = [spawn(work) for _ in range(3)]
    sleep(0.5)
    found = limiter.statistics()
    assert found == CapacityStatistics(1, 1, (tasks[0],), tuple(tasks[1:]))
    assert found.waiting.seconds == (0.5, 0.5)
    joinall(tasks)


def test_total_may_grow_and_shrink_in_use(clock):
    limiter = CapacityLimiter(1)
    inside = []

    def work():
        with limiter:
            inside.append(current())
            sleep(1)
            inside.remove(current())

    tasks = [spawn(work) for _ in range(6)]
    sleep(0.5)
    assert len(inside) == 1
    limiter.total = 3
    sleep(0)
    assert len(inside) == 3 and limiter.total == 3
    limiter.total = 1
    assert limiter.available == 0
    sleep(0.6)  # the first is out, 2 of 1 tokens are held
    assert len(inside) == 2
    sleep(0.5)  # these are out, one went in
    assert len(inside) == 1
    limiter.total = math.inf
    sleep(0)
    assert len(inside) == 3
    joinall(tasks)
    assert limiter.available == math.inf


def test_a_task_holds_one_token_and_gives_back_what_it_holds(clock):
    limiter = CapacityLimiter(2)
    with limiter:
        with pytest.raises(RuntimeError, match="holds a token"):
            limiter.acquire()
        assert limiter.borrowed == 1
    with pytest.raises(RuntimeError, match="it holds none"):
        limiter.release()
    limiter.acquire_for("a")
    limiter.acquire_for("b")
    with pytest.raises(WouldBlock):
        limiter.acquire_nowait()
    assert not limiter.acquire(timeout=1)
    assert clock.now() == 1
    limiter.release_for("a")
    limiter.acquire_nowait()


def test_two_that_wait_for_the_same_borrower_do_not_share_a_token(clock):
    limiter = CapacityLimiter(1)
    limiter.acquire_for("first")
    tasks = [spawn(limiter.acquire_for, "same") for _ in range(2)]
    for task in tasks:
        task.observed = True
    sleep()
    limiter.total = 3
    joinall(tasks)
    assert tasks[0].exception is None
    assert "holds a token" in str(tasks[1].exception)
    assert limiter.borrowed == 2


def test_a_kill_while_waiting_and_in_the_tick_of_the_hand_over(clock):
    limiter = CapacityLimiter(1)

    def work():
        with limiter:
            sleep(10)

    holder = spawn(work)
    waiting = [spawn(work) for _ in range(3)]
    sleep()
    waiting[0].kill()
    holder.kill()
    holder.join()  # the token is waiting[1]'s, which has not run
    waiting[1].kill()
    joinall(waiting)
    assert limiter.borrowed == 0 and clock.now() == 10


@pytest.mark.parametrize("total", [0, -1, 1.5, True, "4", math.nan])
def test_a_total_that_is_none(total):
    with pytest.raises(ValueError, match="1 or more"):
        CapacityLimiter(total)
    limiter = CapacityLimiter(1)
    with pytest.raises(ValueError, match="1 or more"):
        limiter.total = total


def test_a_limiter_of_two_real_threads():
    limiter = CapacityLimiter(2)
    inside, most = [], []

    def work():
        for _ in range(100):
            with limiter:
                inside.append(1)
                most.append(len(inside))
                sleep(0)
                inside.pop()

    def elsewhere():
        joinall([spawn(work) for _ in range(4)])

    tasks = [spawn(greenroom.to_thread, elsewhere) for _ in range(2)]
    joinall([*tasks, *(spawn(work) for _ in range(3))])
    assert len(most) == 1100 and max(most) <= 2 and limiter.borrowed == 0


@settings(max_examples=100)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["work", "kill", "total", "sleep"]), st.integers(1, 6)),
        max_size=30,
    )
)
def test_a_capacity_limiter_against_a_model(steps):
    with VirtualClock():
        limiter = CapacityLimiter(2)
        tasks, entered, allowed = [], [], [2]

        def work(number, seconds):
            with limiter:
                assert limiter.borrowed <= max(allowed)
                entered.append(number)
                sleep(seconds)

        for action, number in steps:
            if action == "work":
                tasks.append(spawn(work, len(tasks), number))
            elif action == "kill" and tasks:
                tasks[number % len(tasks)].kill()
            elif action == "total":
                allowed.append(number)
                limiter.total = number
            elif action == "sleep":
                sleep(number)
        joinall(tasks)
        served = {number for number, task in enumerate(tasks) if task.exception is None}
        assert served <= set(entered) and len(set(entered)) == len(entered)
        assert limiter.borrowed == 0 and limiter.statistics().waiting == ()
        for task in tasks:
            assert task.exception is None or isinstance(task.exception, greenroom.TaskKilled)


# --- RateLimiter


def test_callers_pass_evenly_spaced_first_come_first_served(clock):
    limiter = RateLimiter(2)
    passed = []

    def work(number):
        with limiter:
            passed.append((number, clock.now()))

    joinall([spawn(work, number) for number in range(4)])
    assert passed == [(0, 0), (1, 0.5), (2, 1), (3, 1.5)]


def test_a_burst_passes_at_once_after_a_pause(clock):
    limiter = RateLimiter(10, per=60, burst=3)
    assert limiter.statistics() == RateStatistics((), 3)
    times = []
    for _ in range(5):
        limiter.acquire()
        times.append(clock.now())
    assert times == [0, 0, 0, 6, 12]
    sleep(600)
    for _ in range(3):
        limiter.acquire_nowait()
    with pytest.raises(WouldBlock):
        limiter.acquire_nowait()
    assert limiter.statistics().available == 0


def test_a_caller_that_is_killed_leaves_no_gap(clock):
    limiter = RateLimiter(1)
    passed = []

    def work(number):
        limiter.acquire()
        passed.append((number, clock.now()))

    tasks = [spawn(work, number) for number in range(5)]
    sleep(0.5)
    found = limiter.statistics()
    assert found == RateStatistics(tuple(tasks[1:]), 0)
    assert found.waiting.seconds == (0.5,) * 4
    tasks[1].kill()  # the one that sleeps
    tasks[3].kill()  # one in the queue
    joinall(tasks)
    assert passed == [(0, 0), (2, 1), (4, 2)]


def test_a_turn_that_comes_too_late_is_not_waited_for(clock):
    limiter = RateLimiter(1)
    assert limiter.acquire(timeout=0)
    assert not limiter.acquire(timeout=0.5)
    assert clock.now() == 0
    assert limiter.acquire(timeout=1)
    assert clock.now() == 1
    sleeper = spawn(limiter.acquire)
    sleep(0.1)
    assert not limiter.acquire(timeout=0.5)  # behind one that sleeps longer
    assert clock.now() == 1.6
    sleeper.join()


@pytest.mark.parametrize(
    "wrong",
    [
        *({"rate": 0}, {"rate": -1}, {"rate": math.inf}, {"rate": "x"}, {"per": 0}, {"per": None}),
        *({"burst": 0}, {"burst": 1.5}),
    ],
)
def test_a_rate_that_is_none(wrong):
    with pytest.raises(ValueError, match=r"above 0|1 or more"):
        RateLimiter(**{"rate": 1, **wrong})


@settings(max_examples=150)
@given(
    rate=st.floats(0.1, 50),
    per=st.floats(0.1, 10),
    burst=st.integers(1, 5),
    callers=st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=40),
)
def test_in_no_stretch_of_time_does_it_let_more_pass(rate, per, burst, callers):
    passed = []
    with VirtualClock() as clock:
        limiter = RateLimiter(rate, per, burst)

        def call():
            limiter.acquire()
            passed.append(clock.now())

        tasks = []
        for pause, given_up in callers:
            sleep(pause)
            tasks.append(spawn(call))
            if given_up and len(tasks) > 3:
                tasks[-3].kill()
        joinall(tasks)
    assert passed == sorted(passed)
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            seconds = passed[last] - passed[first]
            assert last - first + 1 <= burst + rate * seconds / per + 1e-6
