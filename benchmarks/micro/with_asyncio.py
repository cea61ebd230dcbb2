"""The micro cases on asyncio: coroutines, asyncio.Queue, asyncio.Lock."""

import asyncio
import gc
from asyncio import AbstractEventLoop
from collections.abc import Callable, Coroutine
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


async def trivial() -> None:
    pass


async def spawn_join(n: int) -> Sample:
    start = cpu_ns()
    for _ in range(n // BATCH):
        await asyncio.gather(*[asyncio.create_task(trivial()) for _ in range(BATCH)])
    return Sample(cpu_ns() - start, n // BATCH * BATCH)


async def group(n: int) -> Sample:
    start = cpu_ns()
    for _ in range(n // BATCH):
        async with asyncio.TaskGroup() as tasks:
            for _ in range(BATCH):
                tasks.create_task(trivial())
    return Sample(cpu_ns() - start, n // BATCH * BATCH)


async def cancel_scope(n: int) -> Sample:
    start = cpu_ns()
    for _ in range(n):
        async with asyncio.timeout(FOR_EVER_S):
            pass
    return Sample(cpu_ns() - start, n)


async def switch100(n: int) -> Sample:
    async def take_turns() -> None:
        for _ in range(n // SWITCHERS):
            await asyncio.sleep(0)

    start = cpu_ns()
    await asyncio.gather(*[take_turns() for _ in range(SWITCHERS)])
    return Sample(cpu_ns() - start, n // SWITCHERS * SWITCHERS)


async def queue3(n: int) -> Sample:
    queue: asyncio.Queue[int] = asyncio.Queue(3)

    async def produce() -> None:
        for i in range(n):
            await queue.put(i)

    async def consume() -> None:
        for _ in range(n):
            await queue.get()

    start = cpu_ns()
    await asyncio.gather(produce(), consume())
    return Sample(cpu_ns() - start, n)


async def pingpong(n: int) -> Sample:
    there: asyncio.Queue[int] = asyncio.Queue(1)
    back: asyncio.Queue[int] = asyncio.Queue(1)

    async def ping() -> None:
        for i in range(n):
            await there.put(i)
            await back.get()

    async def pong() -> None:
        for _ in range(n):
            await back.put(await there.get())

    start = cpu_ns()
    await asyncio.gather(ping(), pong())
    return Sample(cpu_ns() - start, n)


async def sleepers(n: int) -> Sample:
    seconds = delays(n)
    start = cpu_ns()
    await asyncio.gather(*[asyncio.create_task(asyncio.sleep(s)) for s in seconds])
    return Sample(cpu_ns() - start, n)


async def lock100(n: int) -> Sample:
    lock = asyncio.Lock()

    async def contend() -> None:
        for _ in range(n // SWITCHERS):
            async with lock:
                await asyncio.sleep(0)

    start = cpu_ns()
    await asyncio.gather(*[contend() for _ in range(SWITCHERS)])
    return Sample(cpu_ns() - start, n // SWITCHERS * SWITCHERS)


async def parked_memory(n: int) -> Sample:
    event = asyncio.Event()
    parked = 0

    async def wait() -> None:
        nonlocal parked
        parked += 1
        await event.wait()

    await asyncio.gather(*[asyncio.create_task(trivial()) for _ in range(BATCH)])
    gc.collect()
    before = rss_bytes()
    tasks = [asyncio.create_task(wait()) for _ in range(n)]
    while parked < n:
        await asyncio.sleep(0)
    sample = Sample(rss_bytes() - before, len(tasks))
    event.set()  # cancelled, each would look for itself among all who wait: minutes
    await asyncio.gather(*tasks)
    return sample


async def scale_switch(n: int) -> Sample:
    used = 0

    async def timed() -> None:
        nonlocal used
        await asyncio.sleep(0)  # now every task has been started
        start = cpu_ns()
        for _ in range(laps(n)):
            await asyncio.sleep(0)
        used = cpu_ns() - start

    async def take_turns() -> None:
        for _ in range(laps(n) + 1):
            await asyncio.sleep(0)

    await asyncio.gather(timed(), *(take_turns() for _ in range(n - 1)))
    return Sample(used, laps(n) * n)


async def scale_timer(n: int) -> Sample:
    asleep = 0

    async def sleep_for_ever() -> None:
        nonlocal asleep
        asleep += 1
        await asyncio.sleep(FOR_EVER_S)

    async def tick() -> None:
        for _ in range(TICKS):
            await asyncio.sleep(TICK_S)

    tasks = [asyncio.create_task(sleep_for_ever()) for _ in range(n - TICKERS)]
    while asleep < len(tasks):
        await asyncio.sleep(0)
    start = cpu_ns()
    await asyncio.gather(*[tick() for _ in range(TICKERS)])
    sample = Sample(cpu_ns() - start, TICKERS * TICKS)
    for task in tasks:
        task.cancel()
    return sample


AsyncCase = Callable[[int], Coroutine[Any, Any, Sample]]

CASES: dict[str, AsyncCase] = {
    "spawn_join": spawn_join,
    "group": group,
    "cancel_scope": cancel_scope,
    "switch100": switch100,
    "queue3": queue3,
    "pingpong": pingpong,
    "light_turn": switch100,
    "light_memory": parked_memory,
    "sleepers": sleepers,
    "lock100": lock100,
    "parked_memory": parked_memory,
    "scale_switch": scale_switch,
    "scale_timer": scale_timer,
}


def run_on(loop_factory: Callable[[], AbstractEventLoop]) -> None:
    """Run the case named on the command line in an event loop of its own."""

    def blocking(case: AsyncCase) -> Callable[[int], Sample]:
        def run(n: int) -> Sample:
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                return runner.run(case(n))

        return run

    main({name: blocking(case) for name, case in CASES.items()})


if __name__ == "__main__":
    run_on(asyncio.new_event_loop)
