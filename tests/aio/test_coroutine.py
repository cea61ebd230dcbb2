"""Coroutines and plain code: steps, spawn(coroutine), await_(), await of what greenroom has."""

import asyncio
import contextvars
import functools
import gc
import threading
import traceback
import weakref

import pytest
from loops import output_of, run

import greenroom
from greenroom import (
    Event,
    Lock,
    Pool,
    Queue,
    Result,
    RLock,
    TaskGroup,
    after,
    await_,
    op,
    sleep,
    spawn,
)
from greenroom.aio.coroutine import own_loop
from greenroom.aio.loop import new_event_loop
from greenroom.core import scheduler as _scheduler

# --- steps


def test_a_coroutine_that_blocks_parks_alone():
    seen = []
    event = Event()

    async def blocks():
        event.wait()
        seen.append("blocked")

    async def other():
        for number in range(3):
            seen.append(number)
            await asyncio.sleep(0)
        event.set()

    async def main():
        await asyncio.gather(blocks(), other())

    run(main())
    assert seen == [0, 1, 2, "blocked"]


def test_current_task_and_loop_are_right_after_each_switch_in_the_middle_of_a_step():
    async def looks():
        me = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in range(10):
            if number % 2:
                sleep(0)
            else:
                await asyncio.sleep(0)
            assert asyncio.current_task() is me
            assert asyncio.get_running_loop() is loop

    async def main():
        await asyncio.gather(*(looks() for _ in range(10)))

    run(main())


def test_a_thousand_coroutines_block_at_once():
    event = Event()

    async def blocks(number):
        event.wait()
        await asyncio.sleep(0)
        return number

    async def main():
        asyncio.get_running_loop().call_soon(event.set)
        return await asyncio.gather(*(blocks(number) for number in range(1000)))

    assert run(main()) == list(range(1000))


def test_a_loop_of_sleep_0_lets_green_tasks_run():
    seen = []

    async def main():
        task = spawn(lambda: seen.append("ran"))
        count = 0
        while not task.done:
            await asyncio.sleep(0)
            count += 1
        return count

    assert run(main()) <= 2
    assert seen == ["ran"]


def test_green_code_spawned_by_a_coroutine_has_no_running_loop():
    def green():
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()
        with pytest.raises(RuntimeError):
            asyncio.current_task()

    async def main():
        task = spawn(green)
        sleep(0)
        assert task.done
        return task.result()

    run(main())


def test_context_variables_stay_a_coroutine_s_own():
    variable = contextvars.ContextVar("variable", default=None)

    async def one(number):
        variable.set(number)
        sleep(0)
        assert variable.get() == number
        await asyncio.sleep(0)
        assert variable.get() == number
        assert spawn(variable.get).result() == number

    async def main():
        await asyncio.gather(*(one(number) for number in range(5)))
        assert variable.get() is None

    run(main())


def test_each_coroutine_has_its_own_values_of_a_local():
    local = greenroom.local()

    async def one(number):
        local.value = number
        await asyncio.sleep(0)
        sleep(0)
        assert local.value == number

    async def main():
        await asyncio.gather(*(one(number) for number in range(5)))
        assert not hasattr(local, "value")

    run(main())


def test_the_values_of_a_local_die_with_the_coroutine():
    local = greenroom.local()

    class Value:
        pass

    references = []

    async def one():
        local.value = Value()
        references.append(weakref.ref(local.value))
        await asyncio.sleep(0)

    run(one())
    gc.collect()
    assert references[0]() is None


@pytest.mark.parametrize("kind", [Lock, RLock])
def test_a_lock_held_across_an_await_belongs_to_the_coroutine(kind):
    lock = kind()
    seen = []

    async def one(number):
        with lock:
            seen.append(number)
            await asyncio.sleep(0)
            sleep(0)
            await asyncio.sleep(0)
            if kind is RLock:
                with lock:
                    pass
            seen.append(number)

    async def main():
        await asyncio.gather(*(one(number) for number in range(5)))

    run(main())
    assert seen == [number for number in range(5) for _ in range(2)]


