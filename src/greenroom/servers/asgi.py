"""ASGI 3 on an Exchange: http, websocket, lifespan.                            layer: servers

Each request's coroutine is an asyncio task of the thread's own loop (aio/coroutine.py), which is no
second loop but a face of the scheduler. So receive() and send() simply make the blocking calls of
the Exchange: they park that coroutine alone, as does whatever the application itself calls,
requests.get() or time.sleep() too.

The connection's task waits until the response is complete, not until the coroutine has ended: what
the application does afterwards (background tasks) holds up neither this response nor the next
request of the connection. stop() waits for it.

The scope says spec_version 2.4: send() raises OSError once the client has left, so that Starlette
needs no second task beside a streaming response to hear of that.
"""

from __future__ import annotations

import asyncio
import os
from logging import getLogger
from urllib.parse import unquote

from greenroom.aio.coroutine import FutureEnd, own_loop
from greenroom.core import operation as _operation
from greenroom.core import scheduler as _scheduler
from greenroom.core.scope import Scope
from greenroom.core.timers import FOREVER
from greenroom.servers.http import ClientGone
from greenroom.sync.event import Event
from greenroom.sync.lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping
    from typing import Any

    from greenroom.servers.http import Exchange
    from greenroom.servers.websocket import Handshake, WebSocket

    Message = MutableMapping[str, Any]
    Scope_ = dict[str, Any]
    ASGI = Callable[
        [Scope_, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
        Awaitable[None],
    ]

_log = getLogger("greenroom.servers")
_VERSION = {"version": "3.0", "spec_version": "2.4"}
_LIFESPAN_VERSION = {"version": "3.0", "spec_version": "2.0"}
_FAILED = (
    "the application ended before its response was complete: it must send "
    "http.response.body without more_body"
)


class LifespanError(RuntimeError):
    """The application said that it cannot start, or failed while it did."""


class Cycle:
    """One run of the application's coroutine, and the connection's task that waits for it.

    error      what the coroutine raised before the connection's task went on
    released   the response is complete, or the coroutine has ended
    reading    a task of the application is just reading the body: until it has done, nobody else
               may read from the connection
    """

    def __init__(self, owner: ASGIApplication, exchange: Exchange, scope: Scope_) -> None:
        self.owner = owner
        self.exchange = exchange
        self.scope = scope
        self.error: BaseException | None = None
        self.released = self.reading = False
        self.waiter: Any = None
        self.leaving: asyncio.Future[None] | None = None
        self.task: Any = None

    async def run(self) -> None:
        """Call the application. This is the asyncio task."""
        try:
            await self.owner.app(self.scope, self.receive, self.send)
        except BaseException as error:
            if self.released:
                self.late(error)
            else:
                self.error = error
            if not isinstance(error, (Exception, asyncio.CancelledError)):
                raise
        finally:
            self.owner.cycles.discard(self)
            if not self.released:
                self.release()

    async def receive(self) -> Message:
        """As ASGI's receive."""
        raise NotImplementedError

    async def send(self, message: Message) -> None:
        """As ASGI's send."""
        raise NotImplementedError

    def release(self) -> None:
        """Let the connection's task go on."""
        self.released = True
        if self.reading:
            self.exchange.flush()
        else:
            self.wake()

    def wake(self) -> None:
        """Wake the connection's task."""
        waiter = self.waiter
        if waiter is not None:
            self.waiter = None
            _scheduler.unpark(waiter)

    def late(self, error: BaseException) -> None:
        """The coroutine has failed after its response was complete."""
        if isinstance(error, asyncio.CancelledError):
            return
        _log.error(
            "%s %s from %s failed after its response",
            self.exchange.method,
            self.scope["path"],
            self.exchange.peer,
            exc_info=error,
        )

    def play(self) -> None:
        """Run the coroutine, in the connection's task, until that may go on."""
        scheduler = _scheduler.get()
        owner = self.owner
        self.task = task = owner.loop().create_task(self.run())
        owner.cycles.add(self)
        try:
            while not self.released or self.reading:
                self.waiter = scheduler.current
                try:
                    scheduler.park(None, self, FOREVER)
                finally:
                    self.waiter = None
        except BaseException:
            task.cancel()
            _outlast(scheduler, task)
            raise

    @property
    def wait_reason(self) -> str:
        """What the connection's task waits for."""
        return f"the response of {self.scope['type']} {self.scope['path']}"

    def client_left(self) -> asyncio.Future[None]:
        """Return a future that is done when the client has left. Any number may await it."""
        if self.leaving is None:
            self.leaving = self.owner.loop().run_in_task(self.exchange.wait_disconnect)
        return asyncio.shield(self.leaving)


class HTTPCycle(Cycle):
    """A request."""

    def __init__(self, owner: ASGIApplication, exchange: Exchange, scope: Scope_) -> None:
        super().__init__(owner, exchange, scope)
        self.body_read = False

    async def receive(self) -> Message:
        """As ASGI's receive: the body as it comes, then http.disconnect when the client leaves."""
        exchange = self.exchange
        if self.released:
            return {"type": "http.disconnect"}
        if not self.body_read:
            self.reading = True
            try:
                body = exchange.read_chunk()
            except ClientGone:
                self.body_read = True
                return {"type": "http.disconnect"}
            finally:
                self.reading = False
                if self.released:
                    self.wake()
            more = exchange.body_left()
            self.body_read = not more
            return {"type": "http.request", "body": body, "more_body": more}
        if not exchange.disconnected:
            await self.client_left()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """As ASGI's send."""
        kind = message["type"]
        exchange = self.exchange
        if self.released:
            raise RuntimeError(f"cannot send {kind!r}: the response is complete")
        if kind == "http.response.body":
            if message.get("more_body"):
                exchange.write(message.get("body", b""))
                return
            exchange.finish(message.get("body", b""))
            self.release()
        elif kind == "http.response.start":
            if exchange.started:
                raise RuntimeError("cannot send 'http.response.start' twice")
            headers = [(name, value) for name, value in message.get("headers", ())]
            exchange.start(message["status"], None, headers)
        elif kind == "http.response.pathsend":
            self.send_path(message["path"])
            self.release()
        else:
            raise ValueError(f"cannot send {kind!r}: this is the response of an HTTP request")

    def send_path(self, path: str) -> None:
        """Send a file as the body."""
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            self.exchange.sendfile(file, 0, size)
            self.exchange.finish()


class WebSocketCycle(Cycle):
    """A WebSocket. Its coroutine begins before the opening handshake is answered."""

    def __init__(
        self, owner: ASGIApplication, exchange: Exchange, scope: Scope_, handshake: Handshake
    ) -> None:
        super().__init__(owner, exchange, scope)
        self.handshake = handshake
        self.connected = False
        self.refusing = False
        self.refused = False
        self.ws: WebSocket | None = None

    async def receive(self) -> Message:
        """As ASGI's receive."""
        if not self.connected:
            self.connected = True
            return {"type": "websocket.connect"}
        if self.ws is None:
            if not self.refused and not self.exchange.disconnected:
                await self.client_left()
            return {"type": "websocket.disconnect", "code": 1006, "reason": ""}
        try:
            message = self.ws.receive()
        except websocket.WebSocketClosed as error:
            return {"type": "websocket.disconnect", "code": error.code, "reason": error.reason}
        if isinstance(message, str):
            return {"type": "websocket.receive", "text": message}
        return {"type": "websocket.receive", "bytes": message}

    async def send(self, message: Message) -> None:
        """As ASGI's send."""
        kind = message["type"]
        ws = self.ws
        if ws is None:
            self.answer(kind, message)
        elif kind == "websocket.send":
            text = message.get("text")
            try:
                ws.send(message["bytes"] if text is None else text)
            except websocket.WebSocketClosed as error:
                raise ClientGone(str(error)) from None
        elif kind == "websocket.close":
            ws.close(message.get("code") or 1000, message.get("reason") or "")
        else:
            raise ValueError(f"cannot send {kind!r}: the WebSocket is open")

    def answer(self, kind: str, message: Message) -> None:
        """Answer the opening handshake."""
        exchange = self.exchange
        if self.refused:
            raise RuntimeError(f"cannot send {kind!r}: the WebSocket was refused")
        if kind == "websocket.accept":
            headers = [(name, value) for name, value in message.get("headers") or ()]
            subprotocol = message.get("subprotocol")
            options = dict(self.owner.websocket_options)
            compression = options.pop("compression", True)
            response = self.handshake.accept(subprotocol, headers, compression)
            sock, ahead = exchange.take_over()
            self.ws = websocket.open_on(sock, ahead, response, self.handshake, subprotocol, options)
        elif kind == "websocket.close":
            exchange.start(403, None, [])
            exchange.finish()
            self.refused = True
        elif kind == "websocket.http.response.start":
            headers = [(name, value) for name, value in message.get("headers", ())]
            exchange.start(message["status"], None, headers)
            self.refusing = True
        elif kind == "websocket.http.response.body" and self.refusing:
            if message.get("more_body"):
                exchange.write(message.get("body", b""))
            else:
                exchange.finish(message.get("body", b""))
                self.refused = True
        else:
            raise ValueError(
                f"cannot send {kind!r}: the WebSocket was neither accepted nor closed yet"
            )

    def close(self) -> None:
        """The coroutine has ended, or was cancelled."""
        ws, error = self.ws, self.error
        if ws is not None and not ws.closed:
            ws.close(1000 if error is None else 1011)


class ASGIApplication:
    """Makes of an ASGI application one that an HTTPServer calls.

    app         async callable(scope, receive, send)
    root_path   the path under which it is mounted, as the proxy in front has cut it off
    lifespan    "auto": the application may know nothing of it; "on": it must; "off": nobody asks
    websocket_options  of servers.websocket.upgrade(): max_size, ping_interval, ping_timeout,
                close_timeout, compression

    start() runs the application's startup and stop() its shutdown; `with` does both. Without, the
    first request starts it. All in one thread, that of the server.
    """

    def __init__(
        self,
        app: ASGI,
        *,
        root_path: str = "",
        lifespan: str = "auto",
        websocket_options: dict[str, Any] | None = None,
    ) -> None:
        if not callable(app):
            raise TypeError(f"an ASGI application is callable(scope, receive, send), not {app!r}")
        if lifespan not in ("auto", "on", "off"):
            raise ValueError(f"lifespan must be 'auto', 'on' or 'off', not {lifespan!r}")
        self.app = app
        self.root_path = root_path.rstrip("/")
        self.state: dict[str, Any] = {}
        self.websocket_options = websocket_options or {}
        self.cycles: set[Cycle] = set()  # that run
        self._lifespan = lifespan
        self._life: Lifespan | None = None
        self._started = False
        self._starting = Lock()
        self._loop: Any = None

    def loop(self) -> Any:
        """Return the asyncio loop of this thread."""
        if self._loop is None or self._loop.is_closed():
            self._loop = own_loop()
        return self._loop

    def start(self) -> None:
        """Run the application's startup, once.

        Raises    LifespanError: it has failed
        Switches  if the application does, and the first time
        """
        with self._starting:
            if self._started:
                return
            if self._lifespan != "off":
                life = Lifespan(self, self._lifespan == "on")
                life.start()
                self._life = life
            self._started = True

    def stop(self, grace: float | None = None) -> None:
        """Wait for what requests have left running, then run the application's shutdown.

        grace     seconds after which what still runs is cancelled; None: it is waited for
        Switches  if there is anything to wait for
        """
        with self._starting:
            if not self._started:
                return
            self._started = False
            if self.cycles:
                self._finish_tasks(grace)
            life, self._life = self._life, None
            if life is not None:
                life.stop()

    def _finish_tasks(self, grace: float | None) -> None:
        scheduler = _scheduler.get()
        waiting = asyncio.ensure_future(
            asyncio.wait([cycle.task for cycle in self.cycles], timeout=grace), loop=self.loop()
        )
        try:
            _operation.wait_for(scheduler, FutureEnd(waiting))
        finally:
            waiting.cancel()
            for cycle in tuple(self.cycles):
                cycle.task.cancel()
                _outlast(scheduler, cycle.task)

    def __enter__(self) -> ASGIApplication:
        self.start()
        return self

    def __exit__(self, kind: Any = None, error: Any = None, traceback: Any = None) -> None:
        self.stop(None if error is None else 0)

    def __call__(self, exchange: Exchange) -> None:
        """Answer one request."""
        if not self._started:
            self.start()
        if exchange.upgrade and _wants_websocket(exchange):
            self._serve_websocket(exchange)
            return
        scope = self._scope("http", exchange)
        scope["method"] = exchange.method
        scope["extensions"] = {"http.response.pathsend": {}}
        cycle = HTTPCycle(self, exchange, scope)
        cycle.play()
        error = cycle.error
        if error is not None:
            cycle.error = None  # the traceback holds this frame
            if isinstance(error, Exception):
                if exchange.disconnected:
                    raise ClientGone(f"the client has left, and {error!r} was raised") from error
                raise error
            raise RuntimeError(f"the application was cancelled: {error!r}") from error
        if exchange.started and not exchange.finished:
            raise RuntimeError(_FAILED)

    def _scope(self, kind: str, exchange: Exchange) -> Scope_:
        path = exchange.path.decode("latin-1")
        if "%" in path or not path.isascii():
            path = unquote(exchange.path.decode("utf-8", "replace"))
        peer, local = exchange.peer, exchange.local
        return {
            "type": kind,
            "asgi": _VERSION,
            "http_version": exchange.version,
            "scheme": exchange.scheme,
            "path": self.root_path + path,
            "raw_path": exchange.path,
            "query_string": exchange.query,
            "root_path": self.root_path,
            "headers": exchange.headers,
            "client": tuple(peer[:2]) if isinstance(peer, tuple) else None,
            "server": tuple(local[:2]) if isinstance(local, tuple) else (str(local), None),
            "state": self.state.copy(),
        }

    def _serve_websocket(self, exchange: Exchange) -> None:
        _load_websocket()
        try:
            handshake = websocket.Handshake(exchange.method, exchange.target, exchange.headers)
        except websocket.HandshakeError as error:
            exchange.start(error.status, None, error.headers)
            exchange.finish(f"{error}\n".encode())
            return
        scope = self._scope("websocket", exchange)
        scope["scheme"] = "ws" if exchange.scheme == "http" else "wss"
        scope["subprotocols"] = handshake.subprotocols
        scope["extensions"] = {"websocket.http.response": {}}
        cycle = WebSocketCycle(self, exchange, scope, handshake)
        try:
            cycle.play()
            cycle.close()
        except BaseException:
            if cycle.ws is not None:  # the server is stopping
                cycle.ws.go_away()
            raise
        failure, cycle.error = cycle.error, None
        if failure is not None:
            if isinstance(failure, ClientGone):
                return
            raise failure if isinstance(failure, Exception) else RuntimeError(repr(failure))
        if cycle.ws is None and not cycle.refused:
            raise RuntimeError("the application ended without accepting or closing the WebSocket")


class Lifespan:
    """The coroutine that runs as long as the server: startup and shutdown."""

    def __init__(self, owner: ASGIApplication, required: bool) -> None:
        self.owner = owner
        self.required = required
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        self.up = Event()
        self.down = Event()
        self.started = False
        self.problem: str | None = None
        self.error: BaseException | None = None
        self.task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Call the application. This is the asyncio task."""
        scope = {"type": "lifespan", "asgi": _LIFESPAN_VERSION, "state": self.owner.state}
        try:
            await self.owner.app(scope, self.messages.get, self.send)
        except BaseException as error:
            self.error = error
            if not isinstance(error, (Exception, asyncio.CancelledError)):
                raise
        finally:
            self.up.set()
            self.down.set()

    async def send(self, message: Message) -> None:
        """As ASGI's send."""
        kind = message["type"]
        if kind == "lifespan.startup.complete":
            self.started = True
            self.up.set()
        elif kind == "lifespan.startup.failed":
            self.problem = message.get("message") or "it did not say why"
            self.up.set()
        elif kind == "lifespan.shutdown.complete":
            self.down.set()
        elif kind == "lifespan.shutdown.failed":
            _log.error("the application's shutdown failed: %s", message.get("message", ""))
            self.down.set()
        else:
            raise ValueError(f"cannot send {kind!r}: this is the application's lifespan")

    def start(self) -> None:
        """Run the startup."""
        self.task = self.owner.loop().create_task(self.run())
        self.messages.put_nowait({"type": "lifespan.startup"})
        try:
            self.up.wait()
        except BaseException:
            self.task.cancel()
            _outlast(_scheduler.get(), self.task)
            raise
        if self.problem is not None:
            error, self.error = self.error, None
            _outlast(_scheduler.get(), self.task)
            raise LifespanError(f"the application cannot start: {self.problem}") from error
        if not self.started and self.required:
            error, self.error = self.error, None
            raise LifespanError(f"the application's startup failed: {error!r}") from error
        if not self.started and self.error is not None:
            _log.debug("the application knows no lifespan: %r", self.error)
            self.error = None

    def stop(self) -> None:
        """Run the shutdown."""
        task = self.task
        if task is None or task.done():
            return
        self.messages.put_nowait({"type": "lifespan.shutdown"})
        try:
            self.down.wait()
        except BaseException:
            task.cancel()
            raise
        finally:
            _outlast(_scheduler.get(), task)
        if self.error is not None:
            error, self.error = self.error, None
            _log.error("the application's shutdown failed", exc_info=error)


def _outlast(scheduler: Any, task: asyncio.Task[None]) -> None:
    """Wait for the end of task, whatever befalls the caller."""
    shield = Scope(FOREVER, True)
    scheduler.current.push_scope(shield)
    try:
        _operation.wait_for(scheduler, FutureEnd(task))
    except (Exception, asyncio.CancelledError):
        if not task.done():
            raise
    finally:
        scheduler.current.pop_scope(shield)


def _wants_websocket(exchange: Exchange) -> bool:
    return any(
        name == b"upgrade" and value.lower() == b"websocket" for name, value in exchange.headers
    )


websocket: Any = None


def _load_websocket() -> None:
    """Import websocket.py when the first WebSocket comes: it needs wsproto, plain HTTP does not."""
    global websocket
    if websocket is None:
        from greenroom.servers import websocket as module

        websocket = module
