"""A WebSocket client for tests that sends what it is told, right or wrong."""

import os

MASK = b"\x5a\xa5\x0f\xf0"


def frame(opcode, payload=b"", fin=True, rsv=0, mask=MASK, length=None):
    """A frame. rsv: the reserved bits, 4 is RSV1. length: what it says instead of the truth."""
    size = len(payload) if length is None else length
    head = bytes([opcode | (0x80 if fin else 0) | rsv << 4])
    masked = 0x80 if mask else 0
    if size < 126:
        head += bytes([masked | size])
    elif size < 65536:
        head += bytes([masked | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([masked | 127]) + size.to_bytes(8, "big")
    if not mask:
        return head + payload
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def text(payload, fin=True, rsv=0):
    """A text frame."""
    return frame(1, payload.encode() if isinstance(payload, str) else payload, fin, rsv)


def binary(payload, fin=True):
    """A binary frame."""
    return frame(2, payload, fin)


def more(payload, fin=False):
    """A continuation."""
    return frame(0, payload.encode() if isinstance(payload, str) else payload, fin)


def close(code=None, reason=b""):
    """A Close frame."""
    return frame(8, b"" if code is None else code.to_bytes(2, "big") + reason)


def read_frames(sock, count=None):
    """Read count frames of a server, or all up to the end: a list of (first byte, payload)."""
    found = []
    data = b""
    while count is None or len(found) < count:
        while (taken := _take(data)) is None:
            more = sock.recv(65536)
            if not more:
                assert not data, f"the stream ended within a frame: {data!r}"
                return found
            data += more
        found.append(taken[0])
        data = data[taken[1] :]
    return found


def _take(data):
    if len(data) < 2:
        return None
    assert not data[1] & 0x80, "a server's frame is masked"
    size, start = data[1], 2
    if size >= 126:
        start = 4 if size == 126 else 10
        if len(data) < start:
            return None
        size = int.from_bytes(data[2:start], "big")
    if len(data) < start + size:
        return None
    return (data[0], data[start : start + size]), start + size


def opening(path="/", **headers):
    """The request that opens a WebSocket; headers override, None leaves one out."""
    lines = {
        "Host": "localhost",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }
    lines.update({name.replace("_", "-"): value for name, value in headers.items()})
    head = [f"GET {path} HTTP/1.1"]
    head += [f"{name}: {value}" for name, value in lines.items() if value is not None]
    return "\r\n".join([*head, "", ""]).encode()


def read_head(sock):
    """Read a response's head."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(1)
        assert more, data
        data += more
    return data.decode()


def random_bytes(size):
    """Bytes that do not shrink."""
    return os.urandom(size)
