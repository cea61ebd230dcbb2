"""WSGI (PEP 3333) on an Exchange.                                               layer: servers

environ is a copy of a dict that is made once for each address of the server, plus what the request
brings. Names of headers become HTTP_ keys by a dict. A name with an underscore is left out: it
would look like another with a hyphen, and so let a client forge what a proxy has set.

A list or tuple of one item is the whole body: it gets a Content-Length, and goes out with the head
in one send. Everything else is sent item by item, as the PEP demands.

What environ['wsgi.file_wrapper'] has wrapped is sent by sendfile(2) if it is a regular file, and
the Range of a GET is served from it (RFC 9110 14): one range, 206 or 416, If-Range by ETag or date.

environ['werkzeug.socket'] is the connection. Who answers a request with Upgrade by it, as
simple-websocket does, and then ends without start_response() has taken the connection over. Such a
request has an environ['greenroom.exchange'] too, by which greenroom.websocket() does so.
"""

from __future__ import annotations

import re
import sys
from urllib.parse import unquote_to_bytes

from greenroom.green import fdcalls
from greenroom.servers import http1
from greenroom.servers.http import Exchange

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

FILE_BLOCK = 64 * 1024
# Keys and names kept for reuse, as http1.MAX_NAMES.
MAX_KEYS = 1024
# Addresses of the server for which a dict is kept. A server on 0.0.0.0 can have several.
MAX_BASES = 64

_RANGE = re.compile(
    r"bytes[ \t]*=[ \t]*(?:([0-9]{1,18})[ \t]*-[ \t]*([0-9]{0,18})|-[ \t]*([0-9]{1,18}))"
)

_keys: dict[bytes, str | None] = {}
_statuses: dict[str, tuple[int, bytes]] = {}
_names: dict[str, bytes] = {}


def _new_key(name: bytes) -> str | None:
    """Return the environ's key for a header, None for what must be left out."""
    key: str | None = name.decode("latin-1").upper().replace("-", "_")
    if b"_" in name:
        key = None
    elif name not in (b"content-type", b"content-length"):
        key = f"HTTP_{key}"
    if len(_keys) < MAX_KEYS:
        _keys[name] = key
    return key


def _new_status(status: str) -> tuple[int, bytes]:
    """Return the number and the line of a WSGI status."""
    if not isinstance(status, str):
        raise TypeError(f"a status is a str like '200 OK', not {status!r}")
    code, space, reason = status.partition(" ")
    if len(code) != 3 or not (code.isascii() and code.isdigit()):
        raise ValueError(f"a status begins with three digits, like '200 OK', not {status!r}")
    try:
        line = http1.status_line(int(code), reason.encode("latin-1") if space else None)
    except UnicodeEncodeError:
        raise ValueError(f"cannot send the status {status!r}: it is not latin-1") from None
    found = (int(code), line)
    if len(_statuses) < MAX_KEYS:
        _statuses[status] = found
    return found


def _new_name(name: str) -> bytes:
    if not isinstance(name, str):
        raise TypeError(f"the name of a header is a str, not {name!r}")
    try:
        found = name.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"cannot send the header {name!r}: it is not latin-1") from None
    if len(_names) < MAX_KEYS:
        _names[name] = found
    return found


