"""TaskGroup: no child outlives the block, no error is lost, a cancel reaches all."""

import _thread
import contextvars
import gc
import traceback

import pytest
from patch.children import output_of

from greenroom import (
    Cancelled,
    CancelScope,
    Event,
    Lock,
    Queue,
    TaskGroup,
    TaskKilled,
    Timeout,
    current,
    move_on_after,
    sleep,
    spawn,
    timeout,
)


def fail(error=ValueError, seconds=0):
    sleep(seconds)
    raise error(f"after {seconds} s")


class Sleeper:
    """A child that sleeps for long and tells how it ended."""

    def __init__(self):
        self.ended = None

    def __call__(self, cleanup=0):
        try:
            sleep(1000)
        except BaseException as error:
            self.ended = type(error)
            if cleanup:
                with CancelScope(shield=True):
                    sleep(cleanup)
            raise


def test_the_block_is_left_when_all_children_have_ended(clock):
    with TaskGroup() as group:
        tasks = [group.spawn(sleep, seconds) for seconds in (3, 1, 2)]
    assert clock.now() == 3 and all(task.done for task in tasks)


def test_a_group_without_children_does_not_switch():
    ran = []
    spawn(ran.append, 1)
    with TaskGroup():
        pass
    assert ran == []
    sleep()


def test_spawn_returns_a_task_with_its_result_and_name(clock):
    with TaskGroup() as group:
        task = group.spawn(lambda a, b: a + b, 1, 2, name="adder")
        assert task.result() == 3 and task.name == "adder"


def test_spawn_soon_returns_nothing_and_its_error_is_the_group_s(clock):
    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        assert group.spawn_soon(fail, KeyError) is None
    assert [type(error) for error in caught.value.exceptions] == [KeyError]


def test_a_lone_child_s_error_leaves_in_a_group_too(clock):
    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        group.spawn(fail)
    (error,) = caught.value.exceptions
    assert isinstance(error, ValueError)
    names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert names[-1] == "fail"
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_first_error_cancels_the_block_and_the_other_children(clock):
    sleeper = Sleeper()
    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        other = group.spawn(sleeper)
        group.spawn(fail, ValueError, 2)
        sleep(1000)
    assert len(caught.value.exceptions) == 1 and clock.now() == 2
    assert sleeper.ended is Cancelled and isinstance(other.exception, TaskKilled)
    assert "was cancelled with its group" in str(other.exception)
    sleep(1)  # nothing of it is left


def test_errors_raised_while_being_cancelled_are_in_the_group_too(clock):
    def fail_in_cleanup():
        try:
            sleep(1000)
        finally:
            raise OSError

    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        group.spawn(fail_in_cleanup)
        group.spawn(fail)
    assert [type(error) for error in caught.value.exceptions] == [ValueError, OSError]


def test_error_of_the_block_cancels_the_children_and_is_in_the_group(clock):
    sleeper = Sleeper()
    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        group.spawn(sleeper)
        sleep(1)
        raise KeyError("of the block")
    assert [type(error) for error in caught.value.exceptions] == [KeyError]
    assert sleeper.ended is Cancelled


def test_the_exit_waits_for_cleanup_of_cancelled_children(clock):
    with pytest.raises(ExceptionGroup), TaskGroup() as group:
        group.spawn(Sleeper(), 5)
        group.spawn(fail)
    assert clock.now() == 5


def test_error_that_the_block_takes_from_result_counts_once(clock):
    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        group.spawn(fail).result()
    assert len(caught.value.exceptions) == 1


def test_error_that_is_no_exception_makes_a_base_exception_group(clock):
    class Odd(BaseException):
        pass

    with pytest.raises(BaseExceptionGroup) as caught, TaskGroup() as group:
        group.spawn(fail, Odd)
        group.spawn(fail)
    assert not isinstance(caught.value, ExceptionGroup)
    assert {type(error) for error in caught.value.exceptions} == {Odd, ValueError}


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_interrupt_raised_by_a_child_is_raised_as_it_is(clock, kind, caplog):
    sleeper = Sleeper()
    with pytest.raises(kind), TaskGroup() as group:
        group.spawn(sleeper)
        group.spawn(fail, kind)
        group.spawn(fail, ValueError)
        sleep(1000)
    assert sleeper.ended is Cancelled
    assert "has this error besides" in caplog.text and "ValueError" in caplog.text
    sleep(1)  # main was not interrupted besides


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_interrupt_raised_by_the_block_is_raised_as_it_is(clock, kind):
    sleeper = Sleeper()
    with pytest.raises(kind), TaskGroup() as group:
        group.spawn(sleeper)
        sleep()
        raise kind
    assert sleeper.ended is Cancelled


def test_ctrl_c_while_the_exit_waits_cancels_the_children(clock):
    sleeper = Sleeper()
    main = current()
    with pytest.raises(KeyboardInterrupt), TaskGroup() as group:
        group.spawn(sleeper, 3)
        spawn(lambda: (sleep(1), main.scheduler.throw(main, KeyboardInterrupt())))
    assert sleeper.ended is Cancelled and clock.now() == 4


# --- cancel()


