"""Queues and locks under several real threads, for what one thread cannot show."""

import _thread
import sys

import pytest

from greenroom import PriorityQueue, Result, Semaphore


@pytest.fixture(autouse=True)
def switch_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def in_threads(count, fn):
    """Call fn(number) in so many real threads; return what they return."""
    results = [Result() for _ in range(count)]

    def work(number):
        try:
            value = fn(number)
        except BaseException as error:
            results[number].set_error(error)
        else:
            results[number].set(value)

    for number in range(count):
        _thread.start_new_thread(work, (number,))
    return [result.get(timeout=60) for result in results]


class Item:
    """Compared by Python code: another thread may run in the middle of each comparison."""

    def __init__(self, key):
        self.key = key

    def __lt__(self, other):
        return self.key < other.key


def test_priority_queue_keeps_its_order_while_threads_compare_items():
    """Symptom: heapq was entered by two threads at once; items came out of order."""
    queue = PriorityQueue()

    def put(number):
        for key in range(1000):
            queue.put(Item(key * 7919 % 1009))

    in_threads(3, put)
    keys = [queue.get_nowait().key for _ in range(3000)]
    assert keys == sorted(keys)


def test_semaphore_loses_no_permit_when_threads_time_out():
    semaphore = Semaphore(2)

    def work(number):
        taken = 0
        for _ in range(1000):
            if semaphore.acquire(timeout=0.00002):
                taken += 1
                semaphore.release()
        return taken

    assert sum(in_threads(4, work)) > 0
    assert semaphore.value == 2