def test_a_task_factory_of_the_user_s_works():
    class OwnTask(asyncio.Task):
        pass

    seen = []

    async def one():
        sleep(0)
        seen.append(type(asyncio.current_task()))
        await asyncio.sleep(0)
        sleep(0)
        seen.append(type(asyncio.current_task()))

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_task_factory(lambda loop, coro, **options: OwnTask(coro, loop=loop, **options))
        await asyncio.create_task(one())

    run(main())
    assert seen == [OwnTask, OwnTask]


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="since Python 3.12")
def test_eager_tasks_may_block():
    seen = []

    async def one(number):
        me = asyncio.current_task()
        sleep(0)
        assert asyncio.current_task() is me
        await asyncio.sleep(0)
        sleep(0)
        assert asyncio.current_task() is me
        seen.append(number)

    async def main():
        me = asyncio.current_task()
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        tasks = [asyncio.create_task(one(number)) for number in range(3)]
        assert asyncio.current_task() is me
        await asyncio.gather(*tasks)

    run(main())
    assert sorted(seen) == [0, 1, 2]


def test_a_pending_task_that_is_forgotten_is_collected_and_said_so(nothing_logged):
    """Nothing of ours keeps it: its future is gone, so nothing can ever wake it."""

    async def forgotten():
        await asyncio.get_running_loop().create_future()

    async def main():
        task = asyncio.create_task(forgotten())
        reference = weakref.ref(task)
        await asyncio.sleep(0)
        assert task.green is not None
        del task
        gc.collect()
        return reference()

    assert run(main()) is None
    (message,) = nothing_logged.messages
    assert "Task was destroyed but it is pending" in message
    nothing_logged.messages.clear()


def test_a_forgotten_task_that_blocks_is_kept_and_goes_on():
    event = Event()
    seen = []

    async def blocks():
        event.wait()
        seen.append(1)

    async def main():
        asyncio.create_task(blocks())  # noqa: RUF006
        await asyncio.sleep(0)
        gc.collect()
        event.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    run(main())
    assert seen == [1]


def test_no_greenroom_task_is_left_of_asyncio_s():
    references = []

    async def one():
        await asyncio.sleep(0)
        references.append(weakref.ref(asyncio.current_task()))

    async def main():
        await asyncio.gather(*(one() for _ in range(10)))

    run(main())
    gc.collect()
    assert [reference() for reference in references] == [None] * 10


def test_run_in_executor_and_to_thread_use_real_threads():
    async def main():
        loop = asyncio.get_running_loop()
        here = threading.get_native_id()
        there = await loop.run_in_executor(None, threading.get_native_id)
        assert here != there
        assert await asyncio.to_thread(threading.get_native_id) != here
        with pytest.raises(KeyError):
            await loop.run_in_executor(None, {}.__getitem__, 1)

    run(main())


def test_a_subprocess():
    async def main():
        process = await asyncio.create_subprocess_exec(
            "cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate(b"hello")
        return out, process.returncode

    assert run(main()) == (b"hello", 0)


# --- spawn(coroutine)


def test_spawn_runs_a_coroutine_in_the_thread_s_own_loop():
    async def one():
        await asyncio.sleep(0)
        sleep(0)
        return asyncio.get_running_loop()

    assert spawn(one()).result() is own_loop()


def test_spawn_raises_what_the_coroutine_does():
    async def fails():
        await asyncio.sleep(0)
        raise KeyError("x")

    with pytest.raises(KeyError):
        spawn(fails()).result()


class Doubler:
    async def double(self, number):
        await asyncio.sleep(0)
        sleep(0)
        return 2 * number

    __call__ = double


async def doubled(number):
    return await Doubler().double(number)


ASYNC_FUNCTIONS = [doubled, Doubler().double, Doubler(), functools.partial(doubled)]


@pytest.mark.parametrize("fn", ASYNC_FUNCTIONS, ids=["function", "method", "object", "partial"])
def test_spawn_of_an_async_function_runs_it(fn):
    assert spawn(fn, 21).result() == 42


def test_groups_pools_map_and_run_take_async_functions():
    with TaskGroup() as group:
        task = group.spawn(doubled, 1)
    assert task.result() == 2
    assert list(greenroom.map(doubled, [1, 2, 3], limit=2)) == [2, 4, 6]
    with Pool(2) as pool:
        assert pool.map(doubled, [1, 2, 3]) == [2, 4, 6]
        assert pool.apply(doubled, 3) == 6
        assert pool.apply(pool.apply, doubled, 3) == 6  # called by a task of the pool
    assert greenroom.run(doubled, 4) == 8


def test_an_async_function_s_error_is_the_task_s():
    async def fails():
        await asyncio.sleep(0)
        raise KeyError("x")

    with pytest.raises(KeyError) as caught:
        spawn(fails).result()
    assert "fails" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]


