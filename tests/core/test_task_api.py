"""Task: what spawn returns, and what can be asked of it."""

import contextvars
import functools
import logging

import pytest
from children import output_of

import greenroom
from greenroom import TaskKilled, current, sleep, spawn


def boom():
    raise ValueError("boom")


def test_spawn_runs_nothing_until_the_caller_waits():
    ran = []
    task = spawn(ran.append, 1)
    assert ran == [] and not task.done
    task.join()
    assert ran == [1] and task.done


def test_tasks_first_run_in_the_order_of_their_spawns():
    ran = []
    tasks = [spawn(ran.append, number) for number in range(10)]
    greenroom.joinall(tasks)
    assert ran == list(range(10))


def test_result_is_what_the_function_returned():
    assert spawn(divmod, 7, 3).result() == (2, 1)


def test_result_raises_what_the_function_raised_each_time():
    task = spawn(boom)
    for _ in range(2):
        with pytest.raises(ValueError, match="boom"):
            task.result()


def test_exception_is_none_until_the_task_failed():
    task = spawn(boom)
    assert task.exception is None
    with pytest.raises(ValueError):
        task.result()
    assert isinstance(task.exception, ValueError)
    done = spawn(int)
    done.join()
    assert done.exception is None


def test_spawn_of_what_cannot_be_called_is_refused_at_once():
    with pytest.raises(TypeError, match="not callable"):
        spawn(3)


def test_keyword_arguments_travel_in_a_partial():
    assert spawn(functools.partial(int, "ff", base=16)).result() == 255


def test_join_does_not_raise_what_the_task_failed_with(caplog):
    task = spawn(boom)
    assert task.join() is True


def test_join_with_a_timeout_says_whether_the_task_ended(clock):
    task = spawn(sleep, 5)
    assert task.join(timeout=2) is False
    assert clock.now() == 2 and not task.done
    assert task.join(timeout=10) is True
    assert clock.now() == 5


def test_result_with_a_timeout_raises_timeout_error_and_the_task_goes_on(clock):
    task = spawn(sleep, 5)
    with pytest.raises(TimeoutError, match="has not ended after 1 s"):
        task.result(timeout=1)
    assert not task.done
    assert task.result() is None


def test_join_with_timeout_zero_does_not_wait_for_time(clock):
    task = spawn(sleep, 5)
    assert task.join(timeout=0) is False
    assert clock.now() == 0
    task.kill()
    task.join()


def test_a_task_cannot_join_itself():
    def join_myself():
        current().join()

    with pytest.raises(RuntimeError, match="its own end"):
        spawn(join_myself).result()


def test_many_tasks_may_join_one(clock):
    task = spawn(sleep, 1)
    joiners = [spawn(task.join) for _ in range(5)]
    assert [joiner.result() for joiner in joiners] == [True] * 5


def test_done_callback_gets_the_task_once_when_it_ends():
    seen = []
    task = spawn(int)
    task.add_done_callback(seen.append)
    assert seen == []
    task.join()
    sleep()
    assert seen == [task]


def test_done_callback_of_an_ended_task_is_called_at_once():
    seen = []
    task = spawn(int)
    task.join()
    task.add_done_callback(seen.append)
    assert seen == [task]


def test_done_callback_that_was_removed_is_not_called():
    seen = []
    task = spawn(int)
    task.add_done_callback(seen.append)
    task.add_done_callback(seen.append)
    assert task.remove_done_callback(seen.append) == 2
    assert task.remove_done_callback(seen.append) == 0
    task.join()
    assert seen == []


def test_done_callback_that_raises_is_logged_and_the_others_still_run(caplog):
    def bad(task):
        raise RuntimeError("bad callback")

    seen = []
    task = spawn(int)
    task.add_done_callback(bad)
    task.add_done_callback(seen.append)
    task.join()
    assert seen == [task]
    assert "bad callback" in caplog.text


@pytest.mark.parametrize("kind", ["SystemExit", "KeyboardInterrupt"])
def test_done_callback_that_raises_system_exit_stops_main_not_the_scheduler(kind):
    """Symptom: the carrier died with it, and after that no task could wait."""
    lines = output_of(
        f"""
        import greenroom
        from greenroom import sleep, spawn
        def stop(task):
            raise {kind}
        spawn(int).add_done_callback(stop)
        try:
            sleep(0.01)
            sleep(0.01)
        except {kind}:
            print("main was stopped")
        print(spawn(int, 5).result())
        """
    )
    assert lines == ["main was stopped", "5"]


def test_done_callback_is_called_for_a_killed_task_too():
    seen = []
    task = spawn(sleep, 1000)
    sleep()
    task.add_done_callback(seen.append)
    task.kill()
    task.join()
    assert seen == [task] and isinstance(task.exception, TaskKilled)


def test_done_callback_may_spawn_but_not_wait(caplog):
    ran = []

    def wait_in_callback(task):
        sleep(1)

    task = spawn(int)
    task.add_done_callback(lambda task: spawn(ran.append, 1))
    task.add_done_callback(wait_in_callback)
    task.join()
    sleep()
    assert ran == [1]
    assert "cannot wait for" in caplog.text