class Input:
    """wsgi.input: the body of a request, as a file that is read while it comes.

    Every method waits for the client only if what it asks for has not come.
    Raises    http.BodyError, http.ClientGone
    """

    def __init__(self, exchange: Exchange | None) -> None:
        self._exchange = exchange
        self._data = b""
        self._place = 0

    def _more(self) -> bool:
        """Read on after all was used; False at the end."""
        if self._exchange is None:
            return False
        self._data = self._exchange.read_chunk()
        self._place = 0
        return len(self._data) > 0

    def read(self, size: int | None = -1) -> bytes:
        """Return size bytes, fewer only at the end; with -1 or None all that is left."""
        left = -1 if size is None or size < 0 else size
        have = len(self._data) - self._place
        if 0 <= left <= have:
            start = self._place
            self._place = start + left
            return self._data[start : self._place]
        parts = []
        while left != 0:
            if self._place >= len(self._data) and not self._more():
                break
            have = len(self._data) - self._place
            if left < 0 or left >= have:
                parts.append(self._data[self._place :])
                self._data = b""
                self._place = 0
                if left > 0:
                    left -= have
            else:
                parts.append(self._data[self._place : self._place + left])
                self._place += left
                left = 0
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def readline(self, size: int | None = -1) -> bytes:
        """Return the next line with its end, of at most size bytes; b"" at the end."""
        left = -1 if size is None or size < 0 else size
        parts = []
        while left != 0:
            if self._place >= len(self._data) and not self._more():
                break
            end = self._data.find(b"\n", self._place) + 1
            stop = end if end else len(self._data)
            if 0 <= left < stop - self._place:
                stop = self._place + left
            piece = self._data[self._place : stop]
            self._place = stop
            parts.append(piece)
            if left > 0:
                left -= len(piece)
            if piece.endswith(b"\n"):
                break
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def readlines(self, hint: int | None = -1) -> list[bytes]:
        """Return the lines that are left, or as many as make up hint bytes."""
        lines = []
        total = 0
        while line := self.readline():
            lines.append(line)
            total += len(line)
            if hint is not None and 0 < hint <= total:
                break
        return lines

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        line = self.readline()
        if not line:
            raise StopIteration
        return line


_NOTHING = Input(None)  # of every request without a body: nothing can be changed in it


class FileWrapper:
    """wsgi.file_wrapper: an open file as the body of a response."""

    def __init__(self, filelike: Any, block_size: int = FILE_BLOCK) -> None:
        self.filelike = filelike
        self.block_size = block_size
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self) -> FileWrapper:
        return self

    def __next__(self) -> bytes:
        data: bytes = self.filelike.read(self.block_size)
        if not data:
            raise StopIteration
        return data


