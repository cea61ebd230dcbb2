"""Uncompiled twin of fastsocket.pyx: the calls as socketcalls.py has them.      layer: green"""

from __future__ import annotations

from greenroom.green.socketcalls import (
    recv,
    recv_by,
    recv_into,
    send,
    send_by,
    sendall,
    sendfile_by,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "recv",
    "recv_by",
    "recv_into",
    "recv_into_now",
    "recv_now",
    "send",
    "send_by",
    "send_now",
    "sendall",
    "sendfile_by",
    "usable",
]


def recv_now(sock: Any, bufsize: int, /) -> bytes | None:
    """recv(2) that never waits, of a socket with the timeout 0: None if nothing has come."""
    try:
        return sock.recv(bufsize)  # type: ignore[no-any-return]
    except (BlockingIOError, InterruptedError):
        return None


def recv_into_now(sock: Any, buffer: Any, /) -> int | None:
    """recv(2) into a writable buffer, never waits: None if nothing has come."""
    try:
        return sock.recv_into(buffer)  # type: ignore[no-any-return]
    except (BlockingIOError, InterruptedError):
        return None


def send_now(sock: Any, data: Any, /) -> int:
    """send(2) that never waits: returns how many bytes were taken, 0 if there is no room."""
    try:
        return sock.send(data)  # type: ignore[no-any-return]
    except (BlockingIOError, InterruptedError):
        return 0


def usable() -> bool:
    """Return True: these always work."""
    return True
