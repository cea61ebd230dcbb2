"""The wait queue against a list."""

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from greenroom.core.waitqueue import Waiter, WaitQueue


class QueueMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.queue = WaitQueue()
        self.waiters = [Waiter() for _ in range(5)]
        for waiter in self.waiters:
            if not hasattr(waiter, "queue"):  # uncompiled there are no fields before the first use
                waiter.queue = waiter.prev = waiter.next = None
        self.model = []

    @rule(number=st.integers(0, 4))
    def append_or_remove(self, number):
        waiter = self.waiters[number]
        if waiter.queue is None:
            self.queue.append(waiter)
            self.model.append(waiter)
        else:
            self.queue.remove(waiter)
            self.model.remove(waiter)

    @rule()
    def popleft(self):
        assert self.queue.popleft() is (self.model.pop(0) if self.model else None)

    @invariant()
    def same_as_the_model(self):
        assert self.queue.waiters() == self.model
        assert len(self.queue) == self.queue.count == len(self.model)
        assert self.queue.head is (self.model[0] if self.model else None)
        for waiter in self.waiters:
            assert waiter.queue is (self.queue if waiter in self.model else None)


TestWaitQueue = QueueMachine.TestCase
