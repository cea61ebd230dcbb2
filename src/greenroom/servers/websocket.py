"""WebSocket for plain code: receive(), send() and close() that wait.           layer: servers

  websocket(environ)       in a WSGI application: take the connection over
  WebSocketApplication     an application of HTTPServer's own: handler(ws) for each connection
  WebSocket                the connection
  Handshake                the opening of one, step by step, for who wants to decide in between

A task of its own reads each connection (frames.py makes messages of it) and puts messages into a
channel. So pings are answered and a close is noticed also while the program only sends, or does
something else; a receive() that is cancelled loses nothing; and whoever does not receive is sent no
more than QUEUE messages ahead: then the task stops reading, and TCP stops the client. It costs one
switch a message, some 0.2 us, and 7.5 KB a connection. To read in receive() itself would save that,
and was left for what it could not do.

INVARIANT whole-frames: who writes holds `_line`. A control frame of the reader's does not wait for
  it: while another writes it lies in `_urgent`, and the writer sends it after its frame.
INVARIANT whole-messages: who sends a data message holds `_turn`, also between fragments.
A send that is cancelled after a part of a frame is gone ends the connection: nothing could follow.

The opening handshake and the negotiation of permessage-deflate are wsproto's.
"""

from __future__ import annotations

import base64
import binascii
import os
from http import HTTPStatus
from logging import getLogger

from greenroom.core import scheduler as _scheduler
from greenroom.errors import ChannelClosed, EndOfChannel, GreenroomError
from greenroom.servers import frames
from greenroom.servers.frames import Close, Deflate, FrameReader, Inflate, Ping, Pong
from greenroom.sync.cancel import CancelScope, move_on_after, timeout
from greenroom.sync.channel import channel
from greenroom.sync.event import Event
from greenroom.sync.lock import Lock

try:
    from wsproto.connection import ConnectionType
    from wsproto.events import AcceptConnection
    from wsproto.extensions import PerMessageDeflate
    from wsproto.handshake import H11Handshake
except ImportError as missing:
    raise ImportError(
        f"WebSocket needs the package wsproto ({missing}): pip install greenroom[http]"
    ) from missing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    from greenroom.servers.http import Exchange

_log = getLogger("greenroom.servers")

RECV_BYTES = 64 * 1024
# Messages that are received ahead of the program, as in `websockets`.
QUEUE = 16
# Bytes of the largest message, as in `websockets`.
MAX_SIZE = 1024 * 1024
# Payloads below this are not deflated: they would hardly shrink, and it takes 10 us.
DEFLATE_FROM = 64
# Control frames that wait behind a frame of data: who sends more pings meanwhile gets fewer pongs.
URGENT = 16
# Seconds and bytes that a client has to take notice of a Close that tells it what it did wrong.
LINGER_SECONDS = 2.0
LINGER_BYTES = 1024 * 1024

_SHUT_WR, _SHUT_RDWR = 1, 2
_GOOD = (frames.NORMAL, frames.GOING_AWAY, frames.NO_STATUS)


