"""gevent.socket: the standard library's names with green sockets.               layer: compat"""

from typing import Any

from greenroom.green import socket as _green
from greenroom.green.socket import create_connection, create_server, fromfd, socket, socketpair

__all__ = ["create_connection", "create_server", "fromfd", "socket", "socketpair"]


def __getattr__(name: str) -> Any:
    return getattr(_green, name)
