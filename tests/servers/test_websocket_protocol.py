"""The cases of the Autobahn test suite, by their sections: what a client sends, what it gets back.

Each is played twice: all bytes at once, and byte by byte. wsproto hears the same, as the oracle of
what is text, what is a violation, and with which code.
"""

import zlib

import pytest
from rawws import binary, close, frame, more, random_bytes, read_frames, text
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import BytesMessage, CloseConnection, TextMessage
from wsproto.events import Ping as WSPing

import greenroom
from greenroom.green import socket
from greenroom.servers import frames, masking
from greenroom.servers.frames import Close, Deflate, FrameReader, Inflate, Ping, Pong, Violation
from greenroom.servers.websocket import WebSocket, WebSocketClosed

T, B, C, PING, PONG = 0x81, 0x82, 0x88, 0x89, 0x8A


def closed(code, reason=b""):
    return (C, code.to_bytes(2, "big") + reason)


FAILS = "1002"  # stands for: a Close frame with this code, and the end
BAD_DATA = "1007"
BYE = close(1000)
OK = closed(1000)

GREEK = "κόσμε"
PIECES = ["Hello-µ@ßöäü", "àá-UTF-8!!"]


def echo_of(size, kind):
    data = b"*" * size
    return [(text if kind == T else binary)(data), BYE], [(kind, data), OK]


CASES = {}
# 1: framing
for size in (0, 1, 125, 126, 127, 128, 65535, 65536):
    CASES[f"1.1 text of {size}"] = echo_of(size, T)
    CASES[f"1.2 binary of {size}"] = echo_of(size, B)
# 2: pings and pongs
for size in (0, 1, 124, 125):
    data = b"\xfe" * size
    CASES[f"2 ping of {size}"] = [frame(9, data), BYE], [(PONG, data), OK]
CASES |= {
    "2.5 ping of 126": ([frame(9, b"a" * 126)], FAILS),
    "2.7 unsolicited pong": ([frame(10, b"x"), BYE], [OK]),
    "2.9 pong, ping": ([frame(10, b"x"), frame(9, b"y"), BYE], [(PONG, b"y"), OK]),
    "2.10 ten pings": (
        [*(frame(9, b"%d" % n) for n in range(10)), BYE],
        [*((PONG, b"%d" % n) for n in range(10)), OK],
    ),
}
# 3: reserved bits
for rsv in range(1, 8):
    CASES[f"3 text with RSV={rsv}"] = [text("ok"), text("x", rsv=rsv)], ([(T, b"ok")], FAILS)
    CASES[f"3 ping with RSV={rsv}"] = [frame(9, b"x", rsv=rsv)], FAILS
# 4: opcodes
for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
    CASES[f"4 opcode {opcode}"] = [text("ok"), frame(opcode, b"x")], ([(T, b"ok")], FAILS)
