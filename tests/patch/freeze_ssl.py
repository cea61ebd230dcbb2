"""Calls of the part "ssl" that wait, for the freeze test.

The certificate is in the file that FREEZE_CERTIFICATE names.
"""

import os
import socket
import ssl
from collections.abc import Callable
from functools import cache
from typing import Any

import greenroom

from .freeze_help import linger


@cache
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The client's and the server's."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(os.environ["FREEZE_CERTIFICATE"])
    return client, server


def client_of(server_does: Callable[[ssl.SSLSocket], object]) -> Any:
    """The client's plain socket; the server, in a task, does something at once."""
    one, two = socket.socketpair()

    def serve() -> None:
        with contexts()[1].wrap_socket(two, True, do_handshake_on_connect=False) as server:
            server_does(server)

    greenroom.spawn(serve)
    return one


def wrap(one: socket.socket, handshake: bool = True) -> ssl.SSLSocket:
    return contexts()[0].wrap_socket(one, do_handshake_on_connect=handshake)


def slow_handshake(server: ssl.SSLSocket) -> None:
    linger()
    server.do_handshake()


def wrap_socket() -> None:
    wrap(client_of(slow_handshake)).close()


def do_handshake() -> None:
    with wrap(client_of(slow_handshake), False) as client:
        client.do_handshake()


def receive(call: Callable[[ssl.SSLSocket], object]) -> Callable[[], None]:
    def serve(server: ssl.SSLSocket) -> None:
        server.do_handshake()
        linger()
        server.sendall(b"x")

    def run() -> None:
        with wrap(client_of(serve)) as client:
            call(client)

    return run


SIZE = 2_000_000  # more than both sockets' buffers hold


def send(call: Callable[[ssl.SSLSocket], object]) -> Callable[[], None]:
    def serve(server: ssl.SSLSocket) -> None:
        server.do_handshake()
        linger()
        left = SIZE
        while left:
            left -= len(server.recv(left))

    def run() -> None:
        with wrap(client_of(serve)) as client:
            call(client)

    return run


def send_all_by(call: Callable[[bytes], int]) -> None:
    left = SIZE
    while left:
        left -= call(b"x" * min(left, 100_000))


def unwrap() -> None:
    def serve(server: ssl.SSLSocket) -> None:
        server.do_handshake()
        server.sendall(b"x")
        linger()
        server.unwrap()

    with wrap(client_of(serve)) as client:
        assert client.recv(1) == b"x"
        client.unwrap().close()


FREEZE: dict[str, Callable[[], None]] = {
    "ssl:SSLContext._wrap_socket": wrap_socket,
    "ssl:SSLSocket.do_handshake": do_handshake,
    "ssl:SSLSocket.read": receive(lambda client: client.read(10)),
    "ssl:SSLSocket.recv": receive(lambda client: client.recv(10)),
    "ssl:SSLSocket.recv_into": receive(lambda client: client.recv_into(bytearray(10))),
    "ssl:SSLSocket.send": send(lambda client: send_all_by(client.send)),
    "ssl:SSLSocket.sendall": send(lambda client: client.sendall(b"x" * SIZE)),
    "ssl:SSLSocket.write": send(lambda client: send_all_by(client.write)),
    "ssl:SSLSocket.unwrap": unwrap,
}

NEVER_WAIT = {
    "ssl:SSLSocket.detach": "tells who waits",
    "ssl:SSLSocket.setblocking": "sets a flag",
    "ssl:SSLSocket.settimeout": "sets a number",
}