def test_cancel_ends_children_and_block_quietly(clock):
    sleeper, after = Sleeper(), []
    with TaskGroup() as group:
        group.spawn(sleeper)
        sleep(1)
        group.cancel()
        sleep(1)
        after.append("never")
    assert sleeper.ended is Cancelled and after == [] and clock.now() == 1


def test_a_child_may_cancel_its_group(clock):
    with TaskGroup() as group:
        group.spawn(Sleeper())
        group.spawn(group.cancel)
    assert clock.now() == 0


def test_cancel_while_the_exit_waits(clock):
    sleeper = Sleeper()
    with TaskGroup() as group:
        group.spawn(sleeper)
        spawn(lambda: (sleep(2), group.cancel()))
    assert sleeper.ended is Cancelled and clock.now() == 2


def test_cancel_from_another_thread():
    with TaskGroup() as group:
        task = group.spawn(Event().wait, 60)
        _thread.start_new_thread(group.cancel, ())
    assert isinstance(task.exception, TaskKilled)


def test_children_meet_the_cancel_at_every_wait(clock):
    turns = []

    def stubborn():
        for _ in range(3):
            try:
                sleep(1)
            except Cancelled:
                turns.append(clock.now())

    with TaskGroup() as group:
        group.spawn(stubborn)
        sleep()
        group.cancel()
    assert turns == [0, 0, 0]


def test_a_child_that_has_not_run_runs_up_to_its_first_wait(clock):
    ran = []

    def child():
        ran.append("given back")
        sleep(1)
        ran.append("never")

    with TaskGroup() as group:
        group.spawn(child)
        group.cancel()
        group.spawn(child)
    assert ran == ["given back", "given back"]


def test_error_of_the_block_after_cancel_is_raised(clock):
    with pytest.raises(ExceptionGroup), TaskGroup() as group:
        group.cancel()
        raise ValueError


def test_cancel_after_the_end_does_nothing(clock):
    with TaskGroup() as group:
        pass
    group.cancel()
    sleep(1)


def test_a_group_cancelled_before_it_is_entered(clock):
    group = TaskGroup()
    group.cancel()
    with group:
        group.spawn(sleep, 10)
        sleep(10)
    assert clock.now() == 0


# --- cancelled from outside


def test_kill_of_the_block_s_task_cancels_the_children_and_waits(clock):
    sleeper = Sleeper()

    def work():
        with TaskGroup() as group:
            group.spawn(sleeper, 3)
            sleep(1000)

    task = spawn(work)
    sleep(1)
    task.kill()
    task.join()
    assert sleeper.ended is Cancelled and clock.now() == 4
    assert isinstance(task.exception, TaskKilled)


def test_kill_while_the_exit_waits(clock):
    sleeper = Sleeper()

    def work():
        with TaskGroup() as group:
            group.spawn(sleeper, 3)

    task = spawn(work)
    sleep(1)
    task.kill()
    task.join()
    assert sleeper.ended is Cancelled and clock.now() == 4
    assert isinstance(task.exception, TaskKilled)


def test_timeout_around_a_group(clock):
    sleeper = Sleeper()
    with pytest.raises(Timeout), timeout(2), TaskGroup() as group:
        group.spawn(sleeper, 3)
    assert sleeper.ended is Cancelled and clock.now() == 5


def test_scope_around_a_group(clock):
    with CancelScope() as scope:
        with TaskGroup() as group:
            group.spawn(Sleeper())
            group.spawn(scope.cancel)
            sleep(1000)
        raise AssertionError("the cancel went no further than the group")
    assert scope.cancelled_caught


def test_scope_inside_the_block_does_not_concern_the_children(clock):
    with TaskGroup() as group:
        task = group.spawn(sleep, 5)
        with move_on_after(1) as scope:
            sleep(10)
    assert scope.cancelled_caught and task.exception is None and clock.now() == 5


def test_shield_around_a_group_keeps_kill_from_the_children(clock):
    def work():
        with CancelScope(shield=True), TaskGroup() as group:
            group.spawn(sleep, 5)

    task = spawn(work)
    sleep(1)
    task.kill()
    task.join()
    assert clock.now() == 5 and task.exception is None


def test_error_of_a_child_wins_over_an_outer_cancel_which_the_next_wait_meets(clock):
    def fail_in_cleanup():
        try:
            sleep(1000)
        finally:
            raise OSError

    with CancelScope() as scope:
        with pytest.raises(ExceptionGroup), TaskGroup() as group:
            group.spawn(fail_in_cleanup)
            sleep()
            scope.cancel()
            sleep()
        sleep(1)
    assert scope.cancelled_caught and clock.now() == 0


def test_nested_groups_inner_is_cancelled_with_the_outer(clock):
    sleeper = Sleeper()

    def child():
        with TaskGroup() as inner:
            inner.spawn(sleeper)

    with TaskGroup() as outer:
        outer.spawn(child)
        sleep(1)
        outer.cancel()
    assert sleeper.ended is Cancelled and clock.now() == 1


