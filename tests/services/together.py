"""Coroutines and plain functions that wait at once in one thread. Imported by programs of tests."""

import asyncio
import inspect
import threading
import time

from at_once import PATIENCE

import greenroom


async def all_held(works, waiting, release):
    """Start all works, wait until all wait at the server, let them go; return their results.

    works     coroutine functions, run as asyncio tasks, and plain functions, run as green threads
    waiting   returns how many wait at the server now; may block
    release   ends the wait of all; may block
    No clock is read: if one of them kept the thread, they would never wait together
    """
    thread, ticks = threading.get_native_id(), 0

    async def run(work):
        assert threading.get_native_id() == thread
        return await (work() if inspect.iscoroutinefunction(work) else greenroom.spawn(work))

    async def tick():
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.001)

    ticker = asyncio.create_task(tick())
    tasks = [asyncio.create_task(run(work)) for work in works]
    deadline = time.monotonic() + PATIENCE
    while (count := waiting()) < len(works):
        failed = [task for task in tasks if task.done()]
        assert not failed, f"ended before it was let go: {failed[0].result()!r}"
        assert time.monotonic() < deadline, f"only {count} of {len(works)} waited together"
        time.sleep(0.01)
    before = ticks
    while ticks < before + 3:  # all ten wait, and the loop goes on
        time.sleep(0.01)
        assert time.monotonic() < deadline, "a coroutine that ticks has stopped"
    ticker.cancel()
    release()
    return await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)
