"""A connection's handler in plain blocking code, the same for greenroom, gevent and threads."""

import socket

from listener import RECV_SIZE


def echo(conn: socket.socket) -> None:
    """Send back what comes until the client closes; then close."""
    conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with conn:
        while data := conn.recv(RECV_SIZE):
            conn.sendall(data)
