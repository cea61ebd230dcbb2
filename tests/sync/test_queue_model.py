"""Queues against the standard library's: the same calls, the same answers, never waiting.

And against a model with waiting tasks: no item is lost, doubled or out of order.
"""

import queue as standard
import sys
from collections import deque

import hypothesis.strategies as st
from hypothesis import given
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from greenroom import Queue, TaskKilled, joinall, sleep, spawn
from greenroom.sync import queue as ours
from greenroom.sync.queue_errors import ShutDownError

NAMES = ("Queue", "LifoQueue", "PriorityQueue")
CALLS = ["put_nowait", "get_nowait", "qsize", "empty", "full", "task_done", "put", "get"]
if sys.version_info >= (3, 13):
    CALLS += ["shutdown", "shutdown_now"]


def answer(queue, call, item):
    """Return what a call that does not wait returns, or the type of what it raises."""
    try:
        if call == "put":
            return queue.put(item, block=False)
        if call == "get":
            return queue.get(block=False)
        if call == "shutdown_now":
            return queue.shutdown(immediate=True)
        return getattr(queue, call)(*([item] if call == "put_nowait" else []))
    except Exception as error:
        return type(error)


@given(
    st.sampled_from(NAMES),
    st.integers(-1, 3),
    st.lists(st.tuples(st.sampled_from(CALLS), st.integers(0, 5)), max_size=40),
)
def test_queue_answers_as_the_standard_library_s(name, maxsize, calls):
    mine, theirs = getattr(ours, name)(maxsize), getattr(standard, name)(maxsize)
    for call, item in calls:
        assert answer(mine, call, item) == answer(theirs, call, item), call
        assert mine.unfinished_tasks == theirs.unfinished_tasks
        assert mine.qsize() == theirs.qsize()


class WaitingMachine(RuleBasedStateMachine):
    """Tasks that wait to put and to get, some of them killed, beside a model of two lines."""

    @initialize(maxsize=st.integers(0, 2))
    def start(self, maxsize):
        self.queue = Queue(maxsize)
        self.maxsize = maxsize
        self.items = deque()
        self.getters = deque()  # tasks in line
        self.putters = deque()  # (task, item) in line
        self.expected = []  # (task, outcome), "killed" or "shut"
        self.count = 0
        self.down = False

    def settle(self):
        """What the model says happens by itself."""
        while self.getters and self.items:
            self.expected.append((self.getters.popleft(), self.items.popleft()))
            self.let_in()
        self.let_in()

    def let_in(self):
        while self.putters and (self.maxsize <= 0 or len(self.items) < self.maxsize):
            task, item = self.putters.popleft()
            self.expected.append((task, None))
            self.items.append(item)

    @rule()
    def put(self):
        self.count += 1
        task = spawn(self.queue.put, self.count)
        task.observed = True
        sleep()
        if self.down:
            self.expected.append((task, "shut"))
            return
        self.putters.append((task, self.count))
        if self.getters:
            self.expected.append((task, None))
            self.items.append(self.putters.pop()[1])
        self.settle()

    @rule()
    def get(self):
        task = spawn(self.queue.get)
        task.observed = True
        sleep()
        if self.down and not self.items:
            self.expected.append((task, "shut"))
            return
        self.getters.append(task)
        self.settle()

    @precondition(lambda self: self.getters)
    @rule(data=st.data())
    def kill_getter(self, data):
        task = data.draw(st.sampled_from(list(self.getters)))
        self.getters.remove(task)
        task.kill()
        self.expected.append((task, "killed"))

    @precondition(lambda self: self.putters)
    @rule(data=st.data())
    def kill_putter(self, data):
        pair = data.draw(st.sampled_from(list(self.putters)))
        self.putters.remove(pair)
        pair[0].kill()
        self.expected.append((pair[0], "killed"))

    @precondition(lambda self: not self.down)
    @rule(immediate=st.booleans())
    def shutdown(self, immediate):
        self.down = True
        self.queue.shutdown(immediate)
        if immediate:
            self.items.clear()
        self.expected += [(task, "shut") for task in self.getters]
        self.expected += [(task, "shut") for task, _ in self.putters]
        self.getters.clear()
        self.putters.clear()

    @invariant()
    def as_the_model_says(self):
        if not hasattr(self, "queue"):
            return
        for _ in range(3):
            sleep()
        assert self.queue.qsize() == len(self.items)
        for task, outcome in self.expected:
            assert task.done
            if outcome == "killed":
                assert isinstance(task.exception, TaskKilled)
            elif outcome == "shut":
                assert isinstance(task.exception, ShutDownError)
            else:
                assert task.result() == outcome
        self.expected.clear()
        assert not any(task.done for task in self.getters)
        assert not any(task.done for task, _ in self.putters)

    def teardown(self):
        if hasattr(self, "queue"):
            waiting = [*self.getters, *(task for task, _ in self.putters)]
            for task in waiting:
                task.kill()
            joinall(waiting)


TestWaiting = WaitingMachine.TestCase
