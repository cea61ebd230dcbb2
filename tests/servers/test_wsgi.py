"""WSGI on HTTPServer: PEP 3333 by wsgiref's validator and by hand, files and ranges, sockets."""

import io
import os
import socket
import sys
from collections.abc import Iterable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest
from rawhttp import GET, LAST, Client, ask, serving_wsgi, statuses

import greenroom

POST = b"POST / HTTP/1.1\r\nHost: x\r\n"


def environ_of(request: bytes, **options: Any) -> dict[str, Any]:
    """Return the environ that an application gets for a request."""
    found: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        found.append(environ)
        start_response("200 OK", [])
        return [b"x"]

    with serving_wsgi(app, **options) as server:
        ask(server, request, half_close=True)
    return found[0]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST"])
def test_the_validator_finds_nothing(method: bytes, caplog: pytest.LogCaptureFixture) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        source = environ["wsgi.input"]
        body = source.read(2) + source.readline() + b"".join(source.readlines(1))
        body += b"".join(source)
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        write(b"written ")
        return iter([b"given ", b"", body])

    with serving_wsgi(validator(app)) as server, Client(server) as client:
        for length in (
            b"Content-Length: 11\r\n\r\n",
            b"Connection: close\r\nContent-Length: 11\r\n\r\n",
        ):
            client.send(
                method + b" /a/b?c=d HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n" + length + b"one\ntwo\nend"
            )
            status, _, body = client.response(has_body=method != b"HEAD")
            assert status == 200
            assert body == (b"" if method == b"HEAD" else b"written given one\ntwo\nend")
    assert not caplog.records


def test_environ_has_what_the_pep_wants() -> None:
    environ = environ_of(
        b"POST /caf%C3%A9%2Fx/y?q=%20&r HTTP/1.1\r\nHost: h.example:81\r\n"
        b"Content-Type: text/x\r\nContent-Length: 3\r\nA-B: 1\r\nA-B: 2\r\n"
        b"Cookie: a=1\r\nCookie: b=2\r\nC: \xe9\r\n\r\nabc"
    )
    wanted = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/caf\u00c3\u00a9/x/y",
        "QUERY_STRING": "q=%20&r",
        "REQUEST_URI": "/caf%C3%A9%2Fx/y?q=%20&r",
        "CONTENT_TYPE": "text/x",
        "CONTENT_LENGTH": "3",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "h.example:81",
        "HTTP_A_B": "1,2",
        "HTTP_COOKIE": "a=1; b=2",
        "HTTP_C": "\u00e9",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }
    assert {key: environ[key] for key in wanted} == wanted
    assert environ["SERVER_PORT"].isdigit() and environ["REMOTE_PORT"].isdigit()
    assert environ["wsgi.errors"] is sys.stderr
    assert "HTTP_CONTENT_LENGTH" not in environ and "HTTP_CONTENT_TYPE" not in environ
    assert type(environ) is dict


def test_a_header_with_an_underscore_cannot_pass_for_another() -> None:
    environ = environ_of(GET[:-2] + b"X_Forwarded_For: evil\r\nContent_Length: 5\r\n\r\n")
    assert not [key for key in environ if "FORWARDED" in key]
    assert "CONTENT_LENGTH" not in environ


def test_the_proxy_header_is_no_more_than_a_header() -> None:
    assert environ_of(GET[:-2] + b"Proxy: evil\r\n\r\n")["HTTP_PROXY"] == "evil"


def test_environ_is_not_shared_by_requests() -> None:
    found: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        found.append(dict(environ))
        environ.clear()
        environ["mine"] = True
        start_response("200 OK", [])
        return [b""]

    with serving_wsgi(app) as server:
        ask(server, GET[:-2] + b"A: 1\r\n\r\n" + LAST)
    assert "HTTP_A" in found[0] and "HTTP_A" not in found[1] and "mine" not in found[1]


