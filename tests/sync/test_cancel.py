"""CancelScope, move_on_after, fail_after: scopes, from inside, from other tasks and threads."""

import _thread
import math

import pytest

import greenroom
from greenroom import (
    Cancelled,
    CancelScope,
    Event,
    Lock,
    Queue,
    TaskKilled,
    Timeout,
    current_time,
    fail_after,
    move_on_after,
    sleep,
    spawn,
    timeout,
)


def test_a_scope_that_nobody_cancels_changes_nothing(clock):
    with CancelScope() as scope:
        sleep(1)
    assert not scope.cancel_called and not scope.cancelled_caught
    assert scope.deadline == math.inf and scope.shield is False


def test_cancelling_the_scope_one_is_in_ends_the_next_wait(clock):
    ran = []
    with CancelScope() as scope:
        scope.cancel()
        ran.append("before the wait")
        sleep(1)
        ran.append("never")
    assert ran == ["before the wait"]
    assert scope.cancel_called and scope.cancelled_caught and clock.now() == 0
    sleep(1)


def test_another_task_cancels_a_wait(clock):
    with CancelScope() as scope:
        spawn(scope.cancel)
        Event().wait()
    assert scope.cancelled_caught


def test_every_further_wait_inside_raises(clock):
    turns = []
    with CancelScope() as scope:
        scope.cancel()
        for _ in range(3):
            try:
                sleep(1)
            except BaseException as error:
                turns.append(type(error))
    assert turns == [Cancelled] * 3 and not scope.cancelled_caught


def test_a_block_that_ends_by_itself_after_it_was_cancelled_is_no_error():
    with CancelScope() as scope:
        scope.cancel()
    assert scope.cancel_called and not scope.cancelled_caught


def test_error_of_the_block_wins_over_a_pending_cancel():
    with pytest.raises(ValueError), CancelScope() as scope:
        scope.cancel()
        raise ValueError
    assert not scope.cancelled_caught


def test_a_scope_cancelled_before_it_is_entered_lets_nothing_wait(clock):
    scope = CancelScope()
    scope.cancel()
    with scope:
        sleep(1)
    assert scope.cancelled_caught and clock.now() == 0


def test_cancelled_of_an_outer_scope_passes_the_inner_one(clock):
    with CancelScope() as outer:
        with CancelScope() as inner:
            outer.cancel()
            sleep(1)
        raise AssertionError("the inner scope caught it")
    assert outer.cancelled_caught and not inner.cancelled_caught


def test_outer_wins_when_both_are_cancelled(clock):
    with CancelScope() as outer:
        with CancelScope() as inner:
            inner.cancel()
            outer.cancel()
            sleep(1)
        raise AssertionError("the inner scope caught it")
    assert not inner.cancelled_caught


def test_inner_scope_ends_and_the_outer_goes_on(clock):
    with CancelScope() as outer:
        with CancelScope() as inner:
            inner.cancel()
            sleep(1)
        sleep(1)
    assert inner.cancelled_caught and not outer.cancel_called and clock.now() == 1


# --- shields


def test_shield_keeps_an_outer_cancel_from_a_parked_task(clock):
    with CancelScope() as outer:
        spawn(outer.cancel)
        with CancelScope(shield=True):
            sleep(1)
        assert clock.now() == 1
        sleep(1)
    assert outer.cancelled_caught and clock.now() == 1


def test_shield_keeps_an_outer_deadline_off(clock):
    with move_on_after(1) as outer:
        with CancelScope(shield=True):
            sleep(5)
        sleep(1)
    assert outer.cancelled_caught and clock.now() == 5


def test_shield_with_a_limit_of_its_own(clock):
    with CancelScope() as outer:
        outer.cancel()
        with move_on_after(2, shield=True) as inner:
            sleep(5)
        assert inner.cancelled_caught and clock.now() == 2
        sleep(1)
    assert outer.cancelled_caught


def test_shield_keeps_kill_off(clock):
    done = []

    def work():
        try:
            sleep(100)
        finally:
            with CancelScope(shield=True):
                sleep(1)
                done.append(clock.now())

    task = spawn(work)
    sleep()
    task.kill()
    task.join()
    assert done == [1] and isinstance(task.exception, TaskKilled)


def test_lifting_a_shield_lets_a_waiting_cancel_reach_a_parked_task(clock):
    shield = CancelScope(shield=True)

    def work():
        with CancelScope() as outer:
            spawn(outer.cancel)
            with shield:
                sleep(10)
        return outer.cancelled_caught, clock.now()

    task = spawn(work)
    sleep(3)
    shield.shield = False
    assert task.result() == (True, 3)