class WebSocketClosed(GreenroomError):
    """The connection is closed.

    code     int, of RFC 6455 7.4: the peer's, or 1006 if it left without any, or the one with which
             this side has closed the connection because of what it sent
    reason   str
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"the WebSocket is closed: {code}" + (f" ({reason})" if reason else ""))
        self.code = code
        self.reason = reason


class HandshakeError(GreenroomError):
    """The request does not open a WebSocket.

    status    int, of the response that says so; headers: further ones, of bytes
    """

    def __init__(self, status: int, text: str, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        super().__init__(text)
        self.status = status
        self.headers = [(b"Content-Type", b"text/plain; charset=utf-8"), *headers]

    def response(self) -> bytes:
        """Return the whole response, which ends the connection."""
        body = f"{self}\n".encode()
        head = [(b"Content-Length", b"%d" % len(body)), (b"Connection", b"close"), *self.headers]
        lines = [b"HTTP/1.1 %d %b" % (self.status, HTTPStatus(self.status).phrase.encode())]
        lines += [name + b": " + value for name, value in head]
        return b"\r\n".join(lines) + b"\r\n\r\n" + body


_Base: Any = PerMessageDeflate


class _Deflate(_Base):  # type: ignore[misc]
    """Answers offers of permessage-deflate as RFC 7692 7.1 wants it: one that says something
    unknown, twice, or with a value that is none, is declined.

    A window of 4 KiB each way unless the client wants another: 64 KB a connection instead of 300.
    """

    def __init__(self) -> None:
        super().__init__(client_max_window_bits=12, server_max_window_bits=12)

    def accept(self, offer: str) -> str | None:
        """Return the parameters of the answer, None to decline."""
        if self.enabled():
            return None
        found: dict[str, str | None] = {}
        for part in offer.split(";")[1:]:
            name, equals, value = (text.strip() for text in part.partition("="))
            if name in found:
                return None
            found[name] = value.strip('"') if equals else None
        answer = []
        server_bits = 12
        client_bits = 15  # what it uses if nothing may be said about it
        for name, given in found.items():
            if name in ("server_no_context_takeover", "client_no_context_takeover"):
                if given is not None:
                    return None
                answer.append(name)
            elif name == "server_max_window_bits":
                if given is None or given not in _BITS or given == "8":  # zlib cannot do 8
                    return None
                server_bits = min(12, int(given))
            elif name == "client_max_window_bits":
                if given is not None and given not in _BITS:
                    return None
                client_bits = max(9, min(12, int(given or 12)))
            else:
                return None
        self.server_no_context_takeover = "server_no_context_takeover" in found
        self.client_no_context_takeover = "client_no_context_takeover" in found
        self.server_max_window_bits = server_bits
        self.client_max_window_bits = client_bits
        answer.append(f"server_max_window_bits={server_bits}")
        if "client_max_window_bits" in found:
            answer.append(f"client_max_window_bits={client_bits}")
        self._enabled = True
        return "; ".join(answer)


_BITS = tuple(str(bits) for bits in range(8, 16))


class Handshake:
    """The opening of a WebSocket: a request that asks for it, and the answer.

    method, target, headers   of the request, as an Exchange has them
    origins    who may: None: everybody; "same": pages of this host, and what is no browser; or a
               list of origins such as "https://example.com"
    subprotocols   what the client offers, in its order
    Raises     HandshakeError: it is no such request
    """

    def __init__(
        self,
        method: str,
        target: bytes,
        headers: Iterable[tuple[bytes, bytes]],
        origins: Iterable[str] | str | None = None,
    ) -> None:
        if method != "GET":
            raise HandshakeError(405, "A WebSocket begins with GET.", [(b"Allow", b"GET")])
        headers = list(headers)
        found = {name.lower(): value for name, value in headers}
        if b"websocket" not in found.get(b"upgrade", b"").lower():
            raise HandshakeError(
                426,
                "This is a WebSocket: ask for it with Upgrade: websocket.",
                [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")],
            )
        self._check_key(found.get(b"sec-websocket-key", b""))
        if origins is not None:
            self._check_origin(found, origins)
        self._handshake = H11Handshake(ConnectionType.SERVER)
        try:
            self._handshake.initiate_upgrade_connection(headers, target)
            request: Any = next(self._handshake.events())
        except Exception as error:  # h11 and wsproto share no base
            hint: Any = getattr(error, "event_hint", None)
            status = getattr(hint, "status_code", 400)
            more = list(getattr(hint, "headers", ()))
            raise HandshakeError(status, f"This opens no WebSocket: {error}.", more) from None
        self.subprotocols: list[str] = request.subprotocols
        self.inflate: Inflate | None = None
        self.deflate: Deflate | None = None

    def _check_key(self, key: bytes) -> None:
        try:
            right = len(base64.b64decode(key, validate=True)) == 16
        except binascii.Error:
            right = False
        if not right:
            raise HandshakeError(400, "Sec-WebSocket-Key must be 16 bytes in base64.")

    def _check_origin(self, headers: dict[bytes, bytes], origins: Iterable[str] | str) -> None:
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origins == "same":
            host = headers.get(b"host", b"").decode("latin-1")
            if not origin or origin.lower().partition("://")[2] == host.lower():
                return
        elif origin in ([origins] if isinstance(origins, str) else origins):
            return
        raise HandshakeError(403, f"Pages of {origin or 'nowhere'} may not open this WebSocket.")

    def accept(
        self,
        subprotocol: str | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
        compression: bool = True,
    ) -> bytes:
        """Return the response that opens it.

        Raises    ValueError: the client has not offered that subprotocol, or a header is malformed
        """
        extension = _Deflate()
        try:
            response: bytes = self._handshake.send(
                AcceptConnection(
                    subprotocol=subprotocol,
                    extensions=[extension] if compression else [],
                    extra_headers=list(headers),
                )
            )
        except Exception as error:
            raise ValueError(f"cannot accept the WebSocket: {error}") from None
        if extension.enabled():
            self.inflate = Inflate(
                extension.client_max_window_bits, not extension.client_no_context_takeover
            )
            self.deflate = Deflate(
                extension.server_max_window_bits, not extension.server_no_context_takeover
            )
        return response

    def choose(self, subprotocols: Iterable[str]) -> str | None:
        """Return the first of the client's subprotocols that is one of ours, or None."""
        ours = list(subprotocols)
        return next((name for name in self.subprotocols if name in ours), None)


