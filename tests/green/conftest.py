"""Connected green sockets, and what a call comes to, of a stdlib socket or a green one."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import greenroom
from greenroom import _config
from greenroom.green import socket, ssl

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two connected Unix stream sockets."""
    one, two = socket.socketpair()
    with one, two:
        yield one, two


@pytest.fixture
def tcp() -> Iterator[Pair]:
    """A TCP connection over loopback: the client's end, the server's end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    with client, server:
        yield client, server


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A TCP socket that listens on a free port of 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


TLSPair = tuple[ssl.SSLSocket, ssl.SSLSocket]


@pytest.fixture
def server_context(certificate) -> ssl.SSLContext:
    """A context for the server's end."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.file, certificate.key)
    return context


@pytest.fixture
def client_context(certificate) -> ssl.SSLContext:
    """A context for the client's end, which trusts the server."""
    return ssl.create_default_context(cafile=certificate.file)


@pytest.fixture
def tls(pair, client_context, server_context) -> Iterator[TLSPair]:
    """A TLS connection: the client's end, the server's end."""
    client, server = shake_hands(pair, client_context, server_context)
    with client, server:
        yield client, server


def shake_hands(pair: Pair, client_context, server_context, **options: Any) -> TLSPair:
    """Put TLS on two connected sockets; options are those of the client's wrap_socket()."""
    accepting = greenroom.spawn(server_context.wrap_socket, pair[1], True)
    options.setdefault("server_hostname", "localhost")
    client = client_context.wrap_socket(pair[0], **options)
    return client, accepting.result()


def settle() -> None:
    """Let every task go as far as it can: the scheduler looks at I/O every so many switches."""
    for _ in range(3 * _config.POLL_INTERVAL):
        greenroom.sleep(0)


def outcome(call: Callable[..., Any], *args: Any) -> tuple[Any, ...]:
    """Return what call does, in a form that can be compared: its value, or its error in full."""
    try:
        return "returned", call(*args)
    except Exception as error:
        return "raised", type(error), error.args
