"""The PROXY protocol: what a proxy says of the client before the client's bytes.  layer: servers

Source: The PROXY protocol, versions 1 and 2, haproxy.org/download/3.0/doc/proxy-protocol.txt.
parse_v1() and parse_v2() do no I/O; receive() reads exactly the header and nothing after it.
"""

from __future__ import annotations

import ipaddress
import socket as _stdlib
import struct
from dataclasses import dataclass, field
from typing import Any

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"  # of version 2
LONGEST_V1 = 107  # bytes, with CR LF
LONGEST_V2 = 4096  # bytes after the first 16: the addresses take at most 216; the rest is TLVs

_FAMILIES = {  # second byte -> (family, struct of source, destination and, but for Unix, two ports)
    0x11: (_stdlib.AF_INET, "!4s4sHH"),
    0x12: (_stdlib.AF_INET, "!4s4sHH"),
    0x21: (_stdlib.AF_INET6, "!16s16sHH"),
    0x22: (_stdlib.AF_INET6, "!16s16sHH"),
    0x31: (_stdlib.AF_UNIX, "!108s108s"),
    0x32: (_stdlib.AF_UNIX, "!108s108s"),
}


class ProxyError(Exception):
    """A connection does not begin with a PROXY header, or with a malformed one."""


@dataclass(frozen=True)
class Header:
    """A PROXY header.

    version      1 or 2
    source       the client's address as of socket.getpeername(); None: the proxy speaks for itself
                 (LOCAL: a health check), or does not know (UNKNOWN, UNSPEC)
    destination  the address the client connected to, likewise
    tlvs         of version 2: what else the proxy says, as (type, value) pairs in their order
    """

    version: int
    source: Any = None
    destination: Any = None
    tlvs: list[tuple[int, bytes]] = field(default_factory=list)


def parse_v1(line: bytes) -> Header:
    """Parse the line of version 1, with its CR LF.

    Raises    ProxyError
    """
    if not line.startswith(b"PROXY ") or not line.endswith(b"\r\n") or len(line) > LONGEST_V1:
        raise ProxyError(f"this is no PROXY header: {line[:LONGEST_V1]!r}")
    words = line[6:-2].split(b" ")
    if words[0] == b"UNKNOWN":
        return Header(1)
    families: dict[bytes, Any] = {b"TCP4": ipaddress.IPv4Address, b"TCP6": ipaddress.IPv6Address}
    try:
        parse = families[words[0]]
        source, destination, source_port, destination_port = words[1:]
        return Header(
            1,
            _inet(str(parse(source.decode("ascii"))), _port(source_port)),
            _inet(str(parse(destination.decode("ascii"))), _port(destination_port)),
        )
    except (KeyError, ValueError):
        raise ProxyError(f"this PROXY header is malformed: {line!r}") from None


def _port(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > 5 or (digits[:1] == b"0" and digits != b"0"):
        raise ValueError
    port = int(digits)
    if port > 65535:
        raise ValueError
    return port


def _inet(host: str, port: int) -> Any:
    return (host, port, 0, 0) if ":" in host else (host, port)


def length_v2(first: bytes) -> int:
    """Return how many bytes follow the first 16 of a header of version 2.

    Raises    ProxyError: they are not the first of one, or it is longer than LONGEST_V2
    """
    if len(first) != 16 or not first.startswith(SIGNATURE) or first[12] >> 4 != 2:
        raise ProxyError(f"this is no PROXY header of version 2: {first!r}")
    length = int.from_bytes(first[14:16], "big")
    if length > LONGEST_V2:
        raise ProxyError(f"a PROXY header has {length} bytes, more than {LONGEST_V2}")
    return length


def parse_v2(first: bytes, rest: bytes) -> Header:
    """Parse a header of version 2: its first 16 bytes, and the length_v2() bytes after them.

    Raises    ProxyError
    """
    if length_v2(first) != len(rest):
        raise ProxyError(f"a PROXY header has {len(rest)} bytes where it says {length_v2(first)}")
    command, family = first[12] & 15, first[13]
    if command > 1:
        raise ProxyError(f"a PROXY header has command {command}: there are 0 and 1")
    if command == 0 or family not in _FAMILIES:  # the receiver must take both, and use nothing
        return Header(2)
    kind, layout = _FAMILIES[family]
    size = struct.calcsize(layout)
    if len(rest) < size:
        raise ProxyError(f"a PROXY header has {len(rest)} bytes where its addresses take {size}")
    parts = struct.unpack(layout, rest[:size])
    if kind == _stdlib.AF_UNIX:
        source, destination = (_path(part) for part in parts)
    else:
        source = _inet(_stdlib.inet_ntop(kind, parts[0]), parts[2])
        destination = _inet(_stdlib.inet_ntop(kind, parts[1]), parts[3])
    return Header(2, source, destination, _tlvs(rest[size:]))


def _path(raw: bytes) -> str:
    """Return the path in a sun_path: to the first NUL, or the abstract name with its NUL."""
    path = raw.rstrip(b"\0") if raw[:1] == b"\0" else raw.partition(b"\0")[0]
    return path.decode("utf-8", "surrogateescape")


def _tlvs(rest: bytes) -> list[tuple[int, bytes]]:
    found = []
    while rest:
        if len(rest) < 3:
            raise ProxyError("a PROXY header ends in the middle of a TLV")
        length = int.from_bytes(rest[1:3], "big")
        if len(rest) < 3 + length:
            raise ProxyError(
                f"a TLV of a PROXY header has {length} bytes, of which some are missing"
            )
        found.append((rest[0], rest[3 : 3 + length]))
        rest = rest[3 + length :]
    return found


def receive(sock: Any) -> Header:
    """Read a header, and nothing after it, from a connection.

    Raises    ProxyError: it begins with none; OSError: the connection failed
    Switches  only if it would block
    """
    first = _exactly(sock, b"", 12)  # no header is shorter
    if first == SIGNATURE:
        first = _exactly(sock, first, 16)
        return parse_v2(first, _exactly(sock, b"", length_v2(first)))
    if not first.startswith(b"PROXY "):
        raise ProxyError(f"a connection begins with {first!r}, which is no PROXY header")
    line = first
    while not line.endswith(b"\n"):
        left = LONGEST_V1 - len(line)
        seen = sock.recv(left, _stdlib.MSG_PEEK) if left > 0 else b""
        if not seen:
            raise ProxyError(f"the end of a PROXY header is missing: {line!r}")
        end = seen.find(b"\n")
        line = _exactly(sock, line, len(line) + (len(seen) if end < 0 else end + 1))
    return parse_v1(line)


def _exactly(sock: Any, got: bytes, wanted: int) -> bytes:
    """Return got with what follows, up to wanted bytes."""
    while len(got) < wanted:
        data = sock.recv(wanted - len(got))
        if not data:
            raise ProxyError(f"a connection ended in the middle of a PROXY header: {got!r}")
        got += data
    return got
