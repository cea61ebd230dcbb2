"""Between real threads: a wake-up is never lost, whatever it comes by."""

import _thread
import sys
from collections import deque

import pytest
from children import output_of

import greenroom
from greenroom import Event, Lock, Queue, Result, RLock, Semaphore, sleep, spawn
from greenroom.core import offload
from greenroom.core import scheduler as _scheduler

OPERATIONS = 2000


@pytest.fixture(autouse=True)
def switch_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


class Thread:
    """A real thread that a task can join; what it raises is raised by join()."""

    def __init__(self, fn, *args):
        self.outcome = Result()
        # A thread that has not begun is not counted, and could be missed by the deadlock check.
        self.begun = _thread.allocate_lock()
        self.begun.acquire()
        _thread.start_new_thread(self._run, (fn, args))
        self.begun.acquire()

    def _run(self, fn, args):
        self.begun.release()
        try:
            result = fn(*args)
        except BaseException as error:
            self.outcome.set_error(error)
        else:
            self.outcome.set(result)

    def join(self):
        return self.outcome.get(timeout=60)


def test_each_thread_has_a_scheduler_of_its_own():
    mine = _scheduler.get()
    others = Thread(lambda: (_scheduler.get() is not mine, greenroom.current().name))
    assert others.join() == (True, "main")
    assert _scheduler.get() is mine


def test_tasks_of_a_thread_run_in_that_thread():
    def work():
        task = spawn(_thread.get_ident)
        return task.result() == _thread.get_ident()

    assert Thread(work).join()


def test_fds_of_a_scheduler_are_given_back_when_its_thread_ends():
    # In a child: here a thread of another test may be at its end, and give back its fds.
    lines = output_of(
        """
        import os, threading
        from greenroom import sleep, spawn
        def fds():
            return len(os.listdir("/proc/self/fd"))
        spawn(int).join()
        before = fds()
        for _ in range(5):
            thread = threading.Thread(target=lambda: spawn(int).join())
            thread.start()
            thread.join()
        while fds() != before:  # the thread's locals die after its function has returned
            sleep(0.001)
        print("given back")
        """
    )
    assert lines == ["given back"]


def test_call_soon_threadsafe_calls_everything_once_in_order():
    scheduler = _scheduler.get()
    seen, done = deque(), Event()

    def call():
        for number in range(OPERATIONS):
            scheduler.call_soon_threadsafe(seen.append, number)
        scheduler.call_soon_threadsafe(done.set)

    Thread(call)
    assert done.wait(60)
    assert list(seen) == list(range(OPERATIONS))


def test_call_soon_threadsafe_that_raises_is_logged_and_the_rest_goes_on(caplog):
    scheduler = _scheduler.get()
    done = Event()
    scheduler.call_soon_threadsafe(lambda: 1 / 0)
    scheduler.call_soon_threadsafe(done.set)
    assert done.wait(60)
    assert "ZeroDivisionError" in caplog.text


def test_call_soon_threadsafe_must_not_wait(caplog):
    done = Event()
    _scheduler.get().call_soon_threadsafe(sleep, 1)
    _scheduler.get().call_soon_threadsafe(done.set)
    assert done.wait(60)
    assert "cannot wait for" in caplog.text


def test_ping_pong_by_events_loses_no_wake_up():
    pings = [Event() for _ in range(OPERATIONS)]
    pongs = [Event() for _ in range(OPERATIONS)]

    def other():
        for ping, pong in zip(pings, pongs, strict=True):
            assert ping.wait(60)
            pong.set()

    thread = Thread(other)
    for ping, pong in zip(pings, pongs, strict=True):
        ping.set()
        assert pong.wait(60)
    thread.join()


def test_queue_between_threads_passes_every_item_once_in_order():
    there, back = Queue(3), Queue(3)

    def other():
        for _ in range(OPERATIONS):
            back.put(there.get())

    thread = Thread(other)
    sender = spawn(lambda: [there.put(number) for number in range(OPERATIONS)])
    assert [back.get(timeout=60) for _ in range(OPERATIONS)] == list(range(OPERATIONS))
    thread.join()
    sender.join()