def test_name_is_made_of_the_function_and_a_number():
    task = spawn(boom)
    other = spawn(boom)
    assert task.name.startswith("boom-") and other.name != task.name
    for each in (task, other):
        each.kill()
        each.join()


def test_name_given_to_spawn_is_the_name():
    task = spawn(int, name="counter")
    assert task.name == "counter" and "counter" in repr(task)
    task.name = "other"
    assert task.name == "other"
    task.join()
    assert task.name == "other"


def test_name_of_a_callable_without_a_name_is_its_type():
    task = spawn(functools.partial(int, "1"))
    assert "partial" in task.name
    assert task.result() == 1


def test_repr_says_the_state_and_what_the_task_waits_on(clock):
    event = greenroom.Event()
    task = spawn(event.wait, name="waiter")
    assert repr(task) == "<Task waiter new>"
    sleep()
    assert repr(task).startswith("<Task waiter parked on <Event")
    event.set()
    assert repr(task) == "<Task waiter runnable>"
    task.join()
    assert repr(task) == "<Task waiter done>"


def test_repr_of_two_tasks_that_wait_for_each_other_ends():
    tasks = []
    for other in (1, 0):
        tasks.append(spawn(lambda other=other: tasks[other].join(), name=f"t{1 - other}"))
    sleep()
    assert "the end of <Task t1>" in repr(tasks[0])
    tasks[0].kill()
    greenroom.joinall(tasks)


def test_repr_of_a_failed_and_of_a_killed_task(caplog):
    failed = spawn(boom, name="a")
    killed = spawn(int, name="b")
    killed.kill()
    greenroom.joinall([failed, killed])
    assert repr(failed) == "<Task a done, failed>"
    assert repr(killed) == "<Task b done, killed>"


def test_current_is_the_running_task_and_main_outside():
    assert current().name == "main"
    task = spawn(current)
    assert task.result() is task


def test_context_is_copied_from_the_caller():
    var = contextvars.ContextVar("var", default=0)

    def change():
        before = var.get()
        var.set(99)
        sleep()
        return before, var.get()

    var.set(1)
    task = spawn(change)
    var.set(2)
    assert task.result() == (1, 99)
    assert var.get() == 2


def test_context_given_to_spawn_is_used_itself():
    var = contextvars.ContextVar("var", default=0)
    context = contextvars.copy_context()
    spawn(var.set, 7, context=context).join()
    assert context[var] == 7 and var.get() == 0


def test_context_that_is_entered_already_fails_the_task_alone():
    context = contextvars.copy_context()
    first = spawn(sleep, 0, context=context)
    second = spawn(int, context=context)
    first.join()
    with pytest.raises(RuntimeError, match="already entered"):
        second.result()


def test_error_that_nobody_collects_is_logged_with_its_traceback(caplog):
    spawn(boom, name="lonely").join()
    record = caplog.records[-1]
    assert record.name == "greenroom" and record.levelno == logging.ERROR
    assert "lonely" in record.getMessage() and "in boom" in caplog.text


@pytest.mark.parametrize("observe", ["result", "exception", "callback"])
def test_error_that_is_collected_is_not_logged(caplog, observe):
    task = spawn(boom)
    if observe == "result":
        with pytest.raises(ValueError):
            task.result()
    elif observe == "exception":
        assert task.exception is None
        task.join()
    else:
        task.add_done_callback(lambda task: None)
        task.join()
    assert not caplog.records


def test_kill_that_nobody_collects_is_not_logged(caplog):
    task = spawn(sleep, 1000)
    sleep()
    task.kill()
    task.join()
    assert not caplog.records


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_system_exit_and_keyboard_interrupt_in_a_task_are_raised_in_main(kind):
    def stop():
        raise kind

    task = spawn(stop)
    with pytest.raises(kind):
        sleep(1000)
    assert task.done and isinstance(task.exception, kind)


@pytest.mark.parametrize("seconds", [-1, -0.001, float("nan")])
def test_sleep_refuses_lengths_that_make_no_sense(seconds):
    with pytest.raises(ValueError, match="cannot sleep"):
        sleep(seconds)


def test_sleep_zero_lets_each_ready_task_run_once():
    ran = []

    def step(name):
        for turn in range(3):
            ran.append((turn, name))
            sleep()

    greenroom.joinall([spawn(step, name) for name in "abc"])
    assert ran == [(turn, name) for turn in range(3) for name in "abc"]


@pytest.mark.parametrize("timeout", ["soon", object()])
def test_timeout_of_a_wrong_type_is_one_clear_sentence(timeout):
    task = spawn(int)
    with pytest.raises(TypeError, match="a timeout is a number of seconds or None"):
        task.join(timeout)
    task.join()


def test_timeout_of_nan_is_refused():
    task = spawn(int)
    with pytest.raises(ValueError, match="nan"):
        task.join(float("nan"))
    task.join()
