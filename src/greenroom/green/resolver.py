"""Names and addresses: getaddrinfo and its relatives, in real threads.          layer: green

getaddrinfo(3) blocks and has no other form, so it runs in real threads, in a pool of its own: disks
and libraries that keep the other pool busy must not keep names from being found. A numeric address,
or none at all, needs no look-up and is answered at once, by the same C function. Tasks that ask the
same thing while it is being looked up share one call.

set_resolver() puts something else in the place of the threads.
"""

import _socket
import copy
import os
from collections.abc import Callable
from typing import Any

from greenroom import _config
from greenroom.core import offload
from greenroom.core import scheduler as _scheduler
from greenroom.core.timers import FOREVER
from greenroom.core.waitqueue import WaitQueue

_getaddrinfo = _socket.getaddrinfo
_gethostbyname = _socket.gethostbyname
_gethostbyname_ex = _socket.gethostbyname_ex
_gethostbyaddr = _socket.gethostbyaddr
_getnameinfo = _socket.getnameinfo


_pool = offload.Offload(_config.RESOLVER_THREADS)
_resolver: Any = None  # the program's own, if it has set one


class _LookUp:
    """A call under way in a thread, and the tasks of one scheduler that wait for it."""

    def __init__(self, scheduler: _scheduler.Scheduler, key: object, name: str, args: Any) -> None:
        self.scheduler = scheduler
        self.key = key
        self.call: Callable[..., Any] = _CALLS[name]
        self.args = args
        self.waiters = WaitQueue()
        self.result: Any = None
        self.error: BaseException | None = None
        self.shared = False
        self.wait_reason = f"{name}() in a thread"

    def run(self) -> None:
        """In the thread: look it up."""
        try:
            self.result = self.call(*self.args)
        except BaseException as error:
            self.error = error
        self.scheduler.call_soon_threadsafe(self.finish)

    def finish(self) -> None:
        """In the thread of the tasks: wake them. Who asks from now on asks anew."""
        _under_way.pop(self.key, None)
        self.scheduler.external -= 1
        while _scheduler.wake_first(self.waiters):
            pass


_under_way: dict[object, _LookUp] = {}
os.register_at_fork(after_in_child=_under_way.clear)  # the threads are not there


def _look_up(name: str, *args: Any) -> Any:
    """Call one of the five functions in a thread, or have the program's resolver answer."""
    if _resolver is not None and hasattr(_resolver, name):
        return getattr(_resolver, name)(*args)
    scheduler = _scheduler.get()
    key: object = (scheduler, name, args)
    try:
        look_up = _under_way.get(key)
    except TypeError:  # a bytearray for a name, say: it may change meanwhile
        look_up, key = None, object()
    if look_up is None:
        look_up = _LookUp(scheduler, key, name, args)
        _pool.start(look_up.run)  # what it finds is told after this task has parked
        _under_way[key] = look_up
        scheduler.external += 1
    else:
        look_up.shared = (
            True  # so nobody gets the list or the error itself, which others may change
        )
    scheduler.park(look_up.waiters, look_up, FOREVER)
    if look_up.error is not None:
        raise copy.copy(look_up.error) if look_up.shared else look_up.error
    return copy.deepcopy(look_up.result) if look_up.shared else look_up.result


def set_resolver(resolver: Any) -> Any:
    """Let an object answer look-ups instead of the C library in threads.

    resolver  has any of the methods getaddrinfo, gethostbyname, gethostbyname_ex, gethostbyaddr and
              getnameinfo, with the arguments and results of the functions of _socket (families and
              types are plain ints). They are called in the task that asks and may wait; what the
              object does not have is looked up in a thread. Numeric addresses are not asked for.
              None: the C library again
    Returns   the resolver before
    Switches  never
    """
    global _resolver
    before, _resolver = _resolver, resolver
    return before


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
            _socket.inet_pton(family, host.partition("%")[0] if ":" in host else host)
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
    found: list[Any] = _look_up("getaddrinfo", host, port, family, type, proto, flags)
    return found


def gethostbyname(host: str) -> str:
    """gethostbyname(3). Switches only if host is a name."""
    if is_numeric(host):
        return _gethostbyname(host)
    address: str = _look_up("gethostbyname", host)
    return address


def gethostbyname_ex(host: str) -> tuple[str, list[str], list[str]]:
    """gethostbyname_r(3), with aliases. Always switches."""
    found: tuple[str, list[str], list[str]] = _look_up("gethostbyname_ex", host)
    return found


def gethostbyaddr(host: str) -> tuple[str, list[str], list[str]]:
    """gethostbyaddr_r(3). Always switches."""
    found: tuple[str, list[str], list[str]] = _look_up("gethostbyaddr", host)
    return found


def getnameinfo(sockaddr: Any, flags: int) -> tuple[str, str]:
    """getnameinfo(3). Switches unless both parts are wanted in digits."""
    both = _socket.NI_NUMERICHOST | _socket.NI_NUMERICSERV
    if flags & both == both or not isinstance(sockaddr, tuple):
        return _getnameinfo(sockaddr, flags)  # answered, or refused, at once
    found: tuple[str, str] = _look_up("getnameinfo", sockaddr, flags)
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


_CALLS: dict[str, Callable[..., Any]] = {
    "getaddrinfo": _getaddrinfo,
    "gethostbyname": _gethostbyname,
    "gethostbyname_ex": _gethostbyname_ex,
    "gethostbyaddr": _gethostbyaddr,
    "getnameinfo": _getnameinfo,
}
