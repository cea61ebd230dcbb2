"""Generators as tasks: turns, waits, errors, ends."""

import contextvars
import gc
import sys
import weakref

import pytest

import greenroom
from greenroom import (
    Channel,
    Event,
    Queue,
    TaskKilled,
    Timeout,
    after,
    joinall,
    op,
    sleep,
    spawn,
    timeout,
)
from greenroom.core import report


def turns(count=3):
    for _ in range(count):
        sleep()


def returning(value, steps=0):
    for _ in range(steps):
        yield
    return value


# --- turns


def test_a_bare_yield_passes_the_turn_round_robin_with_green_tasks():
    log = []

    def generator(name):
        for number in range(3):
            log.append(f"{name}{number}")
            yield

    def green(name):
        for number in range(3):
            log.append(f"{name}{number}")
            sleep()

    joinall([spawn(generator("a")), spawn(green, "b"), spawn(generator("c")), spawn(green, "d")])
    assert log == [f"{name}{number}" for number in range(3) for name in "abcd"]


def test_a_yield_of_what_is_there_passes_the_turn_too():
    queue, log = Queue(), []
    for item in range(3):
        queue.put(item)

    def take():
        for _ in range(3):
            log.append((yield queue.get))

    def turn():
        for _ in range(3):
            log.append("turn")
            yield

    joinall([spawn(take()), spawn(turn())])
    assert log == ["turn", 0, "turn", 1, "turn", 2]


def test_what_it_returns_is_the_task_s_result():
    assert spawn(returning(5)).result() == 5
    assert spawn(returning(None, 2)).result() is None


def test_it_is_lazy_and_has_a_name():
    began = []

    def work():
        began.append(True)
        yield

    task = spawn(work())
    assert not began and task.name.startswith("work-") and task.state_name == "new"
    assert spawn(returning(1), name="mine").name == "mine"
    turns(5)
    assert began and task.done


# --- waits: tests/sync/test_select.py has one of each kind


def test_yield_from_is_python_s_own():
    queue = Queue()

    def inner():
        first = yield queue.get
        second = yield queue.get
        return first + second

    def outer():
        total = yield from inner()
        yield op(queue.put, total)

    task = spawn(outer())
    queue.put(1)
    queue.put(2)
    task.join()
    assert queue.get_nowait() == 3


def test_what_it_waited_for_is_raised_at_the_yield():
    def failing():
        yield
        raise KeyError("no")

    def work():
        try:
            yield spawn(failing())
        except KeyError as error:
            return repr(error)

    assert spawn(work()).result() == "KeyError('no')"


@pytest.mark.parametrize("thing", [5, "text", print, object(), len, lambda: None])
def test_nonsense_is_a_type_error_at_the_yield(thing):
    def work():
        try:
            yield thing
        except TypeError as error:
            caught = str(error)
        yield  # it goes on
        return caught

    assert "cannot wait for" in spawn(work()).result()


def test_a_wait_that_ended_early_for_nothing_goes_on(clock):
    event = Event()

    def work():
        return (yield event)

    task = spawn(work())
    turns()
    task.scheduler.interrupt(task)  # looks at its scopes, and finds none
    turns()
    assert not task.done
    event.set()
    assert task.result() is True


def test_after_and_the_time(clock):
    def work():
        yield after(3)
        yield after(0)
        return clock.now()

    assert spawn(work()).result() == 3


def test_it_may_call_what_blocks_and_then_goes_on_without_a_stack(clock):
    log = []

    def deep(count):
        if count:
            return deep(count - 1)
        sleep(1)
        return "slept"

    def work(name):
        yield
        log.append((name, deep(10), clock.now()))
        yield after(1)
        log.append((name, sleep(1), clock.now()))

    joinall([spawn(work(name)) for name in "abc"])
    assert log == [
        *((name, "slept", 1) for name in "abc"),
        *((name, None, 3) for name in "abc"),
    ]


def test_100_000_are_alive_at_once():
    event, count = Event(), 100_000
    woken = 0

    def work():
        nonlocal woken
        yield event
        woken += 1

    tasks = [spawn(work()) for _ in range(count)]
    turns()
    event.set()
    joinall(tasks)
    assert woken == count


# --- errors


def test_what_it_raises_is_the_task_s_error():
    def work():
        yield
        raise KeyError("no")

    task = spawn(work())
    with pytest.raises(KeyError) as caught:
        task.result()
    assert caught.traceback[-1].name == "work"


