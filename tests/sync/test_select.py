"""select: exactly one takes effect. The model is in test_select_model.py."""

import _thread
import gc
import re
import sys
import weakref

import pytest

import greenroom
from greenroom import (
    Channel,
    Event,
    LifoQueue,
    Lock,
    PriorityQueue,
    Queue,
    Result,
    RLock,
    Semaphore,
    SimpleQueue,
    TaskKilled,
    after,
    joinall,
    op,
    select,
    sleep,
    spawn,
)


def turns(count=3):
    for _ in range(count):
        sleep()


def filled(make, *items):
    queue = make(len(items)) if make is not SimpleQueue else make()
    for item in items:
        queue.put(item)
    return queue


# --- one case of each kind


def each_kind():
    """(a case that cannot be done yet, what lets it, what it returns), made anew each time."""
    queue, full = Queue(), filled(Queue, "old")
    ch, other = Channel(), Channel()
    event, result, go = Event(), Result(), Event()
    lock, rlock, semaphore = Lock(), RLock(), Semaphore(0)
    lock.acquire()
    held = Event()

    def hold():
        with rlock:
            held.wait()

    holder = spawn(hold)
    turns()
    task = spawn(lambda: go.wait() and "returned")
    return {
        "queue.get": (queue.get, lambda: queue.put(1), 1),
        "queue.put": (op(full.put, 2), full.get, None),
        "ch.receive": (ch.receive, lambda: ch.send(3), 3),
        "channel": (ch, lambda: ch.send(3), 3),
        "ch.send": (op(other.send, 4), other.receive, None),
        "event.wait": (event.wait, event.set, True),
        "event": (event, event.set, True),
        "result.get": (result.get, lambda: result.set(5), 5),
        "result": (result, lambda: result.set(5), 5),
        "task": (task, go.set, "returned"),
        "task.join": (task.join, go.set, True),
        "task.result": (task.result, go.set, "returned"),
        "lock.acquire": (lock.acquire, lock.release, True),
        "rlock.acquire": (rlock.acquire, held.set, True),
        "semaphore.acquire": (semaphore.acquire, semaphore.release, True),
        "": (None, lambda: (go.set(), held.set(), joinall([task, holder])), None),
    }


KINDS = [
    *("queue.get", "queue.put", "ch.receive", "channel", "ch.send", "event.wait", "event"),
    *("result.get", "result", "task", "task.join", "task.result", "lock.acquire"),
    *("rlock.acquire", "semaphore.acquire"),
]
every_kind = pytest.mark.parametrize("name", KINDS)


@pytest.fixture
def kinds():
    cases = each_kind()
    yield cases
    cases[""][1]()


@every_kind
def test_a_case_that_has_to_wait(kinds, name):
    case, let, outcome = kinds[name]
    assert select(case, default="nothing") == (None, "nothing")
    task = spawn(select, Queue().get, case)
    turns()
    assert not task.done
    let()
    assert task.result() == (1, outcome)


@every_kind
def test_a_case_that_is_ready(kinds, name):
    case, let, outcome = kinds[name]
    if name.startswith(("queue", "event", "result", "task", "lock", "semaphore")):
        let()
        turns()
        assert select(Queue().get, case) == (1, outcome)
    else:
        task = spawn(let)
        turns()
        assert select(Queue().get, case) == (1, outcome)
        task.join()


@every_kind
def test_a_case_that_lost_has_done_nothing(kinds, name):
    """The same thing can be had afterwards, and by one who waits then."""
    case, let, outcome = kinds[name]
    flag = Event()
    task = spawn(select, case, flag)
    turns()
    flag.set()
    assert task.result() == (1, True)
    task = spawn(select, case)
    turns()
    assert not task.done
    let()
    assert task.result() == (0, outcome)


@every_kind
def test_a_select_that_was_killed_has_done_nothing(kinds, name):
    case, let, outcome = kinds[name]
    killed, kept = spawn(select, Event(), case), None
    turns()
    killed.kill()
    killed.join()
    assert isinstance(killed.exception, TaskKilled)
    kept = spawn(select, case)
    turns()
    let()
    assert kept.result() == (0, outcome)


@every_kind
def test_a_select_whose_time_is_over_has_done_nothing(clock, kinds, name):
    case, let, outcome = kinds[name]
    with pytest.raises(greenroom.Timeout), greenroom.timeout(5):
        select(case, Event())
    assert select(case, after(5)) == (1, None)
    assert clock.now() == 10
    kept = spawn(select, case)
    turns()
    let()
    assert kept.result() == (0, outcome)


