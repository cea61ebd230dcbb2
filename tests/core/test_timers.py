"""The deadline heap against a sorted list, by itself and under the scheduler."""

import importlib.util
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import given
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import greenroom
from greenroom import Event, joinall, sleep, spawn
from greenroom.core import timers as installed
from greenroom.testing.clock import VirtualClock

# The methods of the compiled heap are C functions; the same file as plain Python can be called.
_spec = importlib.util.spec_from_file_location(
    "plain_timers", Path(installed.__file__).with_name("timers.py")
)
timers = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(timers)

times = st.integers(0, 20).map(float)


class Entry(timers.Timed):
    def __init__(self):
        self.deadline = timers.FOREVER
        self.key = 0.0
        self.seq = self.key_seq = 0
        self.index = -1


class HeapMachine(RuleBasedStateMachine):
    """The model: a dict of each entry's deadline."""

    def __init__(self):
        super().__init__()
        self.heap = timers.TimerHeap()
        self.entries = [Entry() for _ in range(6)]
        self.model = {}

    @rule(number=st.integers(0, 5), deadline=times)
    def set(self, number, deadline):
        self.heap.set(self.entries[number], deadline)
        self.model[number] = deadline

    @rule(number=st.integers(0, 5))
    def cancel(self, number):
        self.heap.cancel(self.entries[number])
        self.model.pop(number, None)

    @rule(number=st.integers(0, 5))
    def remove(self, number):
        if self.entries[number].index >= 0:
            self.heap.remove(self.entries[number])
            self.model.pop(number, None)

    @rule(now=times)
    def pop_all_due(self, now):
        due = sorted(when for when in self.model.values() if when <= now)
        popped = []
        while (entry := self.heap.pop_due(now)) is not None:
            popped.append(self.model.pop(self.entries.index(entry)))
        assert popped == due

    @precondition(lambda self: self.heap.heap)
    @rule()
    def next_deadline(self):
        expected = min(self.model.values(), default=timers.FOREVER)
        assert self.heap.next_deadline() == expected

    @invariant()
    def no_entry_is_filed_twice_or_too_late(self):
        for place, entry in enumerate(self.heap.heap):
            assert entry.index == place and entry.key <= entry.deadline
        assert len(set(map(id, self.heap.heap))) == len(self.heap.heap)


TestHeap = HeapMachine.TestCase


def popped_in_order(*numbers):
    """Set entries of one deadline in this order; return the order in which they come due."""
    heap, entries = timers.TimerHeap(), [Entry() for _ in range(3)]
    for number in numbers:
        heap.set(entries[number], 5.0)
    return [entries.index(heap.pop_due(5.0)) for _ in entries]


def test_entries_of_one_deadline_come_due_in_the_order_in_which_they_were_set():
    assert popped_in_order(2, 0, 1) == [2, 0, 1]


def test_entry_that_is_set_again_to_the_same_deadline_comes_after_the_others():
    assert popped_in_order(0, 1, 2, 0) == [1, 2, 0]


@given(st.lists(st.integers(0, 10), max_size=30))
def test_sleepers_wake_in_the_order_of_their_deadlines_then_of_their_sleeps(lengths):
    woken = []

    def nap(number, seconds):
        sleep(seconds)
        woken.append((seconds, number))

    with VirtualClock():
        joinall([spawn(nap, number, 1 + seconds) for number, seconds in enumerate(lengths)])
    assert woken == sorted(woken)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=20))
def test_timeouts_that_are_set_again_and_again_fire_when_the_last_one_says(pairs):
    """A wait that is woken leaves its entry in the heap; the next wait sets it earlier or later."""
    with VirtualClock() as clock:

        def wait(first, second):
            event = Event()
            if first:
                spawn(lambda: (sleep(first / 2), event.set()))
                assert event.wait(first)
            before = clock.now()
            assert not Event().wait(second)
            assert clock.now() == before + second

        tasks = [spawn(wait, *pair) for pair in pairs]
        joinall(tasks)
        assert [task.exception for task in tasks] == [None] * len(pairs)


def test_a_deadline_in_the_past_wakes_at_once(clock):
    clock.advance(100)
    assert Event().wait(timeout=-5) is False
    assert clock.now() == 100


def test_clock_jumps_only_to_the_next_deadline(clock):
    seen = []

    def nap(seconds):
        sleep(seconds)
        seen.append(clock.now())

    joinall([spawn(nap, seconds) for seconds in (3, 1, 2)])
    assert seen == [1, 2, 3]


def test_waits_that_never_time_out_do_not_pile_up_timers(clock):
    event = Event()
    task = spawn(lambda: [greenroom.Event().wait(timeout) for timeout in (5, 1, 5, 1)])
    task.join()
    event.set()
    assert clock.now() == 12
