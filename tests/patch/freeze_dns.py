"""Calls of the part "dns" that wait, for the freeze test.

The C library cannot be made slow, so the functions that look up are replaced
by one that blocks.
"""

import _socket
import itertools
import socket
from collections.abc import Callable
from typing import Any

from greenroom.green import resolver

from .freeze_help import slow

_numbers = itertools.count(1)  # equal look-ups would be one


def look_up(module: Any, name: str) -> Callable[[], None]:
    def call() -> None:
        resolver._CALLS[name] = slow
        number = next(_numbers)
        args: tuple[Any, ...] = (f"host-{number}.invalid",)
        if name == "getaddrinfo":
            args = (*args, 80)
        elif name == "getnameinfo":
            args = (("127.0.0.1", number), 0)
        getattr(module, name)(*args)

    return call


_NAMES = ("gethostbyname", "gethostbyname_ex", "gethostbyaddr", "getnameinfo")

FREEZE: dict[str, Callable[[], None]] = {
    **{f"_socket:{name}": look_up(_socket, name) for name in ("getaddrinfo", *_NAMES)},
    **{f"socket:{name}": look_up(socket, name) for name in _NAMES},
}

NEVER_WAIT: dict[str, str] = {}
