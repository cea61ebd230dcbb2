"""gevent.queue.                                                                 layer: compat"""

from typing import Any

from greenroom.sync import queue_errors
from greenroom.sync.queue import LifoQueue, PriorityQueue, SimpleQueue
from greenroom.sync.queue import Queue as _Queue
from greenroom.sync.queue_errors import Empty

__all__ = ["Empty", "JoinableQueue", "LifoQueue", "PriorityQueue", "Queue", "SimpleQueue"]


class Queue(_Queue):  # type: ignore[misc, unused-ignore]
    """A queue of gevent: None is no limit, and iterating gets until StopIteration is put."""

    def __init__(self, maxsize: int | None = None, items: Any = ()) -> None:
        _Queue.__init__(self, maxsize or 0)
        for item in items:
            self.put(item)

    def __len__(self) -> int:
        return self.qsize()

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> "Queue":
        return self

    def __next__(self) -> Any:
        item = self.get()
        if item is StopIteration:
            raise StopIteration
        return item


JoinableQueue = Queue


def __getattr__(name: str) -> Any:
    return getattr(queue_errors, name)
