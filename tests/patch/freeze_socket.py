"""Calls of the part "socket" that wait, for the freeze test."""

import _socket
import itertools
import os
import socket
import tempfile
from collections.abc import Callable
from typing import Any

from .freeze_help import fill, later, read_later, write_later

_connect, _accept = _socket.socket.connect, _socket.socket._accept  # type: ignore[attr-defined]
_numbers = itertools.count()
_kept: list[object] = []  # sockets, until the child ends


def pair() -> tuple[socket.socket, socket.socket]:
    found = socket.socketpair()
    _kept.append(found)
    return found


def receive(call: Callable[[socket.socket], object]) -> Callable[[], None]:
    """Receive what comes later."""

    def run() -> None:
        ours, theirs = pair()
        write_later(theirs.fileno())
        call(ours)

    return run


def send(call: Callable[[socket.socket], object]) -> Callable[[], None]:
    """Send where there is no room until later."""

    def run() -> None:
        ours, theirs = pair()
        size = fill(ours.fileno())
        read_later(theirs.fileno(), size)
        call(ours)

    return run


def sendto() -> None:
    """Over TCP, which takes an address and ignores it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        ours = socket.create_connection(address)
        theirs, _ = listener.accept()
    _kept.append((ours, theirs))
    fill(ours.fileno())
    read_later(theirs.fileno(), 1 << 20)
    while ours.fileno() >= 0 and ours.sendto(b"x" * 4096, address) == 4096:
        break


def sendfile(ours: Any) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"x" * 1000)
        file.flush()
        ours._sendfile_use_sendfile(file)


def full_listener() -> tuple[socket.socket, str]:
    """A Unix listener that takes no more connections until later, and its address."""
    address = f"\0freeze-{os.getpid()}-{next(_numbers)}"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(0)
    first = socket.socket(socket.AF_UNIX)
    first.connect(address)
    _kept.append((listener, first))
    later(_accept, listener)
    return listener, address


def connect() -> None:
    _, address = full_listener()
    with socket.socket(socket.AF_UNIX) as ours:
        ours.connect(address)


def connect_ex() -> None:
    _, address = full_listener()
    with socket.socket(socket.AF_UNIX) as ours:
        assert ours.connect_ex(address) == 0


def accept() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = _socket.socket()
        _kept.append(client)
        later(_connect, client, listener.getsockname())
        listener.accept()


FREEZE: dict[str, Callable[[], None]] = {
    "socket:socket._accept": accept,
    "socket:socket._sendfile_use_sendfile": send(sendfile),
    "socket:socket.connect": connect,
    "socket:socket.connect_ex": connect_ex,
    "socket:socket.recv": receive(lambda ours: ours.recv(10)),
    "socket:socket.recv_into": receive(lambda ours: ours.recv_into(bytearray(10))),
    "socket:socket.recvfrom": receive(lambda ours: ours.recvfrom(10)),
    "socket:socket.recvfrom_into": receive(lambda ours: ours.recvfrom_into(bytearray(10))),
    "socket:socket.recvmsg": receive(lambda ours: ours.recvmsg(10)),
    "socket:socket.recvmsg_into": receive(lambda ours: ours.recvmsg_into([bytearray(10)])),
    "socket:socket.send": send(lambda ours: ours.send(b"x")),
    "socket:socket.sendall": send(lambda ours: ours.sendall(b"x")),
    "socket:socket.sendmsg": send(lambda ours: ours.sendmsg([b"x"])),
    "socket:socket.sendto": sendto,
}

NEVER_WAIT = {
    "socket:socket.__init__": "makes an fd",
    "socket:socket._real_close": "tells who waits",
    "socket:socket.detach": "tells who waits",
}
