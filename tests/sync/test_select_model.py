"""select beside a plain model: what is there, who waits for which, in order.

Queues, channels, events and a semaphore; each select has one to three cases; kills, timeouts, and
plain calls between. Every waiter is woken exactly once, nothing is lost and nothing doubled.
"""

from collections import deque

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from greenroom import (
    Channel,
    Queue,
    Semaphore,
    TaskKilled,
    Timeout,
    joinall,
    op,
    select,
    sleep,
    spawn,
    timeout,
)
from greenroom.sync.select import seed
from greenroom.testing.clock import VirtualClock

LIMIT = 10.0  # seconds


class Line:
    """The model of a queue, a channel or a semaphore: items, and who waits on either side.

    A waiter is a list [task, item to put or None, the waits of all its cases]: one that is done is
    emptied, and so found in every line in which it stood.
    """

    def __init__(self, thing, room, put, get):
        self.thing, self.room = thing, room
        self.put, self.get = put, get  # the methods
        self.items = deque()
        self.putting, self.getting = deque(), deque()


class Wait:
    """A select that waits: in several lines, until it is done."""

    def __init__(self, task, limited):
        self.task, self.limited = task, limited
        self.done = False
        self.items = {}  # case index -> item, for cases that put


class SelectMachine(RuleBasedStateMachine):
    @initialize()
    def start(self):
        seed(1)  # else an example would not be the same when it is run again
        self.clock = VirtualClock()
        self.clock.__enter__()
        queue, small, none, one = Queue(), Queue(1), Channel(), Channel(1)
        permits = Semaphore(0)
        self.lines = [
            Line(queue, float("inf"), queue.put, queue.get),
            Line(small, 1, small.put, small.get),
            Line(none, 0, none.send, none.receive),
            Line(one, 1, one.send, one.receive),
            Line(permits, float("inf"), None, permits.acquire),
        ]
        self.waits = []
        self.expected = []  # (task, what it returns, or a type of error)
        self.count = 0

    # --- the model: a case is (line, "put" or "get", item)

    def first(self, waiting, other_than=None):
        """The first in line that is not done yet; those that are leave."""
        while waiting and waiting[0][0].done:
            waiting.popleft()
        for entry in waiting:
            if not entry[0].done and entry[0] is not other_than:
                return entry
        return None

    def finish(self, entry, outcome):
        wait, index, _ = entry
        wait.done = True
        self.expected.append((wait.task, (index, outcome)))

    def try_get(self, line):
        """Return [item], or None if it would have to wait."""
        if line.items:
            item = line.items.popleft()
            if entry := self.first(line.putting):
                line.items.append(entry[2])
                self.finish(entry, None)
            return [item]
        if line.room == 0 and (entry := self.first(line.putting)):
            self.finish(entry, None)
            return [entry[2]]
        return None

    def try_put(self, line, item):
        if entry := self.first(line.getting):
            self.finish(entry, True if line.put is None else item)
            return True
        if len(line.items) < line.room:
            line.items.append(True if line.put is None else item)
            return True
        return False

    def call_of(self, case):
        line, side, item = case
        return line.get if side == "get" else op(line.put, item)

    cases = st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from(["get", "put"])), min_size=1, max_size=3
    )

    def draw(self, chosen):
        """Make cases of drawn numbers; a semaphore is put by release(), which no select can."""
        made = []
        for number, side in chosen:
            self.count += 1
            line = self.lines[number]
            made.append((line, "get" if line.put is None else side, self.count))
        return made

    def ready(self, cases):
        """The indices of the cases that the model says can be done at once."""
        found = []
        for index, (line, side, _) in enumerate(cases):
            if side == "get":
                can = line.items or (line.room == 0 and self.first(line.putting))
            else:
                can = self.first(line.getting) or len(line.items) < line.room
            if can:
                found.append(index)
        return found

    def check_done(self, cases, ready, outcome):
        """One of those that were ready was done: do it in the model."""
        index, value = outcome
        assert index in ready
        line, side, item = cases[index]
        if side == "get":
            got = self.try_get(line)
            assert value == got[0]
        else:
            assert self.try_put(line, item) and value is None

    # --- rules

    @rule(chosen=cases, how=st.sampled_from(["plain", "limited", "generator"]))
    def select(self, chosen, how):
        cases = self.draw(chosen)
        calls = [self.call_of(case) for case in cases]
        if how == "generator":
            del cases[1:]
        ready = self.ready(cases)

        def plain():
            return select(*calls)

        def limited():
            with timeout(LIMIT):
                return select(*calls)

        def generator():
            return 0, (yield calls[0])

        task = spawn(generator() if how == "generator" else locals()[how])
        task.observed = True
        for _ in range(4):
            sleep()
        if ready:
            assert task.done, task
            self.check_done(cases, ready, task.result())
            return
        assert not task.done
        wait = Wait(task, how == "limited")
        self.waits.append(wait)
        for index, (line, side, item) in enumerate(cases):
            entry = (wait, index, item)
            (line.getting if side == "get" else line.putting).append(entry)

    @rule(chosen=cases)
    def select_with_a_default(self, chosen):
        cases = self.draw(chosen)
        ready = self.ready(cases)
        outcome = select(*map(self.call_of, cases), default="default")
        if ready:
            self.check_done(cases, ready, outcome)
        else:
            assert outcome == (None, "default")

    @rule(number=st.integers(0, 3))
    def put_without_waiting(self, number):
        self.count += 1
        line = self.lines[number]
        outcome = select(op(line.put, self.count), default="full")
        assert (outcome == (0, None)) == self.try_put(line, self.count)

    @rule()
    def release(self):
        self.lines[4].thing.release()
        assert self.try_put(self.lines[4], True)

    @rule(number=st.integers(0, 4))
    def get_without_waiting(self, number):
        line = self.lines[number]
        outcome = select(line.get, default=None)
        got = self.try_get(line)
        assert outcome == ((None, None) if got is None else (0, got[0]))

    def still_waiting(self):
        self.waits = [wait for wait in self.waits if not wait.done]
        return self.waits

    @precondition(still_waiting)
    @rule(data=st.data())
    def kill(self, data):
        wait = data.draw(st.sampled_from(self.still_waiting()))
        wait.done = True
        wait.task.kill()
        self.expected.append((wait.task, TaskKilled))

    @precondition(still_waiting)
    @rule(number=st.integers(0, 3))
    def hand_over_and_kill_all_in_one_tick(self, number):
        self.put_without_waiting(number)
        for wait in list(self.waits):
            wait.task.kill()
            if not wait.done:
                wait.done = True
                self.expected.append((wait.task, TaskKilled))

    @rule()
    def let_time_pass(self):
        sleep(LIMIT + 1)
        for wait in self.still_waiting():
            if wait.limited:
                wait.done = True
                self.expected.append((wait.task, Timeout))

    @invariant()
    def as_the_model_says(self):
        if not hasattr(self, "clock"):
            return
        for _ in range(3):
            sleep()
        for task, outcome in self.expected:
            assert task.done, task
            if isinstance(outcome, type):
                assert isinstance(task.exception, outcome), task.exception
            else:
                assert task.result() == outcome
        self.expected.clear()
        assert not any(wait.task.done for wait in self.still_waiting())
        for line in self.lines:
            waiting = [
                sum(not entry[0].done for entry in way) for way in (line.getting, line.putting)
            ]
            text = repr(line.thing)
            if line.put is None:
                assert f"value {len(line.items)}, {waiting[0]} waiting" in text
            elif isinstance(line.thing, Channel):
                assert f"{waiting[1]} senders and {waiting[0]} receivers waiting" in text
                assert line.thing.statistics().fill == len(line.items)
            else:
                assert f"{waiting[0]} getters and {waiting[1]} putters waiting" in text
                assert line.thing.qsize() == len(line.items)

    def teardown(self):
        if hasattr(self, "clock"):
            tasks = [wait.task for wait in self.still_waiting()]
            for task in tasks:
                task.kill()
            joinall(tasks)
            self.clock.__exit__()


TestSelect = SelectMachine.TestCase
