"""TCPServer: a task for each connection.                                        layer: servers

One task accepts. It takes connection after connection until the backlog is empty and only then
waits, so a burst costs one wake-up. A limit holds it before it accepts: what is too much waits in
the kernel's backlog, where it costs nothing, and a client that gives up there is never seen.

Facts it rests on: Linux gives an accepted socket the TCP_NODELAY of the listening one (tcp(7) does
not say so; a test does). Without it a response in two writes waits 40 ms for the client's delayed
acknowledgement. When no fd is left, accept() itself waits and warns (green/socketcalls.py).
"""

from __future__ import annotations

import errno
import ssl as _stdlib_ssl
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from greenroom.core import api
from greenroom.errors import Cancelled
from greenroom.green import socket
from greenroom.servers import address as _address
from greenroom.servers import proxy, tls
from greenroom.servers.server import Server, log
from greenroom.sync.cancel import timeout as time_limit
from greenroom.sync.lock import Semaphore
from greenroom.sync.pool import Pool

# accept(2): errors of the connection that was to be accepted, not of the listening socket.
_OF_THE_CONNECTION = {
    errno.ECONNABORTED,
    errno.ECONNRESET,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.ENONET,
    errno.ENOPROTOOPT,
    errno.EOPNOTSUPP,
    errno.EPERM,
    errno.EPROTO,
    errno.ETIMEDOUT,
}


@dataclass(frozen=True)
class ServerStatistics:
    """What TCPServer.statistics() returns.

    accepted  connections so far
    active    handlers at work now, those in a TLS handshake included
    limit     how many there may be at once, None = no limit
    full      as many as that are at work: further connections wait in the kernel's backlog
    waiting   how many wait there, of TCP; Linux does not tell it of a Unix socket: 0
    failed    handlers that raised, and handshakes and PROXY headers that went wrong
    """

    accepted: int
    active: int
    limit: int | None
    full: bool
    waiting: int
    failed: int


