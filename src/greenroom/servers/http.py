"""HTTPServer: connections, requests in order, and the Exchange an application gets.  layer: servers

A connection is a task: it waits for a request, calls the application, sends the response, and waits
again. Facts that shape this file:

- One recv and one send a request. The head is kept until the first bytes of the body, and goes out
  with them. While more requests have come already (pipelining) responses are gathered; whoever runs
  first afterwards sends them: this task when it has no more requests, or, if the application parks
  before, a task that was spawned for it. So no response waits for the next request's application.
- A connection that waits for a request holds no parser and no buffer: parsers lie in a stack of the
  server, and recv(2) reads into one buffer of the scheduler.
- Timeouts are deadlines of the waits themselves. The scheduler's timers are lazy (core/timers.py):
  a later deadline is one store. A sweep over all connections was not needed.
- A timeout for each byte would let a slow-loris live on one byte a wait. Bodies, and responses,
  therefore have an allowance of time: waiting spends it, each MIN_RATE bytes earn a second.
- Closing while the client still sends makes the kernel answer with RST, which can destroy a
  response that the client has not read. So we say that we have ended, and read on for a moment.
- Who has closed its sending half (FIN) may still read: responses go on. Only wait_disconnect()
  takes the end of the client's stream for its leaving, for there is no way to tell.
"""

from __future__ import annotations

import _socket
import _ssl
import os
import struct
from logging import getLogger

from greenroom.core import scheduler as _scheduler
from greenroom.core import task as _task
from greenroom.core.scheduler import Scheduler
from greenroom.core.task import Task
from greenroom.core.timers import FOREVER
from greenroom.green import fastsocket, socketcalls
from greenroom.servers import http1
from greenroom.servers.http1 import BadRequest, ChunkDecoder, RequestParser, ResponseHead
from greenroom.servers.tcp import TCPServer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_log = getLogger("greenroom.servers")
_FAST = fastsocket.usable()

# Bytes of one recv: enough for a burst of pipelined requests, and few enough to keep.
RECV_BYTES = 64 * 1024
# Bytes of gathered responses at which they are sent.
GATHER_BYTES = 64 * 1024
# A body larger than this is sent after its head instead of being copied behind it.
COPY_BYTES = 64 * 1024
# Bytes of an unread request body that are read, and thrown away, to keep the connection.
DRAIN_BYTES = 64 * 1024
# Bytes and seconds that are read on after the server has closed its side.
LINGER_BYTES = 1024 * 1024
LINGER_SECONDS = 2.0
# Bytes a second below which a client is too slow (Kestrel: the same 240).
MIN_RATE = 240.0
# Bytes of sendfile(2) between two looks at whether others are ready.
FILE_BYTES = 1024 * 1024
# Parsers kept for reuse. One is about 1 KB.
SPARE_PARSERS = 256

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_RESET = struct.pack("ii", 1, 0)


class BodyError(BadRequest, OSError):
    """The body of a request cannot be read on: it is malformed, too large, or too slow.

    Raised to the application by Exchange.read(). If it then answers with a 5xx, as frameworks do
    for an error they do not know, the client is told the status of this error instead.
    """


class ClientGone(ConnectionError):
    """The client has closed the connection, or does not take what is sent to it."""


class Settings:
    """The limits and timeouts of an HTTPServer, in seconds and bytes: see there."""

    header_timeout: float
    idle_timeout: float
    body_timeout: float
    write_timeout: float
    max_body_bytes: int
    application: Callable[[Exchange], object]
    access_log: Any
    closing: bool
    idle_grace: float
    parsers: list[RequestParser]

    def __init__(
        self,
        application: Callable[[Exchange], object],
        timeouts: tuple[float, float, float, float],
        limits: tuple[int, int, int, int],
        access_log: Any,
    ) -> None:
        self.application = application
        self.header_timeout, self.idle_timeout, self.body_timeout, self.write_timeout = timeouts
        self._limits = limits[:3]
        self.max_body_bytes = limits[3]
        self.access_log = access_log
        self.closing = False
        self.idle_grace = 0.0
        self.parsers = []

    def take_parser(self) -> RequestParser:
        """Return a parser that nobody uses."""
        if self.parsers:
            return self.parsers.pop()
        return RequestParser(*self._limits)

    def spare_parsers(self) -> int:
        """Return how many parsers wait for their next use."""
        return len(self.parsers)

    def give_parser(self, parser: RequestParser) -> None:
        """Keep a parser for others."""
        if len(self.parsers) < SPARE_PARSERS:
            self.parsers.append(parser)


