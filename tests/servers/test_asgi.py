"""ASGI 3: http, websocket and lifespan, with applications that speak it themselves."""

import asyncio
import http.client
import logging

import pytest
from rawws import close, opening, read_frames, read_head, text

import greenroom
from greenroom.green import socket
from greenroom.servers.asgi import ASGIApplication, LifespanError
from greenroom.servers.http import HTTPServer


@pytest.fixture
def serve():
    """serve(app, **options) -> the address of a server; it is stopped after the test."""
    running = []

    def start(app, *, server_options=None, **options):
        application = ASGIApplication(app, **options)
        server = HTTPServer(("127.0.0.1", 0), application, **(server_options or {}))
        server.start()
        running.append((server, application))
        return server.address

    yield start
    for server, application in running:
        server.stop(0)
        application.stop(0)


def connect(address):
    sock = socket.create_connection(address)
    sock.settimeout(60)
    return sock


def ask(address, method="GET", path="/", body=None, headers=None):
    """One request: (status, headers as a dict, body)."""
    client = http.client.HTTPConnection(*address)
    client.sock = connect(address)
    try:
        client.request(method, path, body, headers or {})
        response = client.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        client.close()


def only(*kinds):
    """Leave scopes of other kinds alone, as most small applications do."""

    def wrap(function):
        async def app(scope, receive, send):
            if scope["type"] not in kinds:
                raise NotImplementedError(scope["type"])
            await function(scope, receive, send)

        return app

    return wrap


async def respond(send, body=b"ok", status=200, headers=()):
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})


# --- http


def test_a_request_and_its_response(serve):
    seen = {}

    @only("http")
    async def app(scope, receive, send):
        seen.update(scope, message=await receive())
        await respond(send, b"made", 201, [(b"x-one", b"1")])

    address = serve(app, root_path="/api")
    status, headers, body = ask(address, "POST", "/a%20b/%C3%A9?x=%31", b"data", {"X-Thing": "Y"})
    assert (status, headers["x-one"], body) == (201, "1", b"made")
    assert headers["Content-Length"] == "4"
    assert seen["type"] == "http"
    assert seen["asgi"] == {"version": "3.0", "spec_version": "2.4"}
    assert (seen["method"], seen["http_version"], seen["scheme"]) == ("POST", "1.1", "http")
    assert (seen["path"], seen["root_path"]) == ("/api/a b/é", "/api")
    assert (seen["raw_path"], seen["query_string"]) == (b"/a%20b/%C3%A9", b"x=%31")
    assert [b"x-thing", b"Y"] in [list(pair) for pair in seen["headers"]]
    assert seen["server"] == tuple(address)
    assert seen["client"][0] == "127.0.0.1"
    assert seen["message"] == {"type": "http.request", "body": b"data", "more_body": False}


def test_the_body_comes_in_pieces_and_then_the_disconnect(serve):
    seen = []
    ended = greenroom.Event()

    @only("http")
    async def app(scope, receive, send):
        size, more = 0, True
        while more:
            message = await receive()
            size += len(message["body"])
            more = message["more_body"]
        seen.append(size)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        seen.append((await receive())["type"])
        ended.set()

    sock = connect(serve(app))
    sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n")
    sock.sendall(b"x" * 300_000)
    read_head(sock)
    sock.close()
    assert ended.wait(60)
    assert seen == [300_000, "http.disconnect"]


def test_a_streaming_response_goes_out_piece_by_piece(serve):
    gate = greenroom.Event()

    @only("http")
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await gate
        await send({"type": "http.response.body", "body": b"two", "more_body": True})
        await send({"type": "http.response.body"})

    with connect(serve(app)) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert "chunked" in read_head(sock).lower()
        assert sock.recv(100) == b"3\r\none\r\n"
        gate.set()
        data = b""
        while not data.endswith(b"0\r\n\r\n"):
            data += sock.recv(100)
        assert data == b"3\r\ntwo\r\n0\r\n\r\n"


