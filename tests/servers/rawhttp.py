"""A client that sends bytes as they are, and reads responses as far as it must."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import greenroom
from greenroom.green.socket import create_connection
from greenroom.servers.http import Exchange, HTTPServer
from greenroom.servers.wsgi import WSGIApplication

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def hello(exchange: Exchange) -> None:
    """Answer with what was asked."""
    body = exchange.read()
    exchange.start(200, None, [(b"Content-Type", b"text/plain")])
    exchange.finish(exchange.method.encode() + b" " + exchange.target + b" " + body)


@contextmanager
def serving(application: Callable[[Exchange], object] = hello, **options: Any) -> Iterator[Any]:
    """Run an HTTPServer; the value is its address."""
    server = HTTPServer(("127.0.0.1", 0), application, **options)
    server.start()
    try:
        yield server
    finally:
        server.stop(0)
        greenroom.sleep(0)  # what was spawned to send a pipelined response, and was not needed


@contextmanager
def serving_wsgi(app: Any, **options: Any) -> Iterator[Any]:
    """Run an HTTPServer for a WSGI application."""
    with serving(WSGIApplication(app), **options) as server:
        yield server


class Client:
    """A connection to a server."""

    def __init__(self, server: Any) -> None:
        self.sock = create_connection(server.address)
        self.buffer = b""

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *error: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def rest(self) -> bytes:
        """Read to the end of the stream; a reset is an end too."""
        while data := self.some():
            self.buffer += data
        found, self.buffer = self.buffer, b""
        return found

    def some(self) -> bytes:
        try:
            return self.sock.recv(65536)
        except ConnectionResetError:
            return b""

    def more(self) -> None:
        data = self.some()
        if not data:
            raise EOFError(f"the stream ended after {self.buffer!r}")
        self.buffer += data

    def response(self, has_body: bool = True) -> tuple[int, dict[bytes, bytes], bytes]:
        """Read one response: status, headers with names in lower case, body."""
        while b"\r\n\r\n" not in self.buffer:
            self.more()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        status = int(first.split(b" ")[1])
        headers = {name.lower(): value for name, value in (line.split(b": ", 1) for line in lines)}
        body = b""
        if has_body and b"content-length" in headers:
            size = int(headers[b"content-length"])
            while len(self.buffer) < size:
                self.more()
            body, self.buffer = self.buffer[:size], self.buffer[size:]
        elif has_body and b"transfer-encoding" in headers:
            while True:
                while b"\r\n" not in self.buffer:
                    self.more()
                line, _, self.buffer = self.buffer.partition(b"\r\n")
                size = int(line, 16)
                while len(self.buffer) < size + 2:
                    self.more()
                body += self.buffer[:size]
                assert self.buffer[size : size + 2] == b"\r\n"
                self.buffer = self.buffer[size + 2 :]
                if not size:
                    break
        return status, headers, body


def ask(server: Any, data: bytes, *, half_close: bool = False) -> bytes:
    """Send data on a new connection; return all that comes until the server closes."""
    with Client(server) as client, greenroom.timeout(60):
        client.send(data)
        if half_close:
            client.sock.shutdown(1)
        return client.rest()


def statuses(data: bytes) -> list[int]:
    """Return the statuses of the responses in data."""
    return [int(found) for found in re.findall(rb"(?:^|(?<=[^:]))HTTP/1\.1 ([0-9]{3}) ", data)]
