"""Group, Pool, imap and map: the limit, the order, look-ahead, errors, kills, and giving up."""

import asyncio
import gc
import itertools
import logging
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import greenroom
from greenroom import Event, Group, Pool, TaskKilled, Timeout, WouldBlock, current, sleep, spawn
from greenroom.testing.clock import VirtualClock


class Counter:
    """A function that sleeps, and knows how many calls of it run."""

    def __init__(self):
        self.running = self.most = 0
        self.begun, self.ended, self.killed = [], [], []

    def __call__(self, item, seconds=1.0):
        self.running += 1
        self.most = max(self.most, self.running)
        self.begun.append(item)
        try:
            sleep(seconds)
            self.ended.append(item)
            return item * 10
        except greenroom.Cancelled:
            self.killed.append(item)
            raise
        finally:
            self.running -= 1


# --- Group


def test_a_group_knows_its_tasks_until_they_end(clock):
    group = Group()
    short = group.spawn(sleep, 1, name="short")
    long = group.spawn(sleep, 2)
    assert len(group) == 2 and set(group) == {short, long} and short in group
    assert short.name == "short"
    sleep(1.5)
    assert list(group) == [long]
    assert group.join() and len(group) == 0 and clock.now() == 2
    assert group.join()


def test_join_with_a_timeout(clock):
    group = Group()
    group.spawn(sleep, 5)
    assert not group.join(1)
    assert group.join(10)
    assert clock.now() == 5


def test_join_waits_for_what_is_spawned_meanwhile(clock):
    group = Group()
    group.spawn(lambda: (sleep(1), group.spawn(sleep, 1)))
    assert group.join()
    assert clock.now() == 2


def test_a_task_of_the_group_cannot_join_it(clock):
    group = Group()
    task = group.spawn(group.join)
    task.observed = True
    group.join()
    assert "cannot wait for its own end" in str(task.exception)


def test_add_takes_what_runs_and_leaves_out_what_has_ended(clock):
    group = Group()
    task = spawn(sleep, 1)
    group.add(task)
    group.add(task)
    assert list(group) == [task]
    group.join()
    group.add(task)
    assert len(group) == 0
    with pytest.raises(TypeError, match="not a Task"):
        group.add(3)


def test_kill_ends_all_and_does_not_wait(clock):
    group = Group()
    counter = Counter()
    for item in range(3):
        group.spawn(counter, item)
    sleep()
    unrun = group.spawn(counter, 3)
    group.kill()
    assert len(group) == 4
    assert group.join()
    assert counter.killed == [0, 1, 2] and clock.now() == 0
    assert isinstance(unrun.exception, TaskKilled)


def test_an_error_in_a_group_is_logged(clock, caplog):
    with Group() as group:
        group.spawn(int, "x")
        added = spawn(int, "y")
        group.add(added)
    assert [record.exc_info[0] for record in caplog.records] == [ValueError, ValueError]


def test_a_block_waits_and_one_that_fails_kills_first(clock):
    counter = Counter()
    with Group() as group:
        group.spawn(counter, 1, 3)
    assert counter.ended == [1] and clock.now() == 3
    with pytest.raises(KeyError), Group() as group:
        group.spawn(counter, 2, 3)
        sleep(1)
        raise KeyError
    assert counter.killed == [2] and clock.now() == 4


def test_a_killed_block_waits_for_the_cleanup_of_its_tasks(clock):
    cleaned = []

    def child():
        try:
            sleep(100)
        finally:
            cleaned.append(1)

    def parent():
        with Group() as group:
            group.spawn(child)

    task = spawn(parent)
    sleep(1)
    task.kill()
    task.join()
    assert cleaned == [1] and clock.now() == 1


@pytest.mark.parametrize("make", [Group, lambda: Pool(1)])
def test_generators_and_coroutines_are_members_as_functions_are(clock, make):
    async def coroutine():
        await asyncio.sleep(1)
        ended.append("coroutine")

    def generator():
        yield greenroom.after(1)
        ended.append("generator")

    ended = []
    with make() as group:
        first = group.spawn(coroutine())
        assert list(group) == [first]
        group.spawn(generator())
    assert sorted(ended) == ["coroutine", "generator"] and len(group) == 0


def test_what_is_not_callable():
    pool = Pool(1)
    for use in (Group().spawn, pool.spawn, pool.imap, pool.apply):
        with pytest.raises(TypeError, match="not callable"):
            use(3, [1])
    assert pool.free_count == 1


