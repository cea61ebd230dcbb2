"""Queues: waiting, fairness, timeouts, shutdown. The plain contract is in test_queue_model.py."""

import gc
import queue as standard
import weakref

import pytest

import greenroom
from greenroom import LifoQueue, PriorityQueue, Queue, SimpleQueue, joinall, sleep, spawn
from greenroom.sync.queue_errors import ShutDownError

KINDS = [Queue, LifoQueue, PriorityQueue, SimpleQueue]
BOUNDED = [Queue, LifoQueue, PriorityQueue]
every_kind = pytest.mark.parametrize("make", KINDS)
every_bounded = pytest.mark.parametrize("make", BOUNDED)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (Queue, [3, 1, 2]),
        (LifoQueue, [2, 1, 3]),
        (PriorityQueue, [1, 2, 3]),
        (SimpleQueue, [3, 1, 2]),
    ],
)
def test_order_in_which_items_come_out(make, expected):
    queue = make()
    for item in (3, 1, 2):
        queue.put(item)
    assert [queue.get() for _ in range(3)] == expected and queue.empty()


@every_kind
def test_getters_are_served_first_come_first_served(make):
    queue, got = make(), []
    tasks = [spawn(lambda name=name: got.append((name, queue.get()))) for name in "abc"]
    sleep()
    for item in range(3):
        queue.put(item)
    joinall(tasks)
    assert got == [("a", 0), ("b", 1), ("c", 2)]


@every_bounded
def test_putters_are_let_in_first_come_first_served(make):
    queue, done = make(1), []
    queue.put(0)
    tasks = [spawn(lambda item=item: (queue.put(item), done.append(item))) for item in (1, 2, 3)]
    sleep()
    assert queue.full() and queue.qsize() == 1
    assert [queue.get() for _ in range(4)] == [0, 1, 2, 3]
    joinall(tasks)
    assert done == [1, 2, 3]


def test_nobody_overtakes_a_getter_who_was_there_first():
    queue, got = Queue(), []
    task = spawn(lambda: got.append(queue.get()))
    sleep()
    queue.put("for the task")
    with pytest.raises(standard.Empty):
        queue.get_nowait()
    task.join()
    assert got == ["for the task"]


def test_producer_and_consumer_through_a_small_queue():
    queue, log = Queue(3), []

    def produce():
        for number in range(20):
            queue.put(number)
            log.append(queue.qsize())

    producer = spawn(produce)
    assert [queue.get() for _ in range(20)] == list(range(20))
    producer.join()
    assert max(log) <= 3


@every_kind
def test_get_with_a_timeout(clock, make):
    queue = make()
    with pytest.raises(standard.Empty):
        queue.get(timeout=2)
    assert clock.now() == 2
    spawn(lambda: (sleep(1), queue.put("late")))
    assert queue.get(timeout=2) == "late" and clock.now() == 3


@every_bounded
def test_put_with_a_timeout_that_comes_has_not_put(clock, make):
    queue = make(1)
    queue.put(1)
    with pytest.raises(standard.Full):
        queue.put(2, timeout=2)
    assert clock.now() == 2 and queue.get() == 1 and queue.empty()
    queue.task_done()
    assert queue.join(timeout=0) is not False


@every_kind
def test_nowait_forms_never_wait(make):
    queue = make()
    with pytest.raises(standard.Empty):
        queue.get_nowait()
    with pytest.raises(standard.Empty):
        queue.get(block=False)
    queue.put_nowait(1)
    assert queue.get(False) == 1


@every_kind
def test_negative_timeout_is_refused_as_the_standard_library_does(make):
    for queue in (getattr(standard, make.__name__)(), make()):
        with pytest.raises(ValueError, match="non-negative"):
            queue.get(timeout=-1)


@every_kind
def test_negative_timeout_is_refused_although_an_item_is_there(make):
    for queue in (getattr(standard, make.__name__)(), make()):
        queue.put(1)
        with pytest.raises(ValueError, match="non-negative"):
            queue.get(timeout=-1)


def test_join_waits_for_task_done_of_every_item():
    queue, seen = Queue(), []

    def work():
        while True:
            item = queue.get()
            sleep()
            seen.append(item)
            queue.task_done()

    worker = spawn(work)
    for item in range(5):
        queue.put(item)
    queue.join()
    assert seen == list(range(5))
    worker.kill()
    worker.join()