@every_kind
def test_a_generator_waits_for_it(kinds, name):
    case, let, outcome = kinds[name]

    def wait():
        return (yield case)

    task = spawn(wait())
    turns()
    assert not task.done
    let()
    assert task.result() == outcome


# --- exactly one


def test_two_that_come_in_one_tick_have_one_winner_and_the_other_stays():
    first, second = Queue(), Queue()
    task = spawn(select, first.get, second.get)
    turns()
    first.put("a")
    second.put("b")
    assert task.result() == (0, "a")
    assert first.empty() and second.get_nowait() == "b"


def test_what_came_before_the_kill_is_returned():
    queue, got = Queue(), []
    task = spawn(lambda: got.append(select(queue.get, Event())))
    turns()
    queue.put("item")
    task.kill()
    task.join()
    assert got == [(0, "item")] and queue.empty()


def test_each_item_goes_to_one_of_many_selects():
    queues = [Queue() for _ in range(3)]
    got = []
    tasks = [spawn(lambda: got.append(select(*(q.get for q in queues))[1])) for _ in range(30)]
    turns()
    for item in range(30):
        queues[item % 3].put(item)
    joinall(tasks)
    assert sorted(got) == list(range(30))
    assert all(queue.empty() for queue in queues)


def test_of_several_that_are_ready_each_has_its_turn():
    queues = [Queue() for _ in range(4)]
    for queue in queues:
        for _ in range(1000):
            queue.put(None)
    counts = [0] * 4
    for _ in range(1000):
        counts[select(*(queue.get for queue in queues))[0]] += 1
    assert min(counts) > 150


def test_two_selects_in_a_row_starve_nobody():
    """Symptom: a turn that all selects share; of two in a loop each always began at one place."""
    ready = Event()
    ready.set()
    first, second = set(), set()
    for _ in range(100):
        first.add(select(ready, ready)[0])
        second.add(select(ready, ready)[0])
    assert first == second == {0, 1}


def test_of_two_neighbours_among_four_none_is_favoured():
    ready, never = Event(), Event()
    ready.set()
    counts = {0: 0, 1: 0}
    for _ in range(2000):
        counts[select(ready, ready, never, never)[0]] += 1
    assert 800 < counts[0] < 1200


# --- channels: both sides


def test_a_select_does_not_meet_itself():
    ch = Channel()
    task = spawn(select, ch.receive, op(ch.send, "mine"))
    turns()
    assert not task.done
    ch.send("other")
    assert task.result() == (0, "other")
    task = spawn(select, op(ch.send, "mine"), ch.receive)
    turns()
    assert ch.receive() == "mine"
    assert task.result() == (0, None)
    assert ch.statistics().waiting_senders == ch.statistics().waiting_receivers == ()


def test_two_selects_that_send_and_receive_on_one_channel_meet():
    ch = Channel()
    tasks = [spawn(select, ch.receive, op(ch.send, name)) for name in "ab"]
    joinall(tasks)
    outcomes = sorted((task.result() for task in tasks), key=str)
    assert outcomes in ([(0, "a"), (1, None)], [(0, "b"), (1, None)])


def test_two_selects_on_the_same_two_channels_meet():
    left, right = Channel(), Channel()
    one = spawn(select, left.receive, op(right.send, "from one"))
    other = spawn(select, op(left.send, "from other"), right.receive)
    joinall([one, other])
    assert (one.result(), other.result()) in (
        ((0, "from other"), (0, None)),
        ((1, None), (1, "from one")),
    )


# --- what is given


def test_no_cases():
    with pytest.raises(ValueError, match="from no cases without a default"):
        select()
    assert select(default=7) == (None, 7)


@pytest.mark.parametrize("thing", [None, 5, print, len, Queue, [].append, lambda: None])
def test_what_cannot_be_waited_for(thing):
    with pytest.raises(TypeError, match="cannot wait for"):
        select(thing)
    with pytest.raises(TypeError, match="cannot wait for"):
        op(thing)


def test_arguments_that_a_call_cannot_have():
    queue = Queue()
    for call in (lambda: op(queue.put), lambda: op(queue.get, False), lambda: op(Event().wait, 5)):
        with pytest.raises(TypeError, match=r"\(\) with the arguments"):
            call()


def test_a_method_that_a_subclass_made_its_own_is_refused():
    class Doubling(Queue):
        def get(self, block=True, timeout=None):
            return 2 * super().get(block, timeout)

    queue = Doubling()
    queue.put(1)
    with pytest.raises(TypeError, match="cannot wait for <bound method"):
        select(queue.get)
    assert queue.get() == 2