def test_nested_groups_error_of_the_inner_leaves_through_the_outer(clock):
    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as outer:
        outer.spawn(Sleeper())
        with TaskGroup() as inner:
            inner.spawn(fail)
    assert isinstance(caught.value.exceptions[0], ExceptionGroup)


# --- children


def test_a_child_killed_by_itself_is_no_error(clock):
    with TaskGroup() as group:
        task = group.spawn(sleep, 1000)
        other = group.spawn(sleep, 1)
        sleep()
        task.kill()
    assert isinstance(task.exception, TaskKilled) and other.exception is None


def test_a_child_killed_before_it_ran_is_no_error(clock):
    with TaskGroup() as group:
        group.spawn(sleep, 1000).kill()
    assert clock.now() == 0


def test_a_child_that_asks_for_the_result_of_a_killed_task_fails(clock):
    task = spawn(sleep, 1000)
    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        group.spawn(task.result)
        sleep()
        task.kill()
    assert isinstance(caught.value.exceptions[0], TaskKilled)


def test_children_spawn_siblings_even_while_the_exit_waits(clock):
    ended = []

    def child(depth):
        sleep(1)
        if depth:
            group.spawn(child, depth - 1)
        ended.append(depth)

    with TaskGroup() as group:
        group.spawn(child, 3)
    assert ended == [3, 2, 1, 0]


def test_children_run_in_a_copy_of_the_caller_s_context(clock):
    variable = contextvars.ContextVar("variable", default=0)
    seen = []

    def child():
        seen.append(variable.get())
        variable.set(5)

    variable.set(1)
    with TaskGroup() as group:
        group.spawn(child)
    assert seen == [1] and variable.get() == 1
    with TaskGroup() as group:
        context = contextvars.Context()
        group.spawn(child, context=context)
    assert seen == [1, 0] and context[variable] == 5


def test_a_thousand_children_one_fails(clock):
    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        tasks = [group.spawn(sleep, 1000) for _ in range(1000)]
        group.spawn(fail, ValueError, 1)
    assert len(caught.value.exceptions) == 1
    assert all(isinstance(task.exception, TaskKilled) for task in tasks)


def test_what_a_child_holds_is_free_after_a_failure(clock):
    lock, queue = Lock(), Queue()

    def hold():
        with lock:
            queue.get()

    with pytest.raises(ExceptionGroup), TaskGroup() as group:
        group.spawn(hold)
        group.spawn(hold)
        group.spawn(fail, ValueError, 1)
    assert not lock.locked()
    queue.put(1)
    assert queue.qsize() == 1


# --- wrong use


def test_spawn_after_the_end_is_refused(clock):
    with TaskGroup() as group:
        pass
    with pytest.raises(RuntimeError, match="its block has ended"):
        group.spawn(sleep)


def test_spawn_before_it_is_entered_is_refused():
    with pytest.raises(RuntimeError, match="enter it first"):
        TaskGroup().spawn(sleep)


def test_spawn_from_another_thread_is_refused():
    errors = Queue()

    def other():
        try:
            group.spawn(sleep)
        except BaseException as error:
            errors.put(error)

    with TaskGroup() as group:
        _thread.start_new_thread(other, ())
        error = errors.get(timeout=60)
    assert isinstance(error, RuntimeError) and "from another thread" in str(error)


def test_entering_it_again_is_refused():
    group = TaskGroup()
    with group, pytest.raises(RuntimeError, match="make one for each block"), group:
        pass
    with pytest.raises(RuntimeError, match="make one for each block"), group:
        pass


def test_left_by_another_task_its_children_are_cancelled(clock):
    group, sleeper = TaskGroup(), Sleeper()

    def enter():
        group.__enter__()
        group.spawn(sleeper)
        sleep(5)

    task = spawn(enter)
    sleep(1)
    with pytest.raises(RuntimeError, match="and is left by"):
        group.__exit__(None, None, None)
    task.join()
    assert sleeper.ended is Cancelled


def test_generator_that_holds_a_group_is_closed(clock):
    sleeper = Sleeper()

    def numbers():
        with TaskGroup() as group:
            group.spawn(sleeper)
            yield 1

    generator = numbers()
    next(generator)
    sleep(1)
    generator.close()
    assert sleeper.ended is Cancelled and clock.now() == 1


def test_children_that_wait_for_ever_are_a_deadlock_and_are_cancelled():
    # In a child: a thread of another test that is just ending might still wake one.
    assert output_of("""
        from greenroom import Event, TaskGroup
        def wait():
            try:
                Event().wait()
            finally:
                print("finally")
        try:
            with TaskGroup() as group:
                group.spawn(wait)
        except* Exception as caught:
            print([type(error).__name__ for error in caught.exceptions])
    """) == ["finally", "['DeadlockError']"]


def test_repr_counts_the_children(clock):
    with TaskGroup() as group:
        assert "0 children" in repr(group)
        group.spawn(sleep)
        assert "1 child>" in repr(group)
    assert repr(group).endswith("closed>")


def test_a_group_and_its_children_are_not_garbage(clock):
    gc.collect()
    with TaskGroup() as group:
        for _ in range(10):
            group.spawn(sleep, 1)
    del group
    assert gc.collect() == 0
