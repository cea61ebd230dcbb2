"""Every way to be cancelled, at every place: nothing stays locked, open or waited for.

A place is a generator function below: it yields the code that the victim runs (and, if being parked
is not all, what tells that the victim is there), and goes on when the victim has ended, to look at
what is left. The code is a function, or a generator function: then the victim is a generator.
A way is a class: it starts the victim and strikes it.
Each cell of the table is one test. To add a place, write the function and decorate it.

At most places there is a bystander, who waits for the same as the victim: it must be woken once, by
what it waits for and not by what struck the victim.
"""

import _thread
import inspect
import os

import pytest

import greenroom
from greenroom import (
    CancelScope,
    CapacityLimiter,
    Channel,
    Event,
    Lock,
    Queue,
    Semaphore,
    TaskGroup,
    TaskKilled,
    Timeout,
    current_time,
    move_on_after,
    op,
    sleep,
    spawn,
    timeout,
    to_thread,
)
from greenroom.core import scheduler as _scheduler
from greenroom.green import select, socket, ssl

# --- the ways


def inside(scope, body):
    """Return body with the scope around it."""

    def call():
        with scope:
            body()

    def steps():
        with scope:
            yield from body()

    return steps if inspect.isgeneratorfunction(body) else call


def started(body, spawn=spawn):
    """Spawn a function, or what a generator function returns."""
    return spawn(body() if inspect.isgeneratorfunction(body) else body)


class Kill:
    """Task.kill()."""

    runs_unstarted = False  # a task killed before its first switch runs no code

    def start(self, body):
        self.task = self.victim = started(body)

    def strike(self):
        self.task.kill()

    def check(self):
        assert isinstance(self.task.exception, TaskKilled)


class TimeIsOver:
    """The deadline of a timeout() comes."""

    runs_unstarted = True

    def __init__(self):
        self.limit = timeout(1000)

    def start(self, body):
        self.task = self.victim = started(inside(self.limit, body))
        self.task.observed = True

    def strike(self):
        self.limit.deadline = current_time()

    def check(self):
        assert isinstance(self.task.exception, Timeout)


class ScopeCancel:
    """CancelScope.cancel()."""

    runs_unstarted = True

    def __init__(self):
        self.scope = CancelScope()

    def start(self, body):
        self.task = self.victim = started(inside(self.scope, body))

    def strike(self):
        self.scope.cancel()

    def check(self):
        assert self.scope.cancelled_caught and self.task.exception is None


class GroupFailure:
    """Another child of its TaskGroup fails."""

    runs_unstarted = True

    def __init__(self):
        self.group = TaskGroup()
        self.struck = Event()
        self.victim = None

    def start(self, body):
        self.task = spawn(self._run, body)
        self.task.observed = True

    def _run(self, body):
        with self.group:
            self.group.spawn(self._fail)
            self.victim = started(body, self.group.spawn)

    def _fail(self):
        self.struck.wait()
        raise KeyError("the other child")

    def strike(self):
        self.struck.set()

    def check(self):
        (error,) = self.task.exception.exceptions
        assert isinstance(error, KeyError) and isinstance(self.victim.exception, TaskKilled)


WAYS = [Kill, TimeIsOver, ScopeCancel, GroupFailure]

# --- the places

PARKED, RUNNING, UNSTARTED = "parked", "running", "unstarted"
PLACES = {}


def place(when=PARKED):
    """Add a place to the table. The way strikes when the victim is parked; itself, while it runs;
    or before its first switch.
    """

    def add(fn):
        PLACES[fn.__name__] = (fn, when)
        return fn

    return add


class Bystander:
    """Waits by fn(*args), in a task; counts its returns."""

    def __init__(self, fn, *args):
        self.returns = []
        self.task = spawn(self._wait, fn, args)

    def _wait(self, fn, args):
        self.returns.append(fn(*args))

    def check(self, value):
        """It still waits now; see that what happened next wakes it, once, with value."""
        assert self.returns == []
        self.task.join()
        assert self.returns == [value]


def for_ever():
    Event().wait()
    raise AssertionError("the wait returned")


@place(UNSTARTED)
def before_start(way, fixtures):
    lock, ran = Lock(), []

    def body():
        with lock:
            ran.append("up to the first wait")
            for_ever()

    yield body
    assert bool(ran) is way.runs_unstarted
    assert not lock.locked()


@place(RUNNING)
def running(way, fixtures):
    lock, ran = Lock(), []

    def body():
        with lock:
            way.strike()
            ran.append("up to the next wait")
            for_ever()

    yield body
    assert ran and not lock.locked()


@place()
def in_a_sleep(way, fixtures):
    yield lambda: sleep(1_000_000)
    assert current_time() < 1000


@place()
def on_a_lock(way, fixtures):
    held, own = Lock(), Lock()
    held.acquire()

    def body():
        with own, held:
            raise AssertionError("the lock was handed over")

    yield body
    assert not own.locked()
    bystander = Bystander(held.acquire)
    sleep()
    held.release()
    bystander.check(True)
    assert held.locked()


