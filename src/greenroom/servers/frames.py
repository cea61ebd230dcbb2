# cython: nonecheck=True
"""WebSocket frames and messages, a server's side; no I/O.                      layer: servers

  FrameReader   bytes as they come -> messages (str, bytes), Ping, Pong, Close, Violation
  frame()       one frame to send
  Inflate, Deflate   permessage-deflate of what comes and what goes (RFC 7692)

Strict: what RFC 6455 forbids ends in a Violation with the close code that it names, and nothing is
read after it. Text is decoded frame by frame, so a wrong byte is found in the frame that has it. No
more than max_size bytes of a message are kept or inflated: a frame that would be too long is
refused at its head, and a small one that inflates to too much as soon as it has.

wsproto's frames were measured first: 20 us of CPU to read and answer a message of 64 bytes, and its
inflating has no bound. This takes 1. wsproto still does the opening handshake (websocket.py), and
is the oracle in the tests.
"""

from __future__ import annotations

import zlib
from codecs import getincrementaldecoder

from greenroom.servers import masking

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CONTINUATION = 0x0
TEXT = 0x1
BINARY = 0x2
CLOSE = 0x8
PING = 0x9
PONG = 0xA

NORMAL = 1000
GOING_AWAY = 1001
PROTOCOL_ERROR = 1002
NO_STATUS = 1005  # a Close frame without a code; never sent
ABNORMAL = 1006  # the connection ended without a Close frame; never sent
INVALID_DATA = 1007
POLICY = 1008
TOO_BIG = 1009
INTERNAL_ERROR = 1011

_new_decoder = getincrementaldecoder("utf-8")
_TAIL = b"\x00\x00\xff\xff"  # what RFC 7692 7.2.1 leaves out at the end of each message


class Ping:
    """A Ping frame. data: what its Pong must bring back, up to 125 bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data


class Pong:
    """A Pong frame."""

    def __init__(self, data: bytes) -> None:
        self.data = data


class Close:
    """A Close frame. code: NO_STATUS if it had none."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason


