"""Callbacks: their order, their timers, when they run and when they are kept."""

import asyncio
import contextvars
import errno
import gc
import signal
import socket
import sys
import threading
import weakref
from unittest import mock

import pytest
from loops import run

import greenroom
from greenroom.aio.loop import new_event_loop
from greenroom.core import scheduler as _scheduler


def test_callbacks_run_in_the_order_in_which_they_were_asked_for(loop):
    seen = []
    for number in range(5):
        loop.call_soon(seen.append, number)
    loop.call_soon_threadsafe(seen.append, 5)
    loop.call_soon(seen.append, 6)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert seen == [0, 1, 2, 3, 4, 5, 6]


def test_from_the_loop_s_own_thread_call_soon_threadsafe_keeps_the_order(loop):
    seen = []

    def first():
        loop.call_soon_threadsafe(seen.append, 1)
        loop.call_soon(seen.append, 2)
        loop.call_soon_threadsafe(seen.append, 3)
        loop.call_soon(loop.stop)

    loop.call_soon(first)
    loop.run_forever()
    assert seen == [1, 2, 3]


def test_callbacks_and_tasks_take_turns(loop):
    seen = []

    def green():
        for number in range(3):
            seen.append(("task", number))
            greenroom.sleep(0)

    def callback(number):
        seen.append(("callback", number))
        if number < 2:
            loop.call_soon(callback, number + 1)
        else:
            loop.stop()

    greenroom.spawn(green)
    loop.call_soon(callback, 0)
    loop.run_forever()
    assert seen == [(who, n) for n in range(3) for who in ("task", "callback")]


def test_timers_fire_in_the_order_of_their_times(loop, clock):
    seen = []
    start = loop.time()
    for delay in (3, 1, 2, 1):
        loop.call_later(delay, lambda delay=delay: seen.append((delay, loop.time() - start)))
    handle = loop.call_at(start + 5, seen.append, "cancelled")
    assert handle.when() == start + 5
    loop.call_at(start + 4, handle.cancel)
    loop.call_later(6, loop.stop)
    loop.run_forever()
    assert seen == [(1, 1.0), (1, 1.0), (2, 2.0), (3, 3.0)]
    assert clock.now() == 6
    assert handle.cancelled()


def test_a_timer_cancelled_before_the_loop_runs_never_fires(loop, clock):
    seen = []
    handle = loop.call_later(1, seen.append, 1)
    handle.cancel()
    handle.cancel()
    loop.call_later(2, loop.stop)
    loop.run_forever()
    assert seen == []


def test_a_callback_cancelled_while_it_is_ready_does_not_run(loop):
    seen = []
    handles = []
    loop.call_soon(lambda: handles[0].cancel())
    handles.append(loop.call_soon(seen.append, 1))
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert seen == []


def test_what_is_asked_for_while_the_loop_does_not_run_is_kept(loop, clock):
    seen = []
    loop.call_soon(seen.append, "soon")
    loop.call_later(1, seen.append, "later")
    greenroom.sleep(5)
    assert seen == []
    loop.call_later(1, loop.stop)
    loop.run_forever()
    assert seen == ["soon", "later"]


def test_stop_lets_what_is_due_run_and_keeps_the_rest(loop):
    seen = []

    def stop():
        loop.stop()
        loop.call_soon(seen.append, "next time")

    loop.call_soon(stop)
    loop.call_soon(seen.append, "this time")
    loop.run_forever()
    assert seen == ["this time"]
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert seen == ["this time", "next time"]


def test_stop_before_run_forever_runs_what_is_due_once(loop):
    seen = []

    def again():
        seen.append(1)
        loop.call_soon(again)

    loop.call_soon(again)
    loop.stop()
    loop.run_forever()
    assert seen == [1]


def test_the_time_of_a_timer_that_came_while_the_loop_was_stopped_is_noticed_when_it_runs(
    loop, clock
):
    seen = []
    loop.call_later(2, seen.append, "timer")
    loop.call_later(1, loop.stop)
    loop.run_forever()
    greenroom.sleep(10)
    assert seen == []
    loop.call_later(0, loop.stop)
    loop.run_forever()
    assert seen == ["timer"]