# 5: fragmentation
CASES |= {
    "5.1 fragmented ping": ([frame(9, b"a", fin=False), frame(0, b"b")], FAILS),
    "5.2 fragmented pong": ([frame(10, b"a", fin=False), frame(0, b"b")], FAILS),
    "5.3 two fragments": ([text("ab", False), more("cd", True), BYE], [(T, b"abcd"), OK]),
    "5.6 ping between": (
        [text("ab", False), frame(9, b"p"), more("cd", True), BYE],
        [(PONG, b"p"), (T, b"abcd"), OK],
    ),
    "5.9 continuation of nothing": ([more("x", True)], FAILS),
    "5.12 unfinished continuation of nothing": ([more("x"), text("y")], FAILS),
    "5.15 after the end": (
        [text("a", False), more("b", True), more("c"), text("d")],
        ([(T, b"ab")], FAILS),
    ),
    "5.18 text within text": ([text("a", False), text("b")], FAILS),
    "5.19 pings between many": (
        [
            text("1", False),
            more("2"),
            frame(9, b"a"),
            more("3"),
            frame(9, b"b"),
            more("4", True),
            BYE,
        ],
        [(PONG, b"a"), (PONG, b"b"), (T, b"1234"), OK],
    ),
    "5 empty fragments": ([text("", False), more(""), more("", True), BYE], [(T, b""), OK]),
    "5 binary in fragments": (
        [binary(b"\xff", False), more(b"\xfe"), more(b"\x00", True), BYE],
        [(B, b"\xff\xfe\x00"), OK],
    ),
}
# 6: UTF-8
VALID = [GREEK, "\x00", "\ud7ff", "\ue000", "\uffff", "\U0010ffff", "�", "".join(PIECES)]
INVALID = [
    *(b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited", b"\xf4\x90\x80\x80"),
    *(b"\x80", b"\xbf", b"\xc0\x80", b"\xc1\xbf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xfe"),
    *(b"\xff", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xf8\x88\x80\x80\x80", b"\xce", b"ab\xe1\xbd"),
]
for number, word in enumerate(VALID):
    data = word.encode()
    CASES[f"6 valid {number}"] = [text(data), BYE], [(T, data), OK]
    split = [text(data[:1], False), *(more(data[i : i + 1]) for i in range(1, len(data)))]
    CASES[f"6 valid {number}, by bytes"] = [*split, more(b"", True), BYE], [(T, data), OK]
for number, data in enumerate(INVALID):
    CASES[f"6 invalid {number}"] = [text(data)], BAD_DATA
    CASES[f"6 invalid {number}, fragmented"] = (
        [text(data[:1], False), more(data[1:], True)],
        BAD_DATA,
    )
CASES["6.4 fails before the message has ended"] = [text("κ", False), more(b"\xf4\x90")], BAD_DATA
# 7: closing
CASES |= {
    "7.1 close": ([text("a"), BYE], [(T, b"a"), OK]),
    "7.1.2 two closes": ([BYE, BYE], [OK]),
    "7.1.3 ping after close": ([BYE, frame(9, b"x")], [OK]),
    "7.1.4 text after close": ([BYE, text("x")], [OK]),
    "7.1.5 close within a message": ([text("a", False), BYE, more("b", True)], [OK]),
    "7.3.1 close without a code": ([close()], [(C, b"")]),
    "7.3.2 half a code": ([frame(8, b"\x03")], FAILS),
    "7.3.4 with a reason": ([close(1000, b"Hi")], [closed(1000, b"Hi")]),
    "7.3.5 the longest reason": ([close(1000, b"a" * 123)], [closed(1000, b"a" * 123)]),
    "7.3.6 a longer reason": ([close(1000, b"a" * 124)], FAILS),
    "7.5.1 a reason that is no UTF-8": ([close(1000, b"\xce\xba\xed\xa0\x80")], BAD_DATA),
}
for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999):
    CASES[f"7.7 code {code}"] = [close(code)], [closed(code)]
for code in (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535):
    CASES[f"7.9 code {code}"] = [close(code)], FAILS
# 9: sizes; and what no section has
CASES |= {
    "9.1 text of 256 KiB": echo_of(256 * 1024, T),
    "9.2 binary of 256 KiB": echo_of(256 * 1024, B),
    "9.3 in fragments": (
        [text("*" * 1000, False), *[more("*" * 1000)] * 62, more("", True), BYE],
        [(T, b"*" * 63000), OK],
    ),
    "not masked": ([frame(1, b"x", mask=None)], FAILS),
    "a length in a longer form": ([bytes([0x81, 0xFE, 0, 5, 0, 0, 0, 0]) + b"hello"], FAILS),
    "a negative length": ([bytes([0x82, 0xFF]) + b"\xff" * 8], FAILS),
}


def outcome(expected):
    """The frames that are expected, and the code of a failure or None."""
    if isinstance(expected, str):
        return [], int(expected)
    if isinstance(expected, tuple):
        return expected[0], int(expected[1])
    return expected, None


def echo(ws):
    with ws:
        for message in ws:
            ws.send(message)


def play(pieces, **options):
    """Send pieces to a WebSocket that echoes; return the frames that come back."""
    server, client = socket.socketpair()
    with server, client:

        def serve():
            ws = WebSocket(server, **options)
            try:
                echo(ws)
            except WebSocketClosed:
                pass
            finally:
                server.close()

        task = greenroom.spawn(serve)
        sender = greenroom.spawn(send_all, client, pieces)
        with greenroom.timeout(60):
            found = read_frames(client)
            client.close()
            sender.join()
            task.result()
        return found


def send_all(sock, pieces):
    try:
        for piece in pieces:
            sock.sendall(piece)
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the server has closed the connection, as it should


@pytest.mark.parametrize("name", CASES)
def test_a_case_of_autobahn(name):
    pieces, expected = CASES[name]
    wanted, code = outcome(expected)
    data = b"".join(pieces)
    chops = [[data]]
    if len(data) < 300:
        chops.append([data[i : i + 1] for i in range(len(data))])
    for chopped in chops:
        found = play(chopped)
        if code is None:
            assert found == wanted
        else:
            assert found[:-1] == wanted
            first, payload = found[-1]
            assert (first, int.from_bytes(payload[:2], "big")) == (C, code)


def kinds(events):
    """What the reader made of bytes, in the oracle's terms."""
    found = []
    for event in events:
        if isinstance(event, (str, bytes)):
            found.append(event)
        elif isinstance(event, Ping):
            found.append(("ping", event.data))
        elif isinstance(event, (Close, Violation)):
            found.append(("close", event.code))
        else:
            assert isinstance(event, Pong)
    return found


def oracle(data):
    connection = Connection(ConnectionType.SERVER)
    connection.receive_data(data)
    found, parts = [], []
    for event in connection.events():
        if isinstance(event, (TextMessage, BytesMessage)):
            parts.append(event.data)
            if event.message_finished:
                found.append(type(event.data)().join(parts))
                parts = []
        elif isinstance(event, WSPing):
            found.append(("ping", bytes(event.payload)))
        elif isinstance(event, CloseConnection):
            found.append(("close", int(event.code)))
            break
    return [bytes(item) if isinstance(item, bytearray) else item for item in found]


# A longer form of a length is wsproto's 1002 too, a negative one its 1002; a bad code its own.
@pytest.mark.parametrize("name", CASES)
def test_the_reader_and_wsproto_understand_the_same(name):
    data = b"".join(CASES[name][0])
    assert kinds(FrameReader().feed(data)) == oracle(data)


@pytest.mark.parametrize("size", [0, 1, 3, 4, 7, 8, 9, 15, 16, 63, 64, 65, 1000])
def test_unmask_is_an_xor_with_the_mask_repeated(size):
    data = random_bytes(3 + 4 + size + 2)
    mask, payload = data[3:7], data[7 : 7 + size]
    wanted = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    assert masking.unmask(data, 3, size) == wanted


def test_unmask_refuses_what_is_not_there():
    for start, size in ((0, 7), (-1, 2), (3, 4), (0, -1)):
        with pytest.raises(ValueError, match="cannot unmask"):
            masking.unmask(b"0123456789", start, size)


# --- sizes


def test_a_frame_that_is_too_long_is_refused_at_its_head():
    reader = FrameReader(100)
    events = reader.feed(frame(2, b"", length=101)[:8])
    assert [(type(event), event.code) for event in events] == [(Violation, 1009)]


def test_fragments_are_refused_when_they_become_too_long():
    reader = FrameReader(10)
    assert reader.feed(binary(b"12345", False) + more(b"12345")) == []
    assert kinds(reader.feed(more(b"6", True))) == [("close", 1009)]


def test_a_message_of_the_largest_size_comes_through():
    assert FrameReader(10).feed(binary(b"1234567890")) == [b"1234567890"]
    assert FrameReader(10).feed(binary(b"12345", False) + more(b"67890", True)) == [b"1234567890"]


def test_nothing_is_read_after_a_violation():
    reader = FrameReader()
    assert kinds(reader.feed(more("x", True) + text("y"))) == [("close", 1002)]
    assert reader.feed(text("z")) == []


def test_many_small_reads_of_a_long_frame_are_joined_once():
    reader = FrameReader()
    data = binary(b"x" * 200_000)
    found = []
    for place in range(0, len(data), 1000):
        found += reader.feed(data[place : place + 1000])
    assert found == [b"x" * 200_000]


def test_a_reason_that_is_too_long_is_cut_between_characters():
    data = frames.close_frame(1000, "ä" * 100)
    assert len(data) - 2 == 2 + 122
    assert data[4:].decode() == "ä" * 61


# --- permessage-deflate (sections 12 and 13)


def deflated(data, deflater=None):
    deflater = deflater or zlib.compressobj(wbits=-15)
    return (deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]


@pytest.mark.parametrize("size", [0, 1, 16, 64, 1024, 65536])
@pytest.mark.parametrize("takeover", [True, False])
def test_what_was_deflated_comes_back_deflated(size, takeover):
    deflater = zlib.compressobj(wbits=-12)
    messages = [(b"%d " % n * size)[:size] for n in range(3)]
    pieces = []
    for message in messages:
        pieces.append(frame(1, deflated(message, deflater), rsv=4))
        if not takeover:
            deflater = zlib.compressobj(wbits=-12)
    found = play(
        [b"".join([*pieces, BYE])], inflate=Inflate(12, takeover), deflate=Deflate(12, takeover)
    )
    assert found.pop() == OK
    inflater = zlib.decompressobj(-12)
    for (first, payload), message in zip(found, messages, strict=True):
        if first & 0x40:
            payload = inflater.decompress(payload + b"\0\0\xff\xff")
            if not takeover:
                inflater = zlib.decompressobj(-12)
        assert (first & ~0x40, payload) == (T, message)


def test_a_deflated_message_in_fragments_with_a_ping_between():
    data = deflated(b"Hello" * 100)
    reader = FrameReader(-1, Inflate(15, True))
    got = reader.feed(
        frame(1, data[:3], fin=False, rsv=4)
        + frame(9, b"p")
        + more(data[3:5])
        + more(data[5:], True)
    )
    assert kinds(got) == [("ping", b"p"), "Hello" * 100]


def test_a_plain_message_may_come_between_deflated_ones():
    reader = FrameReader(-1, Inflate(15, True))
    deflater = zlib.compressobj(wbits=-15)
    first, last = deflated(b"one", deflater), deflated(b"one", deflater)
    data = frame(1, first, rsv=4) + text("two") + frame(1, last, rsv=4)
    assert reader.feed(data) == ["one", "two", "one"]


def test_a_block_that_says_it_is_the_last_is_understood():
    """RFC 7692 7.2.3.5: a deflater may end with BFINAL, and begin anew."""
    reader = FrameReader(-1, Inflate(15, True))
    final = zlib.compressobj(wbits=-15)
    data = final.compress(b"Hello") + final.flush(zlib.Z_FINISH) + b"\0"
    assert reader.feed(frame(1, data, rsv=4)) == ["Hello"]
    assert reader.feed(frame(1, deflated(b"again"), rsv=4)) == ["again"]


def test_a_bomb_is_refused_before_it_is_inflated():
    reader = FrameReader(1000, Inflate(15, True))
    bomb = deflated(b"\0" * 500_000)
    assert len(bomb) < 1000
    assert kinds(reader.feed(frame(2, bomb, rsv=4))) == [("close", 1009)]


def test_a_message_that_inflates_to_just_the_largest_size_comes_through():
    reader = FrameReader(1000, Inflate(15, True))
    assert reader.feed(frame(2, deflated(b"\0" * 1000), rsv=4)) == [b"\0" * 1000]


@pytest.mark.parametrize("rsv", [4])
@pytest.mark.parametrize("piece", ["continuation", "ping"])
def test_only_the_first_frame_of_a_message_may_say_that_it_is_deflated(piece, rsv):
    reader = FrameReader(-1, Inflate(15, True))
    if piece == "ping":
        assert kinds(reader.feed(frame(9, b"x", rsv=rsv))) == [("close", 1002)]
    else:
        data = frame(1, b"x", fin=False) + frame(0, b"y", rsv=rsv)
        assert kinds(reader.feed(data)) == [("close", 1002)]


def test_what_cannot_be_inflated_is_bad_data():
    reader = FrameReader(-1, Inflate(15, True))
    assert kinds(reader.feed(frame(1, b"\xff" * 20, rsv=4))) == [("close", 1007)]


def test_text_that_inflates_to_no_utf8_is_bad_data():
    reader = FrameReader(-1, Inflate(15, True))
    assert kinds(reader.feed(frame(1, deflated(b"\xff"), rsv=4))) == [("close", 1007)]