def test_items_handed_straight_to_a_getter_count_for_join():
    queue = Queue()
    task = spawn(queue.get)
    sleep()
    queue.put(1)
    assert queue.unfinished_tasks == 1
    task.join()
    joiner = spawn(queue.join)
    sleep()
    assert not joiner.done
    queue.task_done()
    joiner.join()


def test_items_of_waiting_putters_do_not_count_before_they_are_in():
    queue = Queue(1)
    queue.put(1)
    putter = spawn(queue.put, 2)
    sleep()
    assert queue.unfinished_tasks == 1
    queue.get()
    assert queue.unfinished_tasks == 2
    putter.join()
    queue.task_done()
    queue.task_done()
    with pytest.raises(ValueError, match="too many times"):
        queue.task_done()


def test_join_with_a_timeout(clock):
    queue = Queue()
    queue.put(1)
    assert queue.join(timeout=2) is False and clock.now() == 2


@every_bounded
def test_shutdown_wakes_all_who_wait(make):
    queue = make(1)
    getters = [spawn(queue.get) for _ in range(2)]
    sleep()
    queue.shutdown()
    for task in getters:
        with pytest.raises(ShutDownError):
            task.result()
    full = make(1)
    full.put(1)
    putters = [spawn(full.put, 2) for _ in range(2)]
    sleep()
    full.shutdown()
    for task in putters:
        with pytest.raises(ShutDownError):
            task.result()
    assert full.get() == 1
    with pytest.raises(ShutDownError):
        full.get()


def test_shutdown_at_once_throws_the_items_away_and_ends_join():
    queue = Queue()
    for item in range(3):
        queue.put(item)
    joiner = spawn(queue.join)
    sleep()
    queue.shutdown(immediate=True)
    joiner.join()
    for misuse in (queue.get, queue.get_nowait, lambda: queue.put(1)):
        with pytest.raises(ShutDownError):
            misuse()


def test_shutdown_in_the_tick_of_a_kill_or_a_timeout_raises_one_error(clock):
    queue = Queue()
    tasks = [spawn(queue.get, True, 5) for _ in range(2)]
    sleep()
    queue.shutdown()
    clock.advance(5)
    tasks[1].kill()
    for task in tasks:
        with pytest.raises(ShutDownError):
            task.result()


def test_priority_queue_whose_items_cannot_be_compared_fails_the_putter_not_the_getter():
    """Symptom: get() raised TypeError and the item it had taken out was gone."""
    queue = PriorityQueue(2)
    queue.put(1)
    queue.put(2)
    putter = spawn(queue.put, "x")
    putter.observed = True
    sleep()
    try:
        got = [queue.get()]
        putter.join(timeout=1)
        got.append(queue.get())
    finally:
        putter.kill()
        putter.join()
    assert got == [1, 2] and isinstance(putter.exception, TypeError)


def test_subclass_that_overrides_put_and_get_sees_every_item():
    """The standard library's Queue calls _put and _get for each item; people build on that."""
    for base in (standard.Queue, Queue):

        class Doubling(base):
            def _put(self, item):
                super()._put(item * 2)

        queue = Doubling()
        queue.put(1)
        assert queue.get() == 2
    getter = spawn(queue.get)
    sleep()
    queue.put(5)
    assert getter.result() == 10


def test_items_are_not_kept_alive_by_a_queue_that_gave_them_away():
    class Item:
        pass

    queue = Queue()
    getter = spawn(lambda: (queue.get(), sleep(), None)[-1])
    sleep()
    item = Item()
    reference = weakref.ref(item)
    queue.put(item)
    del item
    getter.join()
    gc.collect()
    assert reference() is None


def test_queue_repr_says_how_many_wait():
    queue = Queue(2)
    task = spawn(queue.get)
    sleep()
    assert "0 of 2 items, 1 getters and 0 putters waiting" in repr(queue)
    task.kill()
    task.join()


def test_queues_pass_between_main_and_tasks(clock):
    queue = greenroom.Queue()
    spawn(lambda: [(sleep(1), queue.put(number)) for number in range(3)])
    assert [queue.get() for _ in range(3)] == [0, 1, 2] and clock.now() == 3