def test_a_mount_point_is_cut_from_the_path() -> None:
    from greenroom.servers.wsgi import WSGIApplication

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [f"{environ['SCRIPT_NAME']}|{environ['PATH_INFO']}".encode()]

    from rawhttp import serving

    with serving(WSGIApplication(app, script_name="/shop")) as server, Client(server) as client:
        for target, wanted in (
            (b"/shop/a", b"/shop|/a"),
            (b"/shop", b"/shop|"),
            (b"/shopping", b"|/shopping"),
        ):
            client.send(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.response()[2] == wanted


# --- wsgi.input


@pytest.mark.parametrize("chunked", [False, True])
def test_input_is_read_as_a_file_while_it_comes(chunked: bool) -> None:
    body = b"one\ntwo\n\nthree" + b"x" * 1000 + b"\nlast"
    calls: list[tuple[str, tuple[Any, ...]]] = [
        ("read", (0,)),
        ("readline", ()),
        ("readline", (2,)),
        ("readline", (0,)),
        ("read", (3,)),
        ("readlines", (1,)),
        ("read", (5,)),
        ("readline", (None,)),
        ("read", (None,)),
        ("read", ()),
        ("readline", ()),
        ("readlines", ()),
    ]
    got: list[Any] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        for name, arguments in calls:
            got.append(getattr(environ["wsgi.input"], name)(*arguments))
        got.append(list(environ["wsgi.input"]))
        start_response("200 OK", [])
        return [b""]

    oracle = io.BytesIO(body)
    wanted: list[Any] = [getattr(oracle, name)(*arguments) for name, arguments in calls]
    with serving_wsgi(app) as server, Client(server) as client:
        if chunked:
            client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n")
            for start in range(0, len(body), 3):
                piece = body[start : start + 3]
                client.send(b"%x\r\n%b\r\n" % (len(piece), piece))
                greenroom.sleep(0)
            client.send(b"0\r\n\r\n")
        else:
            client.send(POST + b"Content-Length: %d\r\n\r\n" % len(body))
            for start in range(0, len(body), 3):
                client.send(body[start : start + 3])
                greenroom.sleep(0)
        assert client.response()[0] == 200
    assert got == [*wanted, []]


# --- start_response and the result


def run_app(app: Any, request: bytes = GET, **options: Any) -> bytes:
    with serving_wsgi(app, **options) as server:
        return ask(server, request, half_close=True)


class Result:
    """An iterable that says whether it was closed."""

    def __init__(self, items: Iterable[Any]) -> None:
        self.items = items
        self.closed = 0

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)

    def close(self) -> None:
        self.closed += 1


def failing() -> Iterator[bytes]:
    yield b"first"
    raise LookupError("in the middle")


@pytest.mark.parametrize("items", [[b"a", b"b"], [], [""], [b"a", 5], failing()])
def test_close_is_called_once_whatever_happens(
    items: Any, caplog: pytest.LogCaptureFixture
) -> None:
    result = Result(items)

    def app(environ: dict[str, Any], start_response: Any) -> Result:
        start_response("200 OK", [])
        return result

    run_app(app)
    assert result.closed == 1


def test_close_is_called_when_the_client_has_left() -> None:
    result = Result(b"x" * 100_000 for _ in range(1000))
    entered = greenroom.Event()

    def app(environ: dict[str, Any], start_response: Any) -> Result:
        start_response("200 OK", [])
        entered.set()
        return result

    with serving_wsgi(app) as server, greenroom.timeout(60):
        with Client(server) as client:
            client.send(GET)
            entered.wait()
        while not result.closed:
            greenroom.sleep(0.01)
    assert result.closed == 1


def test_start_response_twice_needs_exc_info(caplog: pytest.LogCaptureFixture) -> None:
    def twice(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        start_response("200 OK", [])
        return [b""]

    def with_error(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("A", "1")])
        try:
            raise LookupError("seen")
        except LookupError:
            start_response("503 Sorry", [("B", "2")], sys.exc_info())
        return [b"sorry"]

    assert statuses(run_app(twice)) == [500]
    assert "called twice" in caplog.text
    got = run_app(with_error)
    assert got.startswith(b"HTTP/1.1 503 Sorry\r\nB: 2\r\n")
    assert b"A: 1" not in got


def test_exc_info_after_the_head_is_raised_again(caplog: pytest.LogCaptureFixture) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"begun"
        try:
            raise LookupError("too late")
        except LookupError:
            start_response("500 No", [], sys.exc_info())
        yield b"not reached"

    got = run_app(app)
    assert statuses(got) == [200]
    assert got.endswith(b"5\r\nbegun\r\n")
    assert "LookupError: too late" in caplog.text