class Connection:
    """One client.

    data, place   what has been read ahead, and where in it the next request or body begins
    out           responses gathered, not yet sent
    keep          the connection will be used again after this response
    gone          the client has closed its side, or cannot be sent to
    taken         the socket belongs to the application
    idle          waits for a request, so that stop() may end it
    memo          the application's: what it wants to know again at the next request
    """

    settings: Settings
    scheduler: Scheduler
    task: Task
    sock: Any
    peer: Any
    tls: Any
    data: bytes
    place: int
    out: list[bytes]
    out_bytes: int
    parser: Any  # None while no request is there
    keep: bool
    gone: bool
    taken: bool
    idle: bool
    ahead: bool
    closed: bool
    nonblocking: bool
    memo: Any

    def __init__(self, settings: Settings, sock: Any, peer: Any) -> None:
        self.settings = settings
        self.scheduler = _scheduler.get()
        self.task = self.scheduler.current
        self.sock = sock
        self.peer = peer
        self.tls = sock if hasattr(sock, "getpeercert") else None
        self._local: Any = None
        self.memo = None
        self.data = b""
        self.place = 0
        self.out = []
        self.out_bytes = 0
        self.parser = None
        self.keep = True
        self.gone = self.taken = self.idle = self.ahead = self.closed = self.nonblocking = False

    def run(self) -> None:
        """Serve requests until the connection is to be closed, which the caller does."""
        timeout = self.settings.header_timeout
        try:
            while self.next_request(timeout) and self.serve():
                timeout = self.settings.idle_timeout
            if self.tls is not None and not (self.taken or self.closed):
                self._end_tls()
        except OSError as error:
            _log.debug("connection with %s ended: %s", self.peer, error)
        finally:
            self.closed = True

    def _end_tls(self) -> None:
        """Send close_notify, by which the client knows that nothing was cut off (RFC 8446 6.1)."""
        self.sock.settimeout(0.0)
        try:
            self.sock.unwrap()
        except (OSError, ValueError):
            pass  # its own is not waited for

    # --- reading

    def receive(self, deadline: float) -> bytes:
        """Return what comes next, b"" at the end; TimeoutError at the deadline."""
        if self.out:
            self.flush()
        if self.tls is not None:
            return self._receive_tls(deadline)
        if _FAST:
            return fastsocket.recv_by(self.sock, RECV_BYTES, deadline)
        data: bytes = socketcalls.recv_by(self.sock, RECV_BYTES, deadline)
        return data

    def _receive_tls(self, deadline: float) -> bytes:
        seconds = None
        if deadline != FOREVER:
            seconds = deadline - self.scheduler.now()
            if seconds <= 0.0:
                raise TimeoutError("timed out")
        self.sock.settimeout(seconds)
        data: bytes = self.sock.recv(RECV_BYTES)
        return data

    def next_request(self, timeout: float) -> bool:
        """Read a head into self.parser; False: there is none, or it was refused."""
        if self.place >= len(self.data):
            self.data = b""  # while we wait
            self.place = 0
            if self.parser is not None:
                self.settings.give_parser(self.parser)
                self.parser = None
            if self.out:
                self.flush()
            if self.settings.closing:
                timeout = min(timeout, self.settings.idle_grace)
                if timeout <= 0.0:
                    return False
            self.idle = True
            try:
                data = self.receive(self.scheduler.now() + timeout)
            except TimeoutError:
                return False
            finally:
                self.idle = False
            if not data:
                self.gone = True
                return False
            self.data = data
        if self.parser is None:
            self.parser = self.settings.take_parser()
        try:
            end = self.parser.parse(self.data, self.place)
            if end < 0:
                end = self._read_head()
        except BadRequest as error:
            self.refuse(error, True)
            return False
        if end < 0:
            self.gone = True
            return False
        self.place = end
        return True

    def _read_head(self) -> int:
        """Read the rest of a head of which a part has come; return its end, -1: there is none."""
        deadline = self.scheduler.now() + self.settings.header_timeout
        buffer = bytearray(self.data[self.place :])
        self.place = 0
        while True:
            seen = len(buffer)
            try:
                data = self.receive(deadline)
            except TimeoutError:
                raise BadRequest(408, "The head of the request took too long.") from None
            if not data:
                return -1
            buffer += data
            self.data = bytes(buffer)
            end: int = self.parser.parse(self.data, 0, seen)
            if end >= 0:
                return end

    def read_body(self, allowance: float) -> bytes:
        """Return what is read ahead, or what comes within allowance seconds; b"" at the end."""
        if self.place < len(self.data):
            data = self.data[self.place :] if self.place else self.data
            self.data = b""
            self.place = 0
            return data
        if self.gone:
            return b""
        data = self.receive(self.scheduler.now() + allowance)
        if not data:
            self.gone = True
        return data

    # --- writing

    def put(self, data: bytes) -> None:
        """Add to what is to be sent."""
        self.out.append(data)
        self.out_bytes += len(data)

    def flush(self) -> None:
        """Send what was gathered. Raises ClientGone."""
        if len(self.out) == 1:
            data = self.out[0]
        else:
            data = b"".join(self.out)
        self.out.clear()
        self.out_bytes = 0
        if data:
            self.transmit(data)

    def transmit(self, data: bytes) -> None:
        """Send all of data. Raises ClientGone."""
        if self.gone_for_good():
            raise ClientGone("the client has closed the connection")
        settings = self.settings
        allowance = settings.write_timeout
        done = 0
        size = len(data)
        try:
            while True:
                before = self.scheduler.now()
                if self.tls is not None:
                    sent = self._send_tls(data, done, allowance)
                elif _FAST:
                    sent = fastsocket.send_by(self.sock, data, done, before + allowance)
                else:
                    sent = socketcalls.send_by(self.sock, data, done, before + allowance)
                done += sent
                if done >= size:
                    return
                allowance = self.allow(
                    allowance - (self.scheduler.now() - before), sent, settings.write_timeout
                )
        except TimeoutError:
            self.lost("the client does not take what is sent to it")
        except OSError as error:
            self.lost(f"the client has closed the connection: {error}")

    def _send_tls(self, data: bytes, done: int, allowance: float) -> int:
        self.sock.settimeout(max(allowance, 0.001))
        piece = data if done == 0 and len(data) <= 65536 else data[done : done + 65536]
        self.sock.sendall(piece)
        return len(piece)

    def allow(self, allowance: float, count: int, most: float) -> float:
        """Return the seconds that are left after count bytes more."""
        return min(most, allowance + count / MIN_RATE)

    def reset_at_close(self) -> None:
        """Let close(2) send RST: FIN would be the end of the body, as if that were whole.

        With SO_LINGER on and 0 s, socket(7). Only the end of the connection ends such a body.
        """
        self.sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, _RESET)

    def lost(self, why: str) -> None:
        """Note that nothing can be sent any more."""
        self.gone = True
        self.keep = False
        self.closed = True
        raise ClientGone(why) from None

    def gone_for_good(self) -> bool:
        """Tell whether sending was found to be of no use."""
        return self.closed

    def send_later(self) -> None:
        """Have the gathered responses sent as soon as this task parks or has done."""
        if not self.ahead:
            self.ahead = True
            self.scheduler.spawn(self._send_ahead, (), "flush", None)

    def _send_ahead(self) -> None:
        self.ahead = False
        if self.out and not self.closed:
            self._send_some(0)

    def _send_some(self, flags: int) -> None:
        """Send what the kernel takes of what was gathered, without waiting."""
        data = b"".join(self.out)
        try:
            sent = _send_now(self.sock, data, flags)
        except OSError:
            return  # the next one to wait will see it
        self.out.clear()
        self.out_bytes = len(data) - sent
        if sent < len(data):
            self.out.append(data[sent:])

    # --- requests

    def serve(self) -> bool:
        """Have one request answered; tell whether the connection can be used again."""
        settings = self.settings
        exchange = Exchange()
        exchange.begin_request(self, self.parser)
        self.keep = exchange.wants_keep and not settings.closing
        if 0 <= settings.max_body_bytes < exchange._left:
            self.refuse(BadRequest(413, "The body of the request is too large."), True)
            return False
        try:
            settings.application(exchange)
            if not self.taken and not exchange.finished:
                exchange.end()
        except BadRequest as error:
            exchange.fail(error.status, error.text)
        except ClientGone as error:
            _log.debug("%s %s from %s: %s", exchange.method, exchange.target, self.peer, error)
        except Exception:
            exchange.report_failure()
        finally:
            exchange.close()
        if self.taken or self.closed:
            if settings.access_log is not None:
                settings.access_log(exchange)
            return False
        if not self.keep or exchange.body_left():
            again = self._settle(exchange)
        else:
            if self.place >= len(self.data) or self.tls is not None:
                self.flush()
            else:
                self._gather()
            again = True
        if settings.access_log is not None:
            settings.access_log(exchange)
        return again

    def _gather(self) -> None:
        if self.out_bytes >= GATHER_BYTES:
            self.flush()
        else:
            self.send_later()

    def _settle(self, exchange: Exchange) -> bool:
        """After a response: throw the rest of the body away, or close politely."""
        if self.out:
            self.flush()
        if self.keep and exchange.drain():
            return True
        if (exchange.body_left() or self.has_more()) and not self.gone:
            self.linger()
        return False

    def refuse(self, error: BadRequest, lingers: bool) -> None:
        """Answer with an error and close."""
        self.keep = False
        body = error.text.encode() + b"\n"
        head = ResponseHead([(b"Content-Type", b"text/plain; charset=utf-8")])
        line = http1.status_line(error.status, None)
        self.put(head.build(error.status, line, len(body), False, False, False) + body)
        self.flush()
        if lingers:
            self.linger()

    def linger(self) -> None:
        """Say that we have ended, and read on for a moment."""
        deadline = self.scheduler.now() + LINGER_SECONDS
        room = LINGER_BYTES
        try:
            if self.tls is None:
                _socket.socket.shutdown(self.sock, _socket.SHUT_WR)
            while room > 0:
                data = self.receive(deadline)
                if not data:
                    break
                room -= len(data)
        except OSError:  # TimeoutError is one
            pass
        self.gone = True

    def end_idle(self) -> None:
        """Wake the connection if it waits for a request: it then ends."""
        # If it does not wait any more a request has come: it sees that the server is closing.
        if self.idle and self.task.state == _task.PARKED:
            self.scheduler.throw(self.task, TimeoutError("the server is stopping"))

    def has_more(self) -> bool:
        """Tell whether more than was used, of a body or the next request, has come already."""
        return self.place < len(self.data)

    def local(self) -> Any:
        """Return the address of the server's side."""
        if self._local is None:
            self._local = self.sock.getsockname()
        return self._local

    def send_file(self, fd: int, offset: int, count: int) -> int:
        """sendfile(2); return how many bytes went out: fewer only if the file has ended."""
        if self.out and self.tls is None and not self.closed:
            # The head shares its packet with a small file. Before a large one that costs more CPU
            # than a packet: 243 µs a MiB against 209 (docs/performance.md).
            self._send_some(_socket.MSG_MORE if count <= COPY_BYTES else 0)
        if self.out:
            self.flush()
        if self.closed:
            raise ClientGone("the client has closed the connection")
        if self.tls is not None:
            return self._send_file_tls(fd, offset, count)
        if not self.nonblocking:
            os.set_blocking(self.sock.fileno(), False)
            self.nonblocking = True
        done = 0
        allowance = self.settings.write_timeout
        try:
            while done < count:
                before = self.scheduler.now()
                place, size = offset + done, min(count - done, FILE_BYTES)
                if _FAST:
                    sent = fastsocket.sendfile_by(self.sock, fd, place, size, before + allowance)
                else:
                    sent = socketcalls.sendfile_by(self.sock, fd, place, size, before + allowance)
                if sent == 0:
                    break
                done += sent
                allowance = self.allow(
                    allowance - (self.scheduler.now() - before), sent, self.settings.write_timeout
                )
        except TimeoutError:
            self.lost("the client does not take what is sent to it")
        except OSError as error:
            self.lost(f"the client has closed the connection: {error}")
        return done

    def _send_file_tls(self, fd: int, offset: int, count: int) -> int:
        done = 0
        while done < count:
            data = os.pread(fd, min(65536, count - done), offset + done)
            if not data:
                break
            self.transmit(data)
            done += len(data)
        return done


