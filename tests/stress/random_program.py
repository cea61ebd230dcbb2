"""The program of test_random.py: tasks that pick what to do next with a seeded generator.

Each round makes new locks, queues and pipes, lets some fifty tasks loose on them, kills at random,
ends what is left, and looks for what should not be there.
"""

import faulthandler
import os
import random
import sys
import time

import greenroom
from greenroom import (
    Barrier,
    BrokenBarrierError,
    Condition,
    Event,
    Lock,
    Queue,
    RLock,
    Semaphore,
    Timeout,
    sleep,
    spawn,
    timeout,
)
from greenroom.core import scheduler as _scheduler
from greenroom.sync.queue_errors import Empty, ShutDownError

TASKS = 50
STEPS = 30


class Pipe:
    """Both ends, either of which may be closed by anyone at any time."""

    def __init__(self):
        self.read, self.write = os.pipe()
        os.set_blocking(self.read, False)
        os.set_blocking(self.write, False)

    def close(self, name):
        fd = getattr(self, name)
        if fd >= 0:
            setattr(self, name, -1)
            _scheduler.closing_fd(fd)
            os.close(fd)


class Round:
    """What the tasks of one round share."""

    def __init__(self, rng):
        self.rng = rng
        self.locks = [Lock(), RLock(), Semaphore(2)]
        self.inside = [0, 0, 0]
        self.queues = [Queue(2), Queue()]
        self.put = self.got = 0
        self.events = [Event() for _ in range(3)]
        self.condition = Condition()
        self.barrier = Barrier(3)
        self.pipes = [Pipe() for _ in range(3)]
        self.tasks = []

    # --- what a task may do

    def hold(self):
        which = self.rng.randrange(3)
        if not self.locks[which].acquire(timeout=self.short()):
            return
        try:
            self.inside[which] += 1
            assert self.inside[which] <= (2 if which == 2 else 1)
            try:
                sleep(self.rng.choice((0, 0.0005)))
            finally:
                self.inside[which] -= 1
        finally:
            self.locks[which].release()

    def put_item(self):
        queue = self.rng.choice(self.queues)
        try:
            queue.put(1, timeout=self.short())
        except Exception as error:
            assert type(error).__name__ in ("Full", "ShutDown")
        else:
            self.put += 1

    def get_item(self):
        try:
            self.rng.choice(self.queues).get(timeout=self.short())
        except (Empty, ShutDownError):
            return
        self.got += 1

    def wait_event(self):
        self.rng.choice(self.events).wait(self.short())

    def flip_event(self):
        event = self.rng.choice(self.events)
        event.clear() if event.is_set() else event.set()

    def wait_condition(self):
        with self.condition:
            self.condition.wait(self.short())

    def notify(self):
        with self.condition:
            self.condition.notify(2)

    def meet(self):
        try:
            self.barrier.wait(self.short())
        except BrokenBarrierError:
            self.barrier.reset()

    def read_pipe(self):
        pipe = self.rng.choice(self.pipes)
        if pipe.read < 0:
            return
        scheduler = _scheduler.get()
        fd, deadline = pipe.read, scheduler.deadline_after(self.short())
        try:
            if scheduler.wait_fd(fd, False, deadline, True) and pipe.read == fd:
                os.read(fd, 100)
        except (BlockingIOError, greenroom.ClosedError):
            pass

    def write_pipe(self):
        pipe = self.rng.choice(self.pipes)
        if pipe.write >= 0 and pipe.read >= 0:
            try:
                os.write(pipe.write, b"x" * 100)
            except BlockingIOError:
                pass

    def close_pipe(self):
        which = self.rng.randrange(3)
        if self.rng.random() < 0.2:
            self.pipes[which].close("read")
            self.pipes[which].close("write")
            self.pipes[which] = Pipe()

    def time_out(self):
        try:
            with timeout(self.short()):
                self.act(inside=True)
                Event().wait(0.001)
        except Timeout:
            pass

    def spawn_child(self):
        child = spawn(self.act, True)
        self.tasks.append(child)
        if self.rng.random() < 0.5:
            child.join(self.short())

    def kill_someone(self):
        if self.rng.random() < 0.3:
            self.rng.choice(self.tasks).kill()

    def yield_turn(self):
        sleep()

    ACTS = (
        hold, put_item, get_item, wait_event, flip_event, wait_condition, notify, meet,
        read_pipe, write_pipe, close_pipe, time_out, spawn_child, kill_someone, yield_turn,
    )  # fmt: skip

    def short(self):
        return self.rng.choice((0, 0.0002, 0.001, 0.003))

    def act(self, inside=False):
        act = self.rng.choice(self.ACTS)
        if not (inside and act in (Round.time_out, Round.spawn_child)):
            act(self)

    def work(self):
        for _ in range(STEPS):
            self.act()

    # --- the round

    def play(self):
        self.tasks += [spawn(self.work) for _ in range(TASKS)]
        sleep(0.02)
        for task in self.tasks:
            if self.rng.random() < 0.3:
                task.kill()
        deadline = time.monotonic() + 20
        while not all(task.done for task in self.tasks):
            stuck = [task for task in self.tasks if not task.join(20)]
            assert not stuck and time.monotonic() < deadline, f"still there: {stuck}"
        for queue in self.queues:
            queue.shutdown()

    def look(self):
        for task in self.tasks:
            error = task.exception
            if error is not None and not isinstance(error, greenroom.TaskKilled):
                raise error
        assert self.inside == [0, 0, 0]
        for lock in self.locks[:2]:
            assert lock.acquire(blocking=False), f"{lock!r} is still held"
            lock.release()
        assert self.locks[2].value == 2, repr(self.locks[2])
        with self.condition:
            assert "0 waiting" in repr(self.condition)
        assert self.barrier.n_waiting == 0
        left = sum(queue.qsize() for queue in self.queues)
        # A task killed in the tick in which its put or get was done has done it, uncounted here.
        lost = self.put - self.got - left
        assert abs(lost) <= sum(task.exception is not None for task in self.tasks), lost
        for pipe in self.pipes:
            pipe.close("read")
            pipe.close("write")
        alive = [task for task in _scheduler.get().tasks() if task.name != "main"]
        assert alive == []


def fds():
    return sorted(os.listdir("/proc/self/fd"))


def main(seconds, seed):
    print(f"seed {seed}", flush=True)
    rng = random.Random(seed)
    spawn(int).join()
    before = fds()
    rounds = tasks = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        faulthandler.dump_traceback_later(40, exit=True)
        this = Round(rng)
        this.play()
        this.look()
        rounds += 1
        tasks += len(this.tasks)
    faulthandler.cancel_dump_traceback_later()
    assert fds() == before, f"fds: {before} became {fds()}"
    print(f"{rounds} rounds, {tasks} tasks: nothing is left")


if __name__ == "__main__":
    arguments = [*sys.argv[1:], "", ""]
    seed = int(arguments[1] or random.SystemRandom().randrange(1 << 32))
    main(float(arguments[0] or 5), seed)
