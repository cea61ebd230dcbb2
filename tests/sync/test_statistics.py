"""statistics(): who waits and how full, of every primitive."""

import asyncio
import dataclasses
import subprocess
import sys

import pytest

from greenroom import (
    Barrier,
    BoundedSemaphore,
    CapacityLimiter,
    Channel,
    Condition,
    Event,
    Group,
    LifoQueue,
    Lock,
    Pool,
    PriorityQueue,
    Queue,
    RateLimiter,
    Result,
    RLock,
    Semaphore,
    SimpleQueue,
    Supervisor,
    TaskGroup,
    ThreadPool,
    channel,
    current,
    op,
    select,
    sleep,
    spawn,
)


@pytest.fixture
def waiters():
    """Starts tasks that will wait; they are killed in the end."""
    tasks = []

    def start(fn, *args):
        tasks.append(spawn(fn, *args))
        sleep()
        return tasks[-1]

    yield start
    for task in tasks:
        task.kill()
        task.join()


@pytest.mark.parametrize("make", [Event, Result])
def test_event_and_result(waiters, make):
    thing = make()
    assert thing.statistics().waiting == () and not thing.statistics().is_set
    tasks = tuple(waiters(thing.wait if make is Event else thing.get) for _ in range(2))
    assert thing.statistics().waiting == tasks
    thing.set()
    assert thing.statistics().is_set and thing.statistics().waiting == ()


def test_a_record_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Event().statistics().is_set = True


def test_lock(waiters):
    lock = Lock()
    assert (lock.statistics().locked, lock.statistics().count) == (False, 0)
    with lock:
        task = waiters(lock.acquire)
        found = lock.statistics()
    assert (found.locked, found.owner, found.count, found.waiting) == (True, None, 1, (task,))


def test_rlock(waiters):
    lock = RLock()
    release = Event()

    def hold():
        with lock, lock:
            release.wait()

    holder = waiters(hold)
    task = waiters(lock.acquire)
    found = lock.statistics()
    assert (found.locked, found.owner, found.count, found.waiting) == (True, holder, 2, (task,))
    release.set()
    sleep()


def test_semaphores(waiters):
    semaphore = Semaphore(1)
    assert (semaphore.statistics().value, semaphore.statistics().bound) == (1, None)
    semaphore.acquire()
    task = waiters(semaphore.acquire)
    assert semaphore.statistics().waiting == (task,) and semaphore.statistics().value == 0
    assert BoundedSemaphore(3).statistics().bound == 3


def test_condition(waiters):
    condition = Condition()

    def wait():
        with condition:
            condition.wait()

    task = waiters(wait)
    with condition:
        found = condition.statistics()
    assert found.waiting == (task,) and found.lock.locked
    assert found.lock.owner in (current(), current().scheduler.main_owner)


def test_barrier(waiters):
    barrier = Barrier(3)

    def wait():
        with pytest.raises(RuntimeError):
            barrier.wait()

    task = waiters(wait)
    found = barrier.statistics()
    assert (found.parties, found.broken, found.waiting) == (3, False, (task,))
    barrier.abort()
    assert barrier.statistics().broken and barrier.statistics().waiting == ()


@pytest.mark.parametrize("make", [Queue, LifoQueue, PriorityQueue])
def test_queues(waiters, make):
    queue = make(2)
    getting = waiters(queue.get)
    assert queue.statistics().getting == (getting,)
    for number in range(3):
        queue.put(number)
    putting = waiters(queue.put, 4)
    joining = waiters(queue.join)
    found = queue.statistics()
    assert (found.size, found.maxsize, found.unfinished) == (2, 2, 3)
    assert (found.getting, found.putting, found.joining) == ((), (putting,), (joining,))


def test_simple_queue(waiters):
    queue = SimpleQueue()
    queue.put(1)
    found = queue.statistics()
    assert (found.size, found.maxsize, found.unfinished, found.joining) == (1, 0, 0, ())
    queue = Queue()
    queue.shutdown()
    assert queue.statistics().is_shutdown