def test_a_loop_may_run_in_another_thread_after_it_was_stopped(loop, clock):
    # This thread's clock stands still: both times come in the other thread, whose clock is real.
    seen = []
    loop.call_later(0.001, lambda: seen.append(threading.get_native_id()))
    task = loop.create_task(asyncio.sleep(0.002))
    loop.run_until_complete(asyncio.sleep(0))

    def elsewhere():
        loop.run_until_complete(task)
        seen.append(threading.get_native_id())

    thread = threading.Thread(target=elsewhere)
    thread.start()
    greenroom.to_thread(thread.join)
    assert len(seen) == 2
    assert seen[0] == seen[1] != threading.get_native_id()


def test_an_exception_reaches_the_exception_handler_and_nothing_else(loop):
    contexts = []
    seen = []
    loop.set_exception_handler(lambda loop, context: contexts.append(context))

    def fails():
        raise ValueError("no")

    handle = loop.call_soon(fails)
    loop.call_soon(seen.append, 1)
    loop.call_soon(loop.stop)
    loop.run_forever()
    (context,) = contexts
    assert isinstance(context["exception"], ValueError)
    assert context["handle"] is handle
    assert "fails() at " in context["message"]
    assert seen == [1]


def test_without_a_handler_an_exception_is_logged(loop, nothing_logged):
    loop.call_soon(lambda: 1 / 0)
    loop.call_soon(loop.stop)
    loop.run_forever()
    (message,) = nothing_logged.messages
    assert "Exception in callback" in message
    nothing_logged.messages.clear()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_keyboard_interrupt_and_system_exit_leave_run_forever(loop, kind):
    seen = []

    def leaves():
        raise kind

    loop.call_soon(leaves)
    loop.call_soon(seen.append, "kept")
    with pytest.raises(kind):
        loop.run_forever()
    assert not loop.is_running()
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert seen == ["kept"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_so_they_do_from_a_coroutine_s_step(loop, kind):
    async def leaves():
        await asyncio.sleep(0)
        raise kind

    with pytest.raises(kind):
        loop.run_until_complete(leaves())


def test_a_blocking_callback_parks_alone(loop):
    seen = []
    event = greenroom.Event()

    def blocks():
        event.wait()
        seen.append("blocked")
        loop.stop()

    loop.call_soon(blocks)
    loop.call_soon(seen.append, "other")
    loop.call_soon(event.set)
    loop.run_forever()
    assert seen == ["other", "blocked"]


def test_each_callback_runs_in_its_context_also_after_it_has_blocked(loop):
    variable = contextvars.ContextVar("variable", default="none")
    seen = []

    def callback():
        seen.append(variable.get())
        greenroom.sleep(0)
        seen.append(variable.get())
        variable.set("changed inside")

    for value in ("a", "b"):
        context = contextvars.copy_context()
        context.run(variable.set, value)
        loop.call_soon(callback, context=context)
    loop.call_soon(callback)
    loop.call_later(0, lambda: loop.call_soon(loop.stop))
    loop.run_forever()
    assert sorted(seen) == ["a", "a", "b", "b", "none", "none"]
    assert variable.get() == "none"


def test_get_running_loop_only_in_the_loop_s_callbacks(loop):
    seen = []

    def which():
        return asyncio._get_running_loop()

    def blocks():
        seen.append(which() is loop)
        green = greenroom.spawn(which)
        greenroom.sleep(0)
        seen.append(green.result() is None)
        seen.append(which() is loop)
        loop.stop()

    assert which() is None
    loop.call_soon(blocks)
    loop.run_forever()
    assert seen == [True, True, True]
    assert which() is None


def test_hooks_for_asyncgens_are_those_of_the_code_that_runs(loop):
    def first(generator):
        pass

    seen = []

    def blocks():
        inside = sys.get_asyncgen_hooks()
        green = greenroom.spawn(sys.get_asyncgen_hooks)
        outside = green.result()
        seen.append((inside.firstiter == loop._asyncgen_firstiter_hook, outside.firstiter is first))
        seen.append(sys.get_asyncgen_hooks() == inside)
        loop.stop()

    before = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(firstiter=first)
    try:
        loop.call_soon(blocks)
        loop.run_forever()
        assert sys.get_asyncgen_hooks().firstiter is first
    finally:
        sys.set_asyncgen_hooks(*before)
    assert seen == [(True, True), True]


def test_an_async_generator_left_open_is_closed_by_shutdown_asyncgens():
    seen = []

    async def generator():
        try:
            yield 1
            greenroom.sleep(0)
            yield 2
        finally:
            await asyncio.sleep(0)
            seen.append("closed")

    kept = generator()

    async def main():
        async for _ in kept:
            pass_on = await anext(kept)
            assert pass_on == 2
            return

    run(main())
    assert seen == ["closed"]


def test_ten_loops_at_once_in_one_thread():
    async def main(number):
        loop = asyncio.get_running_loop()
        for _ in range(5):
            await asyncio.sleep(0)
            assert asyncio.get_running_loop() is loop
            greenroom.sleep(0)
            assert asyncio.get_running_loop() is loop
            assert asyncio.current_task().get_name() == f"number {number}"
        return number

    def task(number):
        async def named():
            return await asyncio.create_task(main(number), name=f"number {number}")

        return run(named())

    tasks = [greenroom.spawn(task, number) for number in range(10)]
    assert [task.result() for task in tasks] == list(range(10))


def test_a_loop_cannot_run_in_a_callback_of_another(loop):
    other = new_event_loop()
    seen = []

    def nested():
        with pytest.raises(RuntimeError, match="another loop is running"):
            other.run_forever()
        seen.append(1)
        loop.stop()

    loop.call_soon(nested)
    loop.run_forever()
    other.close()
    assert seen == [1]


def test_run_inside_greenroom_run():
    async def main():
        await asyncio.sleep(0)
        return 5

    assert greenroom.run(run, main()) == 5


def test_call_soon_threadsafe_from_threads_loses_nothing(loop):
    count = 2000
    seen = []

    def adds(number):
        for value in range(count):
            loop.call_soon_threadsafe(add, (number, value))

    def add(value):
        seen.append(value)
        if len(seen) == 3 * count:
            loop.stop()

    threads = [threading.Thread(target=adds, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    loop.run_forever()
    for thread in threads:
        greenroom.to_thread(thread.join)
    for number in range(3):
        assert [value for who, value in seen if who == number] == list(range(count))


def test_call_soon_threadsafe_loses_nothing_while_the_loop_is_stopped_and_run_again(loop):
    count = 3000
    seen = []
    done = threading.Event()

    def adds():
        for value in range(count):
            loop.call_soon_threadsafe(seen.append, value)
        done.set()

    thread = threading.Thread(target=adds)
    thread.start()
    while not done.is_set():
        loop.call_soon(loop.stop)
        loop.run_forever()
    greenroom.to_thread(thread.join)
    while len(seen) < count:
        loop.call_soon(loop.stop)
        loop.run_forever()
    assert seen == list(range(count))


def test_run_coroutine_threadsafe_from_another_thread(loop):
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def adds(a, b):
        await asyncio.sleep(0)
        greenroom.sleep(0)
        return a + b

    future = asyncio.run_coroutine_threadsafe(adds(1, 2), loop)
    assert greenroom.to_thread(future.result, 10) == 3

    async def fails():
        raise KeyError("x")

    with pytest.raises(KeyError):
        greenroom.to_thread(asyncio.run_coroutine_threadsafe(fails(), loop).result, 10)
    loop.call_soon_threadsafe(loop.stop)
    greenroom.to_thread(thread.join)


def test_call_soon_from_the_wrong_thread_works_as_if_it_were_threadsafe(loop):
    seen = []

    def wrong():
        loop.call_soon(seen.append, 1)
        loop.call_later(0, loop.stop)

    thread = threading.Thread(target=wrong)
    loop.call_soon(thread.start)
    loop.run_forever()
    greenroom.to_thread(thread.join)
    assert seen == [1]


def test_in_debug_mode_it_is_an_error(loop):
    loop.set_debug(True)
    errors = []

    def wrong():
        for call in (loop.call_soon, lambda fn: loop.call_later(1, fn)):
            try:
                call(print)
            except RuntimeError as error:
                errors.append(str(error))
        loop.call_soon_threadsafe(loop.stop)

    loop.call_soon(threading.Thread(target=wrong).start)
    loop.run_forever()
    assert len(errors) == 2
    assert all("Non-thread-safe operation" in error for error in errors)


def test_in_debug_mode_a_callback_s_error_says_where_it_was_asked_for(loop):
    contexts = []
    loop.set_debug(True)
    loop.set_exception_handler(lambda loop, context: contexts.append(context))
    loop.call_soon(lambda: 1 / 0)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert any(entry.filename == __file__ for entry in contexts[0]["source_traceback"])
    with pytest.raises(TypeError, match="coroutines cannot be used"):
        loop.call_soon(asyncio.sleep)


def test_debug_mode_does_not_switch_between_two_steps_of_asyncio():
    """A traceback's source lines were read by a patched open(), which let other tasks in."""

    async def main():
        barrier = asyncio.Barrier(3)
        seen = []

        async def waits(number):
            async with barrier:
                seen.append(number)

        await asyncio.gather(*(waits(number) for number in range(3)))
        return sorted(seen)

    assert run(main(), debug=True) == [0, 1, 2]


def test_a_closed_loop_takes_nothing(loop):
    loop.close()
    for call in (
        lambda: loop.call_soon(print),
        lambda: loop.call_later(1, print),
        lambda: loop.call_soon_threadsafe(print),
        lambda: loop.run_forever(),
        lambda: loop.add_reader(0, print),
        lambda: loop.run_in_executor(None, print),
    ):
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            call()
    loop.close()


def test_a_loop_closed_with_all_sorts_pending_leaves_nothing(clock):
    import socket

    loop = new_event_loop()
    scheduler = _scheduler.get()
    waits = scheduler.io_waits
    a, b = socket.socketpair()
    seen = []
    loop.add_reader(a, seen.append, "reader")
    loop.call_later(5, seen.append, "timer")
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.call_soon(seen.append, "soon")
    loop.call_later(5, seen.append, "timer")
    reference = weakref.ref(loop)
    loop.close()
    assert scheduler.io_waits == waits
    b.send(b"x")
    greenroom.sleep(10)
    assert seen == []
    assert clock.now() == 10
    del loop
    gc.collect()
    assert reference() is None
    a.close()
    b.close()


def test_a_loop_forgotten_in_the_middle_is_collected():
    loop = new_event_loop()
    reference = weakref.ref(loop)

    async def main():
        await asyncio.sleep(0)

    loop.run_until_complete(main())
    loop.call_soon(print)
    loop.close()
    del loop
    gc.collect()
    assert reference() is None


def test_run_forever_with_nothing_to_do_is_no_deadlock(loop, clock):
    """Another thread or a signal may have something for it."""
    greenroom.spawn(greenroom.sleep, 5).add_done_callback(lambda task: loop.stop())
    loop.run_forever()
    timer = threading.Timer(0.05, loop.call_soon_threadsafe, [loop.stop])
    timer.start()
    loop.run_forever()
    greenroom.to_thread(timer.join)


def test_after_run_forever_a_deadlock_is_one_again(loop):
    loop.call_soon(loop.stop)
    loop.run_forever()
    scheduler = _scheduler.get()
    assert scheduler.loops == 0


def test_signal_handlers(loop):
    seen = []

    def handler(number):
        seen.append(number)
        assert asyncio.get_running_loop() is loop
        loop.stop()

    loop.add_signal_handler(signal.SIGUSR1, handler, 1)
    loop.call_soon(signal.raise_signal, signal.SIGUSR1)
    loop.run_forever()
    assert seen == [1]
    assert loop.remove_signal_handler(signal.SIGUSR1)
    assert not loop.remove_signal_handler(signal.SIGUSR1)
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL


def test_a_signal_that_cannot_be_caught_leaves_no_handler(loop):
    with pytest.raises(RuntimeError, match="cannot be caught"):
        loop.add_signal_handler(signal.SIGKILL, print)
    assert not loop.remove_signal_handler(signal.SIGKILL)


def test_another_error_of_a_signal_handler_is_raised_as_it_is(loop):
    error = OSError(errno.EFAULT, "Bad address")
    with (
        mock.patch("asyncio.unix_events.signal.signal", side_effect=error),
        pytest.raises(OSError, match="Bad address"),
    ):
        loop.add_signal_handler(signal.SIGUSR1, print)
    assert not loop.remove_signal_handler(signal.SIGUSR1)


def test_a_signal_wakes_a_loop_that_waits(loop):
    import os

    loop.add_signal_handler(signal.SIGUSR1, loop.stop)
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    loop.run_forever()
    greenroom.to_thread(timer.join)
    loop.remove_signal_handler(signal.SIGUSR1)


def test_handles_say_what_they_are(loop):
    handle = loop.call_soon(print, 1)
    assert "print(" in repr(handle)
    assert not handle.cancelled()
    handle.cancel()
    assert repr(handle) == "<Handle cancelled>"
    timer = loop.call_later(3, print)
    assert repr(timer).startswith("<TimerHandle when=")
    timer.cancel()


def test_callbacks_that_share_a_context_may_block_at_the_same_time(loop):
    # Symptom: the second raised "cannot enter context: it is already entered". From Python 3.15 on
    # all callbacks of a connection share one.
    variable = contextvars.ContextVar("variable")
    context = contextvars.copy_context()
    context.run(variable.set, "shared")
    seen = []

    def callback(number):
        seen.append((number, "begins", variable.get()))
        greenroom.sleep(0)
        seen.append((number, "ends", variable.get()))
        if number == 2:
            loop.stop()

    for number in (1, 2):
        loop.call_soon(callback, number, context=context)
    loop.run_forever()
    assert seen == [
        (1, "begins", "shared"),
        (2, "begins", "shared"),
        (1, "ends", "shared"),
        (2, "ends", "shared"),
    ]


def test_tasks_that_share_a_context_may_block_at_the_same_time(loop):
    context = contextvars.copy_context()

    async def blocks():
        greenroom.sleep(0)
        await asyncio.sleep(0)
        return 1

    async def main():
        tasks = [loop.create_task(blocks(), context=context) for _ in range(3)]
        return await asyncio.gather(*tasks)

    assert loop.run_until_complete(main()) == [1, 1, 1]


@pytest.mark.skipif(sys.version_info < (3, 15), reason="a connection has a context from 3.15 on")
@pytest.mark.parametrize("make", [new_event_loop, asyncio.SelectorEventLoop])
def test_the_callbacks_of_a_connection_run_in_the_context_it_was_made_in(make):
    # Symptom: TypeError, _add_reader() got an unexpected keyword argument 'context'.
    variable = contextvars.ContextVar("variable", default="none")
    seen = []

    class Protocol(asyncio.Protocol):
        def connection_made(self, transport):
            seen.append(("made", variable.get()))

        def data_received(self, data):
            seen.append((data, variable.get()))

        def eof_received(self):
            seen.append(("end", variable.get()))

        def pause_writing(self):
            seen.append(("pause", variable.get()))

        def resume_writing(self):
            seen.append(("resume", variable.get()))

        def connection_lost(self, error):
            seen.append(("lost", variable.get()))
            ended.set_result(None)

    async def main():
        nonlocal ended
        ended = asyncio.get_running_loop().create_future()
        reader, writer = await asyncio.open_connection(sock=one)
        variable.set("client")
        transport, _ = await asyncio.get_running_loop().create_connection(Protocol, sock=other)
        variable.set("later")
        transport.write(bytes(1 << 20))
        writer.write(b"x")
        await reader.readexactly(1 << 20)
        writer.close()
        await ended

    ended = None
    one, other = socket.socketpair()
    loop = make()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    assert {name for name, _ in seen} == {"made", b"x", "pause", "resume", "end", "lost"}
    assert {value for _, value in seen if value != "later"} == {"client"}
    # write() calls pause_writing() itself, where the caller is.
    assert [name for name, value in seen if value == "later"] == ["pause"]


def test_a_task_is_cancelled_though_the_program_has_replaced_asyncio_s_class(loop, monkeypatch):
    async def waits():
        await asyncio.sleep(60)

    async def main():
        task = loop.create_task(waits())
        await asyncio.sleep(0)
        monkeypatch.setattr(asyncio, "Task", asyncio.tasks._PyTask)
        assert task.cancel() and task.cancelling() == 1
        assert task.uncancel() == 0
        with pytest.raises(asyncio.CancelledError):
            await task

    loop.run_until_complete(main())


def test_a_system_exit_that_passes_through_two_tasks_is_raised_once(loop, nothing_logged):
    async def ends():
        raise SystemExit(3)

    async def waits():
        await asyncio.create_task(ends())

    task = loop.create_task(waits())
    with pytest.raises(SystemExit):
        loop.run_until_complete(task)
    loop.run_until_complete(asyncio.sleep(0))  # nothing more is raised
    assert isinstance(task.exception(), SystemExit)
