"""The micro cases on trio: nurseries, memory channels, trio.Lock."""

import gc
from collections.abc import Awaitable, Callable

import trio
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
        async with trio.open_nursery() as nursery:
            for _ in range(BATCH):
                nursery.start_soon(trivial)
    return Sample(cpu_ns() - start, n // BATCH * BATCH)


async def cancel_scope(n: int) -> Sample:
    start = cpu_ns()
    for _ in range(n):
        with trio.move_on_after(FOR_EVER_S):
            pass
    return Sample(cpu_ns() - start, n)


async def switch100(n: int) -> Sample:
    async def take_turns() -> None:
        for _ in range(n // SWITCHERS):
            await trio.sleep(0)

    start = cpu_ns()
    async with trio.open_nursery() as nursery:
        for _ in range(SWITCHERS):
            nursery.start_soon(take_turns)
    return Sample(cpu_ns() - start, n // SWITCHERS * SWITCHERS)


async def queue3(n: int) -> Sample:
    send, receive = trio.open_memory_channel[int](3)

    async def produce() -> None:
        for i in range(n):
            await send.send(i)

    async def consume() -> None:
        for _ in range(n):
            await receive.receive()

    start = cpu_ns()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(produce)
        nursery.start_soon(consume)
    return Sample(cpu_ns() - start, n)


async def pingpong(n: int) -> Sample:
    send_there, receive_there = trio.open_memory_channel[int](1)
    send_back, receive_back = trio.open_memory_channel[int](1)

    async def ping() -> None:
        for i in range(n):
            await send_there.send(i)
            await receive_back.receive()

    async def pong() -> None:
        for _ in range(n):
            await send_back.send(await receive_there.receive())

    start = cpu_ns()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ping)
        nursery.start_soon(pong)
    return Sample(cpu_ns() - start, n)


async def channel(n: int) -> Sample:
    send_there, receive_there = trio.open_memory_channel[int](0)
    send_back, receive_back = trio.open_memory_channel[int](0)

    async def ping() -> None:
        for i in range(n):
            await send_there.send(i)
            await receive_back.receive()

    async def pong() -> None:
        for _ in range(n):
            await send_back.send(await receive_there.receive())

    start = cpu_ns()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ping)
        nursery.start_soon(pong)
    return Sample(cpu_ns() - start, n)


async def select4(n: int) -> Sample:
    """trio has no select. Its nearest, and cheapest: a task per channel, which handles what comes.

    (Four tasks of which the first to receive cancels the others would cost a nursery an item.)
    """
    ends = [trio.open_memory_channel[int](0) for _ in range(4)]

    async def produce() -> None:
        for i in range(n):
            await ends[i % 4][0].send(i)
        for sender, _ in ends:
            sender.close()

    async def consume(receiver: trio.MemoryReceiveChannel[int]) -> None:
        async for _ in receiver:
            pass

    start = cpu_ns()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(produce)
        for _, receiver in ends:
            nursery.start_soon(consume, receiver)
    return Sample(cpu_ns() - start, n)


async def sleepers(n: int) -> Sample:
    seconds = delays(n)
    start = cpu_ns()
    async with trio.open_nursery() as nursery:
        for s in seconds:
            nursery.start_soon(trio.sleep, s)
    return Sample(cpu_ns() - start, n)


async def lock100(n: int) -> Sample:
    lock = trio.Lock()

    async def contend() -> None:
        for _ in range(n // SWITCHERS):
            async with lock:
                await trio.sleep(0)

    start = cpu_ns()
    async with trio.open_nursery() as nursery:
        for _ in range(SWITCHERS):
            nursery.start_soon(contend)
    return Sample(cpu_ns() - start, n // SWITCHERS * SWITCHERS)


async def parked_memory(n: int) -> Sample:
    event = trio.Event()
    parked = 0

    async def wait() -> None:
        nonlocal parked
        parked += 1
        await event.wait()

    async with trio.open_nursery() as nursery:
        for _ in range(BATCH):
            nursery.start_soon(trivial)
    gc.collect()
    before = rss_bytes()
    async with trio.open_nursery() as nursery:
        for _ in range(n):
            nursery.start_soon(wait)
        while parked < n:
            await trio.sleep(0)
        sample = Sample(rss_bytes() - before, n)
        event.set()
    return sample


async def scale_switch(n: int) -> Sample:
    used = 0

    async def timed() -> None:
        nonlocal used
        await trio.sleep(0)  # now every task has been started
        start = cpu_ns()
        for _ in range(laps(n)):
            await trio.sleep(0)
        used = cpu_ns() - start

    async def take_turns() -> None:
        for _ in range(laps(n) + 1):
            await trio.sleep(0)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(timed)
        for _ in range(n - 1):
            nursery.start_soon(take_turns)
    return Sample(used, laps(n) * n)


async def scale_timer(n: int) -> Sample:
    asleep = 0

    async def sleep_for_ever() -> None:
        nonlocal asleep
        asleep += 1
        await trio.sleep(FOR_EVER_S)

    async def tick() -> None:
        for _ in range(TICKS):
            await trio.sleep(TICK_S)

    async with trio.open_nursery() as background:
        for _ in range(n - TICKERS):
            background.start_soon(sleep_for_ever)
        while asleep < n - TICKERS:
            await trio.sleep(0)
        start = cpu_ns()
        async with trio.open_nursery() as nursery:
            for _ in range(TICKERS):
                nursery.start_soon(tick)
        sample = Sample(cpu_ns() - start, TICKERS * TICKS)
        background.cancel_scope.cancel()
    return sample


CASES: dict[str, Callable[[int], Awaitable[Sample]]] = {
    "spawn_join": spawn_join,
    "group": spawn_join,  # trio has no other way
    "cancel_scope": cancel_scope,
    "switch100": switch100,
    "queue3": queue3,
    "pingpong": pingpong,
    "channel": channel,
    "select4": select4,
    "light_turn": switch100,
    "light_memory": parked_memory,
    "sleepers": sleepers,
    "lock100": lock100,
    "parked_memory": parked_memory,
    "scale_switch": scale_switch,
    "scale_timer": scale_timer,
}


def blocking(case: Callable[[int], Awaitable[Sample]]) -> Callable[[int], Sample]:
    return lambda n: trio.run(case, n)


main({name: blocking(case) for name, case in CASES.items()})
