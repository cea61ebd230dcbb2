"""Cancel scopes, time limits and groups of greenroom around an await."""

import asyncio
import threading

import pytest

import greenroom
from greenroom import (
    CancelScope,
    Event,
    TaskGroup,
    current_time,
    move_on_after,
    sleep,
    spawn,
    timeout,
)
from greenroom.core import scheduler as _scheduler


@pytest.fixture
def run(loop, clock):
    """Run a coroutine function to its end; then nothing of it is left."""

    def run(main):
        value = loop.run_until_complete(main())
        scheduler = _scheduler.get()
        assert scheduler.current.scope is None
        return value

    return run


def requests():
    return asyncio.current_task().cancelling()


def test_a_time_limit_ends_an_await(run):
    async def main():
        with pytest.raises(greenroom.Timeout, match=r"after 3 s"), timeout(3):
            await asyncio.sleep(100)
        assert (current_time(), requests()) == (3, 0)
        await asyncio.sleep(100)

    run(main)


def test_move_on_after_goes_on_after_the_block(run):
    async def main():
        with move_on_after(3) as limit:
            await asyncio.get_running_loop().create_future()
        assert limit.cancelled_caught
        assert (current_time(), requests()) == (3, 0)

    run(main)


def test_a_block_that_is_done_in_time_is_left_alone(run):
    async def main():
        with move_on_after(3) as limit:
            await asyncio.sleep(1)
        await asyncio.sleep(100)
        assert not limit.cancelled_caught and requests() == 0

    run(main)


def test_blocking_calls_and_awaits_share_one_limit(run):
    async def main():
        with move_on_after(3) as limit:
            sleep(1)
            await asyncio.sleep(1)
            sleep(100)
        assert limit.cancelled_caught and current_time() == 3
        with move_on_after(3) as limit:
            sleep(1)
            await asyncio.sleep(100)
        assert limit.cancelled_caught and current_time() == 6

    run(main)


def test_a_limit_that_was_left_does_not_end_a_later_blocking_call(run):
    async def main():
        with move_on_after(3):
            await asyncio.sleep(1)
        event = Event()
        spawn(lambda: (sleep(50), event.set()))
        assert event.wait() and current_time() == 51

    run(main)


def test_cancel_from_a_green_thread_a_coroutine_and_an_os_thread(run):
    async def cancel(scope):
        scope.cancel()

    async def main():
        for call in (
            lambda scope: spawn(scope.cancel),
            lambda scope: asyncio.create_task(cancel(scope)),
            lambda scope: threading.Thread(target=scope.cancel).start(),
        ):
            with CancelScope() as scope:
                kept = call(scope)
                await asyncio.get_running_loop().create_future()
            assert scope.cancelled_caught and requests() == 0
            del kept

    run(main)


def test_a_scope_cancelled_before_the_await_ends_it_at_once(run):
    async def main():
        with CancelScope() as scope:
            scope.cancel()
            await asyncio.sleep(100)
        assert scope.cancelled_caught and current_time() == 0
        with CancelScope() as scope:
            scope.cancel()
            await asyncio.sleep(0)
            raise AssertionError("a turn is a wait too")
        assert scope.cancelled_caught and requests() == 0

    run(main)


def test_every_further_await_inside_raises_again(run):
    """What swallows a CancelledError inside gets the next one at its next await."""
    seen = []

    async def main():
        with move_on_after(1) as limit:
            for number in range(3):
                try:
                    await asyncio.sleep(100)
                except asyncio.CancelledError:
                    seen.append(number)
            await asyncio.sleep(100)
        assert limit.cancelled_caught and seen == [0, 1, 2]
        assert (current_time(), requests()) == (1, 0)

    run(main)


def test_of_two_limits_that_are_over_the_outer_one_takes_it(run):
    async def main():
        with move_on_after(1) as outer, move_on_after(1) as inner:
            await asyncio.sleep(100)
        assert outer.cancelled_caught and not inner.cancelled_caught
        with move_on_after(2) as outer:
            with move_on_after(1) as inner:
                await asyncio.sleep(100)
            assert inner.cancelled_caught
            await asyncio.sleep(0.5)
        assert not outer.cancelled_caught and requests() == 0

    run(main)


