"""gevent.queue."""

import pytest

from greenroom.compat import gevent
from greenroom.compat.gevent import queue


def test_put_waits_when_full_and_get_when_empty(clock):
    items, seen = queue.Queue(1), []

    def produce():
        for item in range(3):
            items.put(item)
            seen.append(("put", item))

    producing = gevent.spawn(produce)
    gevent.sleep(1)
    assert seen == [("put", 0)]
    assert [items.get() for _ in range(3)] == [0, 1, 2]
    producing.join()


def test_timeouts_raise_empty_and_full(clock):
    items = queue.Queue(1)
    with pytest.raises(queue.Empty):
        items.get(timeout=1)
    with pytest.raises(queue.Empty):
        items.get_nowait()
    items.put(1)
    with pytest.raises(queue.Full):
        items.put(2, timeout=1)
    with pytest.raises(queue.Full):
        items.put(2, block=False)
    assert clock.now() == 2


def test_it_is_iterated_until_stop_iteration_is_put():
    items = queue.Queue(items=[1, 2, StopIteration])
    assert list(items) == [1, 2]


def test_it_has_a_length_and_is_true_even_when_empty():
    items = queue.Queue(None)
    assert (len(items), bool(items)) == (0, True)
    items.put(1)
    assert len(items) == 1


def test_joinable(clock):
    items = queue.JoinableQueue()
    items.put(1)
    joining = gevent.spawn(items.join)
    gevent.sleep(1)
    assert not joining.ready()
    items.get()
    items.task_done()
    joining.join()


def test_the_other_kinds():
    lifo, priority, simple = queue.LifoQueue(), queue.PriorityQueue(), queue.SimpleQueue()
    for kind in (lifo, priority, simple):
        for item in (2, 1, 3):
            kind.put(item)
    assert [lifo.get() for _ in range(3)] == [3, 1, 2]
    assert [priority.get() for _ in range(3)] == [1, 2, 3]
    assert [simple.get() for _ in range(3)] == [2, 1, 3]


@pytest.mark.parametrize("kind", ["LifoQueue", "PriorityQueue"])
def test_the_other_kinds_take_gevents_arguments(kind):
    items = getattr(queue, kind)(None, items=[3, 1])
    assert len(items) == 2
