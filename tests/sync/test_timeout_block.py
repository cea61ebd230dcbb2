"""timeout(): a time limit on a block of code."""

import pytest

import greenroom
from greenroom import Cancelled, Event, Lock, TaskKilled, Timeout, sleep, spawn, timeout


def test_block_that_waits_too_long_raises_a_timeout_error(clock):
    with pytest.raises(Timeout, match="not done after 2 s") as caught, timeout(2):
        sleep(5)
    assert isinstance(caught.value, TimeoutError)
    assert clock.now() == 2


def test_block_that_is_done_in_time_raises_nothing(clock):
    with timeout(2) as block:
        sleep(1)
    assert not block.expired
    sleep(10)


def test_block_that_is_late_but_does_not_wait_raises_nothing(clock):
    with timeout(2) as block:
        clock.advance(5)
    assert block.expired


def test_timeout_of_none_is_no_limit(clock):
    with timeout(None) as block:
        sleep(1_000_000)
    assert not block.expired


def test_timeout_of_zero_lets_nothing_wait(clock):
    ran = []
    with pytest.raises(Timeout), timeout(0):
        ran.append("before the wait")
        sleep(1)
    assert ran == ["before the wait"] and clock.now() == 0


def test_inner_timeout_is_raised_at_the_inner_block(clock):
    with timeout(5):
        with pytest.raises(Timeout, match="2 s"), timeout(2):
            sleep(10)
        sleep(1)
    assert clock.now() == 3


def test_outer_timeout_passes_through_the_inner_block(clock):
    inner = []
    with pytest.raises(Timeout, match="2 s"), timeout(2):
        try:
            with timeout(5):
                sleep(10)
        except Timeout:
            inner.append("wrong")
    assert inner == [] and clock.now() == 2


def test_outer_wins_when_both_are_over(clock):
    inner = []
    with pytest.raises(Timeout, match="the block was not done after 2 s"), timeout(2):
        try:
            with timeout(1):
                clock.advance(3)
                sleep(1)
        except Timeout:
            inner.append("wrong")
    assert inner == []


def test_both_with_the_same_deadline_are_the_outer_one_s(clock):
    inner = []
    with pytest.raises(Timeout), timeout(2):
        try:
            with timeout(2):
                sleep(10)
        except Timeout:
            inner.append("wrong")
    assert inner == []


@pytest.mark.parametrize("kind", [Exception, BaseException])
def test_swallowing_it_does_not_help_every_further_wait_raises(clock, kind):
    turns = []
    with pytest.raises(Timeout), timeout(1):
        for _ in range(3):
            try:
                sleep(10)
            except kind as error:
                turns.append(type(error))
        Event().wait()
    assert turns == ([Cancelled] * 3 if kind is BaseException else [])
    assert clock.now() == 1


def test_finally_blocks_that_wait_are_cut_short_too(clock):
    ran = []

    def work():
        try:
            sleep(10)
        finally:
            ran.append("cleanup")
            sleep(10)
            ran.append("never")

    with pytest.raises(Timeout), timeout(1):
        work()
    assert ran == ["cleanup"] and clock.now() == 1


def test_error_of_the_block_itself_passes_unchanged(clock):
    with pytest.raises(ValueError), timeout(1):
        raise ValueError


def test_wait_with_a_timeout_of_its_own_inside_a_block(clock):
    with timeout(5):
        assert Event().wait(timeout=2) is False
    with pytest.raises(Timeout), timeout(2):
        Event().wait(timeout=5)
    assert clock.now() == 4


def test_timeout_holds_for_its_task_only(clock):
    def work():
        sleep(10)
        return clock.now()

    with pytest.raises(Timeout), timeout(2):
        task = spawn(work)
        task.join()
    assert task.result() == 10


def test_lock_that_times_out_in_a_block_is_not_taken(clock):
    lock = Lock()
    lock.acquire()
    with pytest.raises(Timeout), timeout(1), lock:
        pass
    lock.release()
    assert not lock.locked()


def test_kill_inside_a_block_is_a_kill_not_a_timeout(clock):
    def work():
        with timeout(100):
            sleep(1000)

    task = spawn(work)
    sleep()
    task.kill()
    task.join()
    assert isinstance(task.exception, TaskKilled)


def test_kill_and_timeout_in_one_tick_is_a_kill(clock):
    def work():
        with timeout(1):
            sleep(1000)

    task = spawn(work)
    sleep()
    clock.advance(1)
    task.kill()
    task.join()
    assert isinstance(task.exception, TaskKilled)


def test_timeout_object_may_be_used_again(clock):
    limit = timeout(1)
    for _ in range(2):
        with pytest.raises(Timeout), limit:
            sleep(10)
    with limit:
        pass
    sleep(10)


def test_timeouts_of_a_thousand_nested_blocks(clock):
    def nest(depth):
        if depth == 0:
            sleep(10)
        with timeout(depth):
            nest(depth - 1)

    with pytest.raises(Timeout, match="after 1 s"):
        spawn(nest, 200).result()
    assert clock.now() == 1


def test_block_in_a_generator_that_outlives_the_block_around_it(clock):
    """Symptom: closing the generator put the block around it, long left, in force again."""

    def numbers():
        with timeout(50):
            yield 1

    def work():
        generator = numbers()
        with pytest.raises(RuntimeError, match="which was entered inside it"), timeout(5):
            next(generator)
        generator.close()
        sleep(100)
        return clock.now()

    assert spawn(work).result() == 100


def test_entering_a_block_inside_itself_is_refused():
    """Symptom: the next wait looked for ever through scopes that were their own parents."""
    limit = timeout(5)
    with pytest.raises(RuntimeError), limit, limit:
        pass


@pytest.mark.parametrize("seconds", ["soon", object()])
def test_length_of_a_wrong_type_is_refused(seconds):
    with pytest.raises(TypeError, match="a number of seconds or None"), timeout(seconds):
        pass


def test_timeout_inside_a_task_of_a_timeout_block_at_top_level(clock):
    def work():
        with timeout(1):
            greenroom.Queue().get()

    with timeout(10), pytest.raises(Timeout, match="1 s"):
        spawn(work).result()
