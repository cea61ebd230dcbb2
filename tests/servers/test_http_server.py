"""HTTPServer over real sockets: order, framing, timeouts, limits, and what clients do wrong."""

import logging
import os
import socket
import struct
from pathlib import Path
from typing import Any

import pytest
import rawhttp
from rawhttp import GET, LAST, Client, ask, hello, serving, statuses

import greenroom
from greenroom.servers.http import BodyError, ClientGone, Exchange
from greenroom.testing.clock import VirtualClock

POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


# --- keep-alive, pipelining, versions


def test_a_connection_is_used_again() -> None:
    with serving() as server, Client(server) as client:
        for number in range(3):
            client.send(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number)
            status, headers, body = client.response()
            assert (status, body) == (200, b"GET /%d " % number)
            assert b"connection" not in headers
        client.send(LAST)
        assert client.response()[1][b"connection"] == b"close"
        assert client.rest() == b""


def test_pipelined_requests_are_answered_in_order_whatever_they_are() -> None:
    data = GET + POST + b"Content-Length: 3\r\n\r\nabc" + CHUNKED + b"2\r\nde\r\n0\r\n\r\n" + LAST
    with serving() as server:
        for cut in (1, 7, 50, len(data)):
            with Client(server) as client:
                for start in range(0, len(data), cut):
                    client.send(data[start : start + cut])
                    greenroom.sleep(0)
                bodies = [client.response()[2] for _ in range(4)]
            assert bodies == [b"GET / ", b"POST / abc", b"POST / de", b"GET /last "]


