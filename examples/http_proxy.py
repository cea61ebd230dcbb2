"""An HTTP forward proxy: CONNECT for https, and plain requests, one to a connection.

python examples/http_proxy.py 3128
curl -x http://127.0.0.1:3128 https://example.org/
"""

import sys
from typing import Any
from urllib.parse import urlsplit

import greenroom
from greenroom.green import socket

LONGEST = 65536  # bytes of a request's head
HOP_BY_HOP = (b"connection", b"proxy-connection", b"keep-alive", b"proxy-authorization")


class BadRequest(Exception):
    """What the client asks for makes no sense."""


def read_head(sock: Any) -> tuple[bytes, bytes]:
    """Return a request's head, without the empty line, and what came after it."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more or len(data) > LONGEST:
            raise BadRequest("the head of the request has no end")
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def understand(head: bytes) -> tuple[str, int, bytes | None]:
    """Return host, port, and the head for the server, None for CONNECT."""
    line, *headers = head.split(b"\r\n")
    try:
        method, target, version = line.decode("ascii").split(" ")
        if method == "CONNECT":
            url = urlsplit("//" + target)
            if url.hostname is None or url.port is None:
                raise BadRequest("CONNECT wants host:port")
            return url.hostname, url.port, None
        url = urlsplit(target)
        if url.scheme != "http" or url.hostname is None:
            raise BadRequest("this is a proxy: ask for http://host/path")
        port = url.port or 80
    except ValueError as error:
        raise BadRequest(f"cannot understand {line[:200]!r}: {error}") from None
    path = (url.path or "/") + ("?" + url.query if url.query else "")
    kept = [one for one in headers if one.partition(b":")[0].strip().lower() not in HOP_BY_HOP]
    first = f"{method} {path} {version}".encode("ascii")
    return url.hostname, port, b"\r\n".join([first, *kept, b"Connection: close", b"", b""])


def copy(source: Any, target: Any) -> None:
    """Pass on what comes, and the end of it; the other direction may go on."""
    while data := source.recv(65536):
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)


def relay(one: Any, two: Any) -> None:
    """Copy both ways until both sides have ended; a broken connection ends the other too."""
    try:
        with greenroom.TaskGroup() as group:
            group.spawn(copy, one, two)
            group.spawn(copy, two, one)
    except* OSError:
        pass


def refuse(sock: Any, status: str, why: object) -> None:
    text = f"{why}\n".encode()
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
    sock.sendall(head.encode() + text)


def proxy(sock: Any, address: Any) -> None:
    """Serve one client: its request's head, then bytes both ways."""
    try:
        with greenroom.timeout(30):
            head, rest = read_head(sock)
        host, port, request = understand(head)
        target = socket.create_connection((host, port), 20)
    except BadRequest as error:
        refuse(sock, "400 Bad Request", error)
        return
    except OSError as error:
        refuse(sock, "502 Bad Gateway", error)
        return
    with target:
        target.settimeout(None)
        if request is None:
            sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            request = b""
        target.sendall(request + rest)
        relay(sock, target)


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 3128
    with greenroom.TCPServer(("127.0.0.1", port), proxy, limit=1000) as server:
        print("listening on {}:{}".format(*server.address), flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            server.stop(0)
