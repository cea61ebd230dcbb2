"""Where a server listens: the ways to write it, and how it is shown.            layer: servers

("127.0.0.1", 8000)   "127.0.0.1:8000"   "[::1]:8000"   ":8000" (all of IPv4)   8000 (the same)
"localhost:8000"      the first address of the name
"unix:/run/app.sock"  or a path with a "/" in it; "unix:@name" is Linux's abstract namespace
"fd://3"              a listening socket that was inherited
a listening socket    used as it is, and closed by the server
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import Any

from greenroom.green import resolver, socket

Address = Any  # (host, port), a string, a port, or a listening socket: what the module's head lists


def parse(address: Address) -> tuple[int, Any]:
    """Return (family, address for bind) of what a user wrote. Names are not looked up.

    Raises    ValueError or TypeError: it is none of what the module's head lists
    """
    if isinstance(address, bool):
        raise TypeError(_wrong(address))
    if isinstance(address, int):
        return _host_port(address, "", address)
    if isinstance(address, bytes):
        return socket.AF_UNIX, address
    if isinstance(address, os.PathLike):
        return socket.AF_UNIX, os.fspath(address)
    if isinstance(address, (tuple, list)):
        if len(address) not in (2, 4) or not isinstance(address[0], (str, type(None))):
            raise TypeError(_wrong(address))
        return _host_port(address, address[0] or "", address[1])
    if not isinstance(address, str):
        raise TypeError(_wrong(address))
    if address.startswith("unix:"):
        path = address[5:].removeprefix("//")
        if not path:
            raise ValueError(_wrong(address))
        return socket.AF_UNIX, "\0" + path[1:] if path.startswith("@") else path
    if "/" in address:
        return socket.AF_UNIX, address
    host, colon, port = address.rpartition(":")
    if not colon:
        raise ValueError(_wrong(address))
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{address!r} is ambiguous: write the IPv6 address in brackets, [::1]:80")
    return _host_port(address, host, port)


class SocketFiles:
    """The files of Unix sockets that were bound here, to be removed when those are closed."""

    def __init__(self) -> None:
        self._known: list[tuple[str | bytes, tuple[int, int]]] = []

    def note(self, path: str | bytes) -> None:
        """Remember the file of a socket that was just bound to path."""
        info = os.stat(path)
        self._known.append((os.path.abspath(path), (info.st_dev, info.st_ino)))

    def remove(self) -> None:
        """Remove those that still are the same files: else they are another server's by now."""
        for path, identity in self._known:
            with contextlib.suppress(OSError):
                info = os.stat(path)
                if (info.st_dev, info.st_ino) == identity:
                    os.unlink(path)
        self._known.clear()


def check(address: Address) -> None:
    """Raise ValueError or TypeError for what listen() could not take. Never switches."""
    if isinstance(address, str) and address.startswith("fd://"):
        if not address[5:].isdecimal():
            raise ValueError(_wrong(address))
    elif not hasattr(address, "getsockname"):
        parse(address)


def _host_port(address: Any, host: str, port: Any) -> tuple[int, Any]:
    try:
        number = int(port)
    except (TypeError, ValueError):
        raise ValueError(_wrong(address)) from None
    if not 0 <= number <= 65535:
        raise ValueError(f"cannot listen on {address!r}: a port is a number from 0 to 65535")
    return (socket.AF_INET6 if ":" in host else socket.AF_INET), (host, number)


def _wrong(address: object) -> str:
    return (
        f"cannot listen on {address!r}: give (host, port), 'host:port', ':port', 'unix:/path', "
        "'fd://3' or a listening socket"
    )


def listen(
    address: Address,
    kind: int = socket.SOCK_STREAM,
    *,
    backlog: int = 1024,
    reuse_port: bool = False,
) -> Any:
    """Return a bound green socket; one of streams listens.

    address     as the module's head lists
    kind        SOCK_STREAM or SOCK_DGRAM
    backlog     connections that wait in the kernel to be accepted; it takes no more than somaxconn
    reuse_port  other sockets may listen there too: the kernel spreads the connections, socket(7)
    Raises      OSError: with the address in its text; ValueError, TypeError: see parse()
    Switches    only if there is a name to look up, or a socket file to try
    """
    if isinstance(address, str) and address.startswith("fd://"):
        try:
            address = socket.socket(fileno=int(address[5:]))
        except ValueError:
            raise ValueError(_wrong(address)) from None
        except OSError as error:
            raise OSError(
                error.errno, f"cannot take over {address}: {os.strerror(error.errno or 0)}"
            ) from None
    if hasattr(address, "getsockname"):
        return _inherited(address, kind, backlog)
    family, target = parse(address)
    if family == socket.AF_INET and target[0]:
        try:
            entry = resolver.getaddrinfo(target[0], target[1], 0, kind, 0, socket.AI_PASSIVE)[0]
        except socket.gaierror as error:
            text = f"cannot listen on {show(target)}: {error.strerror}"
            raise socket.gaierror(error.errno, text) from None
        family, target = entry[0], entry[4]
    sock = socket.socket(family, kind)
    try:
        if family == socket.AF_UNIX:
            _clear_stale(target)
        elif kind == socket.SOCK_STREAM:  # of datagrams it would let a second server take over
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(target)
        if kind == socket.SOCK_STREAM:
            sock.listen(backlog)
    except OSError as error:
        sock.close()
        if error.filename is not None:
            raise
        text = f"cannot listen on {show(target)}: {os.strerror(error.errno or 0)}"
        raise OSError(error.errno, text) from None
    except BaseException:
        sock.close()
        raise
    return sock


def _inherited(sock: Any, kind: int, backlog: int) -> Any:
    """Return a green socket for a socket that is there already."""
    if sock.type != kind:
        raise ValueError(
            f"cannot listen on {sock!r}: its type is not {socket.SocketKind(kind).name}"
        )
    if not isinstance(sock, socket.socket):
        sock = socket._as_green(sock)
    sock.settimeout(None)
    if kind == socket.SOCK_STREAM and not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        sock.listen(backlog)
    return sock


def _clear_stale(path: str | bytes) -> None:
    """Remove the socket file of a server that is gone; refuse if one listens there."""
    if path[:1] in ("\0", b"\0"):
        return
    try:
        info = os.stat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(info.st_mode):
        raise FileExistsError(
            errno.EEXIST, "cannot listen there: a file that is no socket has that name", path
        )
    if _answers(path, socket.SOCK_STREAM) or _answers(path, socket.SOCK_DGRAM):
        raise _lives(path)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _answers(path: str | bytes, kind: int) -> bool:
    """Tell whether somebody listens at a path. Should it not be certain, yes."""
    with socket.socket(socket.AF_UNIX, kind) as probe:
        probe.settimeout(5)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError as error:
            return error.errno != errno.EPROTOTYPE  # it is of the other kind
        return True


def _lives(path: str | bytes) -> OSError:
    return OSError(errno.EADDRINUSE, "cannot listen there: another server does", path)


def show(address: Any) -> str:
    """Return an address of socket.getsockname() as people write it.

    "127.0.0.1:8000", "[::1]:8000", "unix:/path"; "unix:" for a peer that has no name.
    """
    if isinstance(address, bytes):
        address = os.fsdecode(address)
    if isinstance(address, str):
        return "unix:" + ("@" + address[1:] if address.startswith("\0") else address)
    if isinstance(address, tuple) and len(address) >= 2:
        host, port = address[0], address[1]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    return repr(address)
