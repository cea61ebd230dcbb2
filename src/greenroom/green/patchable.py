"""What makes a socket class green: one dict, for patching and our own class.    layer: green"""

import functools
from collections.abc import Callable
from typing import Any

from greenroom.green import fastsocket, socketcalls


def socket_methods(original_init: Callable[..., None]) -> dict[str, Any]:
    """Return the methods to set on socket.socket, or on a subclass of it."""
    new_fd = socketcalls.init
    fast: Any = fastsocket if fastsocket.usable() else socketcalls

    @functools.wraps(original_init)
    def __init__(
        self: Any, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None
    ) -> None:
        original_init(self, family, type, proto, fileno)
        new_fd(self, family, type, proto, fileno)

    return {
        "__init__": __init__,
        "_accept": socketcalls.accept_fd,
        "_real_close": socketcalls.real_close,
        "_sendfile_use_sendfile": socketcalls.sendfile_in_kernel,
        "connect": socketcalls.connect,
        "connect_ex": socketcalls.connect_ex,
        "detach": socketcalls.detach,
        "recv": fast.recv,
        "recv_into": fast.recv_into,
        "recvfrom": socketcalls.recvfrom,
        "recvfrom_into": socketcalls.recvfrom_into,
        "recvmsg": socketcalls.recvmsg,
        "recvmsg_into": socketcalls.recvmsg_into,
        "send": fast.send,
        "sendall": fast.sendall,
        "sendmsg": socketcalls.sendmsg,
        "sendto": socketcalls.sendto,
    }