class Violation:
    """What came breaks the protocol: the connection must be closed with this code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason


class Refused(Exception):
    """Inside the reader: what came is not allowed."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def may_be_sent(code: int) -> bool:
    """Return whether a Close frame may have this code (RFC 6455 7.4, and IANA's registry)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def frame(opcode: int, payload: bytes, fin: bool = True, compressed: bool = False) -> bytes:
    """Return a frame as a server sends it: unmasked."""
    first = opcode | (0x80 if fin else 0) | (0x40 if compressed else 0)
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65536:
        return bytes((first, 126, size >> 8, size & 255)) + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload


def close_frame(code: int, reason: str) -> bytes:
    """Return a Close frame; NO_STATUS: without a code. The reason is cut to what fits."""
    if code == NO_STATUS:
        return frame(CLOSE, b"")
    text = reason.encode("utf-8", "replace")
    if len(text) > 123:
        text = text[:123].decode("utf-8", "ignore").encode()
    return frame(CLOSE, code.to_bytes(2, "big") + text)


class Inflate:
    """What the peer has deflated.

    bits       the peer's window, 9 to 15
    takeover   its messages refer to earlier ones
    """

    def __init__(self, bits: int, takeover: bool) -> None:
        self.bits = bits
        self.takeover = takeover
        self.inflater: Any = None

    def inflate(self, data: bytes, room: int, last: bool) -> bytes:
        """Return data inflated. room: how many bytes it may become; -1: any number.

        Raises    Refused: it becomes more, or is no deflated data
        """
        inflater = self.inflater
        if inflater is None:
            inflater = self.inflater = zlib.decompressobj(-self.bits)
        if last:
            data += _TAIL
        try:
            result: bytes = inflater.decompress(data, 0 if room < 0 else room + 1)
        except zlib.error as error:
            raise Refused(INVALID_DATA, f"the message cannot be inflated: {error}") from None
        if 0 <= room < len(result):
            raise Refused(TOO_BIG, "the message is too big")
        if inflater.eof or (last and not self.takeover):
            self.inflater = None
        return result


class Deflate:
    """Deflates what is sent.

    bits       our window, 9 to 15
    takeover   a message may refer to earlier ones
    """

    def __init__(self, bits: int, takeover: bool) -> None:
        self.bits = bits
        self.takeover = takeover
        self.deflater: Any = None

    def deflate(self, data: bytes, last: bool = True) -> bytes:
        """Return data deflated."""
        deflater = self.deflater
        if deflater is None:
            # A memory level of 5 instead of 8: a quarter of the memory, some percent more bytes.
            deflater = zlib.compressobj(wbits=-self.bits, memLevel=5)
            self.deflater = deflater
        result: bytes = deflater.compress(data)
        if last:
            result += deflater.flush(zlib.Z_SYNC_FLUSH)
            result = result[: len(result) - 4]  # compiled with wraparound=False
            if not self.takeover:
                self.deflater = None
        return result

    def forget(self) -> None:
        """What was deflated last does not reach the peer: refer to nothing any more."""
        self.deflater = None


class FrameReader:
    """Makes messages of the bytes that a client sends.

    max_size   bytes a message may have, inflated; -1: any number
    parts      what has come of the frame that is not whole yet
    held       how many bytes that is
    need       how many it must be before there is a point in looking again
    over       a Close frame or a violation has come: nothing is read after it
    opcode     of the message of which fragments have come; 0: none
    pieces     what its fragments brought, str or bytes
    size       how many bytes that is
    """

    max_size: int
    inflate: Inflate | None
    parts: list[bytes]
    held: int
    need: int
    over: bool
    opcode: int
    compressed: bool
    pieces: list[Any]
    size: int
    decoder: Any

    def __init__(self, max_size: int = -1, inflate: Inflate | None = None) -> None:
        self.max_size = max_size
        self.inflate = inflate
        self.parts = []
        self.held = 0
        self.need = 2
        self.over = False
        self.opcode = 0
        self.compressed = False
        self.pieces = []
        self.size = 0
        self.decoder = None

    def feed(self, data: bytes) -> list[Any]:
        """Return what has come with data: str, bytes, Ping, Pong, Close, Violation, in order.

        A Close or a Violation is the last of all.
        """
        events: list[Any] = []
        if self.over:
            return events
        if self.held:
            self.parts.append(data)
            self.held += len(data)
            if self.held < self.need:
                return events
            data = b"".join(self.parts)
            self.parts.clear()
            self.held = 0
        try:
            start = self.read(data, events)
        except Refused as refused:
            self.over = True
            self.pieces = []
            events.append(Violation(refused.code, refused.reason))
            return events
        if start < len(data) and not self.over:
            self.parts.append(data[start:] if start else data)
            self.held = len(data) - start
        return events

    def read(self, data: bytes, events: list[Any]) -> int:
        """Append what the whole frames in data are to events; return where the rest begins."""
        start = 0
        end = len(data)
        while end - start >= 2:
            first = data[start]
            second = data[start + 1]
            opcode = first & 0x0F
            size = second & 0x7F
            self.check(first, second)
            head = 2
            if size == 126:
                head = 4
            elif size == 127:
                head = 10
            if end - start < head:
                self.need = head
                return start
            if size == 126:
                size = data[start + 2] << 8 | data[start + 3]
                if size < 126:
                    raise Refused(PROTOCOL_ERROR, "the length of a frame is not in its short form")
            elif size == 127:
                size = self.long_size(data[start + 2 : start + 10])
            if opcode < 8:
                self.check_size(first, size)
            if end - start < head + 4 + size:
                self.need = head + 4 + size
                return start
            payload = masking.unmask(data, start + head, size)
            start += head + 4 + size
            if opcode >= 8:
                events.append(self.control(opcode, payload))
                if self.over:
                    return start
            elif first == 0x81:  # a text of one frame, as most are
                try:
                    events.append(payload.decode())
                except UnicodeDecodeError:
                    raise Refused(INVALID_DATA, "a text message is not UTF-8") from None
            elif first == 0x82:
                events.append(payload)
            else:
                self.fragment(first, payload, events)
        self.need = 2
        return start

    def check(self, first: int, second: int) -> None:
        """Refuse the first two bytes of a frame if no frame may begin so now."""
        opcode = first & 0x0F
        if first & 0x30 or (first & 0x40 and (self.inflate is None or opcode not in (1, 2))):
            raise Refused(PROTOCOL_ERROR, "a reserved bit of a frame is set")
        if not second & 0x80:
            raise Refused(PROTOCOL_ERROR, "a frame of a client is not masked")
        if opcode >= 8:
            if opcode > PONG:
                raise Refused(PROTOCOL_ERROR, f"there is no opcode {opcode}")
            if not first & 0x80:
                raise Refused(PROTOCOL_ERROR, "a control frame is fragmented")
            if second & 0x7F > 125:
                raise Refused(PROTOCOL_ERROR, "a control frame is longer than 125 bytes")
        elif opcode > BINARY:
            raise Refused(PROTOCOL_ERROR, f"there is no opcode {opcode}")
        elif opcode == CONTINUATION:
            if not self.opcode:
                raise Refused(PROTOCOL_ERROR, "there is nothing that a frame could continue")
        elif self.opcode:
            raise Refused(PROTOCOL_ERROR, "a message begins before the last one has ended")

    def long_size(self, field: bytes) -> int:
        """Return the length that a field of eight bytes says."""
        size = int.from_bytes(field, "big")
        if size >> 63:
            raise Refused(PROTOCOL_ERROR, "the length of a frame is negative")
        if size < 65536:
            raise Refused(PROTOCOL_ERROR, "the length of a frame is not in its short form")
        if size > 1 << 48:  # keeps the sums in C; no memory holds this either
            raise Refused(TOO_BIG, "the message is too big")
        return size

    def check_size(self, first: int, size: int) -> None:
        """Refuse a frame of so many bytes if its message becomes too big."""
        limit = self.max_size
        if limit < 0:
            return
        if first & 0x40 or (first & 0x0F == CONTINUATION and self.compressed):
            limit += (limit >> 8) + 64  # what does not shrink grows a little
        elif first & 0x0F == CONTINUATION:
            limit -= self.size
        if size > limit:
            raise Refused(TOO_BIG, f"the message is bigger than {self.max_size} bytes")

    def control(self, opcode: int, payload: bytes) -> Any:
        """Return the event of a control frame."""
        if opcode == PING:
            return Ping(payload)
        if opcode == PONG:
            return Pong(payload)
        if not payload:
            self.over = True
            return Close(NO_STATUS, "")
        if len(payload) == 1:
            raise Refused(PROTOCOL_ERROR, "half a close code")
        code = int.from_bytes(payload[:2], "big")
        if not may_be_sent(code):
            raise Refused(PROTOCOL_ERROR, f"{code} is no close code that may be sent")
        try:
            reason = payload[2:].decode()
        except UnicodeDecodeError:
            raise Refused(INVALID_DATA, "the reason of a close is not UTF-8") from None
        self.over = True
        return Close(code, reason)

    def fragment(self, first: int, payload: bytes, events: list[Any]) -> None:
        """Take a data frame that is a part of a message, or compressed; append what it ends."""
        if first & 0x0F:
            self.opcode = first & 0x0F
            self.compressed = bool(first & 0x40)
            self.size = 0
            self.decoder = _new_decoder() if self.opcode == TEXT else None
        fin = bool(first & 0x80)
        if self.compressed:
            inflate = self.inflate
            room = -1 if self.max_size < 0 else self.max_size - self.size
            payload = inflate.inflate(payload, room, fin)  # type: ignore[union-attr]
        self.size += len(payload)
        piece: Any = payload
        if self.decoder is not None:
            try:
                piece = self.decoder.decode(payload, fin)
            except UnicodeDecodeError:
                raise Refused(INVALID_DATA, "a text message is not UTF-8") from None
        if piece:
            self.pieces.append(piece)
        if fin:
            empty: Any = b"" if self.decoder is None else ""
            events.append(empty.join(self.pieces))
            self.pieces = []
            self.opcode = 0
            self.compressed = False
            self.decoder = None
