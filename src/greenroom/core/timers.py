"""Deadline heap: what wakes next.                                               layer: core

Most timeouts are cancelled before they fire, and most are set again a moment later by the same
task: a socket with a timeout sets one at every recv. So an entry is filed once and then left where
it is: `deadline` is what its owner wants now, `key` what it is filed under. cancel() only writes
`deadline`; set() moves the entry only when it must fire earlier than filed. What surfaces with a
later deadline than its key is filed again, what has none is dropped.

A Timed is in the heap at most once, so the heap is no larger than the number of tasks alive.
"""

FOREVER = float("inf")
NEVER = FOREVER  # the same as a C double: FOREVER is for other modules to import


class Timed:
    """Something that can wake at a deadline (absolute seconds on the scheduler's clock).

    deadline      when it should wake; FOREVER: not at all
    key, key_seq  what it is filed under; key <= deadline while filed
    seq           order among equal deadlines: first set, first woken
    index         its place in the heap, -1 when it is not in one
    """

    deadline: float
    key: float
    seq: int
    key_seq: int
    index: int

    def expired(self) -> None:
        """Called between two tasks when the deadline has come; not for tasks. Must not wait."""
        raise NotImplementedError


class TimerHeap:
    """A binary heap of Timed, ordered by (key, key_seq)."""

    heap: "list[Timed]"
    seq: int

    def __init__(self) -> None:
        self.heap = []
        self.seq = 0

    def set(self, timed: Timed, deadline: float) -> None:
        """Let timed surface at deadline."""
        self.seq += 1
        timed.deadline = deadline
        timed.seq = self.seq
        index = timed.index
        if index < 0:
            timed.key = deadline
            timed.key_seq = timed.seq
            self.heap.append(timed)
            self.sift_up(len(self.heap) - 1, timed)
        elif deadline < timed.key:
            timed.key = deadline
            timed.key_seq = timed.seq
            self.sift_up(index, timed)
        elif deadline == timed.key:
            timed.key_seq = timed.seq  # the last set of its deadline
            self.sift_down(index, timed)

    def cancel(self, timed: Timed) -> None:
        """Let timed not surface. O(1): the entry stays until it reaches the top."""
        timed.deadline = NEVER

    def remove(self, timed: Timed) -> None:
        """Take timed out of the heap now, for one that will never be used again."""
        index = timed.index
        timed.index = -1
        timed.deadline = NEVER
        last = self.heap.pop()
        if last is not timed:
            if last.key < timed.key or (last.key == timed.key and last.key_seq < timed.key_seq):
                self.sift_up(index, last)
            else:
                self.sift_down(index, last)

    def pop_due(self, now: float) -> "Timed | None":
        """Take out and return the first entry whose deadline is not after now, or None."""
        while self.heap:
            top = self.heap[0]
            if top.key > now:
                return None
            if top.deadline > top.key:
                self.refile_top(top)
                continue
            self.remove(top)
            return top
        return None

    def next_deadline(self) -> float:
        """Return the earliest deadline, FOREVER if there is none."""
        while self.heap:
            top = self.heap[0]
            if top.deadline <= top.key:
                return top.key
            self.refile_top(top)
        return NEVER

    def refile_top(self, top: Timed) -> None:
        if top.deadline == NEVER:
            self.remove(top)
        else:
            top.key = top.deadline
            top.key_seq = top.seq
            self.sift_down(0, top)

    def sift_up(self, index: int, timed: Timed) -> None:
        """Put timed at index or above it, where it belongs."""
        while index > 0:
            above = (index - 1) >> 1
            parent = self.heap[above]
            if parent.key < timed.key or (
                parent.key == timed.key and parent.key_seq < timed.key_seq
            ):
                break
            self.heap[index] = parent
            parent.index = index
            index = above
        self.heap[index] = timed
        timed.index = index

    def sift_down(self, index: int, timed: Timed) -> None:
        """Put timed at index or below it, where it belongs."""
        size = len(self.heap)
        below = 2 * index + 1
        while below < size:
            child = self.heap[below]
            if below + 1 < size:
                other = self.heap[below + 1]
                if other.key < child.key or (
                    other.key == child.key and other.key_seq < child.key_seq
                ):
                    child = other
                    below += 1
            if timed.key < child.key or (timed.key == child.key and timed.key_seq < child.key_seq):
                break
            self.heap[index] = child
            child.index = index
            index = below
            below = 2 * index + 1
        self.heap[index] = timed
        timed.index = index
