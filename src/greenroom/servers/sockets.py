"""The listening sockets of several workers, without green threads.               layer: servers

A TCP address gets one socket for each worker, bound with SO_REUSEPORT: the kernel spreads the
connections over them. A Unix socket or an inherited fd is one socket that all workers accept from;
who is idle first takes the connection.

SO_REUSEPORT lets any process of the same user join. Two servers started by mistake on one port
would share its clients in silence. So the address is bound without it first, which fails if it is
in use.

Names are looked up here and now, with the C function: the green resolver would start threads.
"""

from __future__ import annotations

import _socket
import os

from greenroom.servers import address as _address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


class Listeners:
    """Sockets bound to addresses, a set for each of several workers.

    addresses   what servers/address.py takes
    workers     how many sets
    backlog     connections that may wait in the kernel, for each socket
    Raises      OSError, with the address in its text; ValueError, TypeError: it is none
    Switches    never; a look-up of a name blocks
    """

    def __init__(self, addresses: Sequence[Any], workers: int, backlog: int = 1024) -> None:
        self._sockets: list[Any] = []
        self._files = _address.SocketFiles()
        self.fds: list[list[int]] = [[] for _ in range(workers)]
        self.shown: list[str] = []
        try:
            for address in addresses:
                self._bind(address, workers, backlog)
        except BaseException:
            self.close()
            raise

    def _bind(self, address: Any, workers: int, backlog: int) -> None:
        if hasattr(address, "getsockname") or str(address).startswith("fd://"):
            shared = _inherited(address)
        else:
            family, target = _address.parse(address)
            if family != _socket.AF_UNIX:
                self._bind_each(address, family, target, workers, backlog)
                return
            shared = self._bind_file(target)
        self._sockets.append(shared)
        shared.listen(backlog)
        for fds in self.fds:
            fds.append(shared.fileno())
        self.shown.append(_address.show(shared.getsockname()))

    def _bind_each(
        self, address: Any, family: int, target: tuple[str, int], workers: int, backlog: int
    ) -> None:
        """Bind one socket for each worker to a TCP address."""
        try:
            found = _socket.getaddrinfo(
                target[0] or None,
                target[1],
                family if ":" in target[0] else 0,
                _socket.SOCK_STREAM,
                0,
                _socket.AI_PASSIVE,
            )
        except OSError as error:
            raise OSError(error.errno, f"cannot listen on {address!r}: {error.strerror}") from None
        if not target[0]:
            found = [entry for entry in found if entry[0] == family] or found
        family, where = found[0][0], found[0][4]
        if where[1]:
            self._tcp(family, where, False).close()
        for fds in self.fds[:workers]:
            sock = self._tcp(family, where, True)
            self._sockets.append(sock)
            where = sock.getsockname()  # the first has found the port, if it was to
            sock.listen(backlog)
            fds.append(sock.fileno())
        self.shown.append(_address.show(where))

    def _tcp(self, family: int, where: Any, shared: bool) -> Any:
        sock = _socket.socket(family, _socket.SOCK_STREAM)
        try:
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
            if shared:
                sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEPORT, 1)
            sock.bind(where)
        except OSError as error:
            sock.close()
            raise _failed(where, error) from None
        return sock

    def _bind_file(self, path: str | bytes) -> Any:
        """Bind a Unix socket, in the place of one that nobody listens on any more."""
        named = path[:1] not in ("\0", b"\0")
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            if named and os.path.exists(path):
                _remove_stale(path)
            sock.bind(path)
            if named:
                self._files.note(path)
        except OSError as error:
            sock.close()
            raise _failed(path, error) from None
        return sock

    def close(self) -> None:
        """Close the sockets here, and remove the files of those that were made here."""
        self._files.remove()
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()


def _inherited(address: Any) -> Any:
    """Return a C socket for a listening one that is there."""
    if hasattr(address, "getsockname"):
        return _socket.socket(fileno=os.dup(address.fileno()))
    try:
        return _socket.socket(fileno=int(str(address)[5:]))
    except ValueError:
        raise ValueError(f"cannot listen on {address!r}: after fd:// stands a number") from None
    except OSError as error:
        raise OSError(error.errno, f"cannot take over {address}: {error.strerror}") from None


def _remove_stale(path: str | bytes) -> None:
    probe = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    probe.setblocking(False)
    try:
        probe.connect(path)
    except ConnectionRefusedError:
        os.unlink(path)
    except OSError:
        pass  # it lives, or is no socket: bind() says that it is in use
    finally:
        probe.close()


def _failed(where: Any, error: OSError) -> OSError:
    text = f"cannot listen on {_address.show(where)}: {os.strerror(error.errno or 0)}"
    return OSError(error.errno, text)