def test_lifting_a_shield_lets_a_deadline_through_again(clock):
    shield = CancelScope(shield=True)

    def work():
        with move_on_after(5), shield:
            sleep(100)
        return clock.now()

    task = spawn(work)
    sleep(3)
    shield.shield = False
    assert task.result() == 5


def test_raising_a_shield_around_a_parked_task_keeps_a_deadline_off(clock):
    shield = CancelScope()

    def work():
        with move_on_after(5), shield:
            came = Event().wait(timeout=10)
        return came, clock.now()

    task = spawn(work)
    sleep(3)
    shield.shield = True
    assert task.result() == (False, 10)


def test_raising_a_shield_in_the_tick_of_the_cancel_does_not_end_the_wait_as_a_timeout(clock):
    """Symptom: the wait without a timeout returned False, for its interruption was gone."""
    outer, shield, seen = CancelScope(), CancelScope(), []

    def work():
        with outer, shield:
            seen.append(Event().wait())

    task = spawn(work)
    sleep()
    outer.cancel()
    shield.shield = True
    task.join()
    assert seen == [] and outer.cancelled_caught


# --- deadlines


def test_deadline_in_the_past_cancels_the_first_wait(clock):
    clock.advance(10)
    with CancelScope(deadline=5) as scope:
        assert scope.cancel_called
        sleep(1)
    assert scope.cancelled_caught


def test_deadline_of_minus_infinity_is_over(clock):
    with CancelScope(deadline=-math.inf) as scope:
        sleep(1)
    assert scope.cancelled_caught


@pytest.mark.parametrize("moved_to", [2, 7])
def test_moving_the_deadline_reaches_a_task_parked_inside(clock, moved_to):
    scope = CancelScope(deadline=current_time() + 5)

    def work():
        with scope:
            Event().wait()
        return clock.now()

    task = spawn(work)
    sleep(1)
    scope.deadline = moved_to
    assert task.result() == moved_to and scope.cancelled_caught


def test_taking_the_deadline_away_from_a_parked_task(clock):
    scope = CancelScope(deadline=5)

    def work():
        with scope:
            return Event().wait(timeout=30), clock.now()

    task = spawn(work)
    sleep(1)
    scope.deadline = math.inf
    assert task.result() == (False, 30)


def test_moving_the_deadline_into_the_past_cancels_at_once(clock):
    scope = CancelScope()

    def work():
        with scope:
            Event().wait()
        return clock.now()

    task = spawn(work)
    sleep(1)
    scope.deadline = 0
    assert task.result() == 1


def test_a_wait_s_own_deadline_stays_when_the_scope_s_is_moved(clock):
    scope = CancelScope(deadline=50)

    def work():
        with scope:
            return Event().wait(timeout=5), clock.now()

    task = spawn(work)
    sleep(1)
    scope.deadline = 40
    assert task.result() == (False, 5)


def test_a_deadline_that_has_come_cannot_be_moved(clock):
    """Symptom: the wait it had woken returned False as if a timeout of its own were over."""
    scope, seen = CancelScope(deadline=5), []

    def work():
        with scope:
            seen.append(Event().wait())

    task = spawn(work)
    sleep()
    clock.advance(5)
    scope.deadline = 100
    task.join()
    assert seen == [] and scope.cancelled_caught and clock.now() == 5


def test_deadline_moved_after_the_timer_fired_and_before_the_task_ran(clock):
    scope, seen = CancelScope(deadline=5), []

    def move():
        scope.deadline = 100

    def work():
        with scope:
            seen.append(Event().wait())

    spawn(lambda: (sleep(5), move()))  # its timer was set first: it runs before the task
    task = spawn(work)
    task.join()
    assert seen == [] and scope.cancelled_caught


def test_move_on_after(clock):
    with move_on_after(2) as scope:
        sleep(10)
    assert scope.cancelled_caught and scope.cancel_called and clock.now() == 2


def test_move_on_after_none_is_no_limit(clock):
    with move_on_after(None) as scope:
        sleep(1_000_000)
    assert not scope.cancelled_caught


def test_move_on_after_counts_from_where_it_is_entered(clock):
    scope = move_on_after(2)
    sleep(10)
    with scope:
        sleep(5)
    assert clock.now() == 12


def test_move_on_after_may_be_entered_again(clock):
    scope = move_on_after(2)
    for _ in range(2):
        with scope:
            sleep(10)
        assert scope.cancelled_caught
    with scope:
        sleep(1)
    assert not scope.cancelled_caught and clock.now() == 5


def test_fail_after(clock):
    with pytest.raises(Timeout, match="not done after 2 s") as caught, fail_after(2) as scope:
        sleep(10)
    assert isinstance(caught.value, TimeoutError) and scope.cancelled_caught


