"""Step 11: channels and select, as in Go.

Two workers take numbers from one channel and answer on another. The one in the middle must do two
things at once: hand out the next number, or take an answer, whichever can be done first. `select`
does one of its cases and leaves the others as they were. `op(jobs.send, n)` is a send that has not
been made yet: a plain `jobs.send(n)` would wait here, before select is asked. At the end a case
that is only a time, `after`, says that nothing more will come.

Run     python examples/tour/step11_select.py [SECONDS]                     (0.3 s at its end)
Prints  0 squared is 0
        2 squared is 4
        1 squared is 1
        ...                             (in what order, is as select chooses)
        sent 6, received 6
        nothing came in time
"""

import sys

import greenroom
from greenroom import Channel, after, op, select

COUNT = 6


def worker(jobs: Channel, answers: Channel) -> None:
    for number in jobs:  # until it is closed
        answers.send((number, number * number))


def main(seconds: float) -> None:
    jobs, answers = Channel(), Channel()
    workers = [greenroom.spawn(worker, jobs, answers) for _ in range(2)]
    sent = received = 0
    while received < COUNT:
        cases = [answers.receive]
        if sent < COUNT:
            cases.append(op(jobs.send, sent))
        which, answer = select(*cases)
        if which == 0:
            print(answer[0], "squared is", answer[1])
            received += 1
        else:
            sent += 1
    print(f"sent {sent}, received {received}")
    jobs.close()
    greenroom.joinall(workers)
    which, _ = select(answers.receive, after(seconds))
    print("nothing came in time" if which == 1 else "one more")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 0.3)