def test_a_pipelined_response_does_not_wait_for_the_next_request() -> None:
    go_on = greenroom.Event()

    def application(exchange: Exchange) -> None:
        if exchange.path == b"/slow":
            go_on.wait()
        hello(exchange)

    with serving(application) as server, Client(server) as client, greenroom.timeout(60):
        client.send(GET + b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.response()[2] == b"GET / "
        go_on.set()
        assert client.response()[2] == b"GET /slow "


def test_many_pipelined_requests_are_all_answered() -> None:
    with serving() as server:
        answered = statuses(ask(server, GET * 5000 + LAST))
        assert answered == [200] * 5001


def test_http_1_0_is_closed_unless_it_asks() -> None:
    with serving() as server:
        assert ask(server, b"GET / HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\nGET / ")
        with Client(server) as client:
            client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert client.response()[1][b"connection"] == b"keep-alive"
            client.send(b"GET / HTTP/1.0\r\n\r\n")
            assert client.response()[1][b"connection"] == b"close"
            assert client.rest() == b""


def test_a_body_of_unknown_length_ends_with_the_connection_for_http_1_0() -> None:
    def application(exchange: Exchange) -> None:
        exchange.start(200, None, [])
        exchange.write(b"one ")
        exchange.write(b"two")

    with serving(application) as server:
        head, _, body = ask(server, b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").partition(
            b"\r\n\r\n"
        )
        assert body == b"one two"
        assert b"Connection: close" in head
        assert b"Transfer-Encoding" not in head
        with Client(server) as client:
            client.send(GET)
            assert client.response()[2] == b"one two"


def test_a_client_that_has_closed_its_half_gets_its_responses() -> None:
    with serving() as server:
        assert statuses(ask(server, GET + GET, half_close=True)) == [200, 200]


# --- framing of the response


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_no_body_where_none_may_be(method: str, status: int) -> None:
    def application(exchange: Exchange) -> None:
        exchange.start(status, None, [(b"Content-Length", b"4")])
        exchange.finish(b"body")

    with serving(application) as server, Client(server) as client:
        for _ in range(2):
            client.send(method.encode() + b" / HTTP/1.1\r\nHost: x\r\n\r\n")
            got, headers, _ = client.response(has_body=False)
            assert got == status
            assert (b"content-length" in headers) == (status != 204)
            assert b"transfer-encoding" not in headers
        client.send(LAST.replace(b"GET", method.encode()))
        assert client.rest().endswith(b"\r\n\r\n")


def test_head_tells_the_length_that_get_would_have() -> None:
    with serving() as server, Client(server) as client:
        client.send(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n" + LAST)
        assert client.response(has_body=False)[1][b"content-length"] == b"7"
        assert client.response()[2] == b"GET /last "


def test_what_exceeds_the_content_length_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    def application(exchange: Exchange) -> None:
        exchange.start(200, None, [(b"Content-Length", b"3")])
        exchange.write(b"ab")
        exchange.write(b"cd")
        exchange.write(b"ef")

    with serving(application) as server, Client(server) as client:
        client.send(GET + GET)
        assert client.response()[2] == b"abc"
        assert client.response()[2] == b"abc"
    assert len([r for r in caplog.records if "longer than its Content-Length" in r.message]) == 2


def test_too_short_a_body_closes_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    def application(exchange: Exchange) -> None:
        exchange.start(200, None, [(b"Content-Length", b"9")])
        exchange.finish(b"abc")

    with serving(application) as server:
        assert ask(server, GET + GET).endswith(b"\r\n\r\nabc")
    assert "6 bytes shorter" in caplog.text


def test_large_pieces_and_small_ones_arrive_whole() -> None:
    pieces = [b"a", b"b" * 200_000, b"", b"c" * 70_000, b"d"]

    def application(exchange: Exchange) -> None:
        exchange.start(200, None, [])
        for piece in pieces:
            exchange.write(piece)

    with serving(application) as server, Client(server) as client:
        client.send(GET)
        assert client.response()[2] == b"".join(pieces)


def test_an_application_that_fails_before_the_head_gives_500(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def application(exchange: Exchange) -> None:
        exchange.start(200, None, [])
        raise LookupError("what went wrong")

    with serving(application) as server:
        assert statuses(ask(server, GET + GET)) == [500]
    assert "LookupError: what went wrong" in caplog.text
    assert "GET / from ('127.0.0.1'" in caplog.text


def test_an_application_that_fails_after_the_head_never_ends_its_body(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def application(exchange: Exchange) -> None:
        exchange.start(200, None, [])
        exchange.write(b"half")
        raise LookupError("what went wrong")

    with serving(application) as server:
        assert ask(server, GET + GET).endswith(b"\r\n\r\n4\r\nhalf\r\n")
    assert "LookupError: what went wrong" in caplog.text


def test_half_a_body_that_ends_with_the_connection_ends_in_a_reset(
    caplog: pytest.LogCaptureFixture,
) -> None:
    go_on = greenroom.Event()

    def application(exchange: Exchange) -> None:
        exchange.start(200, None, [])
        exchange.write(b"half")
        go_on.wait()
        raise LookupError("what went wrong")

    with serving(application) as server, Client(server) as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        got = b""
        while not got.endswith(b"\r\n\r\nhalf"):
            got += client.sock.recv(1000)
        go_on.set()
        with pytest.raises(ConnectionResetError):
            client.sock.recv(1000)
    assert "LookupError: what went wrong" in caplog.text


def test_an_application_without_a_response_gives_500(caplog: pytest.LogCaptureFixture) -> None:
    with serving(lambda exchange: None) as server:
        assert statuses(ask(server, GET)) == [500]
    assert "without a response" in caplog.text


def test_headers_that_would_break_the_response_give_500(caplog: pytest.LogCaptureFixture) -> None:
    def application(exchange: Exchange) -> None:
        exchange.start(200, None, [(b"Location", b"/\r\nSet-Cookie: evil=1")])
        exchange.finish()

    with serving(application) as server:
        got = ask(server, GET)
    assert statuses(got) == [500]
    assert b"evil" not in got
    assert "Location" in caplog.text


def test_what_the_server_decides_is_not_the_application_s() -> None:
    def application(exchange: Exchange) -> None:
        exchange.start(
            200,
            b"Fine",
            [(b"Transfer-Encoding", b"gzip"), (b"Keep-Alive", b"1"), (b"Connection", b"close")],
        )
        exchange.finish(b"x")

    with serving(application) as server:
        got = ask(server, GET)
    assert got.startswith(b"HTTP/1.1 200 Fine\r\n")
    assert b"Transfer-Encoding" not in got and b"Keep-Alive" not in got
    assert got.count(b"Connection: close") == 1


# --- the request's body


def test_100_continue_is_sent_when_the_body_is_asked_for() -> None:
    head = POST + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    with serving() as server, Client(server) as client:
        client.send(head)
        assert client.response(has_body=False)[0] == 100
        client.send(b"hi")
        assert client.response()[2] == b"POST / hi"
        client.send(head + b"hi" + LAST)  # who does not wait needs none
        assert client.response()[2] == b"POST / hi"
        assert client.response()[2] == b"GET /last "


def test_an_expected_body_that_nobody_asks_for_closes_the_connection() -> None:
    def application(exchange: Exchange) -> None:
        exchange.start(403, None, [])
        exchange.finish(b"no")

    with serving(application) as server, Client(server) as client:
        client.send(POST + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        status, headers, _ = client.response()
        assert (status, headers[b"connection"]) == (403, b"close")
        client.sock.shutdown(1)
        assert client.rest() == b""


def test_a_small_body_that_was_not_read_is_passed_over() -> None:
    def application(exchange: Exchange) -> None:
        exchange.start(200, None, [])
        exchange.finish(exchange.path)

    body = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    with serving(application) as server:
        got = ask(server, POST + b"Content-Length: %d\r\n\r\n" % len(body) + body + LAST)
        assert statuses(got) == [200, 200]
        assert b"smuggled" not in got


def test_a_large_body_that_was_not_read_closes_the_connection_after_the_response() -> None:
    def application(exchange: Exchange) -> None:
        exchange.start(200, None, [])
        exchange.finish(b"early")

    size = 3_000_000
    with serving(application) as server, Client(server) as client, greenroom.timeout(60):
        client.send(POST + b"Content-Length: %d\r\n\r\n" % size)
        status, headers, body = client.response()
        assert (status, headers[b"connection"], body) == (200, b"close", b"early")
        client.send(b"x" * 100_000)  # no reset while the client still sends
        client.sock.shutdown(1)
        assert client.rest() == b""


def test_read_takes_what_was_asked_for_and_trailers_are_kept() -> None:
    found: list[Any] = []

    def application(exchange: Exchange) -> None:
        found.extend([exchange.read(3), exchange.read(0), exchange.read(1), exchange.read()])
        found.extend([exchange.read(), exchange.trailers])
        exchange.start(200, None, [])
        exchange.finish()

    with serving(application) as server:
        ask(server, CHUNKED + b"4\r\nabcd\r\n4\r\nefgh\r\n0\r\nA: b\r\n\r\n" + LAST)
    assert found[:6] == [b"abc", b"", b"d", b"efgh", b"", [(b"a", b"b")]]


def test_a_body_that_is_larger_than_allowed_is_refused() -> None:
    seen = []

    def application(exchange: Exchange) -> None:
        seen.append(exchange.path)
        exchange.read()

    with serving(application, max_body_bytes=10) as server:
        assert statuses(ask(server, POST + b"Content-Length: 11\r\n\r\n", half_close=True)) == [413]
        assert seen == []
        data = CHUNKED + b"6\r\nabcdef\r\n5\r\nghijk\r\n0\r\n\r\n"
        assert statuses(ask(server, data, half_close=True)) == [413]
    with serving(max_body_bytes=10) as server:
        assert (
            statuses(ask(server, POST + b"Content-Length: 10\r\n\r\n0123456789" + LAST))
            == [200] * 2
        )


def test_a_framework_s_500_for_a_bad_body_becomes_the_true_status() -> None:
    def application(exchange: Exchange) -> None:
        try:
            exchange.read()
        except BodyError:
            exchange.start(500, None, [])
            exchange.finish(b"internal server error")

    with serving(application) as server:
        assert statuses(ask(server, CHUNKED + b"zz\r\n", half_close=True)) == [400]


def test_a_client_that_leaves_within_its_body_is_told_to_the_application() -> None:
    errors: list[BaseException] = []

    def application(exchange: Exchange) -> None:
        try:
            exchange.read()
        except ClientGone as error:
            errors.append(error)
            raise

    with serving(application) as server:
        assert ask(server, POST + b"Content-Length: 9\r\n\r\nabc", half_close=True) == b""
        assert ask(server, CHUNKED + b"5\r\nabc", half_close=True) == b""
    assert len(errors) == 2


# --- refusals


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01", 400),
        (b"GET / HTTP/1.1\nHost: x\n\n", 400),
        (POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        (b"GET /" + b"a" * 50_000, 414),
        (GET[:-2] + b"A: " + b"b" * 50_000, 431),
    ],
)
def test_a_bad_request_is_refused_and_nothing_after_it_is_read(data: bytes, status: int) -> None:
    with serving() as server:
        got = ask(server, GET + data + GET, half_close=True)
        assert statuses(got) == [200, status]
        assert b"\r\nConnection: close\r\n" in got


# --- timeouts, on a virtual clock


def test_a_connection_without_a_request_is_closed(clock: VirtualClock) -> None:
    with serving(header_timeout=5) as server:
        assert ask_idle(server, b"") == b""
        assert clock.now() == pytest.approx(5)


def ask_idle(server: Any, data: bytes) -> bytes:
    """ask() without a time limit, for tests on a virtual clock."""
    with Client(server) as client:
        client.send(data)
        return client.rest()


def test_an_idle_connection_is_closed_without_a_word(clock: VirtualClock) -> None:
    with serving(header_timeout=5, idle_timeout=60) as server:
        assert statuses(ask_idle(server, GET)) == [200]
        assert 60 <= clock.now() < 61


def test_a_slow_loris_is_told_408_and_cut_off(clock: VirtualClock) -> None:
    with serving(header_timeout=5) as server, Client(server) as client:
        client.send(b"GET / HTTP/1.1\r\n")

        def drip() -> None:
            for _ in range(100):
                greenroom.sleep(1)
                try:
                    client.send(b"A: b\r\n")
                except OSError:
                    return

        with greenroom.TaskGroup() as group:
            dripping = group.spawn(drip)
            assert statuses(client.rest()) == [408]
            assert clock.now() <= 8
            dripping.kill()


def test_a_body_that_drips_is_told_408(clock: VirtualClock) -> None:
    with serving(body_timeout=10) as server, Client(server) as client:
        client.send(POST + b"Content-Length: 100000\r\n\r\n")

        def drip() -> None:
            for _ in range(100):
                greenroom.sleep(5)
                try:
                    client.send(b"x")
                except OSError:
                    return

        with greenroom.TaskGroup() as group:
            dripping = group.spawn(drip)
            assert statuses(client.rest()) == [408]
            assert clock.now() <= 20
            dripping.kill()


def test_a_slow_but_steady_body_is_waited_for(clock: VirtualClock) -> None:
    with serving(body_timeout=10) as server, Client(server) as client:
        client.send(POST + b"Content-Length: 100000\r\nConnection: close\r\n\r\n")
        for _ in range(50):
            greenroom.sleep(5)
            client.send(b"x" * 2000)
        assert len(client.response()[2]) == 100007
        assert clock.now() >= 250


def test_a_client_that_never_reads_is_cut_off(clock: VirtualClock) -> None:
    errors: list[BaseException] = []

    def application(exchange: Exchange) -> None:
        exchange.start(200, None, [])
        try:
            while True:
                exchange.write(b"x" * 100_000)
        except ClientGone as error:
            errors.append(error)
            raise

    with serving(application, write_timeout=20) as server, Client(server) as client:
        client.send(GET)
        while not errors:
            greenroom.sleep(1)
        assert clock.now() >= 20
        assert "does not take" in str(errors[0])


# --- files


def test_sendfile_sends_a_part_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 8000)

    def application(exchange: Exchange) -> None:
        with path.open("rb") as file:
            if exchange.path == b"/chunked":
                exchange.start(200, None, [])
            else:
                exchange.start(200, None, [(b"Content-Length", b"1000000")])
            exchange.sendfile(file, 256, 1_000_000)

    expected = path.read_bytes()[256:1_000_256]
    with serving(application) as server, Client(server) as client:
        for target in (b"/", b"/chunked", b"/"):
            client.send(GET.replace(b"/ ", target + b" "))
            assert client.response()[2] == expected


def test_a_file_that_ends_too_early_closes_the_connection(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")

    def application(exchange: Exchange) -> None:
        exchange.start(200, None, [(b"Content-Length", b"10")])
        with path.open("rb") as file:
            exchange.sendfile(file, 0, 10)

    with serving(application) as server:
        assert ask(server, GET + GET).endswith(b"\r\n\r\nabc")
    assert "ended after 3 of 10 bytes" in caplog.text


# --- taking over, leaving


def test_a_connection_that_is_taken_over_is_the_application_s() -> None:
    def application(exchange: Exchange) -> None:
        sock, ahead = exchange.take_over()
        sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + ahead)
        while data := sock.recv(100):
            sock.sendall(data.upper())

    request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: shout\r\n\r\n"
    with serving(application) as server, Client(server) as client:
        client.send(request + b"early ")
        client.send(b"late")
        client.sock.shutdown(1)
        got = client.rest()
    assert got.startswith(b"HTTP/1.1 101 ")
    assert got.lower().endswith(b"\r\n\r\nearly late")
    assert b"500" not in got


def test_an_upgrade_that_the_application_ignores_is_an_ordinary_request() -> None:
    request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
    with serving() as server:
        assert statuses(ask(server, request + LAST)) == [200, 200]


def test_wait_disconnect_ends_when_the_client_leaves_and_keeps_what_it_sent() -> None:
    left = greenroom.Event()

    def application(exchange: Exchange) -> None:
        if exchange.path == b"/wait":
            exchange.wait_disconnect()
            left.set()
        hello(exchange)

    with serving(application) as server, Client(server) as client, greenroom.timeout(60):
        client.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        greenroom.sleep(0)
        client.send(LAST)
        client.sock.shutdown(1)
        assert statuses(client.rest()) == [200, 200]
        assert left.is_set()


def test_wait_disconnect_ends_with_the_exchange() -> None:
    waiters: list[Any] = []

    def application(exchange: Exchange) -> None:
        waiters.append(greenroom.spawn(exchange.wait_disconnect))
        greenroom.sleep(0)
        hello(exchange)

    with serving(application) as server, Client(server) as client, greenroom.timeout(60):
        for _ in range(2):
            client.send(GET)
            assert client.response()[0] == 200
        greenroom.joinall(waiters)


# --- stopping


def test_stop_closes_idle_connections_at_once_and_lets_requests_finish() -> None:
    entered, go_on = greenroom.Event(), greenroom.Event()

    def application(exchange: Exchange) -> None:
        if exchange.path == b"/slow":
            entered.set()
            go_on.wait()
        hello(exchange)

    with (
        serving(application) as server,
        greenroom.timeout(60),
        Client(server) as idle,
        Client(server) as fresh,
        Client(server) as busy,
    ):
        idle.send(GET)
        idle.response()
        busy.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n" + GET)
        entered.wait()
        stopping = greenroom.spawn(server.stop, None)
        assert idle.rest() == b""
        assert fresh.rest() == b""
        assert not stopping.done
        go_on.set()
        status, headers, _ = busy.response()
        assert (status, headers[b"connection"]) == (200, b"close")
        assert busy.rest() == b""
        busy.sock.close()  # the server reads on for a moment, as more may have been sent
        stopping.join()


def test_stop_without_grace_ends_what_runs() -> None:
    ended = []

    def application(exchange: Exchange) -> None:
        try:
            greenroom.sleep(3600)
        finally:
            ended.append(exchange.path)

    with serving(application) as server, Client(server) as client, greenroom.timeout(60):
        client.send(GET)
        while not server._clients:
            greenroom.sleep(0)
        greenroom.sleep(0.01)
        server.stop(0)
        assert client.rest() == b""
        assert ended == [b"/"]


# --- many, and much


def test_a_large_upload_is_streamed_in_constant_memory() -> None:
    size = 64 * 1024 * 1024
    most = 0

    def application(exchange: Exchange) -> None:
        nonlocal most
        total = 0
        while data := exchange.read_chunk():
            total += len(data)
            most = max(most, len(data))
        exchange.start(200, None, [])
        exchange.finish(b"%d" % total)

    with serving(application) as server, Client(server) as client, greenroom.timeout(60):
        client.send(POST + b"Content-Length: %d\r\n\r\n" % size)
        piece = b"x" * 1024 * 1024
        for _ in range(size // len(piece)):
            client.send(piece)
        assert client.response()[2] == b"%d" % size
    assert most <= 64 * 1024


def test_connections_that_are_reset_leave_nothing() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with serving() as server:
        for round in range(3):
            clients = [Client(server) for _ in range(100)]
            for number, client in enumerate(clients):
                if number % 3:
                    client.send((GET, POST + b"Content-Length: 9\r\n\r\nab")[number % 3 - 1])
                if round:
                    greenroom.sleep(0)
                client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.sock.close()
        with greenroom.timeout(60):
            while server._clients:
                greenroom.sleep(0.01)
        assert statuses(ask(server, LAST)) == [200]
    assert len(os.listdir("/proc/self/fd")) <= before + 1


def test_idle_connections_hold_no_parser_and_no_buffer() -> None:
    with serving() as server:
        clients = [Client(server) for _ in range(20)]
        for client in clients:
            client.send(GET)
        for client in clients:
            assert client.response()[0] == 200
        with greenroom.timeout(60):
            while not all(connection.idle for connection in server._clients):
                greenroom.sleep(0)
        spare = server.settings.spare_parsers()
        assert 1 <= spare <= 20
        for client in clients:
            client.sock.close()


def test_errors_of_the_access_log_s_caller_are_not_the_client_s(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR)
    seen: list[int] = []
    with serving(access_log=lambda exchange: seen.append(exchange.status)) as server:
        assert statuses(ask(server, GET + LAST)) == [200, 200]
    assert seen == [200, 200]
    assert rawhttp.statuses(b"") == []
