"""The standard library as it was before any patching.                           layer: _originals

Only built-in C modules are imported here: nothing that imports ssl, socket or threading, so that
these can still be patched before their first import.
"""

import _signal as signal
import _socket
import _thread
import select
import time

__all__ = [
    "allocate_lock",
    "get_ident",
    "rlock",
    "select_epoll",
    "select_poll",
    "select_select",
    "signal",
    "sleep",
    "socket_type",
    "start_new_thread",
    "thread_count",
    "thread_local",
]

allocate_lock = _thread.allocate_lock
get_ident = _thread.get_ident
start_new_thread = _thread.start_new_thread
thread_count = _thread._count
thread_local = _thread._local
rlock = _thread.RLock
sleep = time.sleep
select_select = select.select
select_poll = select.poll
select_epoll = select.epoll
socket_type = _socket.socket
