"""What makes a socket class green: its methods, for patching and our own class.  layer: green

The names are those of socket.socket.
"""

import functools
from collections.abc import Callable
from typing import Any

from greenroom.green import fastsocket, socketcalls

_fast: Any = fastsocket if fastsocket.usable() else socketcalls

_accept = socketcalls.accept_fd
_real_close = socketcalls.real_close
_sendfile_use_sendfile = socketcalls.sendfile_in_kernel
connect = socketcalls.connect
connect_ex = socketcalls.connect_ex
detach = socketcalls.detach
recv = _fast.recv
recv_into = _fast.recv_into
recvfrom = socketcalls.recvfrom
recvfrom_into = socketcalls.recvfrom_into
recvmsg = socketcalls.recvmsg
recvmsg_into = socketcalls.recvmsg_into
send = _fast.send
sendall = _fast.sendall
sendmsg = socketcalls.sendmsg
sendto = socketcalls.sendto

METHODS = (
    "_accept",
    "_real_close",
    "_sendfile_use_sendfile",
    "connect",
    "connect_ex",
    "detach",
    "recv",
    "recv_into",
    "recvfrom",
    "recvfrom_into",
    "recvmsg",
    "recvmsg_into",
    "send",
    "sendall",
    "sendmsg",
    "sendto",
)


def init_after(original: Callable[..., None]) -> Callable[..., None]:
    """Wrap socket.socket.__init__: a new fd number has no past."""
    if hasattr(original, "tells_the_poller"):
        return original  # green.socket's class is made of one that is patched already
    new_fd = socketcalls.init

    @functools.wraps(original)
    def __init__(
        self: Any, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None
    ) -> None:
        original(self, family, type, proto, fileno)
        new_fd(self, family, type, proto, fileno)

    __init__.tells_the_poller = True  # type: ignore[attr-defined]
    return __init__
