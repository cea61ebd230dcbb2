"""A SOCKS5 proxy (RFC 1928): CONNECT, without authentication, to IPv4, IPv6 and names.

python examples/socks5_proxy.py 1080
curl --socks5-hostname 127.0.0.1:1080 https://example.org/
"""

import errno
import struct
import sys
from typing import Any

import greenroom
from greenroom.green import socket

OK, FAILED, NETWORK, HOST, REFUSED, COMMAND, ADDRESS = 0, 1, 3, 4, 5, 7, 8
REASONS = {errno.ENETUNREACH: NETWORK, errno.EHOSTUNREACH: HOST, errno.ECONNREFUSED: REFUSED}


def read(sock: Any, count: int) -> bytes:
    """Return exactly count bytes."""
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            raise ConnectionError("the client left in the middle of a request")
        data += more
    return data


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


def answer(sock: Any, code: int) -> None:
    """Tell the client what came of its request. The address in it is of no use to anyone."""
    sock.sendall(struct.pack("!BBBB4sH", 5, code, 0, 1, bytes(4), 0))


def proxy(sock: Any, address: Any) -> None:
    """Serve one client: greeting, request, then bytes both ways."""
    with greenroom.timeout(30):
        version, methods = read(sock, 2)
        if version != 5:
            return
        if 0 not in read(sock, methods):
            sock.sendall(b"\5\xff")  # none of the client's ways to authenticate
            return
        sock.sendall(b"\5\0")
        _, command, _, kind = read(sock, 4)
        if kind == 1:
            host = socket.inet_ntop(socket.AF_INET, read(sock, 4))
        elif kind == 3:
            host = read(sock, read(sock, 1)[0]).decode("idna")
        elif kind == 4:
            host = socket.inet_ntop(socket.AF_INET6, read(sock, 16))
        else:
            answer(sock, ADDRESS)
            return
        port = int.from_bytes(read(sock, 2), "big")
        if command != 1:
            answer(sock, COMMAND)
            return
        try:
            target = socket.create_connection((host, port), 20)
        except OSError as error:
            answer(sock, REASONS.get(error.errno or 0, FAILED))
            return
    with target:
        target.settimeout(None)
        answer(sock, OK)
        relay(sock, target)


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 1080
    with greenroom.TCPServer(("127.0.0.1", port), proxy, limit=1000) as server:
        print("listening on {}:{}".format(*server.address), flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            server.stop(0)
