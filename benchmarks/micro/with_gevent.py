"""The micro cases on gevent, in its own API."""

import gc
from collections.abc import Callable

import gevent
from common import (
    BATCH,
    FOR_EVER_S,
    SWITCHERS,
    TICK_S,
    TICKERS,
    TICKS,
    Sample,
    cpu_ns,
    delays,
    laps,
    main,
    rss_bytes,
)
from gevent.event import Event
from gevent.lock import BoundedSemaphore
from gevent.pool import Pool
from gevent.queue import Queue


def trivial() -> None:
    pass


def spawn_join(n: int) -> Sample:
    start = cpu_ns()
    for _ in range(n // BATCH):
        gevent.joinall([gevent.spawn(trivial) for _ in range(BATCH)])
    return Sample(cpu_ns() - start, n // BATCH * BATCH)


def pool_spawn(n: int) -> Sample:
    start = cpu_ns()
    for _ in range(n // BATCH):
        pool = Pool(SWITCHERS)
        for _ in range(BATCH):
            pool.spawn(trivial)
        pool.join()
    return Sample(cpu_ns() - start, n // BATCH * BATCH)


def pool_map(n: int) -> Sample:
    start = cpu_ns()
    for _ in range(n // BATCH):
        for _ in Pool(SWITCHERS).imap(abs, range(BATCH)):
            pass
    return Sample(cpu_ns() - start, n // BATCH * BATCH)


def cancel_scope(n: int) -> Sample:
    start = cpu_ns()
    for _ in range(n):
        with gevent.Timeout(FOR_EVER_S):
            pass
    return Sample(cpu_ns() - start, n)


def switch100(n: int) -> Sample:
    def take_turns() -> None:
        for _ in range(n // SWITCHERS):
            gevent.sleep(0)

    start = cpu_ns()
    gevent.joinall([gevent.spawn(take_turns) for _ in range(SWITCHERS)])
    return Sample(cpu_ns() - start, n // SWITCHERS * SWITCHERS)


def queue3(n: int) -> Sample:
    queue = Queue(3)

    def produce() -> None:
        for i in range(n):
            queue.put(i)

    def consume() -> None:
        for _ in range(n):
            queue.get()

    start = cpu_ns()
    gevent.joinall([gevent.spawn(produce), gevent.spawn(consume)])
    return Sample(cpu_ns() - start, n)


def pingpong(n: int) -> Sample:
    there, back = Queue(1), Queue(1)

    def ping() -> None:
        for i in range(n):
            there.put(i)
            back.get()

    def pong() -> None:
        for _ in range(n):
            back.put(there.get())

    start = cpu_ns()
    gevent.joinall([gevent.spawn(ping), gevent.spawn(pong)])
    return Sample(cpu_ns() - start, n)


def sleepers(n: int) -> Sample:
    seconds = delays(n)
    start = cpu_ns()
    gevent.joinall([gevent.spawn(gevent.sleep, s) for s in seconds])
    return Sample(cpu_ns() - start, n)


def lock100(n: int) -> Sample:
    lock = BoundedSemaphore(1)

    def contend() -> None:
        for _ in range(n // SWITCHERS):
            with lock:
                gevent.sleep(0)

    start = cpu_ns()
    gevent.joinall([gevent.spawn(contend) for _ in range(SWITCHERS)])
    return Sample(cpu_ns() - start, n // SWITCHERS * SWITCHERS)


def parked_memory(n: int) -> Sample:
    event = Event()
    parked = 0

    def wait() -> None:
        nonlocal parked
        parked += 1
        event.wait()

    gevent.joinall([gevent.spawn(trivial) for _ in range(BATCH)])
    gc.collect()
    before = rss_bytes()
    tasks = [gevent.spawn(wait) for _ in range(n)]
    while parked < n:
        gevent.sleep(0)
    return Sample(rss_bytes() - before, len(tasks))


def scale_switch(n: int) -> Sample:
    used = 0

    def timed() -> None:
        nonlocal used
        gevent.sleep(0)  # now every task has been started
        start = cpu_ns()
        for _ in range(laps(n)):
            gevent.sleep(0)
        used = cpu_ns() - start

    def take_turns() -> None:
        for _ in range(laps(n) + 1):
            gevent.sleep(0)

    gevent.joinall([gevent.spawn(timed), *(gevent.spawn(take_turns) for _ in range(n - 1))])
    return Sample(used, laps(n) * n)


def scale_timer(n: int) -> Sample:
    asleep = 0

    def sleep_for_ever() -> None:
        nonlocal asleep
        asleep += 1
        gevent.sleep(FOR_EVER_S)

    def tick() -> None:
        for _ in range(TICKS):
            gevent.sleep(TICK_S)

    tasks = [gevent.spawn(sleep_for_ever) for _ in range(n - TICKERS)]
    while asleep < len(tasks):
        gevent.sleep(0)
    start = cpu_ns()
    gevent.joinall([gevent.spawn(tick) for _ in range(TICKERS)])
    return Sample(cpu_ns() - start, TICKERS * TICKS)


CASES: dict[str, Callable[[int], Sample]] = {
    "spawn_join": spawn_join,
    "pool_spawn": pool_spawn,
    "pool_map": pool_map,
    "cancel_scope": cancel_scope,
    "switch100": switch100,
    "queue3": queue3,
    "pingpong": pingpong,
    "sleepers": sleepers,
    "lock100": lock100,
    "parked_memory": parked_memory,
    "scale_switch": scale_switch,
    "scale_timer": scale_timer,
}

main(CASES)
