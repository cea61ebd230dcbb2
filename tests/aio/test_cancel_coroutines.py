"""Coroutines that are cancelled in a blocking call, and tasks that are killed: every place."""

import asyncio

import pytest
from loops import run

import greenroom
from greenroom import Event, Lock, Queue, Semaphore, sleep, spawn, to_thread
from greenroom.core import scheduler as _scheduler
from greenroom.green import socket as green_socket


def test_cancel_raises_in_the_blocking_call(clock):
    seen = []

    async def blocks():
        try:
            sleep(10)
        except asyncio.CancelledError as error:
            seen.append(error.args)
            raise

    async def main():
        task = asyncio.create_task(blocks())
        await asyncio.sleep(1)
        assert task.cancel("enough")
        assert task.cancelling() == 1
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    run(main())
    assert seen == [("enough",)]
    assert clock.now() == 1


def test_cancel_twice_raises_once(clock):
    seen = []

    async def blocks():
        try:
            sleep(10)
        except asyncio.CancelledError:
            seen.append(asyncio.current_task().cancelling())
        sleep(1)
        await asyncio.sleep(1)
        return "went on"

    async def main():
        task = asyncio.create_task(blocks())
        await asyncio.sleep(1)
        task.cancel()
        task.cancel()
        assert await task == "went on"
        assert task.uncancel() == 1
        assert task.uncancel() == 0

    run(main())
    assert seen == [2]


def test_cancel_of_a_step_that_was_woken_already_raises_in_the_next_blocking_call():
    """It waited, its event came, and in the same tick it is cancelled."""
    event = Event()
    seen = []

    async def blocks():
        event.wait()
        seen.append("woken")
        try:
            sleep(60)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def main():
        task = asyncio.create_task(blocks())
        await asyncio.sleep(0)
        event.set()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert seen == ["woken", "cancelled"]


def test_or_else_in_the_next_await():
    event = Event()
    seen = []

    async def blocks():
        event.wait()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append(asyncio.current_task().cancelling())
            asyncio.current_task().uncancel()
        await asyncio.sleep(0)
        sleep(0)
        return asyncio.current_task().cancelling()

    async def main():
        task = asyncio.create_task(blocks())
        await asyncio.sleep(0)
        event.set()
        task.cancel()
        assert await task == 0

    run(main())
    assert seen == [1]


def test_a_shield_keeps_cancel_off_until_the_next_await(clock):
    seen = []

    async def blocks():
        with greenroom.CancelScope(shield=True):
            sleep(5)
            seen.append("slept")
        await asyncio.sleep(60)

    async def main():
        task = asyncio.create_task(blocks())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert seen == ["slept"]
    assert clock.now() == 5


def test_asyncio_timeout_around_a_blocking_call(clock):
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                sleep(10)
        assert asyncio.current_task().cancelling() == 0
        await asyncio.sleep(1)
        sleep(1)
        async with asyncio.timeout(10):
            sleep(1)

    run(main())
    assert clock.now() == 5


def test_wait_for_a_coroutine_that_blocks(clock):
    seen = []

    async def blocks():
        try:
            sleep(10)
        finally:
            seen.append("finally")

    async def main():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(blocks(), 2)

    run(main())
    assert seen == ["finally"]
    assert clock.now() == 2


def test_task_group_cancels_a_child_that_blocks_and_a_parent_that_does(clock):
    seen = []

    async def blocks():
        try:
            Event().wait()
        finally:
            seen.append("child")

    async def fails():
        sleep(1)
        raise ValueError

    async def main():
        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                group.create_task(blocks())
                group.create_task(fails())
                try:
                    sleep(60)
                finally:
                    seen.append("parent")
        assert caught.group_contains(ValueError)
        assert asyncio.current_task().cancelling() == 0

    run(main())
    assert sorted(seen) == ["child", "parent"]
    assert clock.now() == 1


def test_cancel_before_the_first_step_runs_no_code():
    seen = []

    async def never():
        seen.append(1)

    async def main():
        task = asyncio.create_task(never())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert seen == []


def test_a_coroutine_that_cancels_itself_is_cancelled_at_its_next_await():
    async def main():
        asyncio.current_task().cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(0)
        sleep(0)
        asyncio.current_task().uncancel()
        await asyncio.sleep(0)

    run(main())


def test_asyncio_run_cancels_what_blocks_at_its_end(clock):
    seen = []

    async def blocks(number):
        try:
            sleep(100)
        except asyncio.CancelledError:
            sleep(1)
            await asyncio.sleep(1)
            seen.append(number)
            raise

    async def main():
        main.tasks = [asyncio.create_task(blocks(number)) for number in range(3)]
        await asyncio.sleep(0)

    run(main())
    assert sorted(seen) == [0, 1, 2]
    assert all(task.cancelled() for task in main.tasks)


# --- the table: {cancel, wait_for, asyncio.timeout, kill of spawn()} at each place


def place_event():
    event = Event()
    yield event.wait
    assert not event.is_set()
    event.set()


def place_lock():
    lock = Lock()
    lock.acquire()
    yield lock.acquire
    lock.release()
    assert lock.acquire(blocking=False)


def place_with_lock():
    lock = Lock()

    def body():
        with lock:
            sleep(100)

    yield body
    assert lock.acquire(blocking=False)