class WebSocket:
    """A WebSocket, a server's side. Made by websocket() or WebSocketApplication.

    subprotocol   what was agreed upon, or None
    environ       of the WSGI request, or None
    request       the Exchange, or None: path, query, headers, peer
    messages      the Receiver end of the channel of messages, for select()
    close_code, close_reason   how it was closed; None until then

    A `with` block closes it: with 1000, after an error with 1011, when cancelled with 1001.
    Iterating gives messages until it is closed; what is no good end (1000, 1001, none) raises.
    """

    def __init__(
        self,
        sock: Any,
        ahead: bytes = b"",
        *,
        inflate: Inflate | None = None,
        deflate: Deflate | None = None,
        subprotocol: str | None = None,
        max_size: int | None = MAX_SIZE,
        ping_interval: float | None = 20.0,
        ping_timeout: float | None = 20.0,
        close_timeout: float = 10.0,
    ) -> None:
        self.subprotocol = subprotocol
        self.environ: dict[str, Any] | None = None
        self.request: Exchange | None = None
        self.close_code: int | None = None
        self.close_reason: str | None = None
        self._sock = sock
        self._frames = FrameReader(-1 if max_size is None else max_size, inflate)
        self._deflate = deflate
        self._ping_interval = ping_interval
        self._ping_timeout = ping_timeout
        self._close_timeout = close_timeout
        self._line = Lock()
        self._turn = Lock()
        self._urgent: list[bytes] = []
        self._pings: dict[bytes, Event] = {}
        self._sent_close: tuple[int, str] | None = None
        self._broken = False  # nothing more can be written
        self._sender, self.messages = channel(QUEUE)
        self._reader = _scheduler.get().spawn(self._read, (ahead,), "websocket reader", None)

    # --- what a program calls

    def receive(self, timeout: float | None = None) -> str | bytes:
        """Return the next message: str for a text, bytes for a binary one.

        timeout   seconds, None: for ever
        Raises    WebSocketClosed: it is closed, and all that came before has been received
                  greenroom.Timeout: the time is over. The message is not lost
        Switches  only if none has come
        """
        try:
            if timeout is None:
                return self.messages.receive()  # type: ignore[no-any-return]
            with _timeout(timeout):
                return self.messages.receive()  # type: ignore[no-any-return]
        except EndOfChannel:
            raise self._closed() from None

    def send(self, message: str | bytes | Iterable[str] | Iterable[bytes]) -> None:
        """Send a message. Any task may; messages stay whole.

        message   str: a text; bytes, bytearray or memoryview: a binary one; an iterable of either:
                  one message, in as many fragments, each sent as soon as it is there
        Raises    WebSocketClosed: it is closed; TypeError: something else was given
        Switches  only if the kernel has no room, or another task's message goes out just now
        """
        opcode, payload = _payload(message)
        if payload is None:
            self._send_fragments(message)
            return
        with self._turn:
            deflate = self._deflate
            if deflate is None or len(payload) < DEFLATE_FROM:
                self._put(frames.frame(opcode, payload))
                return
            try:
                self._put(frames.frame(opcode, deflate.deflate(payload), True, True))
            except BaseException:
                deflate.forget()
                raise

    def ping(self, timeout: float | None = None) -> float:
        """Send a ping, wait for its answer, and return the seconds that took.

        Raises    WebSocketClosed; greenroom.Timeout: the time is over
        Switches  always
        """
        scheduler = _scheduler.get()
        data = os.urandom(8)
        came = self._pings[data] = Event()
        began = scheduler.now()
        try:
            with _timeout(timeout):
                self._put(frames.frame(frames.PING, data))
                came.wait()
        finally:
            self._pings.pop(data, None)
        if self.closed:
            raise self._closed()
        return scheduler.now() - began

    def close(self, code: int = frames.NORMAL, reason: str = "") -> None:
        """Close it: say so, and wait until the client has said so too, at most close_timeout.

        code      1000, 1001, 1003, 1007 to 1014, 3000 to 4999
        reason    str, at most 123 bytes of UTF-8; the rest is left out
        Raises    ValueError: a code that may not be sent
        Switches  always, unless it is closed
        """
        if not frames.may_be_sent(code):
            raise ValueError(
                f"cannot close a WebSocket with code {code}: use 1000, or one from 3000 to 4999"
            )
        self._sender.close()
        try:
            with move_on_after(self._close_timeout):
                if not self.closed:
                    self._say_closed(code, reason)
                self._reader.join()
        finally:
            self.abort()
        self._reader.join()

    def abort(self) -> None:
        """End the connection at once, without saying so. Never switches."""
        self._broken = True
        self._shutdown(_SHUT_RDWR)

    def go_away(self) -> None:
        """Close it with 1001 and wait for no answer: the task is cancelled, the server stops.

        Switches  always
        """
        try:
            if not self.closed and not self._line.locked():
                self._say_closed(frames.GOING_AWAY, "")
        finally:
            self._broken = True
            self._shutdown(_SHUT_WR)
            self._reader.kill()
            with CancelScope(shield=True):
                self._reader.join()  # it ends at its next turn, and must not outlive the server

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self.close_code is not None

    def __iter__(self) -> Iterator[str | bytes]:
        return self

    def __next__(self) -> str | bytes:
        try:
            return self.receive()
        except WebSocketClosed as error:
            if error.code in _GOOD:
                raise StopIteration from None
            raise

    def __enter__(self) -> WebSocket:
        return self

    def __exit__(self, kind: Any = None, error: Any = None, traceback: Any = None) -> None:
        if error is None or isinstance(error, WebSocketClosed):
            self.close()
        elif isinstance(error, Exception):
            self.close(frames.INTERNAL_ERROR)
        else:  # cancelled
            self.go_away()

    def __repr__(self) -> str:
        state = "open" if self.close_code is None else f"closed with {self.close_code}"
        return f"<WebSocket {state}>"

    # --- writing

    def _send_fragments(self, pieces: Any) -> None:
        opcode = 0
        deflate = self._deflate
        with self._turn:
            try:
                first = True
                ahead: tuple[int, bytes] | None = None
                for piece in pieces:
                    kind, payload = _payload(piece)
                    if payload is None or (opcode and kind != opcode):
                        raise TypeError("the fragments of a message must all be str or all bytes")
                    opcode = kind
                    if ahead is not None:
                        self._put_fragment(opcode if first else 0, ahead[1], False, deflate)
                        first = False
                    ahead = (kind, payload)
                if ahead is None:
                    raise ValueError("cannot send a message of no fragments: it has no type")
                self._put_fragment(opcode if first else 0, ahead[1], True, deflate)
            except BaseException:
                if deflate is not None:
                    deflate.forget()
                if opcode and not first:  # a part is gone, and no other message could follow
                    self.abort()
                raise

    def _put_fragment(
        self, opcode: int, payload: bytes, fin: bool, deflate: Deflate | None
    ) -> None:
        if deflate is not None:
            payload = deflate.deflate(payload, fin)
        self._put(frames.frame(opcode, payload, fin, deflate is not None and opcode != 0))

    def _put(self, data: bytes) -> None:
        """Write a frame when nobody else does."""
        with self._line:
            if self._broken or self._sent_close is not None or self.close_code is not None:
                raise self._closed()
            self._transmit(data)
            while self._urgent:
                self._transmit(self._urgent.pop(0))

    def _transmit(self, data: bytes) -> None:
        try:
            self._sock.sendall(data)
        except OSError as error:
            self.abort()
            raise self._closed() from error
        except BaseException as error:
            if getattr(error, "bytes_sent", 0):
                self.abort()
            raise

    def _control(self, data: bytes) -> None:
        """Write a control frame for the reader, which must not wait for other writers."""
        if not self._line.acquire(False):
            if len(self._urgent) < URGENT:
                self._urgent.append(data)
            return
        try:
            if not self._broken and self._sent_close is None:
                with move_on_after(self._ping_timeout) as scope:
                    self._transmit(data)
                if scope.cancelled_caught:
                    self.abort()
        except WebSocketClosed:
            pass  # the next read finds it
        finally:
            self._line.release()

    def _say_closed(self, code: int, reason: str) -> None:
        """Send a Close frame if none was sent; nothing follows it."""
        with self._line:
            if self._sent_close is None and not self._broken:
                self._sent_close = (code, reason)
                try:
                    self._transmit(frames.close_frame(code, reason))
                except WebSocketClosed:
                    pass

    def _shutdown(self, how: int) -> None:
        try:
            self._sock.shutdown(how)
        except OSError:
            pass  # it is closed, or was never open

    def _closed(self) -> WebSocketClosed:
        if self.close_code is not None:
            return WebSocketClosed(self.close_code, self.close_reason or "")
        if self._sent_close is not None:
            return WebSocketClosed(*self._sent_close)
        return WebSocketClosed(frames.ABNORMAL, "")

    # --- the reader

    def _read(self, data: bytes) -> None:
        """Read until the connection is closed."""
        try:
            while not (data and self._take(data)):
                data = self._more()
                if not data:
                    break
        except OSError as error:
            _log.debug("a WebSocket ended: %s", error)
        finally:
            self._ended(frames.ABNORMAL, "")

    def _more(self) -> bytes:
        """Return what comes next; b"" at the end. A silent client is asked whether it lives."""
        sock = self._sock
        data: bytes = b""
        if self._ping_interval is None:
            data = sock.recv(RECV_BYTES)
            return data
        with move_on_after(self._ping_interval):
            data = sock.recv(RECV_BYTES)
            return data
        if self._sent_close is None:
            self._control(frames.frame(frames.PING, os.urandom(4)))
        with move_on_after(self._ping_timeout):
            data = sock.recv(RECV_BYTES)
            return data
        self._ended(frames.ABNORMAL, f"no answer to a ping within {self._ping_timeout} s")
        self.abort()
        return data

    def _take(self, data: bytes) -> bool:
        """Act on what has come; True: nothing more will be read."""
        delivered = False
        for event in self._frames.feed(data):
            kind = type(event)
            if kind is str or kind is bytes:
                delivered = True
                if self._sent_close is None:
                    try:
                        self._sender.send(event)
                    except ChannelClosed:
                        pass  # close() was called: nobody wants it
            elif kind is Ping:
                self._control(frames.frame(frames.PONG, event.data))
            elif kind is Pong:
                self._answered(event.data)
            else:
                if delivered:  # let what came before be answered, if that takes no waiting
                    _scheduler.get().yield_now()
                self._ended(event.code, event.reason)
                self._answer_close(event.code, event.reason)
                if kind is not Close:
                    self._linger()
                return True
        return False

    def _answered(self, data: bytes) -> None:
        """A Pong has come: it answers its ping, and those before."""
        if data in self._pings:
            for sent in list(self._pings):
                self._pings.pop(sent).set()
                if sent == data:
                    break

    def _answer_close(self, code: int, reason: str) -> None:
        with move_on_after(self._close_timeout):
            self._say_closed(code, reason)
        self._broken = True
        self._shutdown(_SHUT_WR)

    def _ended(self, code: int, reason: str) -> None:
        """Note how it ended, the first time; let all go on that wait."""
        if self.close_code is None:
            self.close_code = code
            self.close_reason = reason
        self._sender.close()
        for event in self._pings.values():
            event.set()

    def _linger(self) -> None:
        """Read on for a moment: to close with something unread would destroy our Close frame."""
        left = LINGER_BYTES
        with move_on_after(LINGER_SECONDS):
            while left > 0:
                data = self._sock.recv(RECV_BYTES)
                if not data:
                    return
                left -= len(data)