def test_a_generator_may_start_the_response_late() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b""
        yield b"late"

    assert run_app(app).endswith(b"4\r\nlate\r\n0\r\n\r\n")


def test_each_item_is_sent_before_the_next_is_asked_for() -> None:
    go_on = greenroom.Event()

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"now"
        go_on.wait()
        yield b"then"

    with serving_wsgi(app) as server, Client(server) as client, greenroom.timeout(60):
        client.send(GET)
        while not client.buffer.endswith(b"3\r\nnow\r\n"):
            client.more()
        go_on.set()
        assert client.response()[2] == b"nowthen"


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        ("OK", []),
        ("20 OK", []),
        (200, []),
        ("200 OK", (("A", "b"),)),
        ("200 OK", [("A", 5)]),
        ("200 OK", [(5, "A")]),
        ("200 OK", [("A", "b\r\nC: d")]),
        ("200 OK", [("A", "b\nC: d")]),
        ("200 OK", [("A\n", "b")]),
        ("200 OK", [("A", "\u20ac")]),
        ("200 OK\r\nA: b", []),
        ("200 \u20ac", []),
        ("200 OK", [("Content-Length", "x")]),
    ],
)
def test_a_response_that_cannot_be_sent_is_an_error_of_the_application(
    status: Any, headers: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response(status, headers)
        return [b"body"]

    assert statuses(run_app(app)) == [500]
    assert caplog.records[0].exc_info


def test_no_start_response_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    assert statuses(run_app(lambda environ, start_response: [b"x"])) == [500]
    assert statuses(run_app(lambda environ, start_response: [])) == [500]
    assert "before it called start_response" in caplog.text


def test_one_item_gets_a_length_and_goes_out_with_its_head() -> None:
    for kind in (list, tuple):
        head, _, body = run_app(
            lambda environ, start_response, kind=kind: (start_response("200 OK", []), kind([b"x"]))[
                1
            ]
        ).partition(b"\r\n\r\n")
        assert b"Content-Length: 1" in head
        assert body == b"x"


# --- files


CONTENT = bytes(range(256)) * 100


@pytest.fixture
def content(tmp_path: Path) -> Path:
    path = tmp_path / "content"
    path.write_bytes(CONTENT)
    return path


def file_app(path: Path, headers: list[tuple[str, str]], opened: list[Any] | None = None) -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        file = path.open("rb")
        if opened is not None:
            opened.append(file)
        start_response("200 OK", headers)
        return environ["wsgi.file_wrapper"](file)

    return app


@pytest.mark.parametrize(
    ("wish", "status", "start", "stop"),
    [
        (None, 200, 0, 25600),
        (b"bytes=0-0", 206, 0, 1),
        (b"bytes=100-199", 206, 100, 200),
        (b"bytes=25599-", 206, 25599, 25600),
        (b"bytes=100-99999999", 206, 100, 25600),
        (b"bytes=-100", 206, 25500, 25600),
        (b"bytes=-99999999", 206, 0, 25600),
        (b"bytes=25600-", 416, 0, 0),
        (b"bytes=-0", 416, 0, 0),
        (b"bytes=5-4", 200, 0, 25600),
        (b"bytes=0-1,5-6", 200, 0, 25600),
        (b"lines=0-1", 200, 0, 25600),
        (b"bytes=a-b", 200, 0, 25600),
    ],
)
def test_a_file_is_sent_as_the_range_asks(
    content: Path, wish: bytes | None, status: int, start: int, stop: int
) -> None:
    line = b"" if wish is None else b"Range: " + wish + b"\r\n"
    opened: list[Any] = []
    with serving_wsgi(file_app(content, [], opened)) as server, Client(server) as client:
        client.send(GET[:-2] + line + b"\r\n")
        got, headers, body = client.response()
        assert (got, body) == (status, CONTENT[start:stop])
        if status == 206:
            assert headers[b"content-range"] == b"bytes %d-%d/25600" % (start, stop - 1)
        elif status == 416:
            assert headers[b"content-range"] == b"bytes */25600"
        else:
            assert headers[b"accept-ranges"] == b"bytes"
        client.send(LAST)
        assert client.response()[0] == 200
        assert client.rest() == b""
    assert all(file.closed for file in opened)


def test_a_whole_file_keeps_what_the_application_said(content: Path) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 Here you are", [("Accept-Ranges", "none"), ("Content-Length", "1000")])
        return environ["wsgi.file_wrapper"](content.open("rb"))

    with serving_wsgi(app) as server:
        head, _, body = ask(server, LAST).partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 Here you are"
    assert [line for line in lines if line.startswith((b"Accept", b"Content-L"))] == [
        b"Accept-Ranges: none",
        b"Content-Length: 1000",
    ]
    assert body == CONTENT[:1000]


def test_if_range_must_match(content: Path) -> None:
    date = formatdate(1_000_000_000, usegmt=True)
    app = file_app(content, [("ETag", '"v1"'), ("Last-Modified", date)])
    with serving_wsgi(app) as server, Client(server) as client:
        for condition, status in (
            (b'"v1"', 206),
            (b'"v2"', 200),
            (b'W/"v1"', 200),
            (date.encode(), 206),
            (formatdate(0, usegmt=True).encode(), 200),
        ):
            client.send(GET[:-2] + b"Range: bytes=0-9\r\nIf-Range: " + condition + b"\r\n\r\n")
            got, headers, _ = client.response()
            assert got == status
            assert headers[b"etag"] == b'"v1"'


def test_head_of_a_file_tells_its_length(content: Path) -> None:
    with serving_wsgi(file_app(content, [])) as server, Client(server) as client:
        client.send(GET.replace(b"GET", b"HEAD") + LAST)
        assert client.response(has_body=False)[1][b"content-length"] == b"25600"
        assert client.response()[2] == CONTENT


def test_a_wrapped_file_begins_where_it_stands_and_ends_at_the_length(content: Path) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        file = content.open("rb")
        file.read(10)
        start_response("200 OK", [("Content-Length", "20")])
        return environ["wsgi.file_wrapper"](file, 4096)

    with serving_wsgi(app) as server, Client(server) as client:
        client.send(GET)
        assert client.response()[2] == CONTENT[10:30]


def test_what_is_no_regular_file_is_read() -> None:
    closed = []

    class Source(io.BytesIO):
        def close(self) -> None:
            closed.append(True)
            super().close()

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](Source(CONTENT), 1000)

    def pipe_app(environ: dict[str, Any], start_response: Any) -> Any:
        end, other = os.pipe()
        os.write(other, b"through a pipe")
        os.close(other)
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](os.fdopen(end, "rb"))

    with serving_wsgi(app) as server, Client(server) as client:
        client.send(GET)
        assert client.response()[2] == CONTENT
    assert closed
    with serving_wsgi(pipe_app) as server, Client(server) as client:
        client.send(GET)
        assert client.response()[2] == b"through a pipe"


