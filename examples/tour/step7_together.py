"""Step 7: ten waits of one second, one after another and then all at once.

The function is the same both times. Called ten times, it waits ten times: ten seconds. Spawned as
ten tasks, the ten waits pass together: one second. It is the waiting that is shared, not the work:
everything still runs in one thread, one task at a time.

Run     python examples/tour/step7_together.py [SECONDS]                    (1 s a task: 11 s)
Prints  task 0 starts
        task 0 is done
        task 1 starts
        task 1 is done
        ...
        one after another: 10.0 s
        task 0 starts
        task 1 starts
        ...
        task 9 starts
        task 0 is done
        ...
        task 9 is done
        at once: 1.0 s
"""

import sys
import time

import greenroom


def task(number: int, seconds: float) -> None:
    print("task", number, "starts")
    greenroom.sleep(seconds)
    print("task", number, "is done")


def one_after_another(seconds: float) -> None:
    for number in range(10):
        task(number, seconds)


def at_once(seconds: float) -> None:
    greenroom.joinall([greenroom.spawn(task, number, seconds) for number in range(10)])


def main(seconds: float) -> None:
    start = time.monotonic()
    one_after_another(seconds)
    print(f"one after another: {time.monotonic() - start:.1f} s")
    start = time.monotonic()
    at_once(seconds)
    print(f"at once: {time.monotonic() - start:.1f} s")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 1)
