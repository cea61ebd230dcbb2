"""Connected green sockets, and what a call comes to, of a stdlib socket or a green one."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import greenroom
from greenroom import _config
from greenroom.green import socket

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
