"""Heads and chunks, without a socket: what is read, and what is refused."""

import pytest

from greenroom.servers import http1
from greenroom.servers.http1 import BadRequest, ChunkDecoder, RequestParser, ResponseHead

HOST = b"Host: example.com\r\n"


def parsed(head: bytes) -> RequestParser:
    parser = RequestParser()
    assert parser.parse(head, 0) == len(head)
    return parser


def refusal(head: bytes, **limits: int) -> int:
    parser = RequestParser(**limits)
    with pytest.raises(BadRequest) as caught:
        parser.parse(head, 0)
    assert caught.value.text.endswith(".")
    return caught.value.status


def test_a_head_is_read_into_its_parts() -> None:
    got = parsed(
        b"POST /a%20b?c=d HTTP/1.1\r\nHost: h:80\r\nX-Y:  z \r\nContent-Length: 12\r\n\r\n"
    )
    assert (got.method, got.target, got.path, got.query) == (
        "POST",
        b"/a%20b?c=d",
        b"/a%20b",
        b"c=d",
    )
    assert got.version == "1.1"
    assert got.headers == [(b"host", b"h:80"), (b"x-y", b"z"), (b"content-length", b"12")]
    assert got.length == 12
    assert got.keep_alive and not got.expects and not got.upgrade


def test_the_place_after_the_head_is_told_and_a_part_is_waited_for() -> None:
    head = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
    parser = RequestParser()
    for size in range(len(head)):
        assert parser.parse(head[:size], 0, max(0, size - 1)) == -1
    assert parser.parse(head + b"GET /next", 0) == len(head)
    assert parser.parse(b"xx" + head + head, 2) == 2 + len(head)


def test_one_empty_line_before_a_request_is_passed_over_and_two_are_not() -> None:
    head = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
    assert RequestParser().parse(b"\r\n" + head, 0) == 2 + len(head)
    assert refusal(b"\r\n\r\n" + head) == 400


@pytest.mark.parametrize(
    ("version", "connection", "kept"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"close", False),
        (b"1.1", b"Keep-Alive, CLOSE", False),
        (b"1.0", b"", False),
        (b"1.0", b"keep-alive", True),
        (b"1.0", b"keep-alive, close", False),
    ],
)
def test_who_wants_the_connection_kept(version: bytes, connection: bytes, kept: bool) -> None:
    line = b"Connection: " + connection + b"\r\n" if connection else b""
    parser = RequestParser()
    head = b"GET / HTTP/" + version + b"\r\n" + HOST + line + b"\r\n"
    for _ in range(2):  # the parser can be used again in any case
        assert parser.parse(head, 0) == len(head)
        assert parser.keep_alive is kept


def test_a_parser_reads_on_after_bodies_upgrades_and_refusals() -> None:
    parser = RequestParser()
    simple = b"GET /s HTTP/1.1\r\n" + HOST + b"\r\n"
    for head in (
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: Chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
    ):
        try:
            parser.parse(head, 0)
        except BadRequest:
            pass
        assert parser.parse(simple, 0) == len(simple)
        assert (parser.path, parser.length, parser.upgrade) == (b"/s", 0, False)