def test_requests_of_one_connection_are_answered_in_order(serve):
    @only("http")
    async def app(scope, receive, send):
        if scope["path"] == "/slow":
            await asyncio.sleep(0.01)
        await respond(send, scope["path"].encode())

    with connect(serve(app)) as sock:
        sock.sendall(b"".join(b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n" % p for p in (b"slow", b"a")))
        data = b""
        while not data.endswith(b"/a"):
            data += sock.recv(1000)
        assert data.index(b"/slow") < data.index(b"/a")


def test_an_error_before_the_response_is_500_and_logged(serve, caplog):
    @only("http")
    async def app(scope, receive, send):
        raise ValueError("a bug")

    status, _, _ = ask(serve(app))
    assert status == 500
    assert "a bug" in caplog.text


def test_an_error_within_the_response_closes_the_connection(serve, caplog):
    @only("http")
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        raise ValueError("a bug")

    with pytest.raises(http.client.IncompleteRead):
        ask(serve(app))
    assert "a bug" in caplog.text


@pytest.mark.parametrize("begins", [True, False])
def test_who_returns_without_a_complete_response_is_told(serve, caplog, begins):
    @only("http")
    async def app(scope, receive, send):
        if begins:
            await send({"type": "http.response.start", "status": 200, "headers": []})

    status, _, _ = ask(serve(app))
    assert status == 500
    assert "response" in caplog.text


def test_an_error_after_the_response_is_logged_and_harms_nothing(serve, caplog):
    @only("http")
    async def app(scope, receive, send):
        await respond(send)
        raise ValueError("too late")

    address = serve(app)
    assert ask(address)[0] == 200
    assert ask(address)[0] == 200
    assert caplog.text.count("too late") >= 2


def test_work_after_the_response_holds_up_neither_it_nor_the_next_request(serve):
    gate, done = greenroom.Event(), greenroom.Event()

    @only("http")
    async def app(scope, receive, send):
        await respond(send, scope["path"].encode())
        if scope["path"] == "/1":
            await gate
            done.set()

    with connect(serve(app)) as sock:
        for path in (b"/1", b"/2"):
            sock.sendall(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path)
            data = b""
            while not data.endswith(path):
                data += sock.recv(1000)
    assert not done.is_set()
    gate.set()
    assert done.wait(60)


def test_a_send_after_the_client_has_left_raises_oserror(serve, caplog):
    caught = greenroom.Result()

    @only("http")
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
        except OSError as error:
            caught.set(error)
            raise

    sock = connect(serve(app))
    sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    read_head(sock)
    sock.close()
    assert isinstance(caught.get(), OSError)
    greenroom.sleep(0)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_several_may_wait_for_the_disconnect_and_one_may_give_up(serve):
    seen = greenroom.Queue()

    @only("http")
    async def app(scope, receive, send):
        await receive()
        tasks = [asyncio.create_task(receive()) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        for task in tasks[1:]:
            seen.put((await task)["type"])

    sock = connect(serve(app))
    sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    read_head(sock)
    sock.close()
    assert [seen.get(timeout=60) for _ in range(2)] == ["http.disconnect"] * 2


def test_receive_after_a_complete_response_says_disconnect(serve):
    seen = greenroom.Result()

    @only("http")
    async def app(scope, receive, send):
        await respond(send)
        seen.set((await receive())["type"])

    assert ask(serve(app))[0] == 200
    assert seen.get() == "http.disconnect"


@pytest.mark.parametrize(
    "message",
    [
        {"type": "http.response.body", "body": b"x"},
        {"type": "websocket.send", "text": "x"},
        {"type": "http.response.start", "status": 200, "headers": [(b"a b", b"c")]},
    ],
)
def test_a_wrong_message_is_an_error_in_the_application(serve, caplog, message):
    caught = greenroom.Result()

    @only("http")
    async def app(scope, receive, send):
        try:
            await send(message)
            await send({"type": "http.response.body"})
        except Exception as error:
            caught.set(error)
            raise

    assert ask(serve(app))[0] == 500
    assert isinstance(caught.get(), (RuntimeError, ValueError))


def test_a_body_that_is_too_large_is_413(serve):
    @only("http")
    async def app(scope, receive, send):
        while (await receive())["more_body"]:
            pass
        await respond(send)

    address = serve(app, server_options={"max_body_bytes": 1000})
    body = (b"x" * 600 for _ in range(4))
    assert ask(address, "POST", "/", body)[0] == 413


def test_a_body_that_is_still_being_read_keeps_the_next_request_away(serve):
    got = greenroom.Result()

    @only("http")
    async def app(scope, receive, send):
        if scope["method"] == "GET":
            await respond(send, b"next")
            return
        reader = asyncio.create_task(receive())
        await asyncio.sleep(0)
        await respond(send, b"first")
        got.set((await reader)["body"])

    with connect(serve(app)) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
        data = b""
        while not data.endswith(b"first"):
            data += sock.recv(1000)
        sock.sendall(b"12345GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        while not data.endswith(b"next"):
            more = sock.recv(1000)
            assert more, data
            data += more
    assert got.get() == b"12345"


def test_pathsend_sends_a_file(serve, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789" * 50_000)

    @only("http")
    async def app(scope, receive, send):
        assert "http.response.pathsend" in scope["extensions"]
        headers = [(b"content-length", b"500000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.pathsend", "path": str(path)})

    assert ask(serve(app))[2] == path.read_bytes()


def test_fifty_endpoints_that_block_wait_together(serve, clock):
    """time.sleep in an `async def` parks that coroutine alone: 50 at once take as long as one."""
    sleeping = []

    @only("http")
    async def app(scope, receive, send):
        sleeping.append(1)
        greenroom.sleep(5)  # what time.sleep is, patched
        await respond(send, b"%d" % len(sleeping))

    address = serve(app)
    began = greenroom.current_time()
    tasks = [greenroom.spawn(ask, address) for _ in range(50)]
    assert {task.result()[2] for task in tasks} == {b"50"}
    assert greenroom.current_time() - began == pytest.approx(5)


def test_stopping_at_once_cancels_the_coroutine(serve):
    ended = greenroom.Event()
    began = greenroom.Event()

    @only("http")
    async def app(scope, receive, send):
        began.set()
        try:
            await asyncio.sleep(1000)
        finally:
            ended.set()

    application = ASGIApplication(app)
    server = HTTPServer(("127.0.0.1", 0), application)
    server.start()
    sock = connect(server.address)
    sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert began.wait(60)
    server.stop(0)
    assert ended.is_set()
    application.stop()
    sock.close()


# --- lifespan


def lifespan_app(log, fail=None):
    async def app(scope, receive, send):
        if scope["type"] == "http":
            log.append(("request", scope["state"].get("pool")))
            scope["state"]["pool"] = "changed"
            await respond(send)
            return
        assert (await receive())["type"] == "lifespan.startup"
        if fail == "startup":
            await send({"type": "lifespan.startup.failed", "message": "no database"})
            return
        scope["state"]["pool"] = "open"
        log.append("up")
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        log.append("down")
        if fail == "shutdown":
            await send({"type": "lifespan.shutdown.failed", "message": "cannot close"})
            return
        await send({"type": "lifespan.shutdown.complete"})

    return app


def test_startup_runs_before_the_first_request_and_shutdown_after_the_last():
    log = []
    with ASGIApplication(lifespan_app(log)) as application:
        assert log == ["up"]
        with HTTPServer(("127.0.0.1", 0), application) as server:
            ask(server.address)
            ask(server.address)
    assert log == ["up", ("request", "open"), ("request", "open"), "down"]


def test_the_first_request_starts_what_nobody_has_started(serve):
    log = []
    address = serve(lifespan_app(log))
    tasks = [greenroom.spawn(ask, address) for _ in range(3)]
    assert [task.result()[0] for task in tasks] == [200] * 3
    assert log.count("up") == 1


def test_a_startup_that_fails_says_why():
    with pytest.raises(LifespanError, match="no database"):
        ASGIApplication(lifespan_app([], "startup")).start()


def test_a_shutdown_that_fails_is_logged(caplog):
    with ASGIApplication(lifespan_app([], "shutdown")):
        pass
    assert "cannot close" in caplog.text


def test_an_application_that_knows_no_lifespan_is_left_alone_unless_it_must():
    @only("http")
    async def app(scope, receive, send):
        await respond(send)

    with ASGIApplication(app):
        pass
    with pytest.raises(LifespanError, match="NotImplementedError"):
        ASGIApplication(app, lifespan="on").start()
    with ASGIApplication(app, lifespan="off"):
        pass


def test_wrong_arguments_are_refused():
    with pytest.raises(TypeError, match="callable"):
        ASGIApplication(None)
    with pytest.raises(ValueError, match="lifespan"):
        ASGIApplication(print, lifespan="maybe")


def test_stop_waits_for_what_requests_left_running():
    gate = greenroom.Event()
    log = []

    @only("http")
    async def app(scope, receive, send):
        await respond(send)
        await gate
        log.append("done")

    with ASGIApplication(app) as application, HTTPServer(("127.0.0.1", 0), application) as server:
        assert ask(server.address)[0] == 200
        greenroom.spawn(gate.set)
    assert log == ["done"]


def test_stop_cancels_what_is_left_after_the_grace(clock):
    log = []

    @only("http")
    async def app(scope, receive, send):
        await respond(send)
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            log.append("cancelled")
            raise

    application = ASGIApplication(app)
    with HTTPServer(("127.0.0.1", 0), application) as server:
        assert ask(server.address)[0] == 200
        began = greenroom.current_time()
        application.stop(grace=5)
        assert greenroom.current_time() - began == pytest.approx(5)
    assert log == ["cancelled"]


# --- websocket


def open_socket(address, **headers):
    sock = connect(address)
    sock.sendall(opening(**headers))
    return sock, read_head(sock)


def test_a_websocket_is_accepted_and_echoes(serve):
    seen = {}

    @only("websocket")
    async def app(scope, receive, send):
        seen.update(scope)
        assert await receive() == {"type": "websocket.connect"}
        accept = {"type": "websocket.accept", "subprotocol": "b", "headers": [(b"x-one", b"1")]}
        await send(accept)
        while (message := await receive())["type"] == "websocket.receive":
            await send(
                {"type": "websocket.send", **{k: v for k, v in message.items() if k != "type"}}
            )
        seen["end"] = message

    sock, head = open_socket(serve(app), path="/ws?x=1", Sec_WebSocket_Protocol="a, b")
    with sock:
        assert head.startswith("HTTP/1.1 101 ")
        assert "Sec-WebSocket-Protocol: b\r\n" in head
        assert "x-one: 1" in head.lower()
        sock.sendall(text("hello"))
        assert read_frames(sock, 1) == [(0x81, b"hello")]
        sock.sendall(close(4000, b"bye"))
        assert read_frames(sock) == [(0x88, (4000).to_bytes(2, "big") + b"bye")]
    assert (seen["scheme"], seen["path"], seen["query_string"]) == ("ws", "/ws", b"x=1")
    assert seen["subprotocols"] == ["a", "b"]
    assert seen["end"] == {"type": "websocket.disconnect", "code": 4000, "reason": "bye"}


def test_the_application_closes_a_websocket_with_code_and_reason(serve):
    @only("websocket")
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 3000, "reason": "enough"})

    sock, _ = open_socket(serve(app))
    with sock:
        [(first, payload)] = read_frames(sock, 1)
        assert (first, payload) == (0x88, (3000).to_bytes(2, "big") + b"enough")
        sock.sendall(close(3000))
        assert read_frames(sock) == []


def test_closing_before_accepting_is_403(serve):
    @only("websocket")
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.close"})

    sock, head = open_socket(serve(app))
    sock.close()
    assert head.startswith("HTTP/1.1 403 ")


def test_a_denial_has_the_applications_response(serve):
    @only("websocket")
    async def app(scope, receive, send):
        assert "websocket.http.response" in scope["extensions"]
        await receive()
        headers = [(b"www-authenticate", b"Basic")]
        start = {"type": "websocket.http.response.start", "status": 401, "headers": headers}
        await send(start)
        await send({"type": "websocket.http.response.body", "body": b"no"})

    sock, head = open_socket(serve(app))
    with sock:
        assert head.startswith("HTTP/1.1 401 ")
        assert sock.recv(10) == b"no"


@pytest.mark.parametrize("accepts", [True, False])
def test_an_application_that_fails_is_1011_or_500(serve, caplog, accepts):
    @only("websocket")
    async def app(scope, receive, send):
        await receive()
        if accepts:
            await send({"type": "websocket.accept"})
        raise ValueError("a bug")

    sock, head = open_socket(serve(app))
    with sock:
        if accepts:
            [(first, payload)] = read_frames(sock, 1)
            assert (first, payload[:2]) == (0x88, (1011).to_bytes(2, "big"))
            sock.sendall(close(1011))
        else:
            assert head.startswith("HTTP/1.1 500 ")
        assert sock.recv(1000) is not None
    greenroom.sleep(0)
    assert "a bug" in caplog.text


def test_returning_closes_with_1000_and_never_accepting_is_500(serve, caplog):
    @only("websocket")
    async def app(scope, receive, send):
        if scope["path"] == "/accepts":
            await send({"type": "websocket.accept"})

    address = serve(app)
    sock, _ = open_socket(address, path="/accepts")
    with sock:
        assert read_frames(sock, 1) == [(0x88, (1000).to_bytes(2, "big"))]
        sock.sendall(close(1000))
    sock, head = open_socket(address)
    sock.close()
    assert head.startswith("HTTP/1.1 500 ")


def test_a_client_that_vanishes_is_1006_and_a_send_raises_oserror(serve):
    caught = greenroom.Queue()

    @only("websocket")
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        caught.put(await receive())
        try:
            await send({"type": "websocket.send", "text": "x"})
        except OSError as error:
            caught.put(error)
            raise

    sock, _ = open_socket(serve(app))
    sock.close()
    assert caught.get(timeout=60)["code"] == 1006
    assert isinstance(caught.get(timeout=60), OSError)


def test_a_receive_of_a_websocket_that_is_cancelled_loses_nothing(serve):
    got = greenroom.Result()

    @only("websocket")
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(receive(), 0.01)
        await send({"type": "websocket.send", "text": "now"})
        got.set(await receive())

    sock, _ = open_socket(serve(app))
    with sock:
        read_frames(sock, 1)
        sock.sendall(text("kept"))
        assert got.get()["text"] == "kept"
        sock.sendall(close(1000))


def test_a_bad_handshake_never_reaches_the_application(serve):
    @only("nothing")
    async def app(scope, receive, send):
        raise AssertionError

    sock, head = open_socket(serve(app), Sec_WebSocket_Version="8")
    sock.close()
    assert head.startswith("HTTP/1.1 426 ")


def test_stopping_at_once_closes_websockets_with_1001():
    @only("websocket")
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await receive()

    application = ASGIApplication(app)
    server = HTTPServer(("127.0.0.1", 0), application)
    server.start()
    sock, _ = open_socket(server.address)
    server.stop(0)
    application.stop(0)
    with sock:
        assert read_frames(sock) == [(0x88, (1001).to_bytes(2, "big"))]