@place()
def on_a_lock_before_a_bystander(way, fixtures):
    held = Lock()
    held.acquire()
    bystander = None

    def body():
        nonlocal bystander
        bystander = Bystander(held.acquire)
        with held:
            raise AssertionError("the lock was handed over")

    yield body
    held.release()
    bystander.check(True)


@place()
def on_a_semaphore(way, fixtures):
    semaphore = Semaphore(0)
    yield semaphore.acquire
    semaphore.release()
    assert semaphore.value == 1


@place()
def in_queue_get(way, fixtures):
    queue = Queue()
    yield queue.get
    bystander = Bystander(queue.get)
    sleep()
    queue.put("item")
    bystander.check("item")
    assert queue.empty()


@place()
def in_queue_put(way, fixtures):
    queue = Queue(1)
    queue.put("first")
    yield lambda: queue.put("never")
    bystander = Bystander(queue.put, "second")
    sleep()
    assert queue.get() == "first"
    bystander.check(None)
    assert queue.get() == "second" and queue.empty()


@place()
def in_recv(way, fixtures):
    one, two = socket.socketpair()
    bystander = Bystander(one.recv, 10)

    def body():
        with one.dup() as mine:
            mine.recv(10)

    yield body
    two.sendall(b"data")
    bystander.check(b"data")
    one.close()
    assert two.recv(1) == b""
    two.close()


@place()
def in_sendall(way, fixtures):
    one, two = socket.socketpair()

    def body():
        with one:
            one.sendall(bytes(16 << 20))

    yield body
    assert one.fileno() == -1
    while two.recv(1 << 20):
        pass
    two.close()


@place()
def in_accept(way, fixtures):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.accept
        bystander = Bystander(lambda: listener.accept()[0].close())
        sleep()
        assert bystander.returns == []
        with socket.create_connection(listener.getsockname()):
            bystander.task.join()
        assert bystander.returns == [None]


@place()
def in_tls_recv(way, fixtures):
    one, two = socket.socketpair()
    client, server = fixtures.tls(one, two)

    def body():
        with client:
            client.recv(10)

    yield body
    assert client.fileno() == -1
    server.close()


@place()
def in_tls_sendall(way, fixtures):
    one, two = socket.socketpair()
    client, server = fixtures.tls(one, two)
    yield lambda: client.sendall(bytes(16 << 20))
    assert not client._greenroom.writing
    client.close()
    server.close()


@place()
def in_select(way, fixtures):
    one, two = socket.socketpair()
    bystander = Bystander(select.select, [one], [], [])
    yield lambda: select.select([one, two], [], [])
    two.sendall(b"data")
    bystander.check(([one], [], []))
    one.close()
    two.close()


@place()
def in_to_thread(way, fixtures):
    begun, go_on, ended = [], _thread.allocate_lock(), Event()
    go_on.acquire()

    def call():
        begun.append(True)
        go_on.acquire()
        ended.set()

    yield lambda: to_thread(call, cancellable=True), lambda: begun
    go_on.release()  # the call goes on; what comes of it is dropped
    assert ended.wait(60)
    assert to_thread(lambda: "the pool still works") == "the pool still works"
    while _scheduler.get().external:
        sleep(0)


@place()
def in_to_thread_that_must_end(way, fixtures):
    """The victim stays until the call has ended, gets what it returns, and is struck then."""
    begun, go_on, got = [], _thread.allocate_lock(), []
    go_on.acquire()
    strike = way.strike

    def strike_and_release():
        strike()
        go_on.release()

    def call():
        begun.append(True)
        go_on.acquire()
        return "ended"

    def body():
        got.append(to_thread(call))
        for_ever()

    way.strike = strike_and_release
    yield body, lambda: begun
    assert got == ["ended"]


@place()
def in_join(way, fixtures):
    go_on = Event()
    task = spawn(go_on.wait)
    yield task.join
    bystander = Bystander(task.join)
    sleep()
    go_on.set()
    bystander.check(True)


@place()
def in_a_group_s_exit(way, fixtures):
    lock = Lock()

    def child():
        with lock:
            for_ever()

    def body():
        with TaskGroup() as group:
            group.spawn(child)

    yield body
    assert not lock.locked()


@place()
def in_channel_send(way, fixtures):
    channel = Channel()
    yield lambda: channel.send("lost")
    bystander = Bystander(channel.receive)
    sleep()
    channel.send("item")
    bystander.check("item")


@place()
def in_channel_receive(way, fixtures):
    channel = Channel()
    yield channel.receive
    bystander = Bystander(channel.receive)
    sleep()
    channel.send("item")
    bystander.check("item")


