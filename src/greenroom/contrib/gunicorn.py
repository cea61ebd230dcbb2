"""Workers for gunicorn, versions 23 to 27.                                      layer: contrib

gunicorn -k greenroom.contrib.gunicorn.Worker app:app       gunicorn's parser, all its settings
gunicorn -k greenroom.contrib.gunicorn.WSGIWorker app:app   greenroom's server: faster, and stricter

gunicorn calls setup() when it reads its configuration: before it loads the application, also
with --preload. So the standard library is patched in the arbiter too, whose waits are then green.

With WSGIWorker these settings of gunicorn have no effect, for they are of its parser: pre_request,
post_request, proxy_protocol, forwarded_allow_ips and secure_scheme_headers, strip_header_spaces and
the other settings for lax parsing. Worker knows them all. Neither speaks HTTP/2.
"""

from __future__ import annotations

import gc
import os
import queue
import select
import socket
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from greenroom.core import api
from greenroom.patch.apply import patch_all
from greenroom.servers import address as _address
from greenroom.servers.http import Exchange, HTTPServer
from greenroom.servers.serving import IDLE_GRACE
from greenroom.servers.tcp import TCPServer
from greenroom.servers.wsgi import WSGIApplication
from greenroom.sync.cancel import timeout as time_limit
from greenroom.sync.pool import Pool
from greenroom.sync.wait import joinall

try:
    from gunicorn import http, util
    from gunicorn import sock as gunicorn_sock
    from gunicorn.arbiter import Arbiter
    from gunicorn.http import wsgi
    from gunicorn.workers.base import Worker as _Base
except ImportError as error:
    raise ImportError(f"greenroom.contrib.gunicorn needs gunicorn 23 to 27: {error}") from error

# Seconds between two looks at whether the arbiter lives, and at least between two heartbeats.
BEAT = 1.0


class _Common(_Base):  # type: ignore[misc]  # gunicorn has no types
    """What both workers do: the life of the process. Its servers differ."""

    servers: list[Any]
    alive: bool

    @classmethod
    def setup(cls) -> None:
        """Patch the standard library. gunicorn calls it before it loads the application."""
        patch_all()
        # The arbiter has made its queue of signals already (gunicorn 25 on; before, it was a list).
        # Waiting in one that is not green, it would stop the threads of its control socket.
        for found in gc.get_objects():
            is_arbiter = issubclass(type(found), Arbiter)
            if is_arbiter and not isinstance(getattr(found, "SIG_QUEUE", []), list):
                found.SIG_QUEUE = queue.SimpleQueue()

    def run(self) -> None:
        """Serve until told to stop; then let requests finish, for graceful_timeout seconds."""
        limit: Any = self.cfg.worker_connections
        if len(self.sockets) > 1:
            limit = Pool(limit)
        tls = None
        if self.cfg.is_ssl:
            tls = gunicorn_sock.ssl_context(self.cfg)
            tls.set_alpn_protocols(["http/1.1"])
        self.servers = [self.make_server(one.sock, limit, tls) for one in self.sockets]
        beat = api.spawn(self._beats)
        try:
            for server in self.servers:
                server.start()
            while self.alive and self._arbiter_lives():
                # A signal's number, or a byte of wake(), ends the wait.
                if select.select([self.PIPE[0]], [], [], BEAT)[0]:
                    os.read(self.PIPE[0], 4096)
            self.alive = False
            # The arbiter kills when its grace is over: end in good order before.
            grace = self.cfg.graceful_timeout - min(1.0, self.cfg.graceful_timeout / 4)
            stops = [api.spawn(server.stop, grace) for server in self.servers]
            ender = api.spawn(self._end_idle)
            joinall(stops)
            ender.kill()
            joinall([ender])
        finally:
            for server in self.servers:
                server.stop(0)
            beat.kill()
            joinall([beat])

    def make_server(self, sock: Any, limit: Any, tls: Any) -> Any:
        """Return the server for one listening socket."""
        raise NotImplementedError

    def end_idle(self) -> None:
        """End the connections that wait for a request."""
        raise NotImplementedError

    def _end_idle(self) -> None:
        api.sleep(IDLE_GRACE)
        self.end_idle()

    def _beats(self) -> None:
        """Tell the arbiter that this process is alive: a task stops where everything hangs."""
        pause = min(BEAT, self.timeout / 2) if self.timeout else BEAT
        while True:
            self.notify()
            api.sleep(pause)

    def _arbiter_lives(self) -> bool:
        if self.ppid == os.getppid():
            return True
        self.log.info("Parent changed, shutting down: %s", self)
        return False

    def count(self) -> None:
        """Count a request; stop after max_requests."""
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after %d requests.", self.nr)
            self.alive = False
            os.write(self.PIPE[1], b"\0")


class _Listener(TCPServer):
    """Hands connections to a Worker."""

    def __init__(self, worker: Worker, sock: Any, **options: Any) -> None:
        super().__init__(sock, **options)
        self.worker = worker

    def handle(self, sock: Any, address: Any) -> None:
        """As TCPServer.handle."""
        self.worker.handle(self.address, sock, address)


