"""HTTP/1.1 without I/O: request heads, chunked bodies, response heads.          layer: servers

llhttp, by httptools, reads the head of a request. It is strict by itself: bare CR or LF, obsolete
folding, NUL and control characters, spaces before a colon, bad or duplicate Content-Length, and
Content-Length beside Transfer-Encoding are errors there. What it lets through is refused here:
anything but one space between method, target and version; other versions than 1.0 and 1.1, and
none; RTSP and ICE; a fragment; a missing, repeated or malformed Host; a Transfer-Encoding that is
not `chunked` and nothing else, or that comes from a 1.0 client.

httptools never says where in the data a message ended. What follows a request in the same packet
is the next request, or belongs to who takes the connection over, so the place must be known. Hence:
- llhttp is given one head at a time, which ends at the first empty line. As it refuses bare CR and
  LF, there is no second opinion on where that is.
- Bodies do not pass through it: a length is counted, and chunks are decoded here.
- Its parser can be used again after a request without a body; after others it waits for one, and is
  dropped. To make one costs 0.7 us.

Names are looked up in dicts by the bytes as they came: a known name costs no checking, no lower()
and no new object. The dicts take a bounded number of names from strangers.
"""

import re
from email.utils import formatdate
from http import HTTPStatus
from time import time
from typing import Any

try:
    import httptools
except ImportError as error:  # pragma: no cover
    raise ImportError(
        "the HTTP server needs the package httptools: pip install 'greenroom[http]'"
    ) from error

from greenroom.core.timers import FOREVER

_Llhttp = httptools.HttpRequestParser
_Upgrade = httptools.HttpParserUpgrade
_ParserError = httptools.HttpParserError
_UnknownMethod = httptools.HttpParserInvalidMethodError

# Names and status lines kept for reuse. Real traffic uses some dozens; the rest is attacks.
MAX_NAMES = 1024

# Bytes that chunk sizes and extensions may cost beyond what the data explains (Go: 16 KiB too).
MAX_CHUNK_EXCESS = 16 * 1024
MAX_CHUNK_LINE = 1024

# What a header means to the server.
PLAIN, HOST, LENGTH, CODING, CONNECTION, EXPECT, UPGRADE, DATE, SERVER, DROPPED = range(10)

_REQUEST_KINDS = {
    b"host": HOST,
    b"content-length": LENGTH,
    b"transfer-encoding": CODING,
    b"connection": CONNECTION,
    b"expect": EXPECT,
    b"upgrade": UPGRADE,
}
_RESPONSE_KINDS = {
    b"content-length": LENGTH,
    b"transfer-encoding": DROPPED,  # the server's own business (PEP 3333, RFC 9112 6.1)
    b"keep-alive": DROPPED,
    b"connection": CONNECTION,
    b"date": DATE,
    b"server": SERVER,
}

