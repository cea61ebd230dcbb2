"""run(): the strict form. Nothing outlives it."""

import pytest

from greenroom import run, sleep, spawn
from greenroom.core import scheduler as _scheduler


def test_run_returns_what_the_function_returned():
    assert run(divmod, 7, 3) == (2, 1)


def test_run_waits_for_every_task(clock):
    ended = []

    def later():
        sleep(5)
        spawn(ended.append, "grandchild")

    run(lambda: spawn(later) and None)
    assert ended == ["grandchild"] and clock.now() == 5


def test_run_raises_what_the_function_raised_and_ends_the_others():
    cleaned = []

    def wait():
        try:
            sleep(1000)
        finally:
            cleaned.append(True)

    def program():
        spawn(wait)
        sleep()
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        run(program)
    assert cleaned == [True]


def test_run_inside_run_is_refused():
    def program():
        with pytest.raises(RuntimeError, match="a program has one"):
            run(int)
        return "went on"

    assert run(program) == "went on"


def test_run_in_a_task_is_refused():
    with pytest.raises(RuntimeError, match="cannot call run"):
        spawn(run, int).result()


def test_run_may_be_called_again_after_it_ended():
    assert [run(int, 1), run(int, 2)] == [1, 2]


def test_run_may_be_called_again_after_it_failed():
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 / 0)
    assert run(int, 3) == 3


def test_system_exit_inside_run_ends_the_others_and_is_raised():
    cleaned = []

    def wait():
        try:
            sleep(1000)
        finally:
            cleaned.append(True)

    def program():
        spawn(wait)
        sleep()
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        run(program)
    assert cleaned == [True]


def test_tasks_spawned_by_the_cleanup_of_a_failed_run_end_too():
    ran = []

    def wait():
        try:
            sleep(1000)
        finally:
            spawn(ran.append, "too late")

    def program():
        spawn(wait)
        sleep()
        raise ValueError

    with pytest.raises(ValueError):
        run(program)
    assert ran == ["too late"] and len(_scheduler.get().tasks()) == 1