# --- Pool


def test_spawn_waits_for_room_first_come_first_served(clock):
    pool = Pool(2)
    counter = Counter()
    started = []

    def producer(name):
        pool.spawn(counter, name)
        started.append((name, clock.now()))

    producers = [spawn(producer, name) for name in range(5)]
    greenroom.joinall(producers)
    assert started == [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2)]
    pool.join()
    assert counter.most == 2


def test_block_false_says_that_it_is_full(clock):
    with Pool(1) as pool:
        pool.spawn(sleep, 1, block=False)
        assert pool.free_count == 0
        with pytest.raises(WouldBlock, match="is full"):
            pool.spawn(sleep, 1, block=False)
    assert pool.free_count == 1


def test_a_spawn_that_is_killed_while_it_waits_leaves_the_room_to_the_next(clock):
    pool = Pool(1)
    ran = []
    pool.spawn(sleep, 1)
    given_up = spawn(pool.spawn, ran.append, "given up")
    waiting = spawn(pool.spawn, ran.append, "waited")
    sleep()
    given_up.kill()
    greenroom.joinall([given_up, waiting])
    pool.join()
    assert ran == ["waited"] and pool.free_count == 1


def test_a_spawn_killed_in_the_tick_in_which_it_got_room_loses_no_room(clock):
    pool = Pool(1)
    first = pool.spawn(sleep, 100)
    waiting = spawn(pool.spawn, int)
    sleep()
    first.kill()
    first.join()  # its end has given its room away
    waiting.kill()
    waiting.join()
    pool.join()
    assert pool.free_count == 1


def test_a_timeout_around_spawn(clock):
    with Pool(1) as pool:
        pool.spawn(sleep, 10)
        with pytest.raises(Timeout), greenroom.timeout(1):
            pool.spawn(sleep, 10)
        assert clock.now() == 1 and len(pool) == 1


def test_add_waits_for_room(clock):
    pool = Pool(1)
    pool.spawn(sleep, 1)
    task = spawn(sleep, 5)
    pool.add(task)
    assert clock.now() == 1 and pool.free_count == 0
    pool.join()
    assert pool.free_count == 1
    pool.add(task)
    assert pool.free_count == 1 and len(pool) == 0


def test_apply_and_a_nested_one(clock):
    pool = Pool(1)
    assert pool.apply(divmod, 7, 2) == (3, 1)
    assert pool.apply(lambda: pool.apply(divmod, 7, 2)) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        pool.apply(divmod, 1, 0)
    counter = Counter()
    with pytest.raises(Timeout), greenroom.timeout(0.5):
        pool.apply(counter, 1)
    assert counter.killed == [1] and pool.free_count == 1


def test_a_block_that_fails_kills_also_what_waits_for_room(clock):
    counter = Counter()
    pool = Pool(1)

    def spawn_two():
        pool.spawn(counter, 1)
        pool.spawn(counter, 2)

    with pytest.raises(KeyError), pool:
        waiting = spawn(spawn_two)
        sleep(0.5)
        raise KeyError
    waiting.join()
    assert counter.ended == [] and len(pool) == 0 and pool.free_count == 1


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "4", None])
def test_a_size_that_is_none(size):
    with pytest.raises(ValueError, match="1 or more"):
        Pool(size)


def test_a_pool_shared_by_two_real_threads():
    pool = Pool(3)
    running, most, done = [], [], []

    def call(item):
        running.append(item)
        most.append(len(running))
        sleep(0.0001)
        running.remove(item)
        done.append(item)

    def thread(first):
        for item in range(first, first + 200):
            pool.spawn(call, item)
        greenroom.run(lambda: None)

    threads = [threading.Thread(target=thread, args=(first,)) for first in (0, 1000)]
    for one in threads:
        one.start()
    for one in threads:
        greenroom.to_thread(one.join)
    assert len(done) == 400 and max(most) <= 3
    assert pool.join(5) and pool.free_count == 3


# --- map, imap, imap_unordered


def test_map_returns_a_list_and_takes_several_iterables():
    pool = Pool(3)
    assert pool.map(divmod, [7, 8, 9], [2, 3]) == [(3, 1), (2, 2)]
    assert pool.map(int, []) == []
    with pytest.raises(TypeError, match="at least one iterable"):
        pool.map(int)


