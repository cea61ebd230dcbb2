# cython: nonecheck=True
"""What greenroom knows of one TLS connection: above all, whose turn to write it is. layer: green

OpenSSL wants a write that had to wait to be tried again with the same data before any other is
written, as part of a record may have gone out. So one task at a time writes; the others stand in a
queue, and who has done hands the turn to the first of them.
"""

from typing import Any

from greenroom.core import scheduler as _scheduler
from greenroom.core.atomic import atomic
from greenroom.core.scheduler import Scheduler
from greenroom.core.waitqueue import WaitQueue


class Connection:
    """Belongs to one SSLSocket, which holds it.

    handle      the socket that the C object asks for its timeout; None: that is the SSLSocket
                itself, which is older than patching
    writing     a task has the turn to write, and may be parked in the middle of it
    writers     tasks that wait for their turn
    unfinished  None, or what the next write must begin with: a write of it was cut short
    reads_only  what OpenSSL does next with the connection, but for writing, waits for what the peer
                sends and for nothing else: the last that it did was a handshake or a read that
                brought something, or the client has still to begin. There is no greeting to be
                sent, no answer half sent, no end that has been read
    """

    handle: Any
    writing: bool
    writers: WaitQueue
    unfinished: "bytes | None"
    reads_only: bool

    def __init__(self, handle: object) -> None:
        self.handle = handle
        self.writing = self.reads_only = False
        self.writers = WaitQueue()
        self.unfinished = None

    @property
    def wait_reason(self) -> str:
        """What a task in the queue waits for."""
        return "its turn to write to a TLS connection"

    def begin(self) -> bool:
        """Take the turn to write if it is free."""
        if self.writing:
            return False
        self.writing = True
        return True

    def begin_or_enlist(self, scheduler: Scheduler, deadline: float) -> bool:
        """Take the turn, or stand in the queue for it: then only scheduler.wait() may follow."""
        if self.writing:
            scheduler.enlist(self.writers, self, deadline)
            return False
        self.writing = True
        return True

    def end(self) -> None:
        """Hand the turn to the first who waits; it is theirs before they run. Never switches."""
        if not _scheduler.wake_first(self.writers):
            self.writing = False


atomic(Connection, "begin", "begin_or_enlist", "end")