def test_a_deadline_may_be_moved_while_it_is_awaited_in(run):
    async def main():
        with move_on_after(10) as limit:
            spawn(lambda: setattr(limit, "deadline", current_time() + 1))
            await asyncio.sleep(100)
        assert current_time() == 1
        with move_on_after(10) as limit:
            spawn(lambda: setattr(limit, "deadline", float("inf")))
            await asyncio.sleep(100)
        assert current_time() == 101 and not limit.cancelled_caught

    run(main)


def test_a_shield_keeps_the_outer_limit_from_the_await(run):
    async def main():
        with move_on_after(1) as limit:
            with CancelScope(shield=True):
                await asyncio.sleep(5)
            assert current_time() == 5
            await asyncio.sleep(100)
        assert limit.cancelled_caught and current_time() == 5

    run(main)


def test_asyncio_s_cancel_is_not_taken_for_the_scope_s(run):
    async def inner():
        with move_on_after(100):
            await asyncio.sleep(1000)
        raise AssertionError("it was taken for the limit's")

    async def main():
        task = asyncio.create_task(inner())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main)


def test_both_at_once_is_a_cancelled_task(run):
    async def inner():
        with CancelScope() as scope:
            scopes.append(scope)
            await asyncio.sleep(1000)
        raise AssertionError("the task's own cancel was lost")

    scopes = []

    async def main():
        for first in (0, 1):
            task = asyncio.create_task(inner())
            await asyncio.sleep(1)
            for turn in (first, 1 - first):
                (task, scopes[-1])[turn].cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    run(main)


def test_asyncio_s_timeout_inside_and_outside(run):
    async def main():
        with move_on_after(1) as limit:
            async with asyncio.timeout(50):
                await asyncio.sleep(100)
        assert limit.cancelled_caught and current_time() == 1
        with pytest.raises(TimeoutError), move_on_after(50) as limit:
            async with asyncio.timeout(1):
                await asyncio.sleep(100)
        assert not limit.cancelled_caught and (current_time(), requests()) == (2, 0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                with move_on_after(50):
                    await asyncio.sleep(100)
        assert (current_time(), requests()) == (3, 0)

    run(main)


def test_a_green_child_that_fails_ends_an_await_in_its_group(run):
    def fail():
        sleep(1)
        raise KeyError("child")

    async def main():
        with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
            group.spawn(fail)
            await asyncio.sleep(100)
        assert [type(error) for error in caught.value.exceptions] == [KeyError]
        assert (current_time(), requests()) == (1, 0)

    run(main)


def test_cancelling_a_task_that_awaits_in_a_green_group_cancels_the_children(run):
    ended = []

    def child():
        try:
            sleep(1000)
        finally:
            ended.append(True)

    async def inner():
        with TaskGroup() as group:
            group.spawn(child)
            await asyncio.sleep(1000)

    async def main():
        task = asyncio.create_task(inner())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended == [True] and current_time() == 1

    run(main)


def test_a_child_coroutine_is_cancelled_with_the_await_of_it(run):
    ended = []

    async def child():
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append(current_time())

    async def main():
        with move_on_after(2) as limit:
            await asyncio.create_task(child())
        assert limit.cancelled_caught and ended == [2]

    run(main)


def test_a_loop_that_stops_meanwhile_hears_of_the_deadline_when_it_runs_again(loop, clock):
    async def main():
        with move_on_after(1) as limit:
            await asyncio.sleep(1000)
        return limit.cancelled_caught, current_time()

    task = loop.create_task(main())
    loop.call_soon(loop.stop)
    loop.run_forever()
    sleep(5)
    assert not task.done()
    assert loop.run_until_complete(task) == (True, 5)


def test_so_it_does_in_another_thread(loop):
    async def main():
        with CancelScope() as scope:
            scopes.append(scope)
            await loop.create_future()
        return scope.cancelled_caught

    scopes = []
    task = loop.create_task(main())
    loop.call_soon(loop.stop)
    loop.run_forever()
    scopes[0].deadline = current_time() + 0.001
    found = []
    thread = threading.Thread(target=lambda: found.append(loop.run_until_complete(task)))
    thread.start()
    greenroom.to_thread(thread.join)
    assert found == [True]
