"""Finalizers run at any point. They may kill, put and set; they must not wait."""

import gc
import sys
import weakref

import greenroom
from greenroom import Event, Queue, joinall, sleep, spawn


class Finalized:
    """Calls fn when it dies, in a cycle: so that the collector does it, at any moment."""

    def __init__(self, fn):
        self.fn = fn
        self.me = self

    def __del__(self):
        self.fn()


def churn():
    """Make garbage and collect it in the middle of whatever the loop does."""
    for _ in range(50):
        sleep()
        gc.collect(0)


def test_finalizers_that_put_set_kill_and_spawn():
    queue, event = Queue(), Event()
    victims = [spawn(sleep, 1000) for _ in range(10)]
    getters = [spawn(queue.get) for _ in range(10)]
    waiters = [spawn(event.wait) for _ in range(10)]
    spawned = []
    sleep()

    def make_garbage():
        for number, victim in enumerate(victims):
            Finalized(lambda number=number: queue.put(number))
            Finalized(victim.kill)
            Finalized(lambda: spawned.append(spawn(int, 1)))
        Finalized(event.set)

    spawn(make_garbage).join()
    churners = [spawn(churn) for _ in range(3)]
    joinall(churners)
    gc.collect()
    joinall(victims + getters + waiters + spawned)
    assert sorted(task.result() for task in getters) == list(range(10))
    assert all(isinstance(task.exception, greenroom.TaskKilled) for task in victims)
    assert all(task.result() for task in waiters)
    assert [task.result() for task in spawned] == [1] * 10


def test_finalizer_of_what_only_the_ended_task_held_runs_and_may_use_the_scheduler():
    event = Event()

    class Held:
        def __del__(self):
            event.set()

    spawn(lambda held: None, Held()).join()
    gc.collect()
    assert event.is_set()


def test_finalizer_that_waits_while_a_task_ends_gets_an_error_and_harms_nobody(recwarn):
    seen = []
    before, sys.unraisablehook = sys.unraisablehook, seen.append
    try:

        class Waits:
            def __del__(self):
                sleep(0.001)

        def work(thing):
            pass

        thing = Waits()
        task = spawn(work, thing)
        del thing
        task.join()
        gc.collect()
    finally:
        sys.unraisablehook = before
    assert spawn(int, 3).result() == 3
    assert all(isinstance(each.exc_value, RuntimeError) for each in seen)


def test_parked_tasks_that_nobody_refers_to_are_not_collected():
    """A suspended greenlet that the collector finds is killed by it."""
    queue = Queue()
    got = []

    def work():
        got.append(queue.get())

    for _ in range(5):
        spawn(work)
    sleep()
    gc.collect()
    for item in range(5):
        queue.put(item)
    sleep()
    assert got == list(range(5))


def test_tasks_parked_on_something_unreachable_survive_the_collector():
    def work():
        mine = Event()
        mine.wait()

    task = spawn(work)
    sleep()
    gc.collect()
    assert task.state_name == "parked"
    task.kill()
    task.join()


def test_weakref_callback_may_wake_a_task():
    event = Event()

    class Thing:
        pass

    thing = Thing()
    reference = weakref.ref(thing, lambda _: event.set())
    task = spawn(event.wait)
    sleep()
    del thing
    gc.collect()
    assert task.result() is True and reference() is None