class Response:
    """What start_response() and write() of one request work on."""

    exchange: Exchange
    headers: list[tuple[bytes, bytes]]

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def start(self, status: Any, headers: Any, exc_info: Any = None) -> Any:
        """start_response() of PEP 3333. Returns write(). Never switches."""
        if exc_info is not None:
            try:
                if self.exchange.head_sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self.exchange.status:
            raise RuntimeError(
                "start_response() was called twice; the second call must pass exc_info"
            )
        known = _statuses.get(status)
        if known is None:
            known = _new_status(status)
        self._begin(known[0], known[1], headers)
        return self.write

    def write(self, data: bytes) -> None:
        """write() of PEP 3333: sends at once. Switches only if the kernel has no room."""
        self.exchange.write(_checked(data))

    def _begin(self, code: int, line: bytes, headers: Any) -> None:
        encoded = []
        if type(headers) is not list:
            raise TypeError(f"the headers of a response are a list of pairs, not {headers!r}")
        for name, value in headers:
            raw = _names.get(name)
            if raw is None:
                raw = _new_name(name)
            encoded.append((raw, self._encode(name, value)))
        self.headers = encoded
        self.exchange.begin(code, line, encoded)

    def _encode(self, name: Any, value: Any) -> bytes:
        try:
            data: bytes = value.encode("latin-1")
        except UnicodeEncodeError:
            raise ValueError(
                f"cannot send the header {name!r}: its value {value!r} is not latin-1"
            ) from None
        except AttributeError:
            raise TypeError(
                f"the value of the header {name!r} must be a str, not {value!r}"
            ) from None
        return data

    def send(self, result: Any) -> None:
        """Send what the application has returned."""
        exchange = self.exchange
        if exchange.finished:  # websocket() has taken the connection over
            return
        kind = type(result)
        if (kind is list or kind is tuple) and len(result) == 1 and exchange.status:
            item = result[0]
            if not exchange.head_sent:
                exchange.finish(_checked(item))
                return
        elif kind is FileWrapper and self._send_file(result.filelike):
            return
        for item in result:
            if exchange.status == 0:
                raise RuntimeError("the application gave a body before it called start_response()")
            exchange.write(_checked(item))
        if exchange.status:
            exchange.finish()

    def _send_file(self, file: Any) -> bool:
        """Send a regular file; False if it is none, and must be read."""
        exchange = self.exchange
        if exchange.status == 0 or exchange.head_sent:
            return False
        try:
            whole = fdcalls.size_of_file(file.fileno())
            offset = file.tell()
        except (AttributeError, OSError, ValueError):
            return False
        if whole < 0:  # a pipe, or a device
            return False
        size = max(0, whole - offset)
        given = self._header(b"content-length")
        if given is not None:
            size = min(size, int(given))
        count = size
        if exchange.status == 200 and self._header(b"content-range") is None:
            start, count = self._choose(size)
            offset += start
        elif given is None:
            self._restart(exchange.status, [(b"Content-Length", b"%d" % size)])
        if count:
            exchange.sendfile(file, offset, count)
        exchange.finish()
        return True

    def _choose(self, size: int) -> tuple[int, int]:
        """Answer the Range of the request: return where to begin, and how many bytes to send."""
        wish = None
        if self.exchange.method == "GET":
            ranges = [value for name, value in self.exchange.headers if name == b"range"]
            if len(ranges) == 1 and self._is_current():
                wish = _RANGE.fullmatch(ranges[0].decode("latin-1").strip())
                if wish is not None and wish[2] and int(wish[2]) < int(wish[1]):
                    wish = None  # not a range: ignored
        if wish is None:
            known = self._header(b"accept-ranges") is not None
            self.exchange.add(b"" if known else b"\r\nAccept-Ranges: bytes", size)
            return 0, size
        first, last, suffix = wish.groups()
        if suffix is not None:
            count = min(int(suffix), size)
            start = size - count
        else:
            start = int(first)
            stop = min(int(last) + 1, size) if last else size
            count = stop - start
        if count <= 0:
            nothing = [(b"Content-Range", b"bytes */%d" % size), (b"Content-Length", b"0")]
            self._restart(416, nothing)
            return 0, 0
        place = b"bytes %d-%d/%d" % (start, start + count - 1, size)
        self._restart(206, [(b"Content-Range", place), (b"Content-Length", b"%d" % count)])
        return start, count

    def _is_current(self) -> bool:
        """Tell whether If-Range, if there is one, means this very file."""
        conditions = [value for name, value in self.exchange.headers if name == b"if-range"]
        if not conditions:
            return True
        condition = conditions[0]
        if condition.startswith((b'"', b"W/")):
            return condition.startswith(b'"') and condition == self._header(b"etag")
        return condition == self._header(b"last-modified")

    def _header(self, wanted: bytes) -> bytes | None:
        for name, value in self.headers:
            if name.lower() == wanted:
                return value
        return None

    def _restart(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Begin the response again, with these headers in the place of the former."""
        replaced = [name.lower() for name, _ in headers]
        kept = [pair for pair in self.headers if pair[0].lower() not in replaced]
        self.exchange.start(status, None, kept + headers)


def _checked(item: Any) -> bytes:
    """Return item if it is bytes."""
    if not isinstance(item, bytes):
        raise TypeError(f"the body of a WSGI response is made of bytes, not {item!r}")
    return item


class WSGIApplication:
    """Makes of a WSGI application one that an HTTPServer calls.

    app           callable(environ, start_response)
    script_name   the path under which it is mounted, like "/shop": SCRIPT_NAME; paths that begin
                  with it lose it, others are served as they are
    multiprocess  what environ['wsgi.multiprocess'] says: other processes serve the same application
    """

    app: Any

    def __init__(
        self,
        app: Callable[..., Any],
        *,
        script_name: str = "",
        multiprocess: bool = False,
    ) -> None:
        if not callable(app):
            raise TypeError(f"a WSGI application is callable(environ, start_response), not {app!r}")
        self.app = app
        self._mount = script_name.rstrip("/").encode()
        self._bases: dict[Any, dict[str, Any]] = {}
        self._common = {
            "wsgi.version": (1, 0),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": multiprocess,
            "wsgi.run_once": False,
            "wsgi.file_wrapper": FileWrapper,
            "wsgi.input_terminated": True,
            "wsgi.input": _NOTHING,
            "SERVER_SOFTWARE": "greenroom",
            "GATEWAY_INTERFACE": "CGI/1.1",
            "SCRIPT_NAME": "",
        }

    def _base(self, local: Any, scheme: str) -> dict[str, Any]:
        """Return what is the same for all requests to this address of the server."""
        base = self._bases.get((local, scheme))
        if base is None:
            base = dict(self._common)
            base["wsgi.url_scheme"] = scheme
            if isinstance(local, tuple):
                base["SERVER_NAME"] = local[0]
                base["SERVER_PORT"] = str(local[1])
            else:  # a Unix socket; both must be there, and must not be empty
                base["SERVER_NAME"] = "localhost"
                base["SERVER_PORT"] = "443" if scheme == "https" else "80"
            # Filled in at each request. Here they make the copy large enough from the start.
            for key in ("REQUEST_METHOD", "REQUEST_URI", "PATH_INFO", "QUERY_STRING"):
                base[key] = ""
            base["SERVER_PROTOCOL"] = base["REMOTE_ADDR"] = base["REMOTE_PORT"] = ""
            if len(self._bases) < MAX_BASES:
                self._bases[(local, scheme)] = base
        return base

    def _prepare(self, exchange: Exchange) -> tuple[Any, ...]:
        """Return what is the same for all requests of a connection: base, address, port, owner."""
        peer = exchange.peer
        base = self._base(exchange.local, exchange.scheme)
        if isinstance(peer, tuple):
            return base, peer[0], str(peer[1]), self
        return base, "", "", self

    def environ(self, exchange: Exchange) -> dict[str, Any]:
        """Return the environ of a request. Never switches."""
        connection = exchange.connection
        memo = connection.memo
        if memo is None or memo[3] is not self:
            connection.memo = memo = self._prepare(exchange)
        base = memo[0]
        environ: dict[str, Any] = base.copy()
        environ["REQUEST_METHOD"] = exchange.method
        environ["REMOTE_ADDR"] = memo[1]
        environ["REMOTE_PORT"] = memo[2]
        path = exchange.path
        target = exchange.target.decode("latin-1")
        environ["REQUEST_URI"] = target
        if self._mount:
            path = self._cut_mount(environ, path)
        if b"%" in path:
            environ["PATH_INFO"] = unquote_to_bytes(path).decode("latin-1")
        elif path is exchange.target:
            environ["PATH_INFO"] = target
        else:
            environ["PATH_INFO"] = path.decode("latin-1")
        if exchange.query:
            environ["QUERY_STRING"] = exchange.query.decode("latin-1")
        environ["SERVER_PROTOCOL"] = "HTTP/1.1" if exchange.version == "1.1" else "HTTP/1.0"
        if exchange.body_left():
            environ["wsgi.input"] = Input(exchange)
        if not connection.has_more():
            environ["werkzeug.socket"] = connection.sock
        if exchange.upgrade:
            environ["greenroom.exchange"] = exchange  # for websocket()
        for name, value in exchange.headers:
            key = _keys.get(name, "")
            if key == "":
                key = _new_key(name)
            if key is None:
                continue
            text = value.decode("latin-1")
            if key in environ:
                separator = "; " if key == "HTTP_COOKIE" else ","
                text = environ[key] + separator + text
            environ[key] = text
        return environ

    def _cut_mount(self, environ: dict[str, Any], path: bytes) -> bytes:
        mount = self._mount
        if path.startswith(mount) and path[len(mount) : len(mount) + 1] in (b"", b"/"):
            environ["SCRIPT_NAME"] = mount.decode("latin-1")
            return path[len(mount) :]
        return path

    def __call__(self, exchange: Exchange) -> None:
        """Answer one request."""
        response = Response(exchange)
        if exchange.upgrade:
            self._call_upgradable(exchange, response)
        else:
            self._call(exchange, response)

    def _call(self, exchange: Exchange, response: Response) -> None:
        result = self.app(self.environ(exchange), response.start)
        if type(result) is list:
            response.send(result)
            return
        try:
            response.send(result)
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()

    def _call_upgradable(self, exchange: Exchange, response: Response) -> None:
        """Call the application for a request whose connection it may take over by the socket."""
        try:
            self._call(exchange, response)
        except (ConnectionError, StopIteration):  # how Flask-Sock and Flask-SocketIO say so
            if exchange.status:
                raise
        if exchange.status == 0:
            exchange.take_over()
