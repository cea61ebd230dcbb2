"""The pools of real threads: how many there are, which signals they take, who is woken."""

import signal
import threading

from waiting import until

from greenroom import _config, joinall, sleep, spawn
from greenroom.core import offload


def gate():
    """Return a real lock that is held."""
    lock = threading.Lock()
    lock.acquire()
    return lock


def test_the_small_pool_has_no_more_threads_than_it_may():
    pool = offload.Offload(2)
    lock = gate()
    tasks = [spawn(pool.call, lock.acquire) for _ in range(5)]
    until(lambda: pool.busy == 2)
    assert pool.threads == 2
    for ended in range(1, 6):
        lock.release()
        until(lambda ended=ended: sum(task.done for task in tasks) == ended)
    assert pool.threads == 2
    assert [task.result() for task in tasks] == [True] * 5


def test_the_pool_without_a_bound_has_a_thread_for_each_call():
    pool = offload.Offload(None)
    locks = [gate() for _ in range(25)]
    tasks = [spawn(pool.call, lock.acquire) for lock in locks]
    until(lambda: pool.busy == 25)
    for lock in reversed(locks):
        lock.release()
    joinall(tasks)
    pool.call(int)
    assert pool.threads == 25


def test_a_job_never_waits_behind_a_busy_thread_of_the_pool_without_a_bound():
    """Each call needs the next one to end, and all come at once."""
    pool = offload.Offload(None)
    for _ in range(20):
        locks = [gate() for _ in range(10)]

        def step(number, locks=locks):
            if number:
                locks[number].acquire()
            if number + 1 < len(locks):
                locks[number + 1].release()

        tasks = [spawn(pool.call, step, number) for number in reversed(range(10))]
        joinall(tasks, timeout=60)
        assert all(task.done for task in tasks)


def test_idle_threads_of_the_pool_without_a_bound_end(monkeypatch):
    monkeypatch.setattr(_config, "OFFLOAD_IDLE", 0.01)
    pool = offload.Offload(None)
    assert pool.call(int) == 0
    until(lambda: pool.threads == 0)
    assert pool.call(int) == 0


def test_a_thread_that_ends_as_a_job_comes_loses_nothing(monkeypatch):
    monkeypatch.setattr(_config, "OFFLOAD_IDLE", 0.001)
    pool = offload.Offload(None)
    for number in range(200):
        assert pool.call(int, number) == number
        sleep(0.001)


def test_threads_of_the_pool_take_no_signals_but_faults():
    blocked = offload.call(signal.pthread_sigmask, signal.SIG_BLOCK, ())
    assert {signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1} <= blocked
    assert signal.SIGSEGV not in blocked
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()


def test_what_starts_a_process_has_the_caller_s_signal_mask():
    call = offload.call_with_signals
    assert call(signal.pthread_sigmask, signal.SIG_BLOCK, ()) == set()
    assert signal.SIGINT in offload.call_unbounded(signal.pthread_sigmask, signal.SIG_BLOCK, ())


def test_what_a_call_leaves_alive_runs_on_and_the_pool_keeps_its_size():
    """A thread started by a call stood still when the call returned, and whoever joined it hung."""
    pool = offload.Offload(1)
    seen, go = [], threading.Event()

    def later():
        while not go.is_set():
            sleep(0.001)
        seen.append(threading.get_ident())

    def leaves_a_task():
        spawn(later)
        return threading.get_ident()

    first = pool.call(leaves_a_task)
    assert pool.threads == 1
    assert pool.call(threading.get_ident) != first
    go.set()
    until(lambda: seen == [first])
    assert pool.call(int) == 0
    pool.end_threads()
    assert pool.threads == 0