def test_thread_pool():
    begun, go_on = Event(), Event()

    def call():
        begun.set()
        go_on.wait()

    with ThreadPool(1) as pool:
        tasks = {pool.submit(call), pool.submit(call)}
        assert begun.wait(60)
        found = pool.statistics()
        assert (found.size, found.threads, found.busy, found.queued) == (1, 1, 1, 1)
        assert set(found.tasks) == tasks and not found.closed
        go_on.set()
    assert pool.statistics().closed and pool.statistics().tasks == ()


def test_task_group(clock):
    with pytest.raises(ExceptionGroup), TaskGroup() as group:
        tasks = [group.spawn(sleep, seconds) for seconds in (1, 2)]
        found = group.statistics()
        assert found.children == tuple(tasks)
        assert (found.errors, found.cancelled, found.closed) == (0, False, False)
        group.spawn(lambda: 1 / 0)
        try:
            sleep(5)
        finally:
            assert group.statistics().errors == 1 and group.statistics().cancelled
    assert group.statistics().closed and group.statistics().children == ()


def test_a_task_that_waits_for_one_of_several_is_shown_as_itself(waiters):
    from greenroom.sync.select import select

    one, two = Event(), Queue()
    task = waiters(lambda: select(one, two.get))
    assert one.statistics().waiting == two.statistics().getting == (task,)


def test_group_and_pool(waiters):
    group, pool = Group(), Pool(1)
    tasks = group.spawn(Event().wait), pool.spawn(Event().wait)
    joining, waiting = waiters(group.join), waiters(pool.spawn, int)
    found = group.statistics()
    assert (found.tasks, found.joining, found.waiting) == ((tasks[0],), (joining,), ())
    found = pool.statistics()
    assert (found.tasks, found.size) == ((tasks[1],), 1)
    assert (found.waiting, found.joining) == ((waiting,), ())
    for task in tasks:
        task.kill()
        task.join()


def test_how_long_each_has_waited_is_told(clock):
    queue, event = Queue(), Event()

    def waits():
        yield event

    first = spawn(queue.get)
    sleep(2)
    second = spawn(select, queue.get, event)
    third = spawn(waits())
    sleep(1)
    found = queue.statistics().getting
    assert (found, found.seconds) == ((first, second), (3, 1))
    assert event.statistics().waiting.seconds == (1, 1)
    with pytest.raises(AttributeError):
        found.seconds = ()
    queue.put(1)
    event.set()
    for task in (first, second, third):
        task.join()
    again = spawn(queue.get)  # a second wait counts from its own beginning
    sleep(1)
    assert queue.statistics().getting.seconds == (1,)
    again.kill()
    again.join()


def test_a_coroutine_that_awaits_is_shown_as_its_asyncio_task(clock):
    """It was shown as None."""
    event, queue = Event(), Queue()

    async def waits():
        await event

    async def gets():
        await op(queue.get)

    task = spawn(waits(), name="waits")
    other = spawn(gets())
    sleep(2)
    (shown,) = event.statistics().waiting
    assert isinstance(shown, asyncio.Task) and shown.get_name() == "waits"
    assert event.statistics().waiting.seconds == queue.statistics().getting.seconds == (2,)
    event.set()
    queue.put(1)
    task.join()
    other.join()
    assert event.statistics().waiting == ()


EVERY = [
    *(Event, Result, Lock, RLock, lambda: Semaphore(1), lambda: BoundedSemaphore(1), Condition),
    *(lambda: Barrier(2), Queue, LifoQueue, PriorityQueue, SimpleQueue, TaskGroup, Channel, Group),
    *(lambda: channel()[0], lambda: channel()[1], lambda: Pool(1), lambda: CapacityLimiter(1)),
    *(lambda: RateLimiter(1), Supervisor, lambda: ThreadPool(1)),
]


@pytest.mark.parametrize("make", EVERY)
def test_every_primitive_has_a_record_that_nothing_can_change(make):
    thing = make()
    record = thing.statistics()
    hash(record)  # so no list is in it either
    for field in dataclasses.fields(record):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(record, field.name, None)


def test_what_statistics_are_made_of_is_not_loaded_before_they_are_asked_for():
    code = (
        "import sys, greenroom\n"
        "things = [greenroom.Lock(), greenroom.Queue(), greenroom.Event(), greenroom.TaskGroup()]\n"
        "assert 'greenroom.sync.statistics' not in sys.modules\n"
        "things[0].statistics()\n"
        "assert 'greenroom.sync.statistics' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
