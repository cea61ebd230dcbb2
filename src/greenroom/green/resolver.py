"""Names and addresses: getaddrinfo and its relatives, in real threads.          layer: green

getaddrinfo(3) blocks and has no other form, so it runs in the offload pool. A numeric address, or
none at all, needs no look-up and is answered at once, by the same C function.
"""

import _socket
from typing import Any

from greenroom.core import offload

_getaddrinfo = _socket.getaddrinfo
_gethostbyname = _socket.gethostbyname
_gethostbyname_ex = _socket.gethostbyname_ex
_gethostbyaddr = _socket.gethostbyaddr
_getnameinfo = _socket.getnameinfo


def is_numeric(host: Any) -> bool:
    """Tell whether host needs no look-up: None, "", or an address in digits."""
    if not host:
        return True
    if isinstance(host, (bytes, bytearray)):
        try:
            host = host.decode("ascii")
        except UnicodeDecodeError:
            return False
    if not isinstance(host, str):
        return True  # a wrong type: let the C function say so
    if host in ("<broadcast>",):
        return True
    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            _socket.inet_pton(family, host.partition("%")[0])
        except (OSError, ValueError):
            continue
        return True
    return False


def getaddrinfo(
    host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
) -> list[Any]:
    """socket's C-level getaddrinfo(3). Switches only if host, or port, is a name."""
    numeric_port = (
        port is None or isinstance(port, int) or (isinstance(port, (str, bytes)) and port.isdigit())
    )
    if is_numeric(host) and numeric_port:
        return _getaddrinfo(host, port, family, type, proto, flags)
    found: list[Any] = offload.call(_getaddrinfo, host, port, family, type, proto, flags)
    return found


def gethostbyname(host: str) -> str:
    """gethostbyname(3). Switches only if host is a name."""
    if is_numeric(host):
        return _gethostbyname(host)
    address: str = offload.call(_gethostbyname, host)
    return address


def gethostbyname_ex(host: str) -> tuple[str, list[str], list[str]]:
    """gethostbyname_r(3), with aliases. Always switches."""
    found: tuple[str, list[str], list[str]] = offload.call(_gethostbyname_ex, host)
    return found


def gethostbyaddr(host: str) -> tuple[str, list[str], list[str]]:
    """gethostbyaddr_r(3). Always switches."""
    found: tuple[str, list[str], list[str]] = offload.call(_gethostbyaddr, host)
    return found


def getnameinfo(sockaddr: Any, flags: int) -> tuple[str, str]:
    """getnameinfo(3). Switches unless both parts are wanted in digits."""
    both = _socket.NI_NUMERICHOST | _socket.NI_NUMERICSERV
    if flags & both == both or not isinstance(sockaddr, tuple):
        return _getnameinfo(sockaddr, flags)  # answered, or refused, at once
    found: tuple[str, str] = offload.call(_getnameinfo, sockaddr, flags)
    return found


def numeric_address(sock: Any, address: Any) -> Any:
    """Return address with its host looked up, for the calls that would look it up blocking."""
    if not isinstance(address, tuple) or len(address) < 2 or is_numeric(address[0]):
        return address
    family = _socket.socket.family.__get__(sock)
    if family not in (_socket.AF_INET, _socket.AF_INET6) or not isinstance(address[1], int):
        return address
    found = getaddrinfo(address[0], address[1], family, 0, 0, 0)
    return (found[0][4][0], *address[1:])