class Worker(_Common):
    """A green thread for each connection; gunicorn's parser and responses."""

    def make_server(self, sock: Any, limit: Any, tls: Any) -> Any:
        """Return the server for one listening socket."""
        self._idle: set[Any] = set()
        return _Listener(self, sock, limit=limit, tls=tls)

    def end_idle(self) -> None:
        """End the connections that wait for a request."""
        for client in tuple(self._idle):
            try:
                # Not SSLSocket's, which would take the TLS away from who reads.
                socket.socket.shutdown(client, socket.SHUT_RD)
            except OSError:
                pass

    def handle(self, local: Any, client: Any, peer: Any) -> None:
        """Serve one connection."""
        request = None
        peer = peer or ("", 0)  # Unix sockets have no name there
        try:
            parse = getattr(http, "get_parser", http.RequestParser)
            parser = parse(self.cfg, client, peer)
            wait: float | None = self.timeout * 2 or None  # gunicorn halves its own
            proxied = None
            while True:
                request = None
                self._idle.add(client)
                try:
                    with time_limit(wait):
                        request = next(parser)
                finally:
                    self._idle.discard(client)
                # The PROXY header comes once, and holds for the whole connection.
                proxied = getattr(request, "proxy_protocol_info", None) or proxied
                if proxied:
                    request.proxy_protocol_info = proxied
                if not self._answer(local, request, client, peer):
                    return
                wait = self.cfg.keepalive
        except (StopIteration, http.errors.NoMoreData) as error:
            self.log.debug("Closing connection. %s", error)
        except TimeoutError:
            self.log.debug("Closing connection: no request came from %s", _address.show(peer))
        except ConnectionError as error:
            self.log.debug("Client %s has gone: %s", _address.show(peer), error)
        except Exception as error:
            if request is None and isinstance(error, OSError):
                self.log.debug("Cannot read from %s: %s", _address.show(peer), error)
            else:
                self.handle_error(request, client, peer, error)

    def _answer(self, local: Any, request: Any, client: Any, peer: Any) -> bool:
        """Call the application and send its response; True: the connection can be used again."""
        environ: dict[str, Any] = {}
        response = None
        try:
            self.cfg.pre_request(self, request)
            begin = datetime.now()
            response, environ = wsgi.create(request, client, peer, local, self.cfg)
            environ["wsgi.multithread"] = True
            environ["werkzeug.socket"] = client
            self.count()
            if not self.alive or not self.cfg.keepalive:
                response.force_close()
            body = self.wsgi(environ, response.start_response)
            try:
                if isinstance(body, environ["wsgi.file_wrapper"]):
                    response.write_file(body)
                else:
                    for item in body:
                        response.write(item)
                response.close()
            finally:
                self.log.access(response, request, environ, datetime.now() - begin)
                if hasattr(body, "close"):
                    body.close()
            return not response.should_close()
        except (StopIteration, OSError):
            raise
        except Exception:
            if response is None or not response.headers_sent:
                raise
            # A 500 in the middle of the response would be taken for a part of it.
            self.log.exception("Error handling request %s", request.uri)
            util.close_graceful(client) if hasattr(util, "close_graceful") else client.close()
            return False
        finally:
            try:
                self.cfg.post_request(self, request, environ, response)
            except Exception:
                self.log.exception("Exception in post_request hook")


class WSGIWorker(_Common):
    """greenroom's own HTTP server under gunicorn's arbiter."""

    def make_server(self, sock: Any, limit: Any, tls: Any) -> Any:
        """Return the server for one listening socket."""
        cfg = self.cfg
        application = WSGIApplication(
            self.wsgi,
            script_name=os.environ.get("SCRIPT_NAME", ""),
            multiprocess=cfg.workers > 1,
        )

        def call(exchange: Exchange) -> None:
            self.count()
            application(exchange)

        logs = cfg.accesslog or cfg.logconfig or cfg.logconfig_dict or cfg.syslog
        server = HTTPServer(
            sock,
            call,
            limit=limit,
            tls=tls,
            idle_timeout=float(cfg.keepalive),
            max_target_bytes=cfg.limit_request_line or 1 << 20,
            max_headers=cfg.limit_request_fields,
            max_head_bytes=max(32768, cfg.limit_request_line + cfg.limit_request_field_size),
            access_log=self._log_access if logs else None,
        )
        server.settings.idle_grace = IDLE_GRACE
        if not cfg.keepalive:
            server.settings.closing = True  # each response ends its connection
            server.settings.idle_grace = 10.0  # for the first request
        return server

    def end_idle(self) -> None:
        """End the connections that wait for a request."""
        for server in self.servers:
            server.end_idle()

    def _log_access(self, exchange: Exchange) -> None:
        """Write a line of gunicorn's access log, in its format."""
        peer = exchange.peer
        headers = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in exchange.headers
        ]
        named = dict(headers)
        environ = {
            "REMOTE_ADDR": peer[0] if isinstance(peer, tuple) else "",
            "REQUEST_METHOD": exchange.method,
            "RAW_URI": exchange.target.decode("latin-1"),
            "PATH_INFO": exchange.path.decode("latin-1"),
            "QUERY_STRING": exchange.query.decode("latin-1"),
            "SERVER_PROTOCOL": f"HTTP/{exchange.version}",
            "HTTP_REFERER": named.get("referer", "-"),
            "HTTP_USER_AGENT": named.get("user-agent", "-"),
        }
        response = SimpleNamespace(status=str(exchange.status), sent=exchange.sent, headers=[])
        request = SimpleNamespace(headers=[(name.upper(), value) for name, value in headers])
        self.log.access(response, request, environ, timedelta(seconds=exchange.seconds))