_timeout = timeout


def _payload(message: Any) -> tuple[int, bytes | None]:
    """Return the opcode and the bytes of a message; (0, None): it is an iterable."""
    if isinstance(message, str):
        return frames.TEXT, message.encode()
    if isinstance(message, bytes):
        return frames.BINARY, message
    if isinstance(message, (bytearray, memoryview)):
        return frames.BINARY, bytes(message)
    if not hasattr(message, "__iter__") or isinstance(message, dict):
        raise TypeError(
            f"cannot send {type(message).__name__!r}: give a str, bytes, or an iterable of either"
        )
    return 0, None


def upgrade(
    exchange: Exchange,
    *,
    subprotocols: Iterable[str] = (),
    origins: Iterable[str] | str | None = None,
    headers: Sequence[tuple[bytes, bytes]] = (),
    compression: bool = True,
    **options: Any,
) -> WebSocket:
    """Open the WebSocket that an Exchange's request asks for.

    subprotocols   ours; the first of the client's that is one of them is used
    origins        as Handshake's
    headers        more of the response, of bytes
    compression    permessage-deflate, if the client offers it
    options        max_size (bytes a message, None: any), ping_interval and ping_timeout (seconds,
                   None: no pings), close_timeout (seconds)
    Raises         HandshakeError: the request is none, or of a page that may not; nothing was sent
    Switches       only if the kernel has no room
    """
    if exchange.version != "1.1":
        raise HandshakeError(426, "A WebSocket needs HTTP/1.1.")
    handshake = Handshake(exchange.method, exchange.target, exchange.headers, origins)
    subprotocol = handshake.choose(subprotocols)
    response = handshake.accept(subprotocol, headers, compression)
    sock, ahead = exchange.take_over()
    ws = open_on(sock, ahead, response, handshake, subprotocol, options)
    ws.request = exchange
    return ws