def test_fail_after_that_is_cancelled_says_that_the_block_was_not_done(clock):
    with pytest.raises(Timeout, match="its scope was cancelled"), fail_after(2) as scope:
        scope.cancel()
        sleep(1)


def test_a_timeout_block_whose_deadline_is_moved(clock):
    with timeout(2) as limit:
        limit.deadline += 10
        sleep(5)
    assert clock.now() == 5


@pytest.mark.parametrize("deadline", ["soon", None, object()])
def test_a_deadline_of_a_wrong_type_is_refused(deadline):
    with pytest.raises(TypeError, match="a deadline is a number of seconds"):
        CancelScope(deadline=deadline)
    with CancelScope() as scope, pytest.raises(TypeError, match="a deadline is a number"):
        scope.deadline = deadline


def test_nan_is_refused():
    with pytest.raises(ValueError, match="not nan"):
        CancelScope(deadline=math.nan)


# --- nothing is lost


def test_item_and_cancel_in_one_tick_the_item_is_returned(clock):
    queue, scope, got = Queue(), CancelScope(), []

    def work():
        with scope:
            got.append(queue.get())
            sleep(1)

    task = spawn(work)
    sleep()
    queue.put("item")
    scope.cancel()
    task.join()
    assert got == ["item"] and scope.cancelled_caught


def test_cancel_and_item_in_one_tick_the_item_stays(clock):
    queue, scope = Queue(), CancelScope()

    def work():
        with scope:
            queue.get()

    task = spawn(work)
    sleep()
    scope.cancel()
    queue.put("item")
    task.join()
    assert queue.get_nowait() == "item"


def test_lock_handed_over_in_the_tick_of_the_cancel_is_released_by_its_owner(clock):
    lock, scope = Lock(), CancelScope()
    lock.acquire()

    def work():
        with scope, lock:
            sleep(1)

    task = spawn(work)
    sleep()
    lock.release()
    scope.cancel()
    task.join()
    assert not lock.locked() and scope.cancelled_caught


# --- threads


def test_cancel_from_another_thread_wakes_a_parked_task():
    with CancelScope() as scope:
        _thread.start_new_thread(scope.cancel, ())
        Event().wait(60)
    assert scope.cancelled_caught


def test_deadline_moved_from_another_thread():
    def move():
        scope.deadline = current_time()

    with CancelScope() as scope:
        _thread.start_new_thread(move, ())
        Event().wait(60)
    assert scope.cancelled_caught


def test_cancel_from_another_thread_does_not_pass_a_shield():
    done = Event()

    def cancel():
        outer.cancel()
        done.set()

    with CancelScope() as outer:
        with CancelScope(shield=True):
            _thread.start_new_thread(cancel, ())
            assert done.wait(60)
        sleep(1)
    assert outer.cancelled_caught


# --- wrong use


def test_entering_a_scope_twice_is_refused():
    with CancelScope() as scope, pytest.raises(RuntimeError, match="is entered already"), scope:
        pass
    with pytest.raises(RuntimeError, match="make one for each block"), scope:
        pass


def test_scope_entered_in_one_task_and_left_in_another(clock):
    scope = CancelScope(deadline=5)

    def work():
        scope.__enter__()
        sleep(100)
        return clock.now()

    task = spawn(work)
    sleep()
    with pytest.raises(RuntimeError, match=r"was entered by <Task work-\d+ .* and is left by"):
        scope.__exit__(None, None, None)
    assert task.result() == 100  # its deadline went with it


def test_generator_that_holds_a_scope_beyond_the_one_around_it(clock):
    def numbers():
        with move_on_after(1):
            yield 1

    generator = numbers()
    with pytest.raises(RuntimeError, match="leave the inner one first"), CancelScope():
        next(generator)
    sleep(10)
    generator.close()
    with CancelScope() as scope:
        scope.cancel()
        sleep(1)
    assert scope.cancelled_caught


def test_generator_of_a_task_that_has_ended_is_closed_in_silence(clock):
    def numbers():
        with move_on_after(1):
            yield 1

    generator = numbers()
    spawn(next, generator).join()
    generator.close()


def test_leaving_a_scope_that_was_not_entered_changes_nothing():
    with CancelScope() as outer:
        CancelScope().__exit__(None, None, None)
        outer.cancel()
        with pytest.raises(Cancelled):
            sleep(1)


def test_repr_says_what_became_of_it():
    scope = CancelScope()
    assert "not entered" in repr(scope)
    with scope:
        assert "entered" in repr(scope)
        scope.cancel()
    assert repr(scope).endswith("left, cancelled>")


def test_current_time_is_what_deadlines_are_counted_in(clock):
    before = current_time()
    greenroom.sleep(3)
    assert current_time() == before + 3