def _send_now(sock: Any, data: bytes, flags: int) -> int:
    """Send what the kernel takes without waiting."""
    try:
        count: int = sock.send(data, flags | _socket.MSG_DONTWAIT)
    except BlockingIOError:
        return 0
    return count


class Exchange:
    """One request and its response. What http servers call a transaction; for one use.

    method    str: "GET"
    target    bytes, as they came; path and query: its two parts, percent-encoded, query without "?"
    version   "1.1" or "1.0"
    headers   list of (name in lower case, value), bytes, in the order and number they came in
    upgrade   the client offers another protocol (Connection: upgrade)
    peer      the client's address; local: the server's
    scheme    "http" or "https"
    tls       the SSLSocket, or None
    trailers  list of headers that came after a chunked body; filled when the body has ended
    status    int, 0 before start()
    sent      bytes of the body sent so far
    started, head_sent, finished   how far the response is
    disconnected        the client has left, as far as is known
    began     when the request had come, on the scheduler's clock; 0.0 without an access log

    It may be used from any task of the server's thread, but by one at a time; only
    wait_disconnect() may run beside another call.
    """

    method: str
    target: bytes
    path: bytes
    query: bytes
    version: str
    headers: list[tuple[bytes, bytes]]
    upgrade: bool
    wants_keep: bool
    status: int
    sent: int
    finished: bool
    began: float
    head_sent: bool
    connection: Connection

    def begin_request(self, connection: Connection, parser: RequestParser) -> None:
        """Take over what the parser has read."""
        self.connection = connection
        self.method = parser.method
        self.target = parser.target
        self.path = parser.path
        self.query = parser.query
        self.version = parser.version
        self.headers = parser.headers
        self.upgrade = parser.upgrade
        self.wants_keep = parser.keep_alive
        self._old = parser.version == "1.0"
        self._left = parser.length
        self._decoder: Any = ChunkDecoder(parser.max_head_bytes) if parser.length < 0 else None
        self._read = 0
        self._pushed = b""
        self._allowance = connection.settings.body_timeout
        self._expects = parser.expects and parser.length != 0
        self._refusal: BodyError | None = None
        self._line: Any = None
        self._head: Any = None
        self.head_sent = self.finished = self._over = False
        self._chunked = self._bodiless = False
        self._room = -1
        self._cut = False
        self._waiter: Task | None = None
        self.status = 0
        self.sent = 0
        self.began = 0.0
        if connection.settings.access_log is not None:
            self.began = connection.scheduler.now()

    @property
    def peer(self) -> Any:
        """The client's address."""
        return self.connection.peer

    @property
    def local(self) -> Any:
        """The address at which the client reached the server."""
        return self.connection.local()

    @property
    def tls(self) -> Any:
        """The SSLSocket, None without TLS."""
        return self.connection.tls

    @property
    def scheme(self) -> str:
        """The scheme of the URL."""
        return "http" if self.connection.tls is None else "https"

    @property
    def started(self) -> bool:
        """Whether start() was called."""
        return self._head is not None

    @property
    def disconnected(self) -> bool:
        """Whether the client is known to have left."""
        return self.connection.gone

    @property
    def seconds(self) -> float:
        """How long ago the request had come, with an access log; 0.0 without."""
        return self.connection.scheduler.now() - self.began if self.began else 0.0

    @property
    def trailers(self) -> list[tuple[bytes, bytes]]:
        """The headers after a chunked body, once it has ended."""
        return [] if self._decoder is None else self._decoder.trailers

    # --- the request's body

    def body_left(self) -> bool:
        """Tell whether some of the request's body has not been read."""
        return self._left != 0

    def read_chunk(self) -> bytes:
        """Return the next bytes of the body, as they come; b"" at its end.

        Returns   bytes of any length up to 64 KiB
        Raises    BodyError: it is malformed (400), too large (413) or too slow (408)
                  ClientGone: the connection was closed before its end
        Switches  only if nothing has come
        """
        if self._pushed:
            data = self._pushed
            self._pushed = b""
            return data
        if self._left == 0:
            return b""
        if self._refusal is not None:
            raise self._refusal
        connection = self.connection
        if self._expects:
            self._expects = False
            if connection.place >= len(connection.data) and not self.head_sent:
                connection.put(_CONTINUE)
                connection.flush()
        while True:
            before = connection.scheduler.now()
            try:
                data = connection.read_body(self._allowance)
            except TimeoutError:
                self._refuse(408, "The body of the request took too long.")
            except OSError:  # a reset is an end too
                data = b""
            if not data:
                connection.keep = False
                connection.gone = True
                raise ClientGone("the client closed the connection within the body of its request")
            self._allowance = connection.allow(
                self._allowance - (connection.scheduler.now() - before),
                len(data),
                connection.settings.body_timeout,
            )
            if self._decoder is None:
                return self._take(data)
            data = self._decode(data)
            if data or self._left == 0:
                return data

    def _take(self, data: bytes) -> bytes:
        """Take what belongs to the body, of a known length; put the rest back."""
        if len(data) > self._left:
            self.connection.data = data
            self.connection.place = self._left
            data = data[: self._left]
        self._left -= len(data)
        return data

    def _decode(self, data: bytes) -> bytes:
        """Decode chunks; put back what follows them."""
        decoder = self._decoder
        try:
            body: bytes = decoder.decode(data, 0)
        except BadRequest as error:
            self._refuse(error.status, error.text)
        if decoder.done:
            self._left = 0
            if decoder.place < len(data):
                self.connection.data = data
                self.connection.place = decoder.place
        self._read += len(body)
        most = self.connection.settings.max_body_bytes
        if 0 <= most < self._read:
            self._refuse(413, "The body of the request is too large.")
        return body

    def _refuse(self, status: int, text: str) -> None:
        self.connection.keep = False
        self._refusal = BodyError(status, text)
        raise self._refusal from None

    def read(self, size: int = -1) -> bytes:
        """Return size bytes of the body, fewer only at its end; all of it with -1.

        Raises, Switches  as read_chunk()
        """
        parts = []
        while size != 0:
            data = self.read_chunk()
            if not data:
                break
            if 0 <= size < len(data):
                self._pushed = data[size:]
                data = data[:size]
            parts.append(data)
            if size > 0:
                size -= len(data)
        return b"".join(parts)

    def drain(self) -> bool:
        """Throw away the rest of the body; False if that would be too much."""
        if self._expects or self._refusal is not None:
            return False
        room = DRAIN_BYTES
        try:
            while self._left:
                room -= len(self.read_chunk())
                if room < 0:
                    return False
        except OSError:
            return False
        return True

    # --- the response

    def start(self, status: int, reason: bytes | None, headers: list[tuple[bytes, bytes]]) -> None:
        """Say what the response is. It is kept until its first bytes are written.

        status    int, 100 to 999
        reason    None for the usual one
        headers   list of (name, value); Date, Server, Content-Length and the connection's own are
                  added where they are missing. `Connection: close` is heard; Transfer-Encoding and
                  Keep-Alive are left out
        Raises    ValueError: a name or a value that would break the response, as a line break does
                  RuntimeError: the head has been sent
        Switches  never
        """
        if self.head_sent:
            raise RuntimeError("cannot start a response: the head of another has been sent")
        self.begin(status, http1.status_line(status, reason), headers)

    def begin(self, status: int, line: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        """start() for who has the status line."""
        if self._refusal is not None and status >= 500:
            status = self._refusal.status
            line = http1.status_line(status, None)
        self._head = ResponseHead(headers)
        self._line = line
        self.status = status

    def add(self, line: bytes, length: int) -> None:
        """Add b"\\r\\nName: value", the server's own, to the head, and say how long the body is."""
        self._head.add(line, length)

    def _build(self, total: int) -> bytes:
        """Decide how the body is framed and return the head. total: its length, -1: unknown."""
        connection = self.connection
        head = self._head
        self.head_sent = True
        status = self.status
        length = head.length
        if head.close or connection.settings.closing:
            connection.keep = False
        if self._left and connection.keep:
            self._judge_unread()
        if self._bodiless_status():
            self._bodiless = True
            if status != 304:
                length = -1
            if status < 200:
                connection.keep = False
        elif self.method == "HEAD":
            self._bodiless = True
            if length < 0 and total > 0:
                length = total
        elif length >= 0:
            self._room = length
        elif total >= 0:
            self._room = length = total
        elif self._old:
            connection.keep = False
        else:
            self._chunked = True
        data: bytes = head.build(
            status, self._line, length, self._chunked, connection.keep, self._old
        )
        return data

    def _bodiless_status(self) -> bool:
        return http1.has_no_body(self.status)

    def _judge_unread(self) -> None:
        """Give up the connection if more of the body is left than is worth reading."""
        connection = self.connection
        ahead = len(connection.data) - connection.place
        if self._expects or self._decoder is not None or self._left - ahead > DRAIN_BYTES:
            connection.keep = False

    def _fit(self, data: bytes) -> bytes:
        """Return what of data goes out, by the response's Content-Length."""
        if self._bodiless:
            return b""
        if self._room >= 0:
            if len(data) > self._room:
                self._too_much(len(data))
                data = data[: self._room]
            self._room -= len(data)
        return data

    def _too_much(self, size: int) -> None:
        if not self._cut:
            self._cut = True
            _log.error(
                "%s %s: the body is longer than its Content-Length, %d; the rest was left out",
                self.method,
                self.target.decode("latin-1"),
                self._head.length,
            )

    def write(self, data: bytes) -> None:
        """Send bytes of the body, with the head before the first.

        Raises    ClientGone: the client has left, or reads too slowly
                  RuntimeError: start() was not called, or finish() was
        Switches  only if the kernel has no room
        """
        if self._head is None or self.finished:
            self._misused("write")
        if not data:
            return
        connection = self.connection
        if not self.head_sent:
            connection.put(self._build(-1))
        data = self._fit(data)
        self._put_body(data)
        if connection.out:
            connection.flush()

    def _put_body(self, data: bytes) -> None:
        """Add bytes of the body to what is to be sent."""
        size = len(data)
        if size == 0:
            return
        connection = self.connection
        self.sent += size
        if size > COPY_BYTES:
            if self._chunked:
                connection.put(b"%x\r\n" % size)
            connection.flush()
            connection.transmit(data)
            if self._chunked:
                connection.put(b"\r\n")
        elif self._chunked:
            connection.put(b"%x\r\n%b\r\n" % (size, data))
        else:
            connection.put(data)

    def finish(self, data: bytes = b"") -> None:
        """Send the last bytes of the body, and end the response.

        Nothing was written before: then data is the whole body, and gets a Content-Length.

        Raises    as write()
        Switches  only if the kernel has no room
        """
        if self._head is None or self.finished:
            self._misused("finish")
        connection = self.connection
        if not self.head_sent:
            connection.put(self._build(len(data)))
        data = self._fit(data)
        self._put_body(data)
        self.finished = True
        if self._chunked:
            connection.put(b"0\r\n\r\n")
        elif self._room > 0:
            self._too_little()

    def flush(self) -> None:
        """Send what finish() has left to be sent together with other responses."""
        if self.connection.out:
            self.connection.flush()

    def sendfile(self, file: Any, offset: int, count: int) -> None:
        """Send count bytes of a file from offset on: by sendfile(2), without TLS.

        file      object with fileno(), of a regular file
        Raises    as write(); ValueError: the file has ended before
        Switches  only if the kernel has no room
        """
        if self._head is None or self.finished:
            self._misused("sendfile")
        connection = self.connection
        if not self.head_sent:
            connection.put(self._build(-1))
        if self._bodiless:
            if connection.out:
                connection.flush()
            return
        if self._room >= 0:
            if count > self._room:
                self._too_much(count)
                count = self._room
            self._room -= count
        if count <= 0:
            return
        if self._chunked:
            connection.put(b"%x\r\n" % count)
        done = connection.send_file(file.fileno(), offset, count)
        self.sent += done
        if done < count:
            connection.keep = False
            connection.closed = True  # nothing can make this response right
            raise ValueError(f"the file ended after {done} of {count} bytes")
        if self._chunked:
            connection.put(b"\r\n")

    def _too_little(self) -> None:
        connection = self.connection
        connection.keep = False
        _log.error(
            "%s %s: the body is %d bytes shorter than its Content-Length; the connection is closed",
            self.method,
            self.target.decode("latin-1"),
            self._room,
        )

    def _misused(self, what: str) -> None:
        if self.finished:
            raise RuntimeError(f"cannot {what}(): the response has ended")
        raise RuntimeError(f"cannot {what}(): call start() with status and headers first")

    # --- the end

    def end(self) -> None:
        """The application has returned: end the response."""
        if self._head is None:
            _log.error(
                "%s %s: the application returned without a response",
                self.method,
                self.target.decode("latin-1"),
            )
            self.fail(500, "The application gave no response.")
        else:
            self.finish()

    def report_failure(self) -> None:
        """Log the exception that is being handled, and tell the client."""
        _log.exception(
            "%s %s from %s failed",
            self.method,
            self.target.decode("latin-1"),
            self.connection.peer,
        )
        self.fail(500, "The server made a mistake.")

    def fail(self, status: int, text: str) -> None:
        """Answer with an error if nothing was sent, and close the connection in any case."""
        connection = self.connection
        connection.keep = False
        if connection.closed or self.finished:
            return
        self.finished = True
        try:
            if not self.head_sent:
                self.status = status
                self.head_sent = True
                connection.refuse(BadRequest(status, text), False)
            else:
                if connection.out:
                    connection.flush()
                connection.closed = True  # without the end that TLS would have
                if not self._chunked and self._room < 0 and not self._bodiless:
                    connection.reset_at_close()
        except OSError as error:
            _log.debug("%s was not told of the error: %s", connection.peer, error)

    def close(self) -> None:
        """The exchange is over: who waits in wait_disconnect() goes on."""
        self._over = True
        if self._waiter is not None:
            _scheduler.unpark(self._waiter)

    def take_over(self) -> tuple[Any, bytes]:
        """Give the connection to the application, for another protocol.

        Returns   the green socket, and the bytes that were read ahead of it. The server writes
                  nothing more to it, and closes it when the application returns
        Raises    RuntimeError: the response has begun
        Switches  only if earlier, pipelined responses are still to be sent
        """
        connection = self.connection
        if self.head_sent:
            raise RuntimeError("cannot take over the connection: the response has begun")
        if connection.out:
            connection.flush()
        connection.taken = True
        connection.keep = False
        self.finished = True
        rest = connection.data[connection.place :]
        connection.data = b""
        connection.place = 0
        if connection.tls is not None and connection.sock.fileno() >= 0:
            connection.sock.settimeout(None)  # ours was for the request
        return connection.sock, rest

    def wait_disconnect(self) -> None:
        """Wait until the client has closed its side, or the exchange is over.

        What it sends meanwhile, the next request, is kept, up to 64 KiB.

        Raises    RuntimeError: another task waits here already
        Switches  always, unless it is so
        """
        connection = self.connection
        if self._waiter is not None:
            raise RuntimeError("another task waits for the client to leave already")
        scheduler = connection.scheduler
        self._waiter = scheduler.current
        try:
            while not (self._over or connection.gone or connection.closed):
                if len(connection.data) - connection.place >= RECV_BYTES:
                    scheduler.park(None, "the client to leave", FOREVER)
                    continue
                data = _receive_now(connection)
                if data is None:
                    fd = connection.sock.fileno()
                    scheduler.poller.state(fd).readable = False
                    scheduler.wait_fd(fd, False, FOREVER, False)
                elif data:
                    connection.data = connection.data[connection.place :] + data
                    connection.place = 0
                else:
                    connection.gone = True
        finally:
            self._waiter = None


def _receive_now(connection: Connection) -> bytes | None:
    """Receive without waiting: None if nothing has come, b"" at the end or after a reset."""
    try:
        if connection.tls is not None:
            connection.sock.settimeout(0.0)
            data: bytes = connection.sock.recv(16384)
        else:
            data = connection.sock.recv(RECV_BYTES, _socket.MSG_DONTWAIT)
    except (BlockingIOError, _ssl.SSLWantReadError, _ssl.SSLWantWriteError):
        return None
    except OSError:
        return b""
    return data


class HTTPServer(TCPServer):
    """HTTP/1.1 for an application that takes exchanges: WSGIApplication(app), or a plain function.

    address           as TCPServer's
    application       called with the Exchange of each request, in the connection's task
    header_timeout    seconds from a request's first byte to the end of its head, and from a new
                      connection to its first byte; then 408, or just the end
    idle_timeout      seconds to wait for a further request
    body_timeout      seconds to wait for more of a body; 240 bytes earn a second more
    write_timeout     the same for a client that does not read
    max_head_bytes    of a request's line and headers together (431)
    max_headers       how many (431)
    max_target_bytes  of the URL (414)
    max_body_bytes    of a request's body (413), None: no limit
    access_log        called with each Exchange when it is over: accesslog.AccessLog, or None
    further           TCPServer's
    """

    def __init__(
        self,
        address: Any,
        application: Callable[[Exchange], object],
        *,
        header_timeout: float = 10.0,
        idle_timeout: float = 75.0,
        body_timeout: float = 30.0,
        write_timeout: float = 60.0,
        max_head_bytes: int = 32768,
        max_headers: int = 100,
        max_target_bytes: int = 8190,
        max_body_bytes: int | None = None,
        access_log: Callable[[Exchange], object] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(address, None, **options)
        self.settings = Settings(
            application,
            (float(header_timeout), float(idle_timeout), float(body_timeout), float(write_timeout)),
            (
                max_head_bytes,
                max_headers,
                max_target_bytes,
                -1 if max_body_bytes is None else max_body_bytes,
            ),
            access_log,
        )
        self._clients: set[Connection] = set()

    def handle(self, sock: Any, address: Any) -> None:
        """Serve one connection."""
        connection = Connection(self.settings, sock, address)
        self._clients.add(connection)
        try:
            connection.run()
        finally:
            self._clients.discard(connection)

    def on_stop(self) -> None:
        """End the connections that wait for a request; the others end after their response.

        With settings.idle_grace > 0 they are kept so many seconds for a request that is on its way;
        then whoever has set it calls end_idle().
        """
        self.settings.closing = True
        if self.settings.idle_grace <= 0.0:
            self.end_idle()

    def end_idle(self) -> None:
        """End the connections that wait for a request. Never switches."""
        for connection in tuple(self._clients):
            connection.end_idle()

    def busy(self) -> int:
        """Return how many connections are there that do not wait for a request."""
        return sum(not connection.idle for connection in self._clients)
