"""socket, as the standard library has it, with waits that park.                layer: green

For code that wants green sockets without patching anything: `from greenroom.green import socket`.
Whatever is not defined here is the standard library's own.
"""

import _socket
import contextlib
import socket as _stdlib
from typing import Any

from greenroom.green import patchable, resolver

_original_init = _stdlib.socket.__init__
_family, _type, _proto = (
    vars(_socket.socket)[name].__get__ for name in ("family", "type", "proto")
)


class socket(_stdlib.socket):  # type: ignore[misc, unused-ignore]
    """socket.socket whose waits park the task instead of blocking the thread."""

    __slots__ = ()

    def accept(self) -> "tuple[socket, Any]":
        """As socket.accept. Switches only if no connection waits."""
        fd, address = self._accept()  # type: ignore[attr-defined]
        # By the C fields: the properties make an enum of each number, of which __init__ makes ints.
        sock = socket(_family(self), _type(self), _proto(self), fileno=fd)
        if _stdlib.getdefaulttimeout() is None and self.gettimeout():
            sock.setblocking(True)
        return sock, address


socket.__init__ = patchable.init_after(_original_init)  # type: ignore[method-assign]
for _name in patchable.METHODS:
    setattr(socket, _name, getattr(patchable, _name))

SocketType = socket


def _as_green(sock: Any) -> socket:
    """Return a green socket that takes over the fd of sock."""
    timeout = sock.gettimeout()
    green = socket(sock.family, sock.type, sock.proto, fileno=sock.detach())
    green.settimeout(timeout)
    return green


def socketpair(*args: Any, **kwargs: Any) -> tuple[socket, socket]:
    """socketpair(2). Never switches."""
    one, two = _stdlib.socketpair(*args, **kwargs)
    return _as_green(one), _as_green(two)


def fromfd(fd: int, family: int, type: int, proto: int = 0) -> socket:
    """A socket on a duplicate of fd. Never switches."""
    return _as_green(_stdlib.fromfd(fd, family, type, proto))


def create_server(*args: Any, **kwargs: Any) -> socket:
    """As socket.create_server. Never switches."""
    return _as_green(_stdlib.create_server(*args, **kwargs))


def getaddrinfo(
    host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
) -> list[Any]:
    """As socket.getaddrinfo. Switches only if there is a name to look up."""
    return [
        (
            _intenum(entry[0], _stdlib.AddressFamily),
            _intenum(entry[1], _stdlib.SocketKind),
            *entry[2:],
        )
        for entry in resolver.getaddrinfo(host, port, family, type, proto, flags)
    ]


def _intenum(value: int, kind: Any) -> Any:
    with contextlib.suppress(ValueError):
        return kind(value)
    return value


gethostbyname = resolver.gethostbyname
gethostbyname_ex = resolver.gethostbyname_ex
gethostbyaddr = resolver.gethostbyaddr
getnameinfo = resolver.getnameinfo

_DEFAULT: Any = _stdlib._GLOBAL_DEFAULT_TIMEOUT  # type: ignore[attr-defined]


def create_connection(
    address: tuple[Any, Any],
    timeout: Any = _DEFAULT,
    source_address: Any = None,
    *,
    all_errors: bool = False,
) -> socket:
    """As socket.create_connection: try each address the name has until one answers.

    Switches  while it connects and looks up
    """
    errors: list[OSError] = []
    for family, kind, proto, _, target in getaddrinfo(*address, 0, _stdlib.SOCK_STREAM):
        sock = None
        try:
            sock = socket(family, kind, proto)
            if timeout is not _DEFAULT:
                sock.settimeout(timeout)
            if source_address:
                sock.bind(source_address)
            sock.connect(target)
            return sock
        except OSError as error:
            errors.append(error)
            if sock is not None:
                sock.close()
    if not errors:
        raise OSError("getaddrinfo returns an empty list")
    try:
        if all_errors:
            raise ExceptionGroup("create_connection failed", errors)
        raise errors[-1]
    finally:
        errors.clear()  # the traceback holds this frame, which holds the errors


def __getattr__(name: str) -> Any:
    return getattr(_stdlib, name)
