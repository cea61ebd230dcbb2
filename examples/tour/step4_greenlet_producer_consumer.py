"""Step 4: the same pair by greenlet, where any function may pass the turn.

A greenlet has a stack of its own, so it can `switch` away from any depth of calls and later goes on
right there. Nobody needs to be a generator. But each still says by name who runs next, and `sleep`
still stops the whole thread: greenlet switches, it does not wait.

Greenroom's tasks run on greenlets, and code inside a task may use greenlets of its own. So the pair
runs twice: outside any task, and inside one. What it prints is the same. The difference is
seen under `greenroom run`, where `sleep` stops only the task that the pair is in.

Run     python examples/tour/step4_greenlet_producer_consumer.py [SECONDS]  (2 s an item: 2 x 40 s)
Prints  outside a task
        sent 0
        handled 0
        ...
        sent 19
        handled 19
        inside a task
        sent 0
        handled 0
        ...
        sent 19
        handled 19
"""

import sys
from time import sleep

from greenlet import greenlet

import greenroom


def take_turns(seconds: float) -> None:
    def consumer() -> None:
        while True:
            item = producing.switch()  # wait here for an item
            sleep(seconds)
            print("handled", item)

    def producer() -> None:
        for item in range(20):
            print("sent", item)
            consuming.switch(item)  # hand the item over, and the turn with it

    consuming = greenlet(consumer)
    producing = greenlet(producer)
    consuming.switch()  # comes back when the producer returns


def main(seconds: float) -> None:
    print("outside a task")
    take_turns(seconds)
    print("inside a task")
    greenroom.spawn(take_turns, seconds).result()


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 2)