@place()
def in_select_over_channels(way, fixtures):
    one, other, event, lock = Channel(), Channel(), Event(), Lock()
    lock.acquire()
    yield lambda: greenroom.select(one.receive, op(other.send, "lost"), event.wait, lock.acquire)
    bystanders = [Bystander(one.receive), Bystander(other.receive), Bystander(lock.acquire)]
    sleep()
    lock.release()
    other.send("other")
    one.send("one")
    event.set()
    for bystander, value in zip(bystanders, ["one", "other", True], strict=True):
        bystander.task.join()
        assert bystander.returns == [value]


@place()
def for_a_place_in_a_limiter(way, fixtures):
    limiter = CapacityLimiter(1)
    limiter.acquire()
    yield limiter.acquire
    limiter.release()
    assert limiter.statistics().borrowed == 0


@place(UNSTARTED)
def before_a_generator_starts(way, fixtures):
    lock, ran = Lock(), []

    def body():
        with lock:
            ran.append("up to the first wait")
            yield Event()
            raise AssertionError("the wait returned")

    yield body
    assert bool(ran) is way.runs_unstarted
    assert not lock.locked()


@place(RUNNING)
def running_in_a_generator(way, fixtures):
    lock, ran = Lock(), []

    def body():
        with lock:
            way.strike()
            ran.append("up to the next wait")
            yield Event()
            raise AssertionError("the wait returned")

    yield body
    assert ran and not lock.locked()


@place()
def in_a_generator_s_get(way, fixtures):
    queue, lock = Queue(), Lock()

    def body():
        with lock:
            yield queue.get
            raise AssertionError("the wait returned")

    yield body
    assert not lock.locked()
    bystander = Bystander(queue.get)
    sleep()
    queue.put("item")
    bystander.check("item")


@place()
def in_a_generator_s_blocking_call(way, fixtures):
    queue, lock = Queue(), Lock()

    def body():
        yield
        with lock:
            queue.get()
            raise AssertionError("the wait returned")

    yield body, lock.locked
    assert not lock.locked()
    bystander = Bystander(queue.get)
    sleep()
    queue.put("item")
    bystander.check("item")


@place()
def in_a_generator_s_finally(way, fixtures):
    """Struck in the block; the cleanup waits, shielded and not."""
    lock, steps = Lock(), []
    lock.acquire()
    bystander = Bystander(lock.acquire)

    def body():
        try:
            yield Event()
        finally:
            with move_on_after(5, shield=True) as limit:
                yield lock.acquire
            steps.append(limit.cancelled_caught)
            try:
                yield
            finally:
                steps.append("every wait outside the shield raises")

    yield body
    assert steps == [True, "every wait outside the shield raises"]
    lock.release()
    bystander.check(True)


@place()
def in_finally(way, fixtures):
    """Struck in the block; the cleanup waits, shielded and not."""
    lock, steps = Lock(), []
    lock.acquire()
    bystander = Bystander(lock.acquire)

    def body():
        try:
            for_ever()
        finally:
            with move_on_after(5, shield=True) as limit:
                lock.acquire()
            steps.append(limit.cancelled_caught)
            try:
                sleep()
            finally:
                steps.append("every wait outside the shield raises")

    yield body
    assert steps == [True, "every wait outside the shield raises"]
    lock.release()
    bystander.check(True)


@place()
def in_a_shielded_finally(way, fixtures):
    """Struck while the cleanup waits: it ends first."""
    steps = []

    def body():
        try:
            pass
        finally:
            with CancelScope(shield=True):
                sleep(5)
                steps.append(current_time())
        for_ever()

    yield body
    assert steps == [5]


# --- the table


class Fixtures:
    """What a place may need of pytest's."""

    def __init__(self, certificate):
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.load_cert_chain(certificate.file, certificate.key)
        self.client = ssl.create_default_context(cafile=certificate.file)

    def tls(self, one, two):
        """Put TLS on two connected sockets."""
        accepting = spawn(self.server.wrap_socket, two, True)
        client = self.client.wrap_socket(one, server_hostname="localhost")
        return client, accepting.result()


@pytest.fixture(scope="module")
def fixtures(certificate):
    return Fixtures(certificate)


def open_fds():
    return sorted(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("make_way", WAYS)
@pytest.mark.parametrize("name", PLACES)
def test_nothing_is_left(clock, fixtures, name, make_way):
    make, when = PLACES[name]
    scheduler = _scheduler.get()
    to_thread(int)  # what the pool needs is open
    before = open_fds()
    way = make_way()
    scene = make(way, fixtures)
    found = next(scene)
    body, there = found if isinstance(found, tuple) else (found, lambda: True)
    way.start(body)
    if when is PARKED:
        while way.victim is None or way.victim.state_name != "parked" or not there():
            sleep(0)
    if when is not RUNNING:
        way.strike()
    way.task.join()
    way.check()
    with pytest.raises(StopIteration):
        next(scene)
    assert open_fds() == before
    assert (scheduler.io_waits, scheduler.external, scheduler.live) == (0, 0, 0)
    assert greenroom.current().scope is None
