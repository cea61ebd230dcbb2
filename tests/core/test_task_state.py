"""What the interpreter keeps for a thread is kept for each task."""

import contextvars
import decimal
import sys

import pytest

from greenroom import joinall, sleep, spawn


def test_context_variables_stay_the_task_s_own_over_switches():
    var = contextvars.ContextVar("var", default=None)

    def work(value):
        var.set(value)
        for _ in range(3):
            sleep()
            assert var.get() == value
        return var.get()

    tasks = [spawn(work, number) for number in range(10)]
    assert [task.result() for task in tasks] == list(range(10))
    assert var.get() is None


def test_context_of_a_carrier_s_last_task_does_not_leak_into_the_next():
    var = contextvars.ContextVar("var", default="unset")
    spawn(var.set, "leak").join()
    assert spawn(var.get).result() == "unset"


def test_decimal_precision_is_the_task_s_own():
    def work(digits):
        decimal.setcontext(decimal.Context(prec=digits))
        sleep()
        return len(str(decimal.Decimal(1) / 3)) - 2

    tasks = [spawn(work, digits) for digits in (5, 10)]
    assert [task.result() for task in tasks] == [5, 10]


def test_exc_info_is_the_task_s_own():
    def handle(number):
        try:
            raise ValueError(number)
        except ValueError:
            for _ in range(3):
                sleep()
                assert sys.exc_info()[1].args == (number,)
            with pytest.raises(ValueError) as caught:
                raise
            return caught.value.args[0]

    tasks = [spawn(handle, number) for number in range(5)]
    assert [task.result() for task in tasks] == list(range(5))


def test_a_task_spawned_in_an_except_block_has_no_exception_in_flight():
    try:
        raise ValueError
    except ValueError:
        assert spawn(sys.exc_info).result() == (None, None, None)


def test_a_task_begins_with_no_exception_of_the_task_its_carrier_ran_before():
    def fail():
        raise ValueError

    for _ in range(3):
        task = spawn(fail)
        task.observed = True
        task.join()
        assert spawn(sys.exc_info).result() == (None, None, None)


def test_error_raised_in_one_task_has_no_context_of_another():
    def handle():
        try:
            raise ValueError("mine")
        except ValueError:
            sleep()
            sleep()

    def fail():
        raise KeyError("other")

    handler = spawn(handle)
    failing = spawn(fail)
    failing.observed = True
    joinall([handler, failing])
    assert failing.exception.__context__ is None


def test_recursion_depth_is_the_task_s_own():
    limit = sys.getrecursionlimit()

    def dive(depth, then):
        return dive(depth - 1, then) if depth else then()

    def shallow():
        return dive(limit // 2, int)

    def deep():
        return dive(limit * 3 // 4, lambda: spawn(shallow).result())

    assert spawn(deep).result() == 0


def test_generators_and_with_blocks_go_on_where_they_were(clock):
    def numbers():
        for number in range(3):
            sleep(1)
            yield number

    tasks = [spawn(list, numbers()) for _ in range(3)]
    assert [task.result() for task in tasks] == [[0, 1, 2]] * 3
    assert clock.now() == 3
