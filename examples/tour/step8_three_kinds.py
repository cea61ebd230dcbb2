"""Step 8: a green thread, a generator and a coroutine, on one queue.

The producer and the consumer of step 6, each in three kinds. A green thread simply calls `put` and
`get`; a generator says `yield` before a wait and a coroutine `await`. All six are tasks of one
scheduler, and whoever waits at the queue stands in the same line: who gets whose item is a matter
of turns, and no producer gets more than the three places of the queue ahead.

Run     python examples/tour/step8_three_kinds.py
Prints  the green thread put 0
        the green thread put 1
        the green thread put 2
        the green thread got 0 of the green thread
        ...
        the coroutine got 1 of the generator
        the generator got 0 of the coroutine
        ...
        the coroutine put 3
"""

import greenroom
from greenroom import Queue, op

COUNT = 4


def put_in_a_thread(queue: Queue) -> None:
    for number in range(COUNT):
        queue.put(("green thread", number))
        print("the green thread put", number)


def put_in_a_generator(queue: Queue):
    for number in range(COUNT):
        yield op(queue.put, ("generator", number))
        print("the generator put", number)


async def put_in_a_coroutine(queue: Queue) -> None:
    for number in range(COUNT):
        await op(queue.put, ("coroutine", number))
        print("the coroutine put", number)


def get_in_a_thread(queue: Queue) -> None:
    for _ in range(COUNT):
        kind, number = queue.get()
        print("the green thread got", number, "of the", kind)


def get_in_a_generator(queue: Queue):
    for _ in range(COUNT):
        kind, number = yield queue.get
        print("the generator got", number, "of the", kind)


async def get_in_a_coroutine(queue: Queue) -> None:
    for _ in range(COUNT):
        kind, number = await op(queue.get)
        print("the coroutine got", number, "of the", kind)


def main() -> None:
    queue: Queue = Queue(3)
    greenroom.joinall(
        [
            greenroom.spawn(put_in_a_thread, queue),
            greenroom.spawn(put_in_a_generator(queue)),
            greenroom.spawn(put_in_a_coroutine(queue)),
            greenroom.spawn(get_in_a_thread, queue),
            greenroom.spawn(get_in_a_generator(queue)),
            greenroom.spawn(get_in_a_coroutine(queue)),
        ],
        raise_error=True,
    )


if __name__ == "__main__":
    main()