def place_semaphore():
    semaphore = Semaphore(1)
    semaphore.acquire()
    yield semaphore.acquire
    semaphore.release()
    assert semaphore.acquire(blocking=False)


def place_queue_get():
    queue = Queue()
    yield queue.get
    queue.put("kept")
    assert queue.get_nowait() == "kept"


def place_queue_put():
    queue = Queue(1)
    queue.put("first")
    yield lambda: queue.put("second")
    assert queue.get_nowait() == "first"
    assert queue.qsize() == 0


def place_socket():
    a, b = green_socket.socketpair()
    yield lambda: a.recv(10)
    b.send(b"kept")
    assert a.recv(10) == b"kept"
    a.close()
    b.close()


def place_to_thread():
    import threading

    go = threading.Event()
    yield lambda: to_thread(go.wait, 0.02)  # a kill waits for its end
    go.set()


def place_join():
    event = Event()
    task = spawn(event.wait)
    yield task.join
    assert not task.done
    event.set()
    task.join()


def place_sleep():
    yield lambda: sleep(1000)


def place_finally():
    """Struck once in a wait, it waits again to clean up, which a cancel by asyncio lets it do."""
    cleaned = []

    def body():
        try:
            sleep(1000)
        finally:
            with greenroom.CancelScope(shield=True):
                sleep(0)
            cleaned.append(1)

    yield body
    assert cleaned == [1]


PLACES = [value for name, value in list(globals().items()) if name.startswith("place_")]


async def way_cancel(code):
    task = asyncio.create_task(code())
    await settled()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def way_wait_for(code):
    passing = asyncio.create_task(time_passes())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(code(), 1)
    await passing


async def way_timeout(code):
    passing = asyncio.create_task(time_passes())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await code()
    assert asyncio.current_task().cancelling() == 0
    await passing


async def way_group(code):
    async def fails():
        await settled()
        raise KeyError

    with pytest.raises(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(code())
            group.create_task(fails())


async def way_kill(code):
    task = spawn(code())
    await settled()
    task.kill()
    with pytest.raises(greenroom.TaskKilled):
        await task


async def way_greenroom_timeout(code):
    def plain():
        with pytest.raises(greenroom.Timeout), greenroom.timeout(1):
            greenroom.await_(code())

    passing = asyncio.create_task(time_passes())
    await spawn(plain)
    await passing


WAYS = [value for name, value in list(globals().items()) if name.startswith("way_")]


async def settled():
    for _ in range(5):
        await asyncio.sleep(0)


async def time_passes():
    """The time limit of a way comes when the code is in its wait, and not before."""
    await settled()
    _scheduler.get().clock.advance(1)


def blocks(body):
    async def code():
        body()

    return code


def blocks_later(body):
    """It has awaited before."""

    async def code():
        await asyncio.sleep(0)
        body()

    return code


def awaits_a_task(body):
    """The wait is a green task's, the coroutine awaits that."""

    async def code():
        task = spawn(body)
        try:
            await task
        finally:
            task.kill()
            with greenroom.CancelScope(shield=True):
                task.join()

    return code


@pytest.mark.parametrize("how", [blocks, blocks_later, awaits_a_task])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("way", WAYS)
def test_nothing_stays_locked_or_waited_for(clock, way, place, how):
    scheduler = _scheduler.get()
    before = (scheduler.io_waits, len(scheduler.tasks()))
    after = place()
    run(way(how(next(after))))
    with pytest.raises(StopIteration):
        next(after)
    for _ in range(10):
        sleep(0)
    while scheduler.external:
        sleep(0.001)
    assert (scheduler.io_waits, len(scheduler.tasks())) == before


def test_kill_all_at_the_end_of_run_ends_what_blocks_in_a_coroutine():
    seen = []

    async def blocks():
        try:
            sleep(1000)
        finally:
            seen.append("finally")

    def main():
        spawn(blocks())
        sleep(0)
        raise KeyError

    with pytest.raises(KeyError):
        greenroom.run(main)
    assert seen == ["finally"]


def test_a_killed_step_s_coroutine_is_cancelled():
    """kill() of the greenroom task of a step, as the end of greenroom.run() does it."""
    seen = []

    async def blocks():
        try:
            sleep(1000)
        except greenroom.Cancelled:
            seen.append("killed")
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def main():
        task = asyncio.create_task(blocks())
        await asyncio.sleep(0)
        green = task.green
        green.kill()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert green.done

    run(main())
    assert seen == ["killed", "cancelled"]


def test_a_cancel_between_wake_and_turn_keeps_what_a_lock_handed_over():
    lock = Lock()
    lock.acquire()
    seen = []

    async def takes():
        with lock:
            seen.append("has it")
            await asyncio.sleep(1000)

    async def main():
        task = asyncio.create_task(takes())
        await settled()
        lock.release()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert lock.acquire(blocking=False)

    run(main())
    assert seen == ["has it"]


def test_a_program_may_put_another_class_in_the_place_of_task(monkeypatch):
    """To cancel a task was an AttributeError then: the other class's cancel() was called."""
    monkeypatch.setattr(asyncio, "Task", asyncio.tasks._PyTask)

    async def main():
        task = asyncio.get_running_loop().create_task(asyncio.sleep(60))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
