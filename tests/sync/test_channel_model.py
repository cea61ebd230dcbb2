"""Channels beside a model of three lines: items in it, those who wait to send, and to receive.

Sends and receives, some of them by select; kills and timeouts; closing of the channel and of ends.
"""

import math
from collections import deque

import hypothesis.strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from greenroom import (
    Channel,
    ChannelClosed,
    EndOfChannel,
    Event,
    TaskKilled,
    Timeout,
    channel,
    joinall,
    op,
    select,
    sleep,
    spawn,
    timeout,
)
from greenroom.testing.clock import VirtualClock

LIMIT = 10.0  # seconds that a send or receive with a time limit waits


class ChannelMachine(RuleBasedStateMachine):
    """Tasks that wait to send and to receive, beside the model."""

    @initialize(capacity=st.sampled_from([0, 1, 2, math.inf]), with_ends=st.booleans())
    def start(self, capacity, with_ends):
        self.clock = VirtualClock()
        self.clock.__enter__()
        self.capacity = capacity
        if with_ends:
            sender, receiver = channel(capacity)
            self.senders, self.receivers = [sender], [receiver]
        else:
            self.senders = self.receivers = [Channel(capacity)]
        self.with_ends = with_ends
        self.never = Event()
        self.items = deque()
        self.receiving = deque()  # (task, end, limited) in line
        self.sending = deque()  # (task, item, end, limited) in line
        self.expected = []  # (task, outcome)
        self.no_more = self.unheard = False
        self.count = 0

    # --- what the model says happens by itself

    def settle(self):
        while True:
            if self.sending and len(self.items) < self.capacity:
                task, item, _, _ = self.sending.popleft()
                self.expected.append((task, None))
                self.items.append(item)
            elif self.receiving and self.items:
                self.expected.append((self.receiving.popleft()[0], self.items.popleft()))
            elif self.receiving and self.sending:
                task, item, _, _ = self.sending.popleft()
                self.expected.append((task, None))
                self.expected.append((self.receiving.popleft()[0], item))
            else:
                return

    def begin(self, how, call, *args):
        """Start a task that makes the call: plainly, with a time limit, or as a case of select."""

        def plain():
            return call(*args)

        def limited():
            with timeout(LIMIT):
                return call(*args)

        def chosen():
            return select(self.never, op(call, *args))[1]

        def generator():
            return (yield op(call, *args))

        task = spawn(generator() if how == "generator" else locals()[how])
        task.observed = True
        sleep()
        return task

    hows = st.sampled_from(["plain", "limited", "chosen", "generator"])

    @precondition(lambda self: self.senders)
    @rule(how=hows, data=st.data())
    def send(self, how, data):
        end = data.draw(st.sampled_from(self.senders))
        self.count += 1
        task = self.begin(how, end.send, self.count)
        if self.no_more or self.unheard:
            self.expected.append((task, ChannelClosed))
            return
        self.sending.append((task, self.count, end, how == "limited"))
        self.settle()

    @precondition(lambda self: self.receivers)
    @rule(how=hows, data=st.data())
    def receive(self, how, data):
        end = data.draw(st.sampled_from(self.receivers))
        task = self.begin(how, end.receive)
        if self.no_more and not self.items:
            self.expected.append((task, EndOfChannel))
            return
        self.receiving.append((task, end, how == "limited"))
        self.settle()

    @precondition(lambda self: self.sending or self.receiving)
    @rule(data=st.data())
    def kill(self, data):
        line = data.draw(st.sampled_from([line for line in (self.sending, self.receiving) if line]))
        entry = data.draw(st.sampled_from(list(line)))
        line.remove(entry)
        entry[0].kill()
        self.expected.append((entry[0], TaskKilled))

    @precondition(lambda self: self.receiving)
    @rule()
    def hand_over_and_kill_in_one_tick(self):
        if not self.senders:
            return
        task = self.receiving.popleft()[0]
        self.count += 1
        self.senders[0].send_nowait(self.count)
        task.kill()
        self.expected.append((task, self.count))

    @rule()
    def let_time_pass(self):
        sleep(LIMIT + 1)
        for line in (self.sending, self.receiving):
            for entry in [entry for entry in line if entry[-1]]:
                line.remove(entry)
                self.expected.append((entry[0], Timeout))

    @precondition(lambda self: self.with_ends and self.senders)
    @rule(side=st.sampled_from(["senders", "receivers"]), data=st.data())
    def clone(self, side, data):
        ends = getattr(self, side)
        if 0 < len(ends) < 3:
            ends.append(data.draw(st.sampled_from(ends)).clone())

    @precondition(lambda self: self.senders)
    @rule(data=st.data())
    def close_sender(self, data):
        end = data.draw(st.sampled_from(self.senders))
        end.close()
        if self.with_ends:
            self.senders.remove(end)
        for entry in [entry for entry in self.sending if entry[2] is end]:
            self.sending.remove(entry)
            self.expected.append((entry[0], ChannelClosed))
        if not self.with_ends or not self.senders:
            self.no_more = True
            self.expected += [(entry[0], EndOfChannel) for entry in self.receiving]
            self.receiving.clear()

    @precondition(lambda self: self.with_ends and self.receivers)
    @rule(data=st.data())
    def close_receiver(self, data):
        end = data.draw(st.sampled_from(self.receivers))
        end.close()
        self.receivers.remove(end)
        for entry in [entry for entry in self.receiving if entry[1] is end]:
            self.receiving.remove(entry)
            self.expected.append((entry[0], ChannelClosed))
        if not self.receivers:
            self.unheard = True
            self.expected += [(entry[0], ChannelClosed) for entry in self.sending]
            self.sending.clear()

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
        for line in (self.sending, self.receiving):
            assert not any(entry[0].done for entry in line)
        ends = self.senders or self.receivers
        if ends:
            stats = ends[0].statistics()
            assert stats.fill == len(self.items)
            assert len(stats.waiting_senders) == len(self.sending)
            assert len(stats.waiting_receivers) == len(self.receiving)

    def teardown(self):
        if hasattr(self, "clock"):
            waiting = [entry[0] for entry in (*self.sending, *self.receiving)]
            for task in waiting:
                task.kill()
            joinall(waiting)
            assert "waiting" in repr(self.never) and ", 0 waiting" in repr(self.never)
            self.clock.__exit__()


TestChannel = ChannelMachine.TestCase