# RFC 9110 5.6.2
_TOKEN_CHARS = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.%a-zA-Z_~-]+\]|[0-9A-Za-z._~!$&'()*+;=%-]*)(?::[0-9]*)?")
_ABSOLUTE = re.compile(rb"(https?)://([^/?#]+)(.*)", re.IGNORECASE | re.DOTALL)
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
_FIELD_LINE = re.compile(
    rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*((?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*"
    rb"[\x21-\x7e\x80-\xff])?)?)[ \t]*"
)
# In a head that has not come whole: what no continuation can make right.
_HOPELESS = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n|\r(?=[^\n])|\n[ \t]")

_METHODS = {
    name.encode(): name
    for name in [
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "DELETE",
        "CONNECT",
        "OPTIONS",
        "TRACE",
        "PATCH",
        "COPY",
        "LOCK",
        "MKCOL",
        "MOVE",
        "PROPFIND",
        "PROPPATCH",
        "SEARCH",
        "UNLOCK",
        "BIND",
        "REBIND",
        "UNBIND",
        "ACL",
        "REPORT",
        "MKACTIVITY",
        "CHECKOUT",
        "MERGE",
        "NOTIFY",
        "SUBSCRIBE",
        "UNSUBSCRIBE",
        "PURGE",
        "MKCALENDAR",
        "LINK",
        "UNLINK",
        "QUERY",
    ]
}


class BadRequest(Exception):
    """A request that is refused: its status, and one sentence for the client."""

    status: int
    text: str

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text

    def __str__(self) -> str:
        return f"{self.status}: {self.text}"


class Name:
    """The name of a header: in lower case, as bytes to send, and what it means here."""

    lower: bytes
    prefix: bytes
    kind: int

    def __init__(self, lower: bytes, prefix: bytes, kind: int) -> None:
        self.lower = lower
        self.prefix = prefix
        self.kind = kind


_request_names: dict[bytes, Name] = {}
_response_names: dict[bytes, Name] = {}
_status_lines: dict[object, bytes] = {}


def is_token(name: bytes) -> bool:
    """Tell whether name is a token, as methods and header names are. Never switches."""
    return len(name) > 0 and not name.translate(None, _TOKEN_CHARS)


def _new_request_name(name: bytes) -> Name:
    lower = name.lower()
    known = Name(lower, name, _REQUEST_KINDS.get(lower, PLAIN))
    if len(_request_names) < MAX_NAMES:
        _request_names[name] = known
    return known


def _new_response_name(name: bytes) -> Name:
    if not is_token(name):
        raise ValueError(f"cannot send the header {name!r}: a name is letters, digits and -._~!")
    lower = name.lower()
    known = Name(lower, b"\r\n" + name + b": ", _RESPONSE_KINDS.get(lower, PLAIN))
    if len(_response_names) < MAX_NAMES:
        _response_names[name] = known
    return known


class RequestParser:
    """Reads the head of one request after another.

    method      str, upper case
    target      bytes as they came; path and query: its parts, percent-encoded
    version     "1.1" or "1.0"
    headers     list of (name in lower case, value), bytes, in the order they came
    length      bytes of the body, 0: none, -1: chunked
    keep_alive  the client wants to use the connection again
    expects     the client waits for 100 Continue before it sends the body
    upgrade     the client offers another protocol, in the header Upgrade
    """

    max_head_bytes: int
    max_headers: int
    max_target_bytes: int
    method: str
    target: bytes
    path: bytes
    query: bytes
    version: str
    headers: list[tuple[bytes, bytes]]
    length: int
    keep_alive: bool
    expects: bool
    upgrade: bool

    def __init__(
        self, max_head_bytes: int = 32768, max_headers: int = 100, max_target_bytes: int = 8190
    ) -> None:
        self.max_head_bytes = max_head_bytes
        self.max_headers = max_headers
        self.max_target_bytes = max_target_bytes
        self._llhttp: Any = None
        self._good_host = b""  # most requests ask for the same
        self.headers = []
        self._forget()

    def _forget(self) -> None:
        self._host: bytes | None = None
        self._hosts = 0
        self._length: bytes | None = None
        self._coding: bytes | None = None
        self._expect: bytes | None = None
        self._close = self._keep = self._upgrades = self._offers = False
        self._begun_body = self._complete = False

    def parse(self, data: bytes, start: int, seen: int = 0) -> int:
        """Read the head that begins at start; return where it ends, or -1 if it is not all there.

        seen      bytes of data that an earlier call has looked at, in vain

        Raises    BadRequest: the connection must be closed after it was told
        Switches  never
        """
        if data.startswith(b"\r\n", start):
            start += 2  # one empty line, which old clients send after a body (RFC 9112 2.2)
        end = data.find(b"\r\n\r\n", max(start, seen - 3))
        if end < 0:
            self._check_part(data, start, max(start, seen - 1))
            return -1
        end += 4
        if end - start > self.max_head_bytes:
            self._refuse_size(data, start)
        line = data[start : data.find(b"\r\n", start)].split(b" ")
        if len(line) != 3:
            raise BadRequest(400, "The request line must be METHOD target HTTP/1.1.")
        method = _METHODS.get(line[0], "")
        if not method:
            self._refuse_method(line[0], line[2])
        if line[2] == b"HTTP/1.1":
            self.version = "1.1"
        elif line[2] == b"HTTP/1.0":
            self.version = "1.0"
        else:
            self._refuse_version(line[2])
        self.method = method
        self.target = line[1]
        if len(self.target) > self.max_target_bytes:
            raise BadRequest(414, "The request target is too long.")
        self.headers = []
        self._forget()
        parser = self._llhttp
        if parser is None:
            parser = _Llhttp(self)
        self._llhttp = None  # an error leaves it of no use
        if start or end != len(data):
            self._feed(parser, data[start:end])
        else:
            self._feed(parser, data)
        if not self._begun_body:
            raise BadRequest(400, "The head of the request is malformed.")
        if len(self.headers) > self.max_headers:
            raise BadRequest(431, "The request has too many headers.")
        self._judge()
        if self._complete and self.keep_alive and not self.upgrade and parser.should_keep_alive():
            self._llhttp = parser
        return end

    def _feed(self, parser: Any, head: bytes) -> None:
        try:
            parser.feed_data(head)
        except _Upgrade:
            self._complete = False  # llhttp's, of this message: it is not for reuse
        except _UnknownMethod:
            raise BadRequest(501, "This method is not known here.") from None
        except _ParserError as error:
            raise BadRequest(400, f"{str(error).rstrip('.')}.") from None

    def on_header(self, name: bytes, value: bytes) -> None:
        """llhttp's: one header has been read."""
        known = _request_names.get(name)
        if known is None:
            known = _new_request_name(name)
        size = len(value)
        if size and value[size - 1] <= 32:  # llhttp leaves the white space after a value
            value = value.rstrip(b" \t")
        self.headers.append((known.lower, value))
        if known.kind != PLAIN:
            self._note(known.kind, value)

    def on_headers_complete(self) -> None:
        """llhttp's: the empty line has been read."""
        self._begun_body = True

    def on_message_complete(self) -> None:
        """llhttp's: there is no body, or none that it expects."""
        self._complete = True

    def _note(self, kind: int, value: bytes) -> None:
        if kind == HOST:
            self._hosts += 1
            self._host = value
        elif kind == CONNECTION:
            for token in value.lower().split(b","):
                token = token.strip(b" \t")
                if token == b"close":
                    self._close = True
                elif token == b"keep-alive":
                    self._keep = True
                elif token == b"upgrade":
                    self._upgrades = True
        elif kind == UPGRADE:
            self._offers = True
        elif kind == LENGTH:
            if self._length is not None:
                raise ValueError("Content-Length twice")
            self._length = value
        elif kind == CODING:
            self._coding = value if self._coding is None else self._coding + b"," + value
        elif kind == EXPECT:
            self._expect = value if self._expect is None else self._expect + b"," + value

    def _judge(self) -> None:
        """Decide what the head means; refuse what is ambiguous."""
        old = self.version == "1.0"
        self._judge_target()
        if self._hosts != 1 and (self._hosts or not old):
            raise BadRequest(400, "The request must have one Host header.")
        if self._host and self._host != self._good_host:
            if _HOST.fullmatch(self._host) is None:
                raise BadRequest(400, "The Host header is malformed.")
            self._good_host = self._host
        self.keep_alive = not self._close and (self._keep or not old)
        self.upgrade = self._upgrades and self._offers and not old
        self.expects = False
        if self._expect is not None and not old:
            if self._expect.lower() != b"100-continue":
                raise BadRequest(417, "Only 100-continue can be expected.")
            self.expects = True
        if self._coding is not None:
            # Exactly this: whatever else two servers could read differently (RFC 9112 6.1).
            if old or self._length is not None or self._coding.lower() != b"chunked":
                raise BadRequest(400, "Transfer-Encoding must be chunked, alone, in HTTP/1.1.")
            self.length = -1
        elif self._length is not None:
            digits = self._length
            if not digits.isdigit() or len(digits) > 18:
                raise BadRequest(400, "Content-Length must be a number of bytes.")
            self.length = int(digits)
        else:
            self.length = 0

    def _judge_target(self) -> None:
        target = self.target
        if target.startswith(b"/") and self.method != "CONNECT":
            cut = target.find(b"?")
            if cut < 0:
                self.path = target
                self.query = b""
            else:
                self.path = target[:cut]
                self.query = target[cut + 1 :]
        elif self.method == "CONNECT":
            if _HOST.fullmatch(target) is None or b":" not in target:
                raise BadRequest(400, "The target of CONNECT must be host:port.")
            self.path = self.query = b""
        elif target == b"*" and self.method == "OPTIONS":
            self.path = target
            self.query = b""
        else:
            self._judge_absolute(target)
        if b"#" in target:
            raise BadRequest(400, "The request target must not have a fragment.")

    def _judge_absolute(self, target: bytes) -> None:
        """http://host/path: the host in it is the one that counts (RFC 9112 3.2.2)."""
        match = _ABSOLUTE.fullmatch(target)
        if match is None or _HOST.fullmatch(match[2]) is None:
            raise BadRequest(400, "The request target must begin with / or http://.")
        self.path, _, self.query = match[3].partition(b"?")
        self.path = self.path or b"/"
        self.headers = [
            (name, match[2] if name == b"host" else value) for name, value in self.headers
        ]

    # --- refusals

    def _check_part(self, data: bytes, start: int, unseen: int) -> None:
        """Refuse the beginning of a head that no continuation can make right."""
        if len(data) - start > self.max_head_bytes:
            self._refuse_size(data, start)
        if _HOPELESS.search(data, unseen) is not None:
            raise BadRequest(400, "The head of the request is malformed.")

    def _refuse_size(self, data: bytes, start: int) -> None:
        line = data.find(b"\r\n", start)
        if line < 0 or line - start > self.max_target_bytes:
            raise BadRequest(414, "The request line is too long.")
        raise BadRequest(431, "The headers of the request are too large.")

    def _refuse_method(self, method: bytes, version: bytes) -> None:
        if method == b"PRI" and version == b"HTTP/2.0":
            self._refuse_version(version)
        if is_token(method) and method.isupper() and version in (b"HTTP/1.1", b"HTTP/1.0"):
            raise BadRequest(501, "This method is not known here.")
        raise BadRequest(400, "The method is malformed.")

    def _refuse_version(self, version: bytes) -> None:
        if re.fullmatch(rb"HTTP/[0-9]\.[0-9]", version) is not None:
            raise BadRequest(505, "This server speaks HTTP/1.1 and HTTP/1.0.")
        raise BadRequest(400, "The request line must end in HTTP/1.1.")


_SIZE, _DATA, _DATA_END, _TRAILERS = range(4)


class ChunkDecoder:
    """Takes a chunked body apart (RFC 9112 7.1).

    done      the body has ended
    place     where in the data of the last decode() the rest begins; all of it was used otherwise
    trailers  list of (name in lower case, value) that came after the body
    """

    done: bool
    place: int
    trailers: list[tuple[bytes, bytes]]

    def __init__(self, max_trailer_bytes: int = 32768) -> None:
        self.done = False
        self.place = 0
        self.trailers = []
        self._state = _SIZE
        self._left = 0
        self._line = b""
        self._excess = 0
        self._room = max_trailer_bytes

    def decode(self, data: bytes, start: int) -> bytes:
        """Return the body that data brings from start on, b"" if none. See done and place.

        Raises    BadRequest
        Switches  never
        """
        pieces: list[bytes] = []
        place = start
        size = len(data)
        while place < size and not self.done:
            if self._state == _DATA:
                count = min(self._left, size - place)
                pieces.append(data[place : place + count])
                place += count
                self._left -= count
                if self._left == 0:
                    self._state = _DATA_END
                continue
            end = data.find(b"\n", place)
            if end < 0:
                self._line += data[place:]
                place = size
                if len(self._line) > (
                    self._room if self._state == _TRAILERS else MAX_CHUNK_LINE
                ) or (self._state == _DATA_END and self._line != b"\r"):
                    raise BadRequest(400, "A chunk of the body is malformed.")
                break
            line = self._line + data[place : end + 1]
            self._line = b""
            place = end + 1
            if not line.endswith(b"\r\n"):
                raise BadRequest(400, "A chunk of the body is malformed.")
            self._take_line(line[: len(line) - 2])
        self.place = place
        if len(pieces) == 1:
            return pieces[0]
        return b"".join(pieces)

    def _take_line(self, line: bytes) -> None:
        if self._state == _DATA_END:
            if line:
                raise BadRequest(400, "A chunk of the body is longer than its size says.")
            self._state = _SIZE
        elif self._state == _SIZE:
            match = _CHUNK_LINE.fullmatch(line) if len(line) <= MAX_CHUNK_LINE else None
            if match is None:
                raise BadRequest(400, "The size of a chunk of the body is malformed.")
            digits = match[1]
            self._left = int(digits, 16) if len(digits) <= 15 else -1
            if self._left < 0:
                raise BadRequest(400, "The size of a chunk of the body is malformed.")
            self._excess = max(0, self._excess + len(line) - 16 - 2 * min(self._left, 65536))
            if self._excess > MAX_CHUNK_EXCESS:
                raise BadRequest(400, "The chunks of the body have too many extensions.")
            self._state = _DATA if self._left else _TRAILERS
        elif not line:
            self.done = True
        else:
            self._room -= len(line) + 2
            match = _FIELD_LINE.fullmatch(line)
            if match is None or self._room < 0:
                raise BadRequest(400, "The trailers of the body are malformed.")
            self.trailers.append((match[1].lower(), match[2]))


class ResponseHead:
    """What a response's head says, read once: the lines to send, and what concerns the server.

    lines     b"\\r\\nName: value" for each header that is sent
    length    the Content-Length, -1: none given
    close     the application wants the connection closed
    """

    lines: bytes
    length: int
    close: bool

    def __init__(self, headers: "list[tuple[bytes, bytes]]") -> None:
        """Raises ValueError: a name or a value that cannot be sent."""
        self._take(headers)

    def _take(self, headers: "list[tuple[bytes, bytes]]") -> None:
        parts: list[bytes] = []
        count = 0
        self.length = -1
        self.close = self._has_date = self._has_server = self._upgrade = False
        for name, value in headers:
            known = _response_names.get(name)
            if known is None:
                known = _new_response_name(name)
            if known.kind != PLAIN and not self._note(known.kind, value):
                continue
            parts.append(known.prefix)
            parts.append(value)
            count += 1
        self.lines = lines = b"".join(parts)
        # Every CR and LF must be one of ours: else a value has brought its own.
        if lines.count(b"\r") != count or lines.count(b"\n") != count or b"\0" in lines:
            self._refuse(headers)

    def _note(self, kind: int, value: bytes) -> bool:
        """Note a header that concerns the server; return whether it is sent as it is."""
        if kind == LENGTH:
            if not value.isdigit() or len(value) > 18 or self.length >= 0:
                raise ValueError(
                    f"cannot send Content-Length {value!r}: it must be there once, and a number"
                )
            self.length = int(value)
            return False  # framing adds it
        if kind == DATE:
            self._has_date = True
        elif kind == SERVER:
            self._has_server = True
        elif kind == CONNECTION:
            lower = value.lower()
            if b"close" in lower:
                self.close = True
            if b"upgrade" in lower:
                self._upgrade = True
            return False
        elif kind == DROPPED:
            return False
        return True

    def _refuse(self, headers: "list[tuple[bytes, bytes]]") -> None:
        for name, value in headers:
            if value.translate(None, b"\r\n\0") != value:
                raise ValueError(
                    f"cannot send the header {name!r}: its value {value!r} has a line break or a "
                    "NUL in it, by which a client would be led to see other headers"
                )

    def add(self, line: bytes, length: int) -> None:
        """Add a line that is known to be right, and the Content-Length."""
        self.lines += line
        self.length = length

    def build(
        self, status: int, line: bytes, length: int, chunked: bool, keep_alive: bool, old: bool
    ) -> bytes:
        """Return the head as bytes, with its empty line.

        line        from status_line()
        length      the Content-Length to send, -1: none
        chunked     say Transfer-Encoding: chunked
        keep_alive  the connection is used again after this
        old         the client speaks HTTP/1.0
        """
        parts = [line, self.lines]
        if not self._has_date and not self._has_server:
            parts.append(date_and_server())
        else:
            if not self._has_date:
                both = date_and_server()
                parts.append(both[: len(both) - len(_SERVER_LINE)])
            if not self._has_server:
                parts.append(_SERVER_LINE)
        if length >= 0:
            parts.append(b"\r\nContent-Length: %d" % length)
        elif chunked:
            parts.append(b"\r\nTransfer-Encoding: chunked")
        if status == 101 or self._upgrade:
            parts.append(b"\r\nConnection: Upgrade\r\n\r\n")
        elif not keep_alive:
            parts.append(b"\r\nConnection: close\r\n\r\n")
        elif old:
            parts.append(b"\r\nConnection: keep-alive\r\n\r\n")
        else:
            parts.append(b"\r\n\r\n")
        return b"".join(parts)


def has_no_body(status: int) -> bool:
    """Tell whether a response with this status never has a body (RFC 9110 6.4.1)."""
    return status < 200 or status == 204 or status == 304


def status_line(status: int, reason: "bytes | None") -> bytes:
    """Return the first line of a response, without its end.

    Raises    ValueError: no status, or a reason that cannot be sent
    Switches  never
    """
    line = _status_lines.get((status, reason))
    if line is None:
        line = _new_status_line(status, reason)
        if len(_status_lines) < MAX_NAMES:
            _status_lines[(status, reason)] = line
    return line


def _new_status_line(status: int, reason: "bytes | None") -> bytes:
    if not 100 <= status <= 999:
        raise ValueError(f"cannot answer with status {status}: it must be from 100 to 999")
    if reason is None:
        try:
            reason = HTTPStatus(status).phrase.encode()
        except ValueError:
            reason = b""
    if re.fullmatch(rb"[\t\x20-\x7e\x80-\xff]*", reason) is None:
        raise ValueError(f"cannot send the reason {reason!r}: it has control characters")
    return b"HTTP/1.1 %d %s" % (status, reason)


_SERVER_LINE = b"\r\nServer: greenroom"
_date_line = b""
_date_until = -FOREVER


def date_and_server() -> bytes:
    """Return the lines of the headers Date and Server; made once a second."""
    global _date_line, _date_until
    now = time()
    if not _date_until - 1.0 <= now < _date_until:  # a clock may be set back
        second = float(int(now))
        _date_line = b"\r\nDate: " + formatdate(second, usegmt=True).encode() + _SERVER_LINE
        _date_until = second + 1.0
    return _date_line