def test_kill_of_a_spawned_async_function_runs_its_finally(clock):
    seen = []

    async def waits():
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(1)
            seen.append(greenroom.current_time() - began)

    began = greenroom.current_time()
    task = spawn(waits)
    sleep(1)
    task.kill()
    with pytest.raises(greenroom.TaskKilled):
        task.result()
    assert seen == [2]


@pytest.mark.parametrize("blocking", [True, False])
def test_kill_of_a_spawned_coroutine_runs_its_finally(clock, blocking):
    seen = []

    async def one():
        try:
            if blocking:
                sleep(100)
            else:
                await asyncio.sleep(100)
        finally:
            await asyncio.sleep(1)
            sleep(1)
            seen.append("finally")

    task = spawn(one())
    sleep(1)
    task.kill()
    task.join()
    assert seen == ["finally"]
    assert isinstance(task.exception, greenroom.TaskKilled)
    assert clock.now() == 3


def test_kill_before_the_first_step_runs_no_code(recwarn):
    seen = []

    async def never():
        seen.append(1)

    coroutine = never()
    task = spawn(coroutine)
    task.kill()
    task.join()
    assert seen == []
    coroutine.close()


# --- await_


def test_await_returns_the_result():
    async def one():
        await asyncio.sleep(0)
        return 5

    assert await_(one()) == 5


def test_await_raises_with_the_coroutine_s_traceback():
    async def inner():
        await asyncio.sleep(0)
        raise KeyError("x")

    with pytest.raises(KeyError) as caught:
        await_(inner())
    assert "inner" in [entry.name for entry in traceback.extract_tb(caught.value.__traceback__)]


def test_await_of_a_cancelled_future():
    async def one():
        asyncio.current_task().cancel()
        await asyncio.sleep(0)

    with pytest.raises(asyncio.CancelledError):
        await_(one())


def test_kill_of_who_awaits_cancels_the_coroutine_and_waits_for_its_finally(clock):
    seen = []

    async def one():
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(2)
            seen.append("finally")

    def plain():
        try:
            await_(one())
        finally:
            seen.append("plain")

    task = spawn(plain)
    sleep(1)
    task.kill()
    task.join()
    assert seen == ["finally", "plain"]
    assert clock.now() == 3


def test_a_timeout_of_who_awaits_does_so_too(clock):
    async def one():
        await asyncio.sleep(100)

    with pytest.raises(greenroom.Timeout), greenroom.timeout(1):
        await_(one())
    assert clock.now() == 1


def test_await_in_plain_code_that_a_coroutine_has_called_uses_its_loop():
    async def inner():
        await asyncio.sleep(0)
        return asyncio.get_running_loop()

    def plain():
        return await_(inner())

    async def main():
        return plain() is asyncio.get_running_loop()

    assert run(main())


def test_cancel_reaches_through_plain_code(clock):
    seen = []

    async def inner():
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            seen.append("inner")
            raise

    async def outer():
        try:
            await_(inner())
        except asyncio.CancelledError:
            seen.append("outer")
            raise

    async def main():
        task = asyncio.create_task(outer())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert seen == ["inner", "outer"]


def test_await_works_in_debug_mode_with_patched_threads():
    assert output_of(
        """
        import greenroom
        greenroom.patch_all()
        import asyncio

        async def one():
            await asyncio.sleep(0)
            return 5

        print(greenroom.await_(one()), greenroom.spawn(one()).result())
        """,
        PYTHONASYNCIODEBUG="1",
    ) == ["5 5"]


# --- await of what greenroom has