def test_the_same_operation_twice_in_one_select_counts_once():
    queue = Queue()
    get = op(queue.get)
    task = spawn(select, get, Event(), get)
    turns()
    queue.put("a")
    queue.put("b")
    assert task.result() == (0, "a") and queue.qsize() == 1


def test_an_operation_can_be_used_again():
    queue, full = Queue(), filled(Queue, "x")
    get, put = op(queue.get), op(full.put, "y")
    for item in range(3):
        task = spawn(select, get, put)
        turns()
        queue.put(item)
        assert task.result() == (0, item)
    for _ in range(3):
        task = spawn(select, put)
        turns()
        full.get()
        assert task.result() == (0, None)


def test_an_operation_that_another_task_waits_with_is_refused():
    queue = Queue()
    get = op(queue.get)
    task = spawn(select, get)
    turns()
    with pytest.raises(ValueError, match=r"waits with this op\(\) already; make another"):
        select(get)
    queue.put(1)
    assert task.result() == (0, 1)


def test_a_task_cannot_wait_for_its_own_end():
    task = spawn(lambda: select(greenroom.current(), Event()))
    with pytest.raises(RuntimeError, match="cannot wait for its own end"):
        task.result()


def test_what_the_chosen_call_raises_is_raised():
    result, failing = Result(), spawn(lambda: 1 / 0)
    result.set_error(KeyError("no"))
    with pytest.raises(KeyError):
        select(result.get)
    with pytest.raises(ZeroDivisionError):
        select(failing, Event())
    queue = Queue()
    task = spawn(select, queue.get)
    task.observed = True
    turns()
    queue.shutdown()
    with pytest.raises(greenroom.sync.queue_errors.ShutDownError):
        task.result()


def test_sleep_can_be_waited_for(clock):
    assert select(Queue().get, op(sleep, 2)) == (1, None)
    assert clock.now() == 2
    with pytest.raises(TypeError, match="cannot wait for sleep"):
        op(sleep, 1, 2)
    with pytest.raises(TypeError, match="cannot wait for"):
        select(print)


def test_after_something_that_is_no_number_says_so():
    with pytest.raises(TypeError, match="number of seconds, not 'x'"):
        after("x")


def test_after(clock):
    assert select(after(3), after(1), after(2)) == (1, None)
    assert clock.now() == 1
    alarm = after(2)
    for _ in range(3):
        assert select(Event(), alarm) == (1, None)
    assert clock.now() == 7
    assert select(after(0), default="now") == (None, "now")
    for seconds in (-1, float("nan")):
        with pytest.raises(ValueError, match="must not be negative"):
            after(seconds)


def test_a_wake_up_for_nothing_does_not_begin_the_seconds_anew(clock):
    queue = Queue()
    event = Event()
    task = spawn(select, queue.get, event, after(10))
    sleep(6)
    assert not task.done
    task.join()
    assert clock.now() == 10


# --- foreign code


class Broken(Queue):
    """Its size cannot be told, from a time on."""

    broken = False

    def _qsize(self):
        if self.broken:
            raise KeyError("no size")
        return super()._qsize()


def test_an_error_while_it_stands_in_the_third_of_five_queues_leaves_no_trace():
    queues = [Queue(), Queue(), Broken(), Queue(), Queue()]
    attempts = []

    class Telling(Broken):
        def _qsize(self):
            attempts.append(len(attempts))
            if len(attempts) == 2:  # the first is the attempt
                raise KeyError("no size")
            return super()._qsize()

    queues[2] = Telling()
    with pytest.raises(KeyError, match="no size"):
        select(*(queue.get for queue in queues))
    for queue in queues:
        assert "0 getters and 0 putters" in repr(queue)
    for queue in queues:
        queue.put("kept")
        assert queue.get_nowait() == "kept"


def test_a_queue_of_its_own_kind_sees_every_item():
    class Upper(Queue):
        def _put(self, item):
            super()._put(item.upper())

    queue = Upper(1)
    task = spawn(select, queue.get, Event())
    turns()
    queue.put("a")
    assert task.result() == (0, "A")
    queue.put("b")
    task = spawn(select, op(queue.put, "c"))
    turns()
    assert queue.get() == "B" and task.result() == (0, None)
    assert queue.get() == "C"