def open_on(
    sock: Any,
    ahead: bytes,
    response: bytes,
    handshake: Handshake,
    subprotocol: str | None,
    options: dict[str, Any],
) -> WebSocket:
    """Send the response of an accepted handshake, and return the WebSocket."""
    sock.sendall(response)
    return WebSocket(
        sock,
        ahead,
        inflate=handshake.inflate,
        deflate=handshake.deflate,
        subprotocol=subprotocol,
        **options,
    )


def websocket(
    environ: dict[str, Any],
    *,
    subprotocols: Iterable[str] = (),
    origins: Iterable[str] | str | None = None,
    headers: Sequence[tuple[bytes, bytes]] = (),
    compression: bool = True,
    **options: Any,
) -> WebSocket:
    """Open the WebSocket that a WSGI request asks for, in the application that was called with it.

    environ   the application's. The connection is taken over: what the application returns
              afterwards is not sent. On other servers that needs environ['werkzeug.socket']
    further   as upgrade()
    Raises    HandshakeError: the request is none, or of a page that may not; the client was told
              RuntimeError: the server does not give its socket away
    Switches  only if the kernel has no room

        with greenroom.websocket(environ) as ws:
            for message in ws:
                ws.send(message)
    """
    exchange = environ.get("greenroom.exchange")
    sock: Any = environ.get("werkzeug.socket") or environ.get("gunicorn.socket")
    if exchange is None and sock is None:
        raise RuntimeError(
            "cannot open a WebSocket: environ has neither 'werkzeug.socket' nor 'gunicorn.socket'; "
            "use greenroom's server"
        )
    try:
        if environ.get("SERVER_PROTOCOL") != "HTTP/1.1":
            raise HandshakeError(426, "A WebSocket needs HTTP/1.1.")
        handshake = Handshake(
            environ["REQUEST_METHOD"],
            b"/",
            _headers_of(environ) if exchange is None else exchange.headers,
            origins,
        )
        subprotocol = handshake.choose(subprotocols)
        response = handshake.accept(subprotocol, headers, compression)
    except HandshakeError as error:
        sock, _ = (sock, b"") if exchange is None else exchange.take_over()
        sock.sendall(error.response())
        sock.shutdown(_SHUT_WR)
        raise
    if exchange is None:
        sock.settimeout(None)
        ahead = b""
    else:
        sock, ahead = exchange.take_over()
    ws = open_on(sock, ahead, response, handshake, subprotocol, options)
    ws.request = exchange
    ws.environ = environ
    return ws