def test_an_error_that_nobody_waits_for_is_logged(caplog):
    def work():
        yield
        raise KeyError("lost")

    task = spawn(work())
    turns(5)
    assert task.done and "KeyError: 'lost'" in caplog.text


def test_exc_info_is_each_generator_s_own():
    def work(error, log):
        try:
            raise error
        except KeyError:
            for _ in range(3):
                yield
                log.append(sys.exc_info()[1])
        log.append(sys.exc_info()[1])

    errors, logs = [KeyError(number) for number in range(2)], [[], []]
    joinall([spawn(work(*pair)) for pair in zip(errors, logs, strict=True)])
    assert logs == [[error] * 3 + [None] for error in errors]


def test_an_error_caught_at_the_yield_is_not_handled_for_ever():
    """Symptom: what was thrown at the yield counted as being handled for the rest of the step."""

    def work():
        try:
            yield 5
        except TypeError:
            pass
        seen = sys.exc_info()[1]
        try:
            raise KeyError
        except KeyError as error:
            context = error.__context__
        yield
        return seen, context

    assert spawn(work()).result() == (None, None)


def test_a_stop_iteration_from_a_wait_does_not_end_it_silently():
    result = greenroom.Result()
    result.set_error(StopIteration(5))

    def work():
        yield result

    with pytest.raises(RuntimeError, match="StopIteration"):
        spawn(work()).result()


# --- kills, timeouts, scopes


def test_kill_before_it_began_runs_none_of_it():
    ran = []

    def work():
        ran.append(True)
        yield

    task = spawn(work())
    task.kill()
    task.join()
    assert not ran and "before it ran" in str(task.exception)


@pytest.mark.parametrize("ready", [False, True])
def test_kill_runs_finally_and_each_further_wait_raises_again(ready):
    log = []

    def work():
        try:
            while True:
                yield Event() if not ready else None
        finally:
            for _ in range(2):
                try:
                    yield after(1)
                except greenroom.Cancelled:
                    log.append("again")

    task = spawn(work())
    turns()
    task.kill()
    task.join()
    assert log == ["again", "again"] and isinstance(task.exception, TaskKilled)


def test_kill_of_one_that_always_finds_work():
    queue = Queue()
    for item in range(100):
        queue.put(item)

    def work():
        while True:
            yield queue.get

    task = spawn(work())
    turns(5)
    task.kill()
    task.join()
    left = queue.qsize()
    assert left > 90  # it took nothing more
    assert isinstance(task.exception, TaskKilled)


def test_an_item_that_came_before_the_kill_is_not_lost():
    queue, got = Queue(), []

    def work():
        got.append((yield queue.get))
        yield

    task = spawn(work())
    turns()
    queue.put("item")
    task.kill()
    task.join()
    assert got == ["item"] and isinstance(task.exception, TaskKilled)


def test_kill_inside_a_call_that_blocks(clock):
    log = []

    def work():
        try:
            sleep(10)
            yield
        finally:
            log.append(clock.now())

    task = spawn(work())
    turns()
    task.kill()
    task.join()
    assert log == [0] and isinstance(task.exception, TaskKilled)


def test_blocking_in_finally_under_a_shield(clock):
    log = []

    def work():
        try:
            yield Event()
        finally:
            with greenroom.CancelScope(shield=True):
                sleep(1)
                log.append(clock.now())
                yield after(1)
                log.append(clock.now())

    task = spawn(work())
    turns()
    task.kill()
    task.join()
    assert log == [1, 2] and isinstance(task.exception, TaskKilled)


def test_a_timeout_across_yields(clock):
    queue = Queue()

    def work():
        try:
            with timeout(5):
                yield after(3)
                yield queue.get
        except Timeout:
            pass
        yield after(10)  # the time limit is left
        return clock.now()

    assert spawn(work()).result() == 15
    assert "0 getters" in repr(queue)


def test_move_on_after_across_yields(clock):
    def work():
        with greenroom.move_on_after(2) as scope:
            yield Channel()
        return scope.cancelled_caught, clock.now()

    assert spawn(work()).result() == (True, 2)


def test_scopes_of_generators_that_take_turns_are_each_their_own(clock):
    def work(seconds):
        with greenroom.move_on_after(seconds):
            while True:
                yield after(1)
        return clock.now()

    tasks = [spawn(work(seconds)) for seconds in (2.5, 1.5, 3.5)]
    assert [task.result() for task in tasks] == [2.5, 1.5, 3.5]