def waitables():
    event, result, queue, full = Event(), Result(), Queue(), Queue(1)
    full.put(0)
    task = spawn(lambda: (event.wait(), "task")[1])
    return [
        (lambda: task, "task", event.set),
        (lambda: event, None, event.set),
        (lambda: result, "result", lambda: result.set("result")),
        (lambda: op(queue.get), "item", lambda: queue.put("item")),
        (lambda: op(full.put, 1), None, full.get),
        (lambda: after(0), None, lambda: None),
    ], event


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("late", [True, False])
def test_await_of_each_waitable(number, late):
    cases, event = waitables()
    make, expected, come = cases[number]

    async def waits():
        return await make()

    async def main():
        if not late:
            come()
        task = asyncio.create_task(waits())
        for _ in range(3):
            await asyncio.sleep(0)
        if late:
            come()
        value = await task
        if expected is not None:
            assert value == expected

    run(main())
    event.set()
    sleep(0)


def test_await_of_a_task_that_fails():
    def fails():
        raise KeyError

    async def main():
        with pytest.raises(KeyError):
            await spawn(fails)

    run(main())


@pytest.mark.parametrize("first", ["put", "cancel"])
def test_cancelled_in_the_tick_in_which_its_item_comes_nothing_is_lost(first):
    queue = Queue()
    got = []

    async def waits():
        got.append(await op(queue.get))
        await asyncio.sleep(0)
        got.append("not reached")

    async def main():
        task = asyncio.create_task(waits())
        for _ in range(3):
            await asyncio.sleep(0)
        if first == "put":
            queue.put("item")
            task.cancel()
        else:
            task.cancel()
            queue.put("item")
        with pytest.raises(asyncio.CancelledError):
            await task
        return [*got, *([queue.get_nowait()] if queue.qsize() else [])]

    assert run(main()) == ["item"]


def test_await_in_a_timeout_leaves_the_queue_s_line(clock):
    queue = Queue()

    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await op(queue.get)
        queue.put("item")
        assert await op(queue.get) == "item"

    run(main())
    assert clock.now() == 1


def test_await_after(clock):
    async def main():
        await after(3)

    run(main())
    assert clock.now() == 3


# --- processes and threads


def test_fork_in_a_coroutine():
    """In the child no loop runs, and a new one may."""
    assert sorted(
        output_of(
            """
            import greenroom
            greenroom.patch_all()
            import asyncio, os, sys

            async def other():
                greenroom.sleep(0)
                await asyncio.sleep(0.001)
                return "loop"

            async def main():
                pid = os.fork()
                if pid == 0:
                    try:
                        asyncio.get_running_loop()
                        print("running")
                    except RuntimeError:
                        print("none")
                    print("child", asyncio.run(other()), flush=True)
                    os._exit(0)
                status = os.waitpid(pid, 0)[1]
                print("parent", status, await other())

            asyncio.run(main())
            """
        )
    ) == ["child loop", "none", "parent 0 loop"]


def test_a_loop_in_each_of_several_threads():
    async def main(number):
        for _ in range(50):
            await asyncio.sleep(0)
            sleep(0)
        return number

    results = []
    threads = [
        threading.Thread(target=lambda number=number: results.append(run(main(number))))
        for number in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        greenroom.to_thread(thread.join)
    assert sorted(results) == [0, 1, 2]


def test_a_thread_s_own_loop_ends_with_the_thread(recwarn):
    async def one():
        await asyncio.sleep(0)
        return 1

    results = []
    thread = threading.Thread(target=lambda: results.append(await_(one())))
    thread.start()
    greenroom.to_thread(thread.join)
    gc.collect()
    assert results == [1]
    assert [str(warning.message) for warning in recwarn.list] == []


def test_a_closed_own_loop_is_replaced():
    async def one():
        await asyncio.sleep(0)
        return asyncio.get_running_loop()

    first = await_(one())
    first.end_background()
    assert await_(one()) is not first


def test_a_program_may_end_with_loops_and_coroutines_alive():
    assert output_of(
        """
        import asyncio, greenroom

        async def blocks():
            greenroom.sleep(100)

        async def waits():
            await asyncio.sleep(100)

        greenroom.spawn(blocks())
        greenroom.spawn(waits())
        greenroom.sleep(0.001)
        print("end")
        """
    ) == ["end"]


def test_new_event_loop_serves_the_runner_unpatched():
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        loop = runner.get_loop()
        assert runner.run(asyncio.sleep(0, 3)) == 3
    assert loop.is_closed()
    assert _scheduler.get().loops == 0