def test_ordered_results_come_in_order_unordered_as_they_are_there(clock):
    def wait(seconds):
        sleep(seconds)
        return seconds

    seconds = [3, 1, 2]
    assert list(greenroom.map(wait, seconds, limit=3)) == [3, 1, 2]
    assert clock.now() == 3
    assert list(greenroom.map(wait, seconds, limit=3, ordered=False)) == [1, 2, 3]
    assert list(Pool(3).imap(wait, seconds)) == [3, 1, 2]
    assert list(Pool(3).imap_unordered(wait, seconds)) == [1, 2, 3]


@pytest.mark.parametrize("ordered", [True, False])
def test_an_endless_iterable_is_read_no_further_than_the_look_ahead(clock, ordered):
    read = []

    def items():
        for item in itertools.count():
            read.append(item)
            yield item

    counter = Counter()
    with greenroom.map(counter, items(), limit=3, ahead=2, ordered=ordered) as results:
        sleep(10)
        assert read == []  # nothing begins before the first step
        assert next(results) == 0
        sleep(10)
        assert counter.most == 3
        assert len(counter.begun) == 6 and len(read) in (6, 7)  # 1 taken, 3 + 2 begun
        assert list(itertools.islice(results, 7)) == [10, 20, 30, 40, 50, 60, 70]
    assert counter.running == 0


def test_an_iterable_that_waits_holds_up_no_result(clock):
    """A pipeline whose next item depends on the result before."""
    go_on = greenroom.Queue()

    def items():
        yield 1
        yield go_on.get()

    results = greenroom.map(lambda item: item * 10, items(), limit=4)
    assert next(results) == 10
    go_on.put(2)
    assert list(results) == [20]


def test_an_error_is_raised_at_its_place_and_ends_what_runs(clock, caplog):
    counter = Counter()

    def call(item):
        return 1 // 0 if item == 2 else counter(item, 100 if item > 2 else 1)

    results = greenroom.map(call, itertools.count(), limit=4)
    assert [next(results), next(results)] == [0, 10]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert counter.running == 0 and 3 in counter.killed
    assert list(results) == []
    assert caplog.records == []


def test_what_other_calls_failed_with_is_logged(clock, caplog):
    results = greenroom.map(int, ["1", "x", "y", "2"], limit=4)
    assert next(results) == 1
    with pytest.raises(ValueError, match="'x'"):
        next(results)
    assert [str(record.exc_info[1])[-3:] for record in caplog.records] == ["'y'"]


def test_an_error_of_the_iterable_comes_after_the_results_before_it(clock):
    def items():
        yield 1
        yield 2
        raise KeyError("items")

    results = greenroom.map(float, items(), limit=5)
    assert [next(results), next(results)] == [1.0, 2.0]
    with pytest.raises(KeyError, match="items"):
        next(results)
    assert list(results) == []


def test_stopiteration_from_a_call_does_not_end_the_loop_in_silence():
    with pytest.raises(RuntimeError, match="raised StopIteration"):
        list(greenroom.map(next, [iter([])], limit=1))


def test_close_kills_what_runs_and_waits_for_its_cleanup(clock):
    cleaned = []

    def call(item):
        try:
            sleep(item)
        finally:
            cleaned.append(item)

    results = greenroom.map(call, [1, 50, 60, 70], limit=4)
    next(results)
    results.close()
    assert sorted(cleaned) == [1, 50, 60, 70] and clock.now() == 1
    results.close()
    assert list(results) == []


def test_a_consumer_that_fails_inside_with_has_waited(clock):
    counter = Counter()
    with (
        pytest.raises(KeyError),
        greenroom.map(counter, itertools.count(), limit=3) as results,
    ):
        for _ in results:
            raise KeyError
    assert counter.running == 0


def test_an_iterator_that_is_dropped_kills_what_runs(clock):
    counter = Counter()
    for _ in greenroom.map(counter, itertools.count(), limit=3):
        break
    gc.collect()
    sleep(0.5)
    assert counter.running == 0 and len(counter.ended) == 3  # the first three, at 1 s


def test_a_dropped_iterator_logs_what_its_calls_failed_with(clock, caplog):
    for _ in greenroom.map(int, ["1", "x"], limit=2):
        sleep(1)
        break
    gc.collect()
    sleep(1)
    assert [record.exc_info[0] for record in caplog.records] == [ValueError]