class TCPServer(Server):
    """Listen on a TCP or Unix socket, and call handler(sock, address) in a task per connection.

    address     ("host", port), "host:port", ":port", "unix:/path", "fd://3", or a listening socket
    handler     called with a green socket (a TLS one with tls=) and the peer's address. The socket
                is closed when it returns. What it raises is logged with the peer's address
    limit       connections at once, as a number or a Pool that others may share; None = no limit.
                Further ones wait in the kernel's backlog
    backlog     how many may wait there; the kernel takes no more than net.core.somaxconn
    tls         an ssl.SSLContext, or a TLS: its certificates are read again when the files change
    reuse_port  other sockets may listen on the same port, see socket(7)
    proxy_protocol  each connection begins with a PROXY header, version 1 or 2; address is the one
                that it tells. Only for servers that nobody reaches but through such a proxy
    handshake_timeout  seconds that the TLS handshake and the PROXY header may take together
    name        shown in logs and reports
    Raises      ValueError, TypeError: it is no address

    Use it as a context manager (start() and stop()), or call serve_forever().
    """

    kind = socket.SOCK_STREAM

    def __init__(
        self,
        address: Any,
        handler: Callable[[Any, Any], object] | None = None,
        *,
        limit: int | Pool | None = None,
        backlog: int = 1024,
        tls: _stdlib_ssl.SSLContext | tls.TLS | None = None,
        reuse_port: bool = False,
        proxy_protocol: bool = False,
        handshake_timeout: float | None = 30.0,
        name: str | None = None,
    ) -> None:
        super().__init__(address, backlog=backlog, reuse_port=reuse_port, name=name)
        if handler is not None:
            self.handle = handler  # type: ignore[assignment,method-assign]
        elif type(self).handle is TCPServer.handle:
            raise TypeError("TCPServer needs a handler: a function of (sock, address)")
        self.pool = limit if isinstance(limit, Pool) else None
        self.limit: int | None = None
        self._places: Semaphore | None = None
        if isinstance(limit, int) and not isinstance(limit, bool):
            if limit < 1:
                raise ValueError(f"limit is at least 1 connection at once, not {limit}")
            self.limit = limit
            self._places = Semaphore(limit)
        elif limit is not None and self.pool is None:
            raise TypeError(f"limit is a number, a Pool or None, not {limit!r}")
        self.tls = _tls_of(tls)
        self.proxy_protocol = proxy_protocol
        self.handshake_timeout = handshake_timeout
        self.accepted = 0
        self.failed = 0
        self._headers: dict[Any, proxy.Header] = {}

    # --- accepting

    def prepare(self, sock: Any) -> None:
        """As Server.prepare."""
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def listen(self, sock: Any) -> None:
        """As Server.listen: accept until killed."""
        places = self._places
        serve = self._serve if self.tls or self.proxy_protocol else self._handle
        while True:
            if places is not None:
                places.acquire()
            try:
                connection, peer = sock.accept()
            except OSError as error:
                if places is not None:
                    places.release()
                if error.errno not in _OF_THE_CONNECTION:
                    if not self.closing:
                        log.error("%s can accept no more: %s", self.name, error)
                    raise
                log.debug("%s: a connection was gone before it was accepted: %s", self.name, error)
                continue
            except BaseException:
                if places is not None:
                    places.release()
                raise
            self.accepted += 1
            try:
                if self.pool is None:
                    task = api.spawn(serve, connection, peer)
                else:
                    task = self.pool.spawn(serve, connection, peer)  # waits for a place
            except BaseException:
                connection.close()
                raise
            self.enter(task, connection)

    def release(self, given: Any) -> None:
        """As Server.release: the connection is closed, and its place free."""
        if given is not None:
            given.close()
        if self._places is not None:
            self._places.release()

    # --- a connection

    def handle(self, sock: Any, address: Any) -> object:
        """Talk to one client: the handler, for who derives a class."""
        raise NotImplementedError

    def _handle(self, sock: Any, peer: Any) -> None:
        try:
            self.handle(sock, peer)
        except Cancelled:
            raise
        except BaseException as error:
            self._handler_failed(error, peer)
        finally:
            if self.tls is not None:
                tls.say_goodbye(sock)
            sock.close()

    def _handler_failed(self, error: BaseException, peer: Any) -> None:
        self.failed += 1
        log.error("%s: the handler of %s failed", self.name, _address.show(peer), exc_info=error)
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise error  # the scheduler hands them to main

    def _serve(self, sock: Any, peer: Any) -> None:
        """What comes before the handler: the PROXY header and the handshake."""
        here = api.current()
        try:
            with time_limit(self.handshake_timeout):
                if self.proxy_protocol:
                    header = self._headers[here] = proxy.receive(sock)
                    peer = header.source or peer
                if self.tls is not None:
                    sock = self.tls.accept(sock)
                    self.handlers[here] = sock  # it has taken over the fd
        except (OSError, proxy.ProxyError) as error:  # Timeout is an OSError too
            self.failed += 1
            what = "failed: it speaks plain HTTP" if "HTTP_REQUEST" in str(error) else str(error)
            log.info("%s: the handshake of %s: %s", self.name, _address.show(peer), what)
            sock.close()
            return
        except Cancelled:
            raise
        except BaseException as error:  # a password function's, for one
            self._handler_failed(error, peer)
            return
        self._handle(sock, peer)

    def leave(self, task: Any) -> None:
        """As Server.leave."""
        self._headers.pop(task, None)
        super().leave(task)

    def proxy_header(self) -> proxy.Header | None:
        """Return the PROXY header of the connection that the calling task serves, or None.

        Both addresses, and what else the proxy has said (tlvs). Never switches.
        """
        return self._headers.get(api.current())

    def statistics(self) -> ServerStatistics:
        """Return a frozen ServerStatistics of now. Never switches."""
        limit, full = self.limit, self._places is not None and not self._places.value
        if self.pool is not None:
            limit, full = self.pool.size, not self.pool.free_count
        active = len(self.handlers)
        return ServerStatistics(self.accepted, active, limit, full, self._waiting(), self.failed)

    def _waiting(self) -> int:
        waiting = 0
        for sock in self.sockets:
            if sock.fileno() >= 0 and sock.family != socket.AF_UNIX:
                # Of a listening socket tcpi_unacked, the seventh field, is its queue's length.
                info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 28)
                waiting += struct.unpack_from("=I", info, 24)[0]
        return waiting


def _tls_of(given: Any) -> tls.TLS | None:
    if given is None or isinstance(given, tls.TLS):
        return given
    if isinstance(given, _stdlib_ssl.SSLContext):
        return tls.TLS(context=given)
    raise TypeError(f"tls is an ssl.SSLContext or a greenroom.TLS, not {given!r}")
