"""Lock, RLock, Condition, Event, Semaphore and Barrier of threading, between tasks."""

import textwrap

import pytest

from .children import output_of, run_child

PATCHED = """
import greenroom
greenroom.patch_all()
import threading, time
from greenroom.testing.clock import VirtualClock

def run(*functions):
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def patched(code):
    return output_of(PATCHED + textwrap.dedent(code))


def test_a_held_lock_parks_the_second_and_is_handed_over_in_order():
    code = """
        lock = threading.Lock()
        def work(name):
            def enter():
                with lock:
                    print(name, "in")
                    time.sleep(0.001)
                    print(name, "out")
            return enter
        run(work("a"), work("b"), work("c"))
        print(lock.locked())
    """
    assert patched(code) == ["a in", "a out", "b in", "b out", "c in", "c out", "False"]


def test_lock_signatures_and_errors_are_the_standard_librarys():
    code = """
        lock = threading.Lock()
        print(lock.acquire(), lock.acquire(False), lock.acquire(blocking=False), lock.locked())
        with VirtualClock() as clock:
            print(lock.acquire(timeout=2), lock.acquire(True, 3), clock.now())
        lock.release()
        def attempt(call):
            try:
                print(call())
            except Exception as error:
                print(type(error).__name__, error)
        attempt(lock.release)
        attempt(lambda: lock.acquire(False, 1))
        attempt(lambda: lock.acquire(timeout=-5))
        rlock = threading.RLock()
        attempt(rlock.release)
        print(rlock.acquire(), rlock.acquire(), rlock.release(), rlock.release())
    """
    assert patched(code) == [
        "True False False True",
        "False False 5.0",
        "RuntimeError release unlocked lock",
        "ValueError can't specify a timeout for a non-blocking call",
        "ValueError timeout value must be a non-negative number",
        "RuntimeError cannot release un-acquired lock",
        "True True None None",
    ]


def test_an_rlock_belongs_to_its_thread():
    code = """
        lock = threading.RLock()
        lock.acquire()
        lock.acquire()
        def other():
            print(lock.acquire(False))
            try:
                lock.release()
            except RuntimeError as error:
                print(error)
        run(other)
        lock.release()
        run(other)
        lock.release()
        run(lambda: print(lock.acquire(False)))
    """
    assert patched(code) == [
        "False",
        "cannot release un-acquired lock",
        "False",
        "cannot release un-acquired lock",
        "True",
    ]


def test_a_condition_wakes_as_many_as_it_is_told():
    code = """
        condition = threading.Condition()
        woken = []
        def waiter(name):
            def wait():
                with condition:
                    condition.wait()
                    woken.append(name)
            return threading.Thread(target=wait)
        threads = [waiter(name) for name in "abcd"]
        for thread in threads:
            thread.start()
        time.sleep(0.001)
        with condition:
            condition.notify(2)
        time.sleep(0.001)
        print(woken)
        with condition:
            condition.notify_all()
        for thread in threads:
            thread.join()
        print(sorted(woken))
        try:
            condition.notify()
        except RuntimeError as error:
            print(error)
    """
    assert patched(code) == [
        "['a', 'b']",
        "['a', 'b', 'c', 'd']",
        "cannot notify on un-acquired lock",
    ]


@pytest.mark.parametrize("lock", ["None", "threading.Lock()", "threading.RLock()"])
def test_a_condition_times_out_and_holds_its_lock_again(lock):
    code = f"""
        condition = threading.Condition({lock})
        with VirtualClock() as clock, condition:
            print(condition.wait(3), clock.now())
            run(lambda: print(condition.acquire(False)))
        run(lambda: print(condition.acquire(False)))
    """
    assert patched(code) == ["False 3.0", "False", "True"]


def test_wait_for_waits_for_the_predicate():
    code = """
        condition, items = threading.Condition(), []
        def consumer():
            with condition:
                print(condition.wait_for(lambda: len(items) == 3), items)
        def producer():
            for item in range(3):
                with condition:
                    items.append(item)
                    condition.notify()
                time.sleep(0)
        run(consumer, producer)
        with condition:
            print(condition.wait_for(lambda: False, timeout=0.001))
    """
    assert patched(code) == ["True [0, 1, 2]", "False"]


def test_an_event_wakes_everyone_and_times_out():
    code = """
        event = threading.Event()
        def wait():
            print(event.wait())
        with VirtualClock() as clock:
            print(event.wait(4), clock.now(), event.is_set())
            run(wait, wait, event.set)
            print(event.wait(), event.is_set())
            event.clear()
            print(event.wait(0))
    """
    assert patched(code) == ["False 4.0 False", "True", "True", "True True", "False"]


def test_a_semaphore_lets_so_many_in():
    code = """
        semaphore, inside, most = threading.BoundedSemaphore(3), 0, 0
        def work():
            global inside, most
            with semaphore:
                inside += 1
                most = max(most, inside)
                time.sleep(0.001)
                inside -= 1
        run(*[work] * 10)
        print(most, inside)
        try:
            semaphore.release()
        except ValueError as error:
            print(error)
        empty = threading.Semaphore(0)
        print(empty.acquire(False), empty.acquire(timeout=0.001))
    """
    assert patched(code) == ["3 0", "Semaphore released too many times", "False False"]


def test_a_barrier_opens_when_all_are_there_and_breaks_at_a_timeout():
    code = """
        barrier = threading.Barrier(3)
        numbers = []
        def work():
            numbers.append(barrier.wait())
        run(work, work, work)
        print(sorted(numbers), barrier.broken)
        try:
            barrier.wait(0.001)
        except threading.BrokenBarrierError:
            print("broken", barrier.broken)
    """
    assert patched(code) == ["[0, 1, 2] False", "broken True"]


def test_locks_made_before_patching_still_work():
    code = """
        import threading, logging
        lock, event = threading.Lock(), threading.Event()
        logging.basicConfig(format="%(threadName)s %(message)s")
        import greenroom
        greenroom.patch_all()
        def work():
            with lock:
                event.set()
                logging.warning("from a task")
        thread = threading.Thread(target=work, name="worker")
        thread.start()
        thread.join()
        print(event.is_set(), lock.locked())
    """
    done = run_child(code)
    assert (done.stdout, done.stderr) == ("True False\n", "worker from a task\n")


def test_a_deadlock_of_two_locks_is_reported_with_both_lines():
    code = """
        one, two, both = threading.Lock(), threading.Lock(), threading.Barrier(2)
        def work(first, second):
            with first:
                both.wait()
                with second:
                    pass
        threads = [threading.Thread(target=work, args=pair, daemon=True)
                   for pair in ((one, two), (two, one))]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except greenroom.DeadlockError as error:
            text = str(error)
            print(text.count("<string>:"), "3 tasks wait" in text)
    """
    lines = patched(code)
    assert lines == ["3 True"]


def test_locks_say_what_they_are_as_the_librarys_do():
    code = """
        for lock in (threading.Lock(), threading.RLock()):
            print(repr(lock).partition(" ")[0], end=" ")
            with lock:
                print(repr(lock).partition(" ")[0], " object " in repr(lock))
    """
    assert patched(code) == ["<unlocked <locked True", "<unlocked <locked True"]


def test_a_timeout_beyond_the_librarys_is_refused():
    code = """
        for lock in (threading.Lock(), threading.RLock()):
            for timeout in (1e100, threading.TIMEOUT_MAX + 1):
                try:
                    lock.acquire(timeout=timeout)
                except OverflowError as error:
                    print(error)
            print(lock.acquire(timeout=threading.TIMEOUT_MAX))
    """
    assert patched(code) == ["timeout value is too large"] * 2 + ["True"] + [
        "timeout value is too large"
    ] * 2 + ["True"]