# --- the socket


UPGRADE = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n"


@pytest.mark.parametrize("end", ["empty", "ConnectionError", "StopIteration"])
def test_an_application_may_take_the_socket_over(end: str) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        sock = environ["werkzeug.socket"]
        sock.sendall(b"hello")
        assert sock.recv(100) == b"ping"
        sock.sendall(b" pong")
        if end == "ConnectionError":
            raise ConnectionError()
        if end == "StopIteration":
            raise StopIteration()
        return []

    with serving_wsgi(app) as server, Client(server) as client:
        client.send(UPGRADE)
        client.more()
        client.send(b"ping")
        assert client.rest() == b"hello pong"


def test_an_error_in_an_upgrade_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        raise LookupError("not taken")

    assert statuses(run_app(app, UPGRADE)) == [500]
    assert "not taken" in caplog.text


def test_the_socket_is_not_offered_when_bytes_of_it_were_read_ahead() -> None:
    assert isinstance(environ_of(GET)["werkzeug.socket"], socket.socket)
    assert "werkzeug.socket" not in environ_of(GET + GET)


def test_an_error_page_for_a_body_that_cannot_be_read_has_the_true_status() -> None:
    """Frameworks turn what they do not know into a 500; the client is told what it did wrong."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        try:
            environ["wsgi.input"].read()
        except OSError:
            start_response("500 Internal Server Error", [])
            return [b"oops"]
        raise AssertionError("the body was read")

    chunk = b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n"
    with serving_wsgi(app) as server:
        assert statuses(ask(server, POST + chunk, half_close=True)) == [400]
