"""Step 3: a producer and a consumer that take turns by `yield`.

The consumer stops at its `yield` and keeps its state there; the producer's `send` is what runs it.
Two functions take turns in one thread. But only the producer can pass the turn, only to a generator
it holds, and only to the generator's own frame: a function that the consumer calls cannot `yield`
for it. And `sleep` stops the whole thread: both of them wait.

Run     python examples/tour/step3_yield_producer_consumer.py [SECONDS]     (2 s an item: 40 s)
Prints  sent 0
        handled 0
        sent 1
        handled 1
        ...
        sent 19
        handled 19
"""

import sys
from collections.abc import Generator
from time import sleep


def consumer(seconds: float) -> Generator[None, int, None]:
    while True:
        item = yield
        sleep(seconds)
        print("handled", item)


def producer(seconds: float) -> None:
    waiting = consumer(seconds)
    next(waiting)
    for item in range(20):
        print("sent", item)
        waiting.send(item)


if __name__ == "__main__":
    producer(float(sys.argv[1]) if len(sys.argv) > 1 else 2)
