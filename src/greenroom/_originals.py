"""The standard library as it was before any patching.                           layer: _originals

Only built-in C modules are imported here: nothing that imports ssl, socket or threading, so that
these can still be patched before their first import.
"""

import _queue
import _signal as signal
import _thread
import builtins
import posix
import select
import time

__all__ = [
    "POLLIN",
    "POLLOUT",
    "Empty",
    "SimpleQueue",
    "atomic_lock",
    "get_ident",
    "interrupt_main",
    "lock_type",
    "open",
    "os_close",
    "os_open",
    "os_read",
    "os_readv",
    "os_sendfile",
    "os_write",
    "rlock",
    "select_epoll",
    "select_poll",
    "select_select",
    "signal",
    "start_new_thread",
    "thread_count",
    "thread_local",
    "time_sleep",
]

Empty = _queue.Empty
SimpleQueue = _queue.SimpleQueue
open = builtins.open
os_close = posix.close
os_open = posix.open
os_read = posix.read
os_readv = posix.readv
os_sendfile = posix.sendfile
os_write = posix.write
get_ident = _thread.get_ident
interrupt_main = _thread.interrupt_main
start_new_thread = _thread.start_new_thread
thread_count = _thread._count
thread_local = _thread._local
rlock = _thread.RLock
atomic_lock = rlock()  # core/atomic.py's, and around what all threads share
lock_type = _thread.LockType
select_select = select.select
select_poll = select.poll
select_epoll = select.epoll
time_sleep = time.sleep
POLLIN, POLLOUT = select.POLLIN, select.POLLOUT
