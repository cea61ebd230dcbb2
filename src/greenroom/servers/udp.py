"""UDPServer: a task for each datagram.                                            layer: servers

One task reads. Each datagram goes to a task of its own, at most `limit` of them at once: when all
are taken the reader waits, and what comes meanwhile waits in the socket's buffer, beyond which the
kernel drops it, as UDP does. Memory is bounded by limit times the largest datagram.

Facts it rests on: a datagram that does not fit is cut, and recvmsg(2) tells so by MSG_TRUNC. An
ICMP error for what was sent earlier can come out of a later call (udp(7), ECONNREFUSED): it is
about some peer, not about this socket, so the reader goes on.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from greenroom.core import api
from greenroom.errors import Cancelled
from greenroom.green import socket
from greenroom.servers import address as _address
from greenroom.servers.server import Server, log
from greenroom.sync.lock import Semaphore

LARGEST = 65_535  # bytes: no UDP datagram has more (65,507 over IPv4)

_OF_A_PEER = {  # ip(7), udp(7): what an earlier datagram has met
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.EMSGSIZE,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.ENOPROTOOPT,
    errno.EPROTO,
}


@dataclass(frozen=True)
class UDPStatistics:
    """What UDPServer.statistics() returns.

    received   datagrams so far, the cut ones included
    active     handlers at work now
    limit      how many there may be at once
    truncated  datagrams that were longer than max_size, which no handler has seen
    failed     handlers that raised, and errors that the socket reported
    """

    received: int
    active: int
    limit: int
    truncated: int
    failed: int


class UDPServer(Server):
    """Listen for datagrams, and call handler(data, address, sock) in a task for each.

    address     ("host", port), "host:port", ":port", "unix:/path", "fd://3", or a bound socket
    handler     called with the bytes, the sender's address, and the server's socket: to answer is
                sock.sendto(reply, address). What it raises is logged with the sender's address
    limit       handlers at once, 1 or more
    max_size    bytes; a longer datagram is dropped, counted, and logged
    reuse_port  other sockets may listen on the same port, see socket(7)
    name        shown in logs and reports
    Raises      ValueError, TypeError: it is no address, or no limit

    Use it as a context manager (start() and stop()), or call serve_forever(). Datagrams may be
    handled in another order than they came in.
    """

    kind = socket.SOCK_DGRAM
    answers_on_sockets = True

    def __init__(
        self,
        address: Any,
        handler: Callable[[bytes, Any, Any], object] | None = None,
        *,
        limit: int = 1000,
        max_size: int = LARGEST,
        reuse_port: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(address, backlog=0, reuse_port=reuse_port, name=name)
        if handler is not None:
            self.handle = handler  # type: ignore[assignment,method-assign]
        elif type(self).handle is UDPServer.handle:
            raise TypeError("UDPServer needs a handler: a function of (data, address, sock)")
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise ValueError(f"limit is at least 1 datagram at once, not {limit!r}")
        self.limit = limit
        self.max_size = max_size
        self.received = self.truncated = self.failed = 0
        self._places = Semaphore(limit)

    def handle(self, data: bytes, address: Any, sock: Any) -> object:
        """Answer one datagram: the handler, for who derives a class."""
        raise NotImplementedError

    def listen(self, sock: Any) -> None:
        """As Server.listen: read until killed."""
        while True:
            self._places.acquire()
            try:
                data, peer = self._next(sock)
                task = api.spawn(self._handle, data, peer, sock)
            except BaseException:
                self._places.release()
                raise
            self.enter(task, sock)

    def _next(self, sock: Any) -> tuple[bytes, Any]:
        """Return the next datagram that is whole."""
        while True:
            try:
                data, _, flags, peer = sock.recvmsg(self.max_size)
            except OSError as error:
                if error.errno not in _OF_A_PEER:
                    if not self.closing:
                        log.error("%s can read no more: %s", self.name, error)
                    raise
                self.failed += 1
                log.info("%s: a peer could not be reached: %s", self.name, error)
                continue
            self.received += 1
            if not flags & socket.MSG_TRUNC:
                return data, peer
            self.truncated += 1
            log.warning(
                "%s: dropped a datagram of %s: it has more than max_size=%d bytes",
                self.name,
                _address.show(peer),
                self.max_size,
            )

    def release(self, given: Any) -> None:
        """As Server.release: the datagram's place is free."""
        self._places.release()

    def _handle(self, data: bytes, peer: Any, sock: Any) -> None:
        try:
            self.handle(data, peer, sock)
        except Cancelled:
            raise
        except BaseException as error:
            self.failed += 1
            log.error(
                "%s: the handler of %s failed", self.name, _address.show(peer), exc_info=error
            )
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise  # the scheduler hands them to main

    def statistics(self) -> UDPStatistics:
        """Return a frozen UDPStatistics of now. Never switches."""
        active = len(self.handlers)
        return UDPStatistics(self.received, active, self.limit, self.truncated, self.failed)
