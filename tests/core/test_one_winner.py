"""A timeout, a kill and an event may meet in one tick: exactly one of them wakes the task."""

import itertools

import pytest

import greenroom
from greenroom import Event, Lock, Queue, Semaphore, TaskKilled, joinall, sleep, spawn


def test_timer_and_event_in_one_tick_wake_once(clock):
    event, later = Event(), Event()
    seen = []

    def wait():
        seen.append(event.wait(timeout=5))
        seen.append(later.wait(timeout=5))

    task = spawn(wait)
    sleep()
    clock.advance(5)
    event.set()
    sleep()
    assert seen == [True]
    sleep()
    assert task.state_name == "parked"  # the late timer did not end the next wait
    later.set()
    task.join()
    assert seen == [True, True]


def test_timeout_of_a_wait_that_was_woken_does_not_end_the_next_one(clock):
    """Symptom: the timer of the first wait, still in the heap, ended a wait without a timeout."""
    first, second = Event(), Event()

    def wait():
        return first.wait(timeout=5), second.wait()

    task = spawn(wait)
    sleep()
    first.set()
    sleep(10)
    assert not task.done
    second.set()
    assert task.result() == (True, True)


def test_timer_first_then_event_in_one_tick_is_a_timeout(clock):
    event = Event()
    task = spawn(event.wait, 5)
    setter = spawn(lambda: (sleep(5), event.set()))
    assert task.result() is False
    setter.join()


def test_kill_and_release_in_one_tick():
    """The lock goes to whoever comes after a killed waiter, or stays the killed one's own."""
    for first, second in itertools.permutations(("kill", "release")):
        lock = Lock()
        lock.acquire()
        held = []

        def hold(lock=lock, held=held):
            with lock:
                held.append(True)
                sleep()

        task = spawn(hold)
        sleep()
        for act in (first, second):
            task.kill() if act == "kill" else lock.release()
        task.join()
        assert isinstance(task.exception, TaskKilled)
        assert bool(held) is (first == "release")
        assert not lock.locked(), (first, second)


def test_lock_handed_to_a_task_that_is_then_killed_goes_on_to_the_next():
    lock = Lock()
    lock.acquire()
    got = []

    def hold(name):
        with lock:
            got.append(name)
            sleep()

    tasks = [spawn(hold, name) for name in "abc"]
    sleep()
    lock.release()
    tasks[0].kill()
    joinall(tasks)
    assert got == ["a", "b", "c"] and not lock.locked()


def test_killed_waiter_is_skipped_by_a_release_in_the_same_tick():
    lock = Lock()
    lock.acquire()
    tasks = [spawn(lock.acquire) for _ in range(2)]
    sleep()
    tasks[0].kill()
    lock.release()
    assert tasks[1].result() is True
    assert isinstance(tasks[0].exception, TaskKilled)
    assert lock.locked()


def test_item_given_to_a_task_killed_in_the_same_tick_is_returned_not_lost():
    queue = Queue()
    got = []

    def get():
        got.append(queue.get())
        sleep()
        got.append("never")

    task = spawn(get)
    sleep()
    queue.put("item")
    task.kill()
    task.join()
    assert got == ["item"] and isinstance(task.exception, TaskKilled)


def test_item_put_after_the_getter_was_killed_stays_in_the_queue():
    queue = Queue()
    task = spawn(queue.get)
    sleep()
    task.kill()
    queue.put("item")
    task.join()
    assert queue.get_nowait() == "item"


def test_put_that_was_killed_has_not_put_and_one_let_in_first_has():
    queue = Queue(1)
    queue.put(0)
    tasks = [spawn(queue.put, number) for number in (1, 2)]
    sleep()
    tasks[0].kill()
    assert queue.get() == 0
    tasks[1].kill()  # too late: the get before has moved its item in
    joinall(tasks)
    assert tasks[1].exception is None
    assert queue.get_nowait() == 2 and queue.empty()


ACTS = ("kill", "release", "expire")


@pytest.mark.parametrize("order", list(itertools.permutations(ACTS)), ids="-".join)
def test_permit_is_never_lost_whatever_comes_first(clock, order):
    """One permit, and a kill, a release and a timeout in one tick: the permit is somewhere."""
    semaphore = Semaphore(0)
    took = []

    def take():
        if semaphore.acquire(timeout=5):
            took.append(True)

    task = spawn(take)
    sleep()
    for act in order:
        if act == "kill":
            task.kill()
        elif act == "release":
            semaphore.release()
        else:
            clock.advance(5)
            greenroom.sleep()
    task.join()
    assert len(took) + semaphore.value == 1


def test_first_cause_decides_what_the_wait_reports(clock):
    event = Event()
    seen = []

    def wait():
        seen.append(event.wait(timeout=5))

    task = spawn(wait)
    sleep()
    event.set()
    clock.advance(100)
    task.kill()
    task.join()
    assert seen == [True]


def test_two_sets_wake_a_waiter_once():
    event, other = Event(), Event()
    turns = []

    def wait():
        event.wait()
        turns.append("event")
        other.wait()
        turns.append("other")

    task = spawn(wait)
    sleep()
    event.set()
    event.set()
    sleep()
    sleep()
    assert turns == ["event"]
    other.set()
    task.join()
