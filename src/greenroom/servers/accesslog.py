"""The access log: a line for each request, as common, combined or JSON.         layer: servers

Whatever a client sent is escaped: a line break or an escape sequence in a path must not forge a
line of the log, or reach the terminal of who reads it. Each line is one write(2) to a file opened
with O_APPEND, so that several processes may share it, and a crash loses none.

A log that cannot be written, as on a full disk, is said once to the logger "greenroom.servers", and
again after it has worked in between. Requests do not suffer from it; their lines are lost.
"""

from __future__ import annotations

import os
import sys
from json import dumps
from logging import getLogger
from time import gmtime, localtime, strftime, time

from greenroom.servers.http import Exchange

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_log = getLogger("greenroom.servers")


class AccessLog:
    """Writes a line for each request that is over. An HTTPServer calls it.

    file      path of a file to append to, or "-" for standard output
    format    "common", "combined" (with referrer and user agent) or "json"
    Raises    OSError: the file cannot be opened
    """

    def __init__(self, file: str | os.PathLike[str] = "-", format: str = "combined") -> None:
        lines: dict[str, Callable[[Exchange], str]] = {
            "common": common,
            "combined": combined,
            "json": as_json,
        }
        if format not in lines:
            raise ValueError(
                f"the format of an access log is one of {', '.join(lines)}, not {format!r}"
            )
        self._line = lines[format]
        self.path = os.fspath(file)
        self.lost = 0
        self._failing = False
        self._fd = -1
        self.reopen()

    def reopen(self) -> None:
        """Open the file again, after it was moved away. Never switches but on a slow disk."""
        if self.path == "-":
            fd = os.dup(sys.__stdout__.fileno() if sys.__stdout__ else 1)
        else:
            fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self.close()
        self._fd = fd

    def close(self) -> None:
        """Close the file. What comes after is lost."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __call__(self, exchange: Exchange) -> None:
        """Write the line of an exchange. Raises nothing."""
        try:
            data = self._line(exchange).encode("ascii") + b"\n"
            while data:
                data = data[os.write(self._fd, data) :]
        except (OSError, ValueError) as error:
            self.lost += 1
            if not self._failing:
                self._failing = True
                _log.error(
                    "cannot write the access log %r: %s; lines are lost until it works again",
                    self.path,
                    error,
                )
        else:
            if self._failing:
                self._failing = False
                _log.warning(
                    "the access log %r works again; %d lines were lost", self.path, self.lost
                )
                self.lost = 0


def _client(exchange: Exchange) -> str:
    peer = exchange.peer
    return str(peer[0]) if isinstance(peer, tuple) else "-"


def _safe(data: bytes) -> str:
    """Return data as ASCII without quotes or control characters: those as \\xHH (nginx's way)."""
    text = data.decode("latin-1")
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return "".join(
        char if " " <= char <= "~" and char not in '"\\' else f"\\x{ord(char):02X}" for char in text
    )


def _header(exchange: Exchange, wanted: bytes) -> str:
    for name, value in exchange.headers:
        if name == wanted:
            return _safe(value)
    return "-"


def common(exchange: Exchange) -> str:
    """Return the line of the common log format (of Apache)."""
    when = strftime("%d/%b/%Y:%H:%M:%S %z", localtime())
    request = f"{exchange.method} {_safe(exchange.target)} HTTP/{exchange.version}"
    return f'{_client(exchange)} - - [{when}] "{request}" {exchange.status} {exchange.sent or "-"}'


def combined(exchange: Exchange) -> str:
    """Return the common line, with referrer and user agent."""
    referrer, agent = _header(exchange, b"referer"), _header(exchange, b"user-agent")
    return f'{common(exchange)} "{referrer}" "{agent}"'


def as_json(exchange: Exchange) -> str:
    """Return a JSON object in one line; seconds is how long the request took."""
    now = time()
    line = {
        "time": strftime("%Y-%m-%dT%H:%M:%S", gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z",
        "client": _client(exchange),
        "method": exchange.method,
        "target": exchange.target.decode("latin-1"),
        "version": exchange.version,
        "status": exchange.status,
        "bytes": exchange.sent,
        "seconds": round(exchange.seconds, 6),
    }
    for name, key in ((b"host", "host"), (b"referer", "referrer"), (b"user-agent", "user_agent")):
        for found, value in exchange.headers:
            if found == name:
                line[key] = value.decode("latin-1")
                break
    return dumps(line)
