"""The micro cases on greenroom; not patched, these cases need none of it."""

import gc
from collections.abc import Callable, Generator
from typing import Any

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

import greenroom


def trivial() -> None:
    pass


def spawn_join(n: int) -> Sample:
    start = cpu_ns()
    for _ in range(n // BATCH):
        greenroom.joinall([greenroom.spawn(trivial) for _ in range(BATCH)])
    return Sample(cpu_ns() - start, n // BATCH * BATCH)


def pool_spawn(n: int) -> Sample:
    start = cpu_ns()
    for _ in range(n // BATCH):
        pool = greenroom.Pool(SWITCHERS)
        for _ in range(BATCH):
            pool.spawn(trivial)
        pool.join()
    return Sample(cpu_ns() - start, n // BATCH * BATCH)


def pool_map(n: int) -> Sample:
    start = cpu_ns()
    for _ in range(n // BATCH):
        for _ in greenroom.map(abs, range(BATCH), limit=SWITCHERS):
            pass
    return Sample(cpu_ns() - start, n // BATCH * BATCH)


def group(n: int) -> Sample:
    start = cpu_ns()
    for _ in range(n // BATCH):
        with greenroom.TaskGroup() as tasks:
            for _ in range(BATCH):
                tasks.spawn(trivial)
    return Sample(cpu_ns() - start, n // BATCH * BATCH)


def cancel_scope(n: int) -> Sample:
    start = cpu_ns()
    for _ in range(n):
        with greenroom.move_on_after(FOR_EVER_S):
            pass
    return Sample(cpu_ns() - start, n)


def switch100(n: int) -> Sample:
    def take_turns() -> None:
        for _ in range(n // SWITCHERS):
            greenroom.sleep(0)

    start = cpu_ns()
    greenroom.joinall([greenroom.spawn(take_turns) for _ in range(SWITCHERS)])
    return Sample(cpu_ns() - start, n // SWITCHERS * SWITCHERS)


def queue3(n: int) -> Sample:
    queue = greenroom.Queue(3)

    def produce() -> None:
        for i in range(n):
            queue.put(i)

    def consume() -> None:
        for _ in range(n):
            queue.get()

    start = cpu_ns()
    greenroom.joinall([greenroom.spawn(produce), greenroom.spawn(consume)])
    return Sample(cpu_ns() - start, n)


def pingpong(n: int) -> Sample:
    there, back = greenroom.Queue(1), greenroom.Queue(1)

    def ping() -> None:
        for i in range(n):
            there.put(i)
            back.get()

    def pong() -> None:
        for _ in range(n):
            back.put(there.get())

    start = cpu_ns()
    greenroom.joinall([greenroom.spawn(ping), greenroom.spawn(pong)])
    return Sample(cpu_ns() - start, n)


def channel(n: int) -> Sample:
    there, back = greenroom.Channel(), greenroom.Channel()

    def ping() -> None:
        for i in range(n):
            there.send(i)
            back.receive()

    def pong() -> None:
        for _ in range(n):
            back.send(there.receive())

    start = cpu_ns()
    greenroom.joinall([greenroom.spawn(ping), greenroom.spawn(pong)])
    return Sample(cpu_ns() - start, n)


def select4(n: int) -> Sample:
    channels = [greenroom.Channel() for _ in range(4)]
    a, b, c, d = channels

    def produce() -> None:
        for i in range(n):
            channels[i % 4].send(i)

    def consume() -> None:
        for _ in range(n):
            greenroom.select(a, b, c, d)

    start = cpu_ns()
    greenroom.joinall([greenroom.spawn(produce), greenroom.spawn(consume)])
    return Sample(cpu_ns() - start, n)


def light_turn(n: int) -> Sample:
    def take_turns() -> Generator[Any, Any, None]:
        for _ in range(n // SWITCHERS):
            yield

    start = cpu_ns()
    greenroom.joinall([greenroom.spawn(take_turns()) for _ in range(SWITCHERS)])
    return Sample(cpu_ns() - start, n // SWITCHERS * SWITCHERS)


def light_memory(n: int) -> Sample:
    event = greenroom.Event()
    parked = 0

    def wait() -> Generator[Any, Any, None]:
        nonlocal parked
        parked += 1
        yield event

    greenroom.joinall([greenroom.spawn(trivial) for _ in range(BATCH)])
    gc.collect()
    before = rss_bytes()
    tasks = [greenroom.spawn(wait()) for _ in range(n)]
    while parked < n:
        greenroom.sleep(0)
    return Sample(rss_bytes() - before, len(tasks))


def sleepers(n: int) -> Sample:
    seconds = delays(n)
    start = cpu_ns()
    greenroom.joinall([greenroom.spawn(greenroom.sleep, s) for s in seconds])
    return Sample(cpu_ns() - start, n)


def lock100(n: int) -> Sample:
    lock = greenroom.Lock()

    def contend() -> None:
        for _ in range(n // SWITCHERS):
            with lock:
                greenroom.sleep(0)

    start = cpu_ns()
    greenroom.joinall([greenroom.spawn(contend) for _ in range(SWITCHERS)])
    return Sample(cpu_ns() - start, n // SWITCHERS * SWITCHERS)


def parked_memory(n: int) -> Sample:
    event = greenroom.Event()
    parked = 0

    def wait() -> None:
        nonlocal parked
        parked += 1
        event.wait()

    greenroom.joinall([greenroom.spawn(trivial) for _ in range(BATCH)])
    gc.collect()
    before = rss_bytes()
    tasks = [greenroom.spawn(wait) for _ in range(n)]
    while parked < n:
        greenroom.sleep(0)
    return Sample(rss_bytes() - before, len(tasks))


def scale_switch(n: int) -> Sample:
    used = 0

    def timed() -> None:
        nonlocal used
        greenroom.sleep(0)  # now every task has been started
        start = cpu_ns()
        for _ in range(laps(n)):
            greenroom.sleep(0)
        used = cpu_ns() - start

    def take_turns() -> None:
        for _ in range(laps(n) + 1):
            greenroom.sleep(0)

    greenroom.joinall(
        [greenroom.spawn(timed), *(greenroom.spawn(take_turns) for _ in range(n - 1))]
    )
    return Sample(used, laps(n) * n)


def scale_timer(n: int) -> Sample:
    asleep = 0

    def sleep_for_ever() -> None:
        nonlocal asleep
        asleep += 1
        greenroom.sleep(FOR_EVER_S)

    def tick() -> None:
        for _ in range(TICKS):
            greenroom.sleep(TICK_S)

    tasks = [greenroom.spawn(sleep_for_ever) for _ in range(n - TICKERS)]
    while asleep < len(tasks):
        greenroom.sleep(0)
    start = cpu_ns()
    greenroom.joinall([greenroom.spawn(tick) for _ in range(TICKERS)])
    return Sample(cpu_ns() - start, TICKERS * TICKS)


CASES: dict[str, Callable[[int], Sample]] = {
    "spawn_join": spawn_join,
    "pool_spawn": pool_spawn,
    "pool_map": pool_map,
    "group": group,
    "cancel_scope": cancel_scope,
    "switch100": switch100,
    "queue3": queue3,
    "pingpong": pingpong,
    "channel": channel,
    "select4": select4,
    "light_turn": light_turn,
    "light_memory": light_memory,
    "sleepers": sleepers,
    "lock100": lock100,
    "parked_memory": parked_memory,
    "scale_switch": scale_switch,
    "scale_timer": scale_timer,
}

main(CASES)