def _headers_of(environ: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    return [
        (name[5:].replace("_", "-").lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in environ.items()
        if name.startswith("HTTP_") and isinstance(value, str)
    ]


class WebSocketApplication:
    """An application of HTTPServer that opens WebSockets.

    handler     called with a WebSocket in the connection's task; when it returns, the WebSocket is
                closed with 1000, when it raises, with 1011
    otherwise   the application for other requests; None: they get 426
    options     upgrade()'s

        HTTPServer(address, WebSocketApplication(handler, otherwise=WSGIApplication(app)))
    """

    def __init__(
        self,
        handler: Callable[[WebSocket], object],
        *,
        otherwise: Callable[[Exchange], object] | None = None,
        **options: Any,
    ) -> None:
        self.handler = handler
        self.otherwise = otherwise
        self.options = options

    def __call__(self, exchange: Exchange) -> None:
        """Answer a request."""
        if self.otherwise is not None and not is_websocket(exchange):
            self.otherwise(exchange)
            return
        try:
            ws = upgrade(exchange, **self.options)
        except HandshakeError as error:
            exchange.start(error.status, None, error.headers)
            exchange.finish(f"{error}\n".encode())
            return
        try:
            with ws:
                self.handler(ws)
        except WebSocketClosed as error:
            _log.debug("%s left: %s", exchange.peer, error)


def is_websocket(exchange: Exchange) -> bool:
    """Return whether a request asks for a WebSocket."""
    return exchange.upgrade and any(
        name == b"upgrade" and value.lower() == b"websocket" for name, value in exchange.headers
    )