@pytest.mark.parametrize("make", [Lock, RLock, Semaphore])
def test_lock_between_threads_and_tasks_admits_one_at_a_time(make):
    lock = make()
    inside, most = [], []

    def work():
        for _ in range(OPERATIONS // 10):
            with lock:
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    def many():
        greenroom.joinall([spawn(work) for _ in range(3)])

    threads = [Thread(many), Thread(many)]
    many()
    for thread in threads:
        thread.join()
    assert max(most) == 1 and len(most) == OPERATIONS // 10 * 9
    assert lock.acquire(blocking=False)
    lock.release()


def test_permits_are_not_lost_when_waits_time_out_while_another_thread_releases():
    """A timeout and a release of another thread race for the same waiter."""
    semaphore = Semaphore(0)
    got = []

    def take():
        while len(got) < OPERATIONS:
            if semaphore.acquire(timeout=0.00005):
                got.append(1)

    def give():
        for _ in range(OPERATIONS):
            semaphore.release()

    thread = Thread(give)
    taker = spawn(take)
    assert taker.join(timeout=60), f"{OPERATIONS - len(got)} permits were lost"
    thread.join()
    assert semaphore.value == 0


def test_items_are_not_lost_when_gets_time_out_while_another_thread_puts():
    queue = Queue()
    got = []

    def take():
        while len(got) < OPERATIONS:
            try:
                got.append(queue.get(timeout=0.00005))
            except Exception:
                pass

    thread = Thread(lambda: [queue.put(number) for number in range(OPERATIONS)])
    taker = spawn(take)
    assert taker.join(timeout=60), f"{OPERATIONS - len(got)} items were lost"
    thread.join()
    assert got == list(range(OPERATIONS))


def test_join_of_a_task_of_another_thread_loses_no_end():
    tasks = Queue(1)

    def spawner():
        for number in range(OPERATIONS):
            task = spawn(int, number)
            tasks.put(task)
            sleep()
        greenroom.joinall([task])

    thread = Thread(spawner)
    for number in range(OPERATIONS):
        assert tasks.get(timeout=60).result(timeout=60) == number
    thread.join()


def test_kill_from_another_thread_ends_the_task():
    tasks = Queue()

    def other():
        for _ in range(200):
            task = spawn(sleep, 1000)
            tasks.put(task)
            task.join()

    thread = Thread(other)
    for _ in range(200):
        tasks.get(timeout=60).kill()
    thread.join()


def test_condition_between_threads_loses_no_notify():
    condition = greenroom.Condition()
    turn = [0]

    def play(me):
        for _ in range(OPERATIONS // 4):
            with condition:
                assert condition.wait_for(lambda: turn[0] == me, timeout=60)
                turn[0] = 1 - me
                condition.notify()

    thread = Thread(play, 1)
    play(0)
    thread.join()


def test_barrier_between_threads_lets_all_parties_pass_each_round():
    barrier = greenroom.Barrier(3)
    rounds = OPERATIONS // 10

    def party():
        return [barrier.wait(60) for _ in range(rounds)]

    threads = [Thread(party), Thread(party)]
    mine = party()
    columns = zip(mine, *[thread.join() for thread in threads], strict=True)
    assert all(sorted(column) == [0, 1, 2] for column in columns)


def test_main_thread_that_waits_for_a_thread_is_not_a_deadlock():
    gate = _thread.allocate_lock()
    gate.acquire()
    event = Event()

    def other():
        gate.acquire()
        event.set()

    thread = Thread(other)
    spawn(gate.release)
    assert event.wait()
    thread.join()


def test_spawn_into_the_scheduler_of_another_thread_is_one_sentence_not_a_lost_task():
    # Symptom: the task stood in a ready queue whose thread slept, and nobody woke it.
    ours = _scheduler.get()
    found = []

    def elsewhere():
        try:
            ours.spawn(print, ())
        except RuntimeError as error:
            found.append(str(error))

    offload.call(elsewhere)
    assert "use its call_soon_threadsafe()" in found[0]
    assert ours.live == 0
