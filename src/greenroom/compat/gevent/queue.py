"""gevent.queue.                                                                 layer: compat"""

from typing import Any

from greenroom.sync import queue as _sync
from greenroom.sync import queue_errors
from greenroom.sync.queue import SimpleQueue
from greenroom.sync.queue_errors import Empty

__all__ = ["Empty", "JoinableQueue", "LifoQueue", "PriorityQueue", "Queue", "SimpleQueue"]


class _Gevent:
    """What gevent has besides: None is no limit, and iterating gets until StopIteration is put."""

    def __init__(self, maxsize: int | None = None, items: Any = ()) -> None:
        super().__init__(maxsize or 0)  # type: ignore[call-arg]
        for item in items:
            self.put(item)  # type: ignore[attr-defined]

    def __len__(self) -> int:
        size: int = self.qsize()  # type: ignore[attr-defined]
        return size

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        item = self.get()  # type: ignore[attr-defined]
        if item is StopIteration:
            raise StopIteration
        return item


class Queue(_Gevent, _sync.Queue):
    """gevent.queue.Queue."""


class LifoQueue(_Gevent, _sync.LifoQueue):
    """gevent.queue.LifoQueue."""


class PriorityQueue(_Gevent, _sync.PriorityQueue):
    """gevent.queue.PriorityQueue."""


JoinableQueue = Queue


def __getattr__(name: str) -> Any:
    return getattr(queue_errors, name)
