"""The micro cases on OS threads, with fewer of them; no scale cases, for the same reason."""

import gc
import queue
import threading
import time
from collections.abc import Callable, Iterable

from common import BATCH, SWITCHERS, Sample, cpu_ns, delays, main, rss_bytes


def trivial() -> None:
    pass


def run_all(functions: Iterable[Callable[[], object]]) -> None:
    """Run each function in a thread of its own and join them all."""
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def spawn_join(n: int) -> Sample:
    start = cpu_ns()
    for _ in range(n // BATCH):
        run_all([trivial] * BATCH)
    return Sample(cpu_ns() - start, n // BATCH * BATCH)


def switch100(n: int) -> Sample:
    def take_turns() -> None:
        for _ in range(n // SWITCHERS):
            time.sleep(0)

    start = cpu_ns()
    run_all([take_turns] * SWITCHERS)
    return Sample(cpu_ns() - start, n // SWITCHERS * SWITCHERS)


def queue3(n: int) -> Sample:
    items: queue.Queue[int] = queue.Queue(3)

    def produce() -> None:
        for i in range(n):
            items.put(i)

    def consume() -> None:
        for _ in range(n):
            items.get()

    start = cpu_ns()
    run_all([produce, consume])
    return Sample(cpu_ns() - start, n)


def pingpong(n: int) -> Sample:
    there: queue.Queue[int] = queue.Queue(1)
    back: queue.Queue[int] = queue.Queue(1)

    def ping() -> None:
        for i in range(n):
            there.put(i)
            back.get()

    def pong() -> None:
        for _ in range(n):
            back.put(there.get())

    start = cpu_ns()
    run_all([ping, pong])
    return Sample(cpu_ns() - start, n)


def sleepers(n: int) -> Sample:
    def sleeper(seconds: float) -> Callable[[], object]:
        return lambda: time.sleep(seconds)

    functions = [sleeper(s) for s in delays(n)]
    start = cpu_ns()
    run_all(functions)
    return Sample(cpu_ns() - start, n)


def lock100(n: int) -> Sample:
    lock = threading.Lock()

    def contend() -> None:
        for _ in range(n // SWITCHERS):
            with lock:
                time.sleep(0)

    start = cpu_ns()
    run_all([contend] * SWITCHERS)
    return Sample(cpu_ns() - start, n // SWITCHERS * SWITCHERS)


def parked_memory(n: int) -> Sample:
    event = threading.Event()
    parked = threading.Semaphore(0)

    def wait() -> None:
        parked.release()
        event.wait()

    gc.collect()
    before = rss_bytes()
    threads = [threading.Thread(target=wait, daemon=True) for _ in range(n)]
    for thread in threads:
        thread.start()
    for _ in threads:
        parked.acquire()
    return Sample(rss_bytes() - before, n)


CASES: dict[str, Callable[[int], Sample]] = {
    "spawn_join": spawn_join,
    "switch100": switch100,
    "queue3": queue3,
    "pingpong": pingpong,
    "sleepers": sleepers,
    "lock100": lock100,
    "parked_memory": parked_memory,
}

main(CASES)
