"""What patching replaces in the standard library, how, and why: one row a name.  layer: patch

how   "in place": set on the standard library's own class, so that whoever imported the class
      earlier has the green method too
      "by name": the module's name is bound to another object, because a C function or type cannot
      be changed; a module that copied the name before keeps the old one (patch_all() says which)
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One replaced name.

    part     what --no-PART and patch_all(PART=False) leave out
    target   module and name: "time:sleep", or "socket:socket.recv" for a method
    how      "in place" or "by name"
    why      one sentence
    make     returns the replacement, given the original (None if there was none)
    since    the first Python version that has the name, (3, 11) for all
    until    the first Python version that no longer has it
    """

    part: str
    target: str
    how: str
    why: str
    make: Callable[[Any], Any]
    since: tuple[int, int] = (3, 11)
    until: tuple[int, int] = (99, 0)

    @property
    def module(self) -> str:
        """The module's name."""
        return self.target.partition(":")[0]

    @property
    def path(self) -> list[str]:
        """The attributes from the module to the name."""
        return self.target.partition(":")[2].split(".")

    @property
    def applies(self) -> bool:
        """Whether this Python has the name."""
        return self.since <= sys.version_info[:2] < self.until


def _use(replacement: Any) -> Callable[[Any], Any]:
    return lambda original: replacement


def rows() -> list[Row]:
    """Return the table, in the order in which it is applied."""
    return [*_thread_rows(), *_time_rows(), *_select_rows(), *_socket_rows()]


def _time_rows() -> list[Row]:
    from greenroom.green import time

    return [Row("time", "time:sleep", "by name", "a C function", _use(time.sleep))]


def _thread_rows() -> list[Row]:
    from greenroom.core.local import local
    from greenroom.patch import threads
    from greenroom.sync.lock import Lock, RLock
    from greenroom.sync.queue import SimpleQueue

    c = "a C function; threading.Thread runs on it"
    lock = "a C type; every lock of threading and queue is made of it"
    found = []
    thing: Any
    for part, target, why, thing in (
        ("thread", "_thread:start_new_thread", c, threads.start_new_thread),
        ("thread", "_thread:start_new", c, threads.start_new_thread),
        ("thread", "_thread:get_ident", "tasks of one thread differ", threads.get_ident),
        ("thread", "_thread:_count", "counts the tasks", threads.thread_count),
        ("thread", "_thread:allocate_lock", lock, Lock),
        ("thread", "_thread:allocate", lock, Lock),
        ("thread", "_thread:RLock", lock, RLock),
        ("thread", "_thread:LockType", "so that isinstance holds", Lock),
        ("thread", "_thread:_local", "a C type; each task has its own values", local),
        ("thread", "threading:_start_new_thread", c, threads.start_new_thread),
        ("thread", "threading:get_ident", "tasks of one thread differ", threads.get_ident),
        ("thread", "threading:_allocate_lock", lock, Lock),
        ("thread", "threading:Lock", lock, Lock),
        ("thread", "threading:_CRLock", lock, RLock),
        ("thread", "threading:local", "a C type; each task has its own values", local),
    ):
        found.append(Row(part, target, "by name", why, _use(thing)))
    old, new = (3, 13), (3, 13)
    found += [
        Row("thread", "_thread:_set_sentinel", "by name", c, _use(threads.set_sentinel), until=old),
        Row(
            "thread", "threading:_set_sentinel", "by name", c, _use(threads.set_sentinel), until=old
        ),
    ]
    for name, thing in (
        ("start_joinable_thread", threads.start_joinable_thread),
        ("_ThreadHandle", threads.ThreadHandle),
        ("_make_thread_handle", threads.make_thread_handle),
        ("lock", Lock),
    ):
        found.append(Row("thread", f"_thread:{name}", "by name", c, _use(thing), since=new))
    for name, thing in (
        ("_start_joinable_thread", threads.start_joinable_thread),
        ("_ThreadHandle", threads.ThreadHandle),
        ("_make_thread_handle", threads.make_thread_handle),
        ("_LockType", Lock),
    ):
        found.append(Row("thread", f"threading:{name}", "by name", c, _use(thing), since=new))
    found += [
        Row(
            "thread",
            "threading:_thread_shutdown",
            "by name",
            c,
            threads.shutdown_after,
            since=new,
        ),
        Row(
            "thread",
            "threading:excepthook",
            "by name",
            "a thread that was killed has not failed",
            threads.excepthook_after,
        ),
        Row(
            "thread",
            "threading:_active_limbo_lock",
            "by name",
            "made before patching",
            lambda original: RLock(),
        ),
        Row(
            "thread",
            "threading:_shutdown_locks_lock",
            "by name",
            "made before patching",
            lambda original: Lock(),
            until=old,
        ),
        Row(
            "thread",
            "threading:_DummyThread.__init__",
            "in place",
            "the entry of a task that is no Thread must go when the task ends",
            threads.forget_dummy,
        ),
        Row("queue", "_queue:SimpleQueue", "by name", "a C type", _use(SimpleQueue)),
        Row("queue", "queue:SimpleQueue", "by name", "a C type", _use(SimpleQueue)),
    ]
    return found


def _select_rows() -> list[Row]:
    from greenroom.green import select

    c = "a C function"
    kept = "selectors took the C type when it was imported"
    return [
        Row("select", "select:select", "by name", c, _use(select.select)),
        Row("select", "select:poll", "by name", c, _use(select.poll)),
        Row("select", "select:epoll", "by name", "a C type", _use(select.epoll)),
        Row(
            "select",
            "selectors:SelectSelector._select",
            "in place",
            kept,
            lambda original: lambda self, r, w, _, timeout=None: select.select(r, w, [], timeout),
        ),
        Row("select", "selectors:PollSelector._selector_cls", "in place", kept, _use(select.poll)),
        Row(
            "select", "selectors:EpollSelector._selector_cls", "in place", kept, _use(select.epoll)
        ),
    ]


def _socket_rows() -> list[Row]:
    import socket

    from greenroom.green import patchable, resolver

    why = "the method waits in C"
    found = [
        Row("socket", f"socket:socket.{name}", "in place", why, _use(method))
        for name, method in patchable.socket_methods(socket.socket.__init__).items()
    ]
    # socket.getaddrinfo is Python code that calls _socket's and makes enums of the numbers.
    for name in (
        "getaddrinfo",
        "gethostbyname",
        "gethostbyname_ex",
        "gethostbyaddr",
        "getnameinfo",
    ):
        found.append(
            Row(
                "dns",
                f"_socket:{name}",
                "by name",
                "a C function without a non-blocking form",
                _use(getattr(resolver, name)),
            )
        )
        if name != "getaddrinfo":
            found.append(
                Row("dns", f"socket:{name}", "by name", "as above", _use(getattr(resolver, name)))
            )
    return found