@pytest.mark.parametrize("how", ["kill", "timeout"])
def test_a_step_that_is_cut_short_ends_the_calls_first(clock, how):
    counter = Counter()

    def consume():
        with greenroom.timeout(0.5 if how == "timeout" else None):
            list(greenroom.map(counter, range(10), limit=2))

    task = spawn(consume)
    task.observed = True
    sleep(0.25)
    if how == "kill":
        task.kill()
    task.join()
    assert isinstance(task.exception, TaskKilled if how == "kill" else Timeout)
    assert counter.killed == [0, 1] and counter.running == 0


def test_two_consumers_share_an_iterator(clock):
    results = greenroom.map(Counter(), range(20), limit=3, ordered=False)
    consumers = [spawn(list, results) for _ in range(3)]
    got = [task.result() for task in consumers]
    assert sorted(itertools.chain(*got)) == [item * 10 for item in range(20)]


def test_an_iterator_belongs_to_one_thread():
    results = greenroom.map(int, [1, 2], limit=1)
    next(results)
    with pytest.raises(RuntimeError, match="another thread"):
        greenroom.to_thread(next, results)
    assert list(results) == [2]


def test_imap_shares_the_pools_room_with_spawn(clock):
    counter = Counter()
    with Pool(2) as pool:
        pool.spawn(counter, 100, 5)
        assert list(pool.imap(counter, range(4))) == [0, 10, 20, 30]
        assert clock.now() == 4
    assert counter.most == 2


def test_context_variables_and_locals_of_a_call_are_its_own():
    local = greenroom.local()

    def call(item):
        assert not hasattr(local, "item")
        local.item = item
        return current()

    tasks = set(greenroom.map(call, range(5), limit=1))
    assert len(tasks) == 5


@settings(max_examples=150)
@given(
    seconds=st.lists(st.integers(0, 5), max_size=20),
    limit=st.integers(1, 5),
    ahead=st.integers(0, 5),
    ordered=st.booleans(),
    pauses=st.lists(st.integers(0, 3), max_size=20),
)
def test_order_limit_and_look_ahead(seconds, limit, ahead, ordered, pauses):
    counter = Counter()
    read = taken = 0

    def items():
        nonlocal read
        for number, length in enumerate(seconds):
            read += 1
            yield number, length

    def call(item):
        return counter(item[0], item[1]) // 10

    with VirtualClock():
        got = []
        for result in greenroom.map(call, items(), limit=limit, ahead=ahead, ordered=ordered):
            taken += 1
            got.append(result)
            assert read <= taken + limit + ahead + 1
            if len(got) <= len(pauses):
                sleep(pauses[len(got) - 1])
    assert counter.most <= limit
    assert got == list(range(len(seconds))) if ordered else sorted(got) == sorted(counter.ended)
    if not ordered:
        assert got == counter.ended


@settings(max_examples=100)
@given(
    size=st.integers(1, 4),
    steps=st.lists(
        st.tuples(st.sampled_from(["spawn", "kill", "sleep", "nowait"]), st.integers(0, 5)),
        max_size=30,
    ),
)
def test_a_pool_against_a_model(size, steps):
    """Never more than size, nothing lost: all that was spawned has ended or was killed."""
    with VirtualClock():
        pool, counter = Pool(size), Counter()
        spawners, killed = [], 0
        for action, number in steps:
            if action == "spawn":
                spawners.append(spawn(pool.spawn, counter, number, number))
            elif action == "sleep":
                sleep(number)
            elif action == "nowait":
                room = pool.free_count
                try:
                    pool.spawn(counter, number, number, block=False)
                except WouldBlock:
                    assert room == 0
                else:
                    assert room > 0
            elif spawners:
                spawners[number % len(spawners)].kill()
                killed += 1
            assert len(pool) <= size and pool.free_count <= size
        greenroom.joinall(spawners)
        assert pool.join(1000)
        assert counter.most <= size and pool.free_count == size and len(pool) == 0


def test_a_task_that_fails_at_once_in_a_full_pool_gives_its_room_back(clock, caplog):
    caplog.set_level(logging.CRITICAL)
    with Pool(1) as pool:
        for _ in range(5):
            pool.spawn(int, "x")
    assert pool.free_count == 1


def test_an_event_in_a_call_may_be_set_by_a_later_one(clock):
    event = Event()
    calls = [event.wait, lambda: event.set() or True]
    assert list(greenroom.map(lambda fn: fn(), calls, limit=2)) == [True, True]
