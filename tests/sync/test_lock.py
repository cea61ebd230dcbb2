"""Lock, RLock and the semaphores: threading's contract, first come first served."""

import threading

import pytest

import greenroom
from greenroom import BoundedSemaphore, Lock, RLock, Semaphore, joinall, sleep, spawn

MAKERS = [Lock, RLock, lambda: Semaphore(1), lambda: BoundedSemaphore(1)]
NAMES = ["Lock", "RLock", "Semaphore", "BoundedSemaphore"]
every_kind = pytest.mark.parametrize("make", MAKERS, ids=NAMES)


def hold(lock, *, until):
    """Let another task hold lock until the event is set."""

    def holder():
        with lock:
            until.wait()

    task = spawn(holder)
    sleep()
    return task


@every_kind
def test_lock_is_handed_over_in_the_order_of_arrival(make):
    lock, gate, order = make(), greenroom.Event(), []
    holder = hold(lock, until=gate)

    def take(name):
        with lock:
            order.append(name)
            sleep()

    tasks = [spawn(take, name) for name in range(10)]
    sleep()
    gate.set()
    joinall([holder, *tasks])
    assert order == list(range(10))


@every_kind
def test_who_releases_and_takes_again_does_not_overtake_those_who_wait(make):
    lock, order = make(), []

    def work(name):
        for _ in range(3):
            with lock:
                order.append(name)
                sleep()

    joinall([spawn(work, name) for name in "ab"])
    assert order == list("ababab")


@every_kind
def test_acquire_without_blocking(make):
    lock, gate = make(), greenroom.Event()
    holder = hold(lock, until=gate)
    assert lock.acquire(blocking=False) is False
    assert lock.acquire(False) is False
    gate.set()
    holder.join()
    assert lock.acquire(blocking=False) is True
    lock.release()


@every_kind
def test_acquire_with_a_timeout(clock, make):
    lock, gate = make(), greenroom.Event()
    holder = hold(lock, until=gate)
    assert lock.acquire(timeout=2) is False and clock.now() == 2
    assert lock.acquire(True, 0) is False and clock.now() == 2
    spawn(lambda: (sleep(1), gate.set()))
    assert lock.acquire(timeout=5) is True and clock.now() == 3
    lock.release()
    holder.join()


@every_kind
def test_timed_out_and_killed_waiters_leave_the_line(clock, make):
    lock, gate, got = make(), greenroom.Event(), []
    holder = hold(lock, until=gate)
    late = spawn(lock.acquire, True, 1)
    killed = spawn(lock.acquire)

    def last():
        with lock:
            got.append(True)

    taker = spawn(last)
    sleep(2)
    killed.kill()
    gate.set()
    joinall([holder, late, killed, taker])
    assert late.result() is False and got == [True]
    assert "0 waiting" in repr(lock) or "free" in repr(lock)


@every_kind
def test_timeout_together_with_not_blocking_is_refused(make):
    with pytest.raises(ValueError):
        make().acquire(blocking=False, timeout=1)


@pytest.mark.parametrize("make", [Lock, RLock])
def test_negative_timeout_is_refused_as_the_standard_library_does(make):
    for lock in (threading.Lock(), make()):
        with pytest.raises(ValueError):
            lock.acquire(timeout=-2)
    lock = make()
    assert lock.acquire(timeout=-1) is True
    lock.release()


def test_lock_is_released_by_an_error_in_its_block():
    lock = Lock()
    with pytest.raises(ValueError), lock:
        raise ValueError
    assert not lock.locked()


def test_lock_may_be_released_by_another_task():
    lock = Lock()
    lock.acquire()
    spawn(lock.release).join()
    assert not lock.locked()


@pytest.mark.parametrize("make", [Lock, RLock])
def test_release_of_a_free_lock_is_refused(make):
    with pytest.raises(RuntimeError):
        make().release()


def test_rlock_is_taken_again_by_its_owner_and_released_as_often():
    lock = RLock()
    with lock, lock:
        other = spawn(lock.acquire, False)
        assert other.result() is False
    assert not lock.locked()
    assert spawn(lock.acquire, False).result() is True


def test_rlock_is_released_by_its_owner_only():
    lock = RLock()
    lock.acquire()
    with pytest.raises(RuntimeError, match="un-acquired"):
        spawn(lock.release).result()
    lock.release()


def test_rlock_in_a_raw_greenlet_belongs_to_the_task():
    from greenlet import greenlet

    lock = RLock()

    def work():
        with lock:
            return greenlet(lambda: lock.acquire(blocking=False)).switch()

    assert spawn(work).result() is True


def test_semaphore_admits_as_many_as_its_value():
    semaphore, inside, most = Semaphore(3), [], []

    def work():
        with semaphore:
            inside.append(1)
            most.append(len(inside))
            sleep()
            inside.pop()

    joinall([spawn(work) for _ in range(20)])
    assert max(most) == 3 and semaphore.value == 3


def test_semaphore_release_of_several_lets_several_pass_in_order():
    semaphore, passed = Semaphore(0), []
    tasks = [
        spawn(lambda name=name: (semaphore.acquire(), passed.append(name))) for name in range(5)
    ]
    sleep()
    semaphore.release(3)
    sleep()
    assert passed == [0, 1, 2] and semaphore.value == 0
    semaphore.release(3)
    joinall(tasks)
    assert passed == list(range(5)) and semaphore.value == 1


def test_semaphore_refuses_values_that_make_no_sense():
    with pytest.raises(ValueError):
        Semaphore(-1)
    with pytest.raises(ValueError):
        Semaphore(1).release(0)


def test_bounded_semaphore_may_not_be_released_too_often():
    semaphore = BoundedSemaphore(2)
    with pytest.raises(ValueError):
        semaphore.release()
    semaphore.acquire()
    with pytest.raises(ValueError):
        semaphore.release(2)
    semaphore.release()
    assert semaphore.value == 2


def test_locks_work_at_top_level_without_any_task(clock):
    for make in MAKERS:
        lock = make()
        assert lock.acquire()
        lock.release()
    lock = Lock()
    lock.acquire()
    spawn(lambda: (sleep(1), lock.release()))
    assert lock.acquire() and clock.now() == 1