def test_a_generator_that_is_closed_with_a_timeout_open_leaves_none_behind(clock):
    """A plain generator, iterated by a task; its with block is left when it is closed."""

    def items():
        with timeout(5):
            yield 1
            yield 2

    def work():
        source = items()
        next(source)
        source.close()
        sleep(10)  # not inside the timeout any more
        return clock.now()

    assert spawn(work).result() == 10

    def generator():
        source = items()
        next(source)
        source.close()
        yield after(10)
        return clock.now()

    assert spawn(generator()).result() == 20


# --- contexts


def test_each_has_a_context_of_its_own():
    variable = contextvars.ContextVar("variable", default="outside")
    seen = []

    def work(name):
        seen.append(variable.get())
        variable.set(name)
        yield
        sleep()
        yield
        seen.append(variable.get())

    joinall([spawn(work(name)) for name in "ab"])
    assert seen == ["outside", "outside", "a", "b"]
    assert variable.get() == "outside"


def test_a_context_that_is_given():
    variable = contextvars.ContextVar("variable")
    context = contextvars.copy_context()
    context.run(variable.set, "given")

    def work():
        yield
        return variable.get()

    assert spawn(work(), context=context).result() == "given"


def test_current_is_the_task():
    def work():
        yield
        return greenroom.current()

    task = spawn(work())
    assert task.result() is task


# --- what is given to spawn


def test_one_that_has_ended_or_begun_is_refused():
    ended, begun = returning(1), returning(1, 3)
    for _ in ended:
        pass
    next(begun)
    with pytest.raises(ValueError, match="it has come to its end already"):
        spawn(ended)
    with pytest.raises(ValueError, match="it has been begun already"):
        spawn(begun)


def test_one_that_runs_is_refused():
    def work():
        try:
            spawn(generator)
        except ValueError as error:
            return str(error)
        yield

    generator = work()
    assert "it has been begun already" in spawn(generator).result()


def test_one_that_was_given_twice_runs_once():
    event = Event()
    log = []

    def work():
        log.append("begun")
        yield event
        return "done"

    generator = work()
    first, second = spawn(generator), spawn(generator)
    second.observed = True
    turns()
    assert second.done
    with pytest.raises(ValueError, match="it has been begun already"):
        second.result()
    event.set()
    assert first.result() == "done" and log == ["begun"]


def test_arguments_and_things_that_are_no_generators():
    with pytest.raises(TypeError, match="with arguments"):
        spawn(returning(1), 5)
    with pytest.raises(TypeError, match="not callable"):
        spawn([1, 2])

    class Sends:
        def send(self, value):
            return value

    with pytest.raises(TypeError, match="cannot spawn"):
        spawn(Sends())


# --- reports and the garbage collector


def test_a_parked_generator_is_shown_at_its_yield():
    event = Event()

    def inner():
        yield event  # here

    def outer():
        yield from inner()

    task = spawn(outer())
    assert report.where(task) == "not started"
    turns()
    line = inner.__code__.co_firstlineno + 1
    assert report.where(task) == f"{__file__}:{line} in inner"
    assert f"parked on <Event at {id(event):#x}" in repr(task)
    event.set()
    task.join()


def test_a_deadlock_report_shows_generators_at_their_yields():
    first, second = Channel(), Channel()

    def wait(source, target):
        yield source
        yield op(target.send, 1)

    tasks = [spawn(wait(first, second)), spawn(wait(second, first))]
    turns()
    text = tasks[0].scheduler.deadlock_text()
    line = wait.__code__.co_firstlineno + 1
    assert text.count("waits for <Channel at ") == 2
    assert text.count(f"{__file__}:{line} in wait") == 2
    for task in tasks:
        task.kill()
    joinall(tasks)


def test_nothing_is_kept_of_one_that_has_ended():
    class Thing:
        pass

    def work(thing, event):
        yield event
        return id(thing)

    thing, event = Thing(), Event()
    gone = weakref.ref(thing)
    task = spawn(work(thing, event))
    del thing
    turns()
    gc.collect()
    assert gone() is not None  # a parked one is kept, though nobody else knows it
    event.set()
    task.join()
    gc.collect()
    assert gone() is None


def test_a_parked_one_that_nobody_refers_to_goes_on():
    event, done = Event(), []

    def work():
        yield event
        done.append(True)

    spawn(work())
    turns()
    gc.collect()
    event.set()
    turns()
    assert done == [True]
