"""Step 6: a producer and a consumer that talk through a queue.

Neither knows the other, and neither says who runs next. `put` waits while the queue is full, `get`
while it is empty, and greenroom runs whoever can go on. So the producer is always a little ahead:
three items in the queue and one in the consumer's hands.

Run     python examples/tour/step6_queue.py [SECONDS]                       (1 s an item: 20 s)
Prints  produced 0
        produced 1
        produced 2
        produced 3
        handled 0
        produced 4
        handled 1
        ...
        produced 19
        handled 16
        handled 17
        handled 18
        handled 19
"""

import sys

import greenroom

END = None


def producer(queue: greenroom.Queue) -> None:
    for item in range(20):
        queue.put(item)
        print("produced", item)
    queue.put(END)


def consumer(queue: greenroom.Queue, seconds: float) -> None:
    while (item := queue.get()) is not END:
        greenroom.sleep(seconds)
        print("handled", item)


def main(seconds: float) -> None:
    queue = greenroom.Queue(3)
    producing = greenroom.spawn(producer, queue)
    consuming = greenroom.spawn(consumer, queue, seconds)
    greenroom.joinall([producing, consuming])


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 1)
