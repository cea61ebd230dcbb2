"""Some of what fuzz_http.py does, and what hypothesis finds."""

import http.client
import io

import fuzz_http
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greenroom.servers.http1 import BadRequest, ChunkDecoder, RequestParser


def test_the_parser_reads_or_refuses_whatever_comes() -> None:
    refused = 0
    for data in fuzz_http.cases(11, 3000):
        try:
            fuzz_http.parse_all(data)
        except BadRequest as error:
            refused += 1
            assert 400 <= error.status < 500 or error.status in (501, 505)
    assert 500 < refused < 2900


def test_cutting_the_data_changes_nothing() -> None:
    for data in fuzz_http.cases(12, 600):
        outcomes = []
        for step in (len(data) or 1, 1, 13):
            if step < 13 and len(data) > 3000:
                continue
            parser = RequestParser()
            outcome: object = "more"
            for size in [*range(step, len(data), step), len(data)]:
                try:
                    end = parser.parse(data[:size], 0, max(0, size - step))
                except BadRequest as error:
                    outcome = error.status
                    break
                if end >= 0:
                    outcome = (end, parser.headers, parser.target, parser.length)
                    break
            outcomes.append(outcome)
        first = outcomes[0]
        for other in outcomes[1:]:
            # Which of several faults is named may depend on how much had come.
            assert other == first or (isinstance(other, int) and isinstance(first, int)), data


def test_a_server_outlives_whatever_comes() -> None:
    fuzz_http.run(13, 400)


@given(st.binary(min_size=1, max_size=20) | st.just(b"# \r\n\\x85"))
def test_a_line_of_the_corpus_is_read_as_it_was_kept(data: bytes) -> None:
    line = fuzz_http.as_line(data)
    assert fuzz_http.of_lines(f"# a comment\n{line}\n") == [data]


TOKEN = st.text("!#$%&'*+-.^_`|~09azAZ", min_size=1, max_size=12)
VALUE = st.text(
    st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f"), max_size=20
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(["GET", "POST", "DELETE", "PROPFIND"]),
    st.text("/az09-._~%?&=;:@!$'()*+,", max_size=40),
    st.lists(st.tuples(TOKEN, VALUE), max_size=10),
)
def test_what_is_right_is_read_as_http_client_reads_it(
    method: str, rest: str, headers: list[tuple[str, str]]
) -> None:
    own = ("host", "content-length", "transfer-encoding", "connection", "upgrade", "expect")
    headers = [(name, value) for name, value in headers if name.lower() not in own]
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1")
    head = f"{method} /{rest} HTTP/1.1\r\nHost: x\r\n".encode() + lines + b"\r\n"
    parser = RequestParser()
    assert parser.parse(head, 0) == len(head)
    assert (parser.method, parser.target) == (method, f"/{rest}".encode())
    oracle = http.client.parse_headers(io.BytesIO(head.partition(b"\r\n")[2]))
    wanted = [(name.lower(), value.strip(" \t")) for name, value in oracle.items()]
    assert [(n.decode("latin-1"), v.decode("latin-1")) for n, v in parser.headers] == wanted


@settings(max_examples=150, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), st.integers(1, 60))
def test_chunks_come_out_as_they_went_in(pieces: list[bytes], step: int) -> None:
    data = b"".join(b"%X\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    decoder = ChunkDecoder()
    body = b"".join(decoder.decode(data[i : i + step], 0) for i in range(0, len(data), step))
    assert decoder.done
    assert body == b"".join(pieces)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_noise_is_refused_or_incomplete(data: bytes) -> None:
    try:
        fuzz_http.parse_all(data)
    except BadRequest as error:
        assert error.status >= 400
    with pytest.raises(BadRequest):
        RequestParser().parse(b"\x00" + data, 0)