def test_an_item_that_does_not_compare_is_the_putter_s_error():
    queue = filled(PriorityQueue, 1, 2)
    task = spawn(select, op(queue.put, "text"), Event())
    task.observed = True
    turns()
    assert queue.get() == 1
    with pytest.raises(TypeError, match="not supported between"):
        task.result()
    assert "0 putters waiting" in repr(queue)


def test_a_putter_that_is_killed_while_its_item_is_compared_has_put_once():
    """Symptom: foreign code between looking at the first of a queue and waking it."""

    class Killing:
        def __init__(self, key):
            self.key = key

        def __lt__(self, other):
            if 3 in (self.key, other.key):  # it is being put
                putter.kill()
            return self.key < other.key

    queue = filled(PriorityQueue, Killing(1), Killing(2), Killing(4))
    putter = spawn(select, op(queue.put, Killing(3)), Event())
    turns()
    assert queue.get().key == 1
    putter.join()
    assert putter.result() == (0, None)
    assert [queue.get_nowait().key for _ in range(3)] == [2, 3, 4]


@pytest.mark.parametrize("make", [LifoQueue, PriorityQueue, SimpleQueue])
def test_the_other_queues(make):
    queue = make()
    task = spawn(select, Event(), queue.get)
    turns()
    queue.put(1)
    assert task.result() == (1, 1)


def test_nothing_is_kept_alive_by_a_select_that_is_over():
    class Item:
        pass

    queue, ch = Queue(), Channel()
    item = Item()
    gone = weakref.ref(item)
    task = spawn(lambda item: select(queue.get, op(ch.send, item))[0], item)
    del item
    turns()
    queue.put(None)
    assert task.result() == 0
    get = op(queue.get)
    queue.put(Item())
    assert isinstance(select(get)[1], Item)
    gc.collect()
    assert gone() is None
    assert not [thing for thing in gc.get_objects() if isinstance(thing, Item)]


def test_a_deadlock_report_names_every_case():
    queue, event = Queue(), Event()
    task = spawn(lambda: select(queue.get, event))
    turns()
    text = task.scheduler.deadlock_text()
    assert re.search(r"> waits for one of <Queue at .*, <Event at .* at .*test_select\.py", text), (
        text
    )
    task.kill()
    task.join()


# --- several OS threads


@pytest.fixture
def switch_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def in_thread(fn, *args):
    """Call fn(*args) in a real thread; return the Result of it."""
    result = Result()

    def work():
        try:
            result.set(fn(*args))
        except BaseException as error:
            result.set_error(error)

    _thread.start_new_thread(work, ())
    return result


@pytest.mark.parametrize("make", [Channel, lambda: Channel(2), lambda: Queue(2), PriorityQueue])
def test_threads_that_select_lose_nothing_and_double_nothing(switch_often, make):
    """Two threads take from three; two threads put into them; all by select."""
    lines, count = [make() for _ in range(3)], 600
    stop = Event()
    get = "receive" if isinstance(lines[0], Channel) else "get"
    put = "send" if isinstance(lines[0], Channel) else "put"

    def take():
        got = []
        while True:
            index, item = select(stop, *(getattr(line, get) for line in lines))
            if index == 0:
                return got
            got.append(item)

    def give(first):
        for number in range(first, first + count):
            select(*(op(getattr(line, put), number) for line in lines))

    takers = [in_thread(take) for _ in range(2)]
    for giver in [in_thread(give, base) for base in (0, 10_000)]:
        giver.get(timeout=60)
    if hasattr(lines[0], "empty"):
        while not all(line.empty() for line in lines):
            sleep(0.001)
    else:
        while any(line.statistics().fill for line in lines):
            sleep(0.001)
    stop.set()
    got = [item for taker in takers for item in taker.get(timeout=60)]
    assert sorted(got) == [*range(count), *range(10_000, 10_000 + count)]
    for line in lines:
        assert "waiting" in repr(line)
        assert " 0 putters" in repr(line) or "0 senders and 0 receivers" in repr(line)


def test_threads_that_only_select_from_both_sides_meet(switch_often):
    ch, count = Channel(), 400

    def meet(name):
        sent, got = 0, 0
        while sent + got < count:
            index, _ = select(ch.receive, op(ch.send, name))
            sent, got = sent + index, got + 1 - index
        return sent, got

    outcomes = [in_thread(meet, name) for name in "ab"]
    (sent_a, got_a), (sent_b, got_b) = (outcome.get(timeout=60) for outcome in outcomes)
    assert (sent_a, sent_b) == (got_b, got_a)