@pytest.mark.parametrize(
    "head",
    [
        # lengths
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5 5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1_0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999999999999\r\n\r\n",
        # codings
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost:\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0bchunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n\r\n",
        b"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        # lines
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n\tc\r\n\r\n",
        b"GET / HTTP/1.1\r\n Host: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\rA: b\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"GET / HTTP/1.1\rHost: x\r\r",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\x01c\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\x7fc\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA\t: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA B: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA(B: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\xc3\xa4: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nnothing\r\n\r\n",
        # the host
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
        # the request line
        b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /  HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1 \r\nHost: x\r\n\r\n",
        b" GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\x80 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET a HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET ftp://a/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://u@a/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http:///x HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\r\nHost: x\r\n\r\n",
        b"GET / HTTP/11\r\nHost: x\r\n\r\n",
        b"GET / http/1.1\r\nHost: x\r\n\r\n",
        b"GET / RTSP/1.0\r\nHost: x\r\n\r\n",
        b"SOURCE / ICE/1.0\r\nHost: x\r\n\r\n",
        b"get / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"G(T / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(head: bytes) -> None:
    assert refusal(head) == 400


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n", 501),
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        (b"GET / HTTP/0.9\r\nHost: x\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\n\r\n", 417),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET /" + b"a" * 40000, 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 40000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 40000, 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 101 + b"\r\n", 431),
    ],
)
def test_refusals_with_a_status_of_their_own(head: bytes, status: int) -> None:
    assert refusal(head) == status


def test_absolute_targets_say_which_host_counts() -> None:
    got = parsed(b"GET http://Real.example:8080/p?q HTTP/1.1\r\nHost: forged\r\n\r\n")
    assert (got.path, got.query) == (b"/p", b"q")
    assert got.headers == [(b"host", b"Real.example:8080")]
    assert parsed(b"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n").path == b"/"
    assert parsed(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").path == b"*"
    assert parsed(b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n").path == b"/"
    assert parsed(b"GET / HTTP/1.1\r\nHost:\r\n\r\n").path == b"/"


def test_names_of_strangers_do_not_fill_the_memory() -> None:
    for number in range(2500):
        parsed(b"GET / HTTP/1.1\r\n" + HOST + b"X-%d: y\r\n\r\n" % number)
        ResponseHead([(b"X-%d" % number, b"y")])
    assert parsed(b"GET / HTTP/1.1\r\n" + HOST + b"x-new: y\r\n\r\n").headers[1] == (b"x-new", b"y")


# --- chunks

CHUNKED = b"5\r\nhello\r\n1;a=b\r\n!\r\n0\r\nA: b\r\n\r\n"


def test_chunks_are_decoded_however_they_are_cut() -> None:
    for first in range(len(CHUNKED) + 1):
        for second in range(first, len(CHUNKED) + 1):
            decoder = ChunkDecoder()
            body = b""
            for piece in (CHUNKED[:first], CHUNKED[first:second], CHUNKED[second:]):
                assert not (decoder.done and piece)
                body += decoder.decode(piece, 0)
            assert decoder.done
            assert body == b"hello!"
            assert decoder.trailers == [(b"a", b"b")]


def test_what_follows_a_chunked_body_is_left() -> None:
    decoder = ChunkDecoder()
    data = b"xx" + CHUNKED + b"GET /"
    assert decoder.decode(data, 2) == b"hello!"
    assert data[decoder.place :] == b"GET /"


@pytest.mark.parametrize(
    "data",
    [
        b"5\nhello\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello!\r\n",
        b"5\r\nhelloX",
        b"-5\r\nhello\r\n",
        b"+5\r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b"5 5\r\nhello\r\n",
        b" 5\r\nhello\r\n",
        b"\r\n",
        b";a\r\n",
        b"5;\x00\r\nhello\r\n",
        b"5;a\rb\r\nhello\r\n",
        b"fffffffffffffffff\r\n",
        b"ffffffffffffffff\r\n",
        b"5;" + b"a" * 2000,
        b"5;" + b"a" * 2000 + b"\r\n",
        b"0\r\nA : b\r\n\r\n",
        b"0\r\n folded\r\n\r\n",
        b"0\r\nA: b\nC: d\r\n\r\n",
        b"0\r\nA: b\x00\r\n\r\n",
        b"0\r\nA: " + b"b" * 40000 + b"\r\n\r\n",
        b"0\r\nA: " + b"b" * 40000,
        (b"1;" + b"a" * 1000 + b"\r\nx\r\n") * 20,
    ],
)
def test_malformed_chunks_are_refused(data: bytes) -> None:
    for step in (1, 7, len(data)):
        decoder = ChunkDecoder()
        with pytest.raises(BadRequest) as caught:
            for start in range(0, len(data), step):
                decoder.decode(data[start : start + step], 0)
        assert caught.value.status == 400


# --- response heads


def test_a_head_brings_date_server_and_framing() -> None:
    head = ResponseHead([(b"Content-Type", b"text/plain")])
    line = http1.status_line(200, None)
    data = head.build(200, line, 5, False, True, False)
    first, *lines = data.removesuffix(b"\r\n\r\n").split(b"\r\n")
    assert first == b"HTTP/1.1 200 OK"
    names = [found.split(b": ")[0] for found in lines]
    assert names == [b"Content-Type", b"Date", b"Server", b"Content-Length"]
    assert b"Transfer-Encoding: chunked\r\n" in head.build(200, line, -1, True, True, False)
    assert b"Connection: close\r\n" in head.build(200, line, 0, False, False, False)
    assert b"Connection: keep-alive\r\n" in head.build(200, line, 0, False, True, True)


def test_the_application_s_own_date_and_server_stay() -> None:
    line = http1.status_line(200, None)
    for own in ([(b"Date", b"d")], [(b"server", b"s")], [(b"DATE", b"d"), (b"Server", b"s")]):
        data = ResponseHead(own).build(200, line, -1, False, True, False).lower()
        assert data.count(b"\r\ndate: ") == data.count(b"\r\nserver: ") == 1
        for name, value in own:
            assert b"\r\n" + name.lower() + b": " + value in data


@pytest.mark.parametrize(
    "header",
    [
        (b"A", b"b\r\nSet-Cookie: c"),
        (b"A", b"b\nc"),
        (b"A", b"b\rc"),
        (b"A", b"b\0c"),
        (b"A\r\nB", b"c"),
        (b"A:", b"c"),
        (b"A B", b"c"),
        (b"", b"c"),
        (b"Content-Length", b"-1"),
        (b"Content-Length", b"five"),
    ],
)
def test_a_header_that_would_break_the_response_is_refused(header: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="cannot send"):
        ResponseHead([header])


def test_a_reason_or_status_that_would_break_the_response_is_refused() -> None:
    for status, reason in ((200, b"OK\r\nA: b"), (99, None), (1000, None)):
        with pytest.raises(ValueError, match="cannot"):
            http1.status_line(status, reason)
    assert http1.status_line(299, None) == b"HTTP/1.1 299 "
