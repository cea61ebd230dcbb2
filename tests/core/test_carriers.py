"""Carriers: reused, trimmed, and started from a shallow stack."""

import gc
import sysconfig
import weakref
from weakref import WeakSet

import pytest
from greenlet import getcurrent

import greenroom
from greenroom import joinall, sleep, spawn
from greenroom._config import DEBUG, IDLE_CARRIERS
from greenroom.core import native

slow_under_debug = pytest.mark.skipif(DEBUG, reason="each switch checks 2000 tasks")


def run_and_watch(carriers):
    """Note the greenlet that runs this task. Weakly: the carrier may be given up."""
    carriers.add(getcurrent())
    sleep(1)


def test_tasks_one_after_another_share_a_carrier(clock):
    carriers = WeakSet()
    for _ in range(100):
        spawn(run_and_watch, carriers).join()
    assert len(carriers) == 1


def test_a_batch_of_tasks_that_never_wait_needs_one_carrier():
    carriers = WeakSet()
    joinall([spawn(lambda: carriers.add(getcurrent())) for _ in range(1000)])
    assert len(carriers) == 1


@slow_under_debug
def test_idle_carriers_are_kept_up_to_a_limit_and_the_rest_is_given_up(clock):
    carriers = WeakSet()
    joinall([spawn(run_and_watch, carriers) for _ in range(2 * IDLE_CARRIERS)])
    sleep()
    gc.collect()
    assert len(carriers) <= IDLE_CARRIERS + 1
    before = len(carriers)
    joinall([spawn(run_and_watch, carriers) for _ in range(before)])
    assert len(carriers) <= IDLE_CARRIERS + 1
    assert spawn(int, 5).result() == 5


@pytest.mark.skipif(not native.compiled(), reason="only C can untrack an object")
@pytest.mark.skipif(bool(sysconfig.get_config_var("Py_GIL_DISABLED")), reason="see native.pyx")
def test_the_garbage_collector_does_not_visit_the_carrier_of_a_parked_task(clock):
    """A full collection took twice as long on 3.15, where a greenlet shows it all its frames."""
    carriers = WeakSet()
    task = spawn(run_and_watch, carriers)
    sleep()
    (carrier,) = carriers
    assert not any(thing is carrier for thing in gc.get_objects())
    task.join()


@slow_under_debug
def test_the_garbage_collector_visits_a_carrier_that_was_given_up(clock):
    carriers = set()
    joinall([spawn(run_and_watch, carriers) for _ in range(2 * IDLE_CARRIERS)])
    sleep()
    ended = [carrier for carrier in carriers if carrier.dead]
    assert len(ended) >= IDLE_CARRIERS - 1
    assert all(gc.is_tracked(carrier) for carrier in ended)


def test_a_thousand_tasks_each_spawned_by_the_one_before_hit_no_recursion_limit():
    """A greenlet inherits the recursion depth of whoever starts it."""

    def nest(depth):
        if depth == 0:
            return 0
        return 1 + spawn(nest, depth - 1).result()

    assert spawn(nest, 1000).result() == 1000


@slow_under_debug
def test_carriers_started_from_deep_in_a_stack_are_shallow(clock):
    def depth_left(deep):
        try:
            return depth_left(deep + 1)
        except RecursionError:
            return deep

    shallow = spawn(depth_left, 0).result()

    def measure_from(depth):
        if depth:
            return measure_from(depth - 1)
        # As many sleepers as there may be idle carriers, so that the last task needs a new one.
        sleepers = [spawn(sleep, 1) for _ in range(IDLE_CARRIERS + 1)]
        sleep()
        left = spawn(depth_left, 0).result()
        joinall(sleepers)
        return left

    assert spawn(measure_from, 500).result() >= shallow - 20


def test_an_ended_task_is_not_kept_alive_by_its_carrier():
    class Thing:
        pass

    thing = Thing()
    reference = weakref.ref(thing)
    task = spawn(lambda thing: thing and None, thing)
    task.join()
    del thing
    gc.collect()
    assert reference() is None
    task_reference = weakref.ref(task)
    del task
    spawn(int).join()
    gc.collect()
    assert task_reference() is None


def test_deep_stacks_of_many_tasks_do_not_disturb_each_other(clock):
    def dive(depth, number):
        if depth:
            return dive(depth - 1, number) + 1
        greenroom.sleep(number % 3)
        return number

    tasks = [spawn(dive, 50, number) for number in range(100)]
    assert [task.result() for task in tasks] == [50 + number for number in range(100)]
