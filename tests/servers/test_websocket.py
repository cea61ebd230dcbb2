"""A WebSocket as plain code uses it: on a socketpair, and the handshake without any."""

import subprocess
import sys

import pytest
from rawws import binary, close, frame, more, opening, read_frames, read_head, text

import greenroom
from greenroom.green import socket
from greenroom.servers import websocket as module
from greenroom.servers.http import HTTPServer
from greenroom.servers.websocket import (
    Handshake,
    HandshakeError,
    WebSocket,
    WebSocketApplication,
    WebSocketClosed,
)

T, B, C, PING, PONG = 0x81, 0x82, 0x88, 0x89, 0x8A


@pytest.fixture
def pair():
    """make(**options) -> (a WebSocket, the client's socket)."""
    made = []

    def make(**options):
        server, client = socket.socketpair()
        ws = WebSocket(server, **options)
        made.append((ws, server, client))
        return ws, client

    yield make
    for ws, server, client in made:
        client.close()
        ws.abort()
        ws.close()
        server.close()


def code_of(payload):
    return int.from_bytes(payload[:2], "big")


# --- receiving


def test_texts_are_str_and_binaries_are_bytes(pair):
    ws, client = pair()
    client.sendall(text("hällo") + binary(b"\x00\xff"))
    assert ws.receive() == "hällo"
    assert ws.receive() == b"\x00\xff"


def test_a_receive_whose_time_is_over_loses_nothing(pair, clock):
    ws, client = pair()
    with pytest.raises(greenroom.Timeout):
        ws.receive(timeout=1)
    client.sendall(text("late"))
    assert ws.receive(timeout=1) == "late"


def test_a_killed_receiver_loses_nothing(pair):
    ws, client = pair()
    receiver = greenroom.spawn(ws.receive)
    greenroom.sleep(0)
    client.sendall(text("kept"))
    receiver.kill()
    receiver.join()
    assert ws.receive() == "kept"


def test_messages_take_part_in_select(pair):
    ws, client = pair()
    queue = greenroom.Queue()
    client.sendall(text("first"))
    assert greenroom.select(ws.messages.receive, queue.get) == (0, "first")
    queue.put("second")
    assert greenroom.select(ws.messages.receive, queue.get) == (1, "second")


def test_iterating_ends_with_a_good_close_and_raises_after_another(pair):
    ws, client = pair()
    client.sendall(text("a") + text("b") + close(1001))
    assert list(ws) == ["a", "b"]
    ws, client = pair()
    client.sendall(text("a") + close(4000, b"no more"))
    with pytest.raises(WebSocketClosed, match="4000 \\(no more\\)") as caught:
        list(ws)
    assert (caught.value.code, caught.value.reason) == (4000, "no more")


def test_a_client_that_vanishes_is_1006_after_its_last_message(pair):
    ws, client = pair()
    client.sendall(text("last"))
    client.close()
    assert ws.receive() == "last"
    with pytest.raises(WebSocketClosed) as caught:
        ws.receive()
    assert caught.value.code == 1006


def test_half_a_frame_and_then_the_end_is_1006(pair):
    ws, client = pair()
    client.sendall(text("hello")[:-2])
    client.shutdown(socket.SHUT_WR)
    with pytest.raises(WebSocketClosed) as caught:
        ws.receive()
    assert caught.value.code == 1006


def test_who_does_not_receive_stops_the_client(pair, clock):
    _, client = pair(ping_interval=None)
    piece = binary(b"x" * 50_000)
    with greenroom.move_on_after(1) as scope:
        for _ in range(1000):
            client.sendall(piece)
    assert scope.cancelled_caught, "50 MB were taken, and nobody receives them"


def test_pings_are_answered_while_nobody_receives(pair):
    _, client = pair()
    client.sendall(frame(9, b"there?"))
    assert read_frames(client, 1) == [(PONG, b"there?")]


# --- sending


def test_each_kind_of_message_is_sent_as_it_is(pair):
    ws, client = pair()
    for message in ("tëxt", b"bytes", bytearray(b"array"), memoryview(b"view")):
        ws.send(message)
    wanted = [(T, "tëxt".encode()), (B, b"bytes"), (B, b"array"), (B, b"view")]
    assert read_frames(client, 4) == wanted


def test_an_iterable_is_one_message_in_fragments(pair):
    ws, client = pair()
    ws.send(word for word in ("one", "two", "three"))
    ws.send([b"alone"])
    assert read_frames(client, 4) == [(0x01, b"one"), (0, b"two"), (0x80, b"three"), (B, b"alone")]


@pytest.mark.parametrize("message", [None, 5, {"a": 1}])
def test_what_is_no_message_is_refused(pair, message):
    ws, _ = pair()
    with pytest.raises(TypeError, match="cannot send"):
        ws.send(message)


@pytest.mark.parametrize("pieces", [["a", b"b"], [1], [["a"]]])
def test_fragments_of_different_kinds_are_refused(pair, pieces):
    ws, _ = pair()
    with pytest.raises(TypeError):
        ws.send(pieces)


def test_a_message_of_no_fragments_is_refused(pair):
    ws, _ = pair()
    with pytest.raises(ValueError, match="no fragments"):
        ws.send([])


def test_messages_of_several_tasks_stay_whole(pair):
    ws, client = pair()
    size = 300_000  # more than the socket takes at once

    def send_in_fragments():
        def pieces():
            for _ in range(3):
                yield b"f" * 1000
                greenroom.sleep(0)

        ws.send(pieces())

    tasks = [greenroom.spawn(ws.send, letter * size) for letter in (b"a", b"b", b"c")]
    tasks.append(greenroom.spawn(send_in_fragments))
    found = read_frames(client, 6)
    greenroom.joinall(tasks)
    assert sorted(payload for first, payload in found if first == B) == [
        letter * size for letter in (b"a", b"b", b"c")
    ]
    rest = [first for first, payload in found if payload[:1] == b"f"]
    assert rest == [0x02, 0x00, 0x80]
    place = [payload[:1] for _, payload in found].index(b"f")
    assert all(payload[:1] == b"f" for _, payload in found[place : place + 3]), "in a row"


def test_a_ping_is_answered_between_the_fragments_of_a_message(pair):
    ws, client = pair()
    gate = greenroom.Event()

    def pieces():
        yield "a"
        yield "b"
        gate.wait()
        yield "c"

    sender = greenroom.spawn(ws.send, pieces())
    assert read_frames(client, 1) == [(0x01, b"a")]
    client.sendall(frame(9, b"p"))
    assert read_frames(client, 1) == [(PONG, b"p")]
    gate.set()
    assert read_frames(client, 2) == [(0, b"b"), (0x80, b"c")]
    sender.join()


def test_a_ping_is_answered_behind_a_frame_that_is_being_sent(pair):
    ws, client = pair()
    sender = greenroom.spawn(ws.send, b"x" * 2_000_000)
    greenroom.sleep(0)
    client.sendall(frame(9, b"p"))
    for _ in range(5):
        greenroom.sleep(0)
    assert read_frames(client, 2) == [(B, b"x" * 2_000_000), (PONG, b"p")]
    sender.join()


def test_a_send_that_is_cut_in_the_middle_ends_the_connection(pair):
    ws, client = pair()
    sender = greenroom.spawn(ws.send, b"x" * 2_000_000)
    greenroom.sleep(0)
    sender.kill()
    sender.join()
    with pytest.raises(WebSocketClosed):
        ws.send("more")
    with pytest.raises(AssertionError, match="within a frame"):
        read_frames(client)


def test_a_sender_that_is_killed_while_it_waits_for_its_turn_harms_nobody(pair):
    ws, client = pair()
    first = greenroom.spawn(ws.send, b"x" * 2_000_000)
    second = greenroom.spawn(ws.send, b"never")
    greenroom.sleep(0)
    second.kill()
    third = greenroom.spawn(ws.send, b"last")
    assert read_frames(client, 2) == [(B, b"x" * 2_000_000), (B, b"last")]
    greenroom.joinall([first, second, third])


def test_a_client_that_leaves_in_the_middle_of_a_send_ends_it(pair):
    ws, client = pair()
    sender = greenroom.spawn(ws.send, b"x" * 2_000_000)
    greenroom.sleep(0)
    client.close()
    with pytest.raises(WebSocketClosed):
        sender.result()


# --- pings


def test_ping_returns_the_seconds_until_the_answer(pair, clock):
    ws, client = pair()
    asking = greenroom.spawn(ws.ping)
    [(first, payload)] = read_frames(client, 1)
    assert first == PING
    greenroom.sleep(2)
    client.sendall(frame(10, payload))
    assert asking.result() == 2


def test_a_ping_without_an_answer_ends_with_its_time_or_the_connection(pair, clock):
    ws, client = pair()
    with pytest.raises(greenroom.Timeout):
        ws.ping(timeout=1)
    asking = greenroom.spawn(ws.ping)
    read_frames(client, 2)
    client.close()
    with pytest.raises(WebSocketClosed):
        asking.result()


def test_a_silent_client_is_pinged_and_its_answer_keeps_it(pair, clock):
    ws, client = pair(ping_interval=20, ping_timeout=5)
    receiver = greenroom.spawn(ws.receive)
    began = greenroom.current_time()
    for _ in range(3):
        [(first, payload)] = read_frames(client, 1)
        assert first == PING
        client.sendall(frame(10, payload))
    assert greenroom.current_time() - began == pytest.approx(60)
    client.sendall(text("still here"))
    assert receiver.result() == "still here"


def test_a_client_that_does_not_answer_is_given_up(pair, clock):
    ws, client = pair(ping_interval=20, ping_timeout=5)
    began = greenroom.current_time()
    with pytest.raises(WebSocketClosed, match="no answer to a ping") as caught:
        ws.receive()
    assert greenroom.current_time() - began == pytest.approx(25)
    assert caught.value.code == 1006
    assert [first for first, _ in read_frames(client)] == [PING]


def test_keep_alive_can_be_turned_off(pair, clock):
    ws, client = pair(ping_interval=None)
    with pytest.raises(greenroom.Timeout):
        ws.receive(timeout=1000)
    client.sendall(text("x"))
    assert ws.receive() == "x"


# --- closing


def test_close_says_so_and_waits_for_the_answer(pair):
    ws, client = pair()
    closing = greenroom.spawn(ws.close, 4001, "enough")
    assert read_frames(client, 1) == [(C, (4001).to_bytes(2, "big") + b"enough")]
    client.sendall(close(4001, b"enough"))
    closing.result()
    assert (ws.close_code, ws.close_reason) == (4001, "enough")
    assert read_frames(client) == []


def test_what_comes_before_the_answer_is_thrown_away(pair):
    ws, client = pair()
    client.sendall(text("x") * 100)  # more than lies in the channel: the reader waits
    greenroom.sleep(0)
    closing = greenroom.spawn(ws.close)
    read_frames(client, 1)
    client.sendall(text("y") * 100 + close(1000))
    closing.result()


def test_both_sides_may_close_at_once(pair):
    ws, client = pair()
    client.sendall(close(1001))
    ws.close(1000)
    assert read_frames(client) == [(C, (1000).to_bytes(2, "big"))]
    assert ws.close_code == 1001


def test_a_client_that_does_not_answer_a_close_is_left(pair, clock):
    ws, client = pair(close_timeout=10)
    began = greenroom.current_time()
    ws.close()
    assert greenroom.current_time() - began == pytest.approx(10)
    assert ws.close_code == 1006
    assert len(read_frames(client)) == 1


def test_a_client_that_takes_nothing_cannot_hold_up_a_close(pair, clock):
    ws, _ = pair(close_timeout=10)
    sender = greenroom.spawn(ws.send, b"x" * 2_000_000)
    greenroom.sleep(0)
    ws.close()
    with pytest.raises(WebSocketClosed):
        sender.result()


def test_after_a_close_nothing_is_sent_or_received(pair):
    ws, client = pair()
    client.sendall(close(1000))
    with pytest.raises(WebSocketClosed):
        ws.receive()
    for call in (lambda: ws.send("x"), lambda: ws.send(["x", "y"]), ws.ping, ws.receive):
        with pytest.raises(WebSocketClosed):
            call()
    ws.close()  # again is no error
    ws.close()


def test_a_code_that_may_not_be_sent_is_refused(pair):
    ws, _ = pair()
    for code in (1005, 1006, 1015, 2000, 0):
        with pytest.raises(ValueError, match="cannot close"):
            ws.close(code)


@pytest.mark.parametrize(
    ("error", "code"),
    [(None, 1000), (RuntimeError("bug"), 1011), (WebSocketClosed(1001, ""), 1000)],
)
def test_a_with_block_closes_with_what_happened_in_it(pair, error, code):
    ws, client = pair()

    def block():
        with ws:
            if error is not None:
                raise error

    task = greenroom.spawn(block)
    [(first, payload)] = read_frames(client, 1)
    assert (first, code_of(payload)) == (C, code)
    client.sendall(close(code))
    if error is None:
        task.result()
    else:
        with pytest.raises(type(error)):
            task.result()


def test_a_killed_with_block_says_that_it_goes_away_and_waits_for_nothing(pair):
    ws, client = pair()

    def block():
        with ws:
            ws.receive()

    task = greenroom.spawn(block)
    greenroom.sleep(0)
    task.kill()
    task.join()
    [(first, payload)] = read_frames(client)
    assert (first, code_of(payload)) == (C, 1001)


def test_who_breaks_the_protocol_reads_why(pair):
    ws, client = pair()
    client.sendall(more("x", True) + text("unread" * 1000))
    with pytest.raises(WebSocketClosed) as caught:
        ws.receive()
    assert caught.value.code == 1002
    [(_, payload)] = read_frames(client)
    assert b"nothing that a frame could continue" in payload


# --- the opening handshake


def request(**headers):
    head, _, _ = opening(**headers).decode().partition("\r\n\r\n")
    pairs = (line.split(": ", 1) for line in head.split("\r\n")[1:])
    return [(name.lower().encode(), value.encode()) for name, value in pairs]


def test_the_answer_is_that_of_the_rfc():
    answer = Handshake("GET", b"/chat", request()).accept().decode()
    assert answer.startswith("HTTP/1.1 101 Switching Protocols\r\n")
    assert "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Upgrade": None}, 426),
        ({"Upgrade": "h2c"}, 426),
        ({"Connection": "keep-alive"}, 400),
        ({"Sec_WebSocket_Key": None}, 400),
        ({"Sec_WebSocket_Key": "c2hvcnQ="}, 400),
        ({"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ"}, 400),
        ({"Sec_WebSocket_Version": None}, 400),
        ({"Sec_WebSocket_Version": "8"}, 426),
        ({"Host": None}, 400),
    ],
)
def test_a_request_that_opens_nothing_gets_its_status(headers, status):
    with pytest.raises(HandshakeError) as caught:
        Handshake("GET", b"/", request(**headers))
    assert caught.value.status == status
    if headers.get("Sec_WebSocket_Version") == "8":
        assert (b"Sec-WebSocket-Version", b"13") in caught.value.headers


def test_another_method_is_refused():
    with pytest.raises(HandshakeError) as caught:
        Handshake("POST", b"/", request())
    assert caught.value.status == 405


def test_the_first_of_the_clients_subprotocols_that_is_ours_is_chosen():
    handshake = Handshake("GET", b"/", request(Sec_WebSocket_Protocol="a, chat, superchat"))
    assert handshake.choose(["superchat", "chat"]) == "chat"
    assert handshake.choose(["other"]) is None
    assert b"Sec-WebSocket-Protocol: chat\r\n" in handshake.accept("chat")


def test_a_subprotocol_that_was_not_offered_is_refused():
    with pytest.raises(ValueError, match="cannot accept"):
        Handshake("GET", b"/", request()).accept("chat")


@pytest.mark.parametrize(
    ("origins", "origin", "right"),
    [
        (None, "http://evil.example", True),
        ("same", "http://localhost", True),
        ("same", None, True),
        ("same", "http://evil.example", False),
        (["https://a.example"], "https://a.example", True),
        ("https://a.example", "https://a.example", True),
        (["https://a.example"], "https://b.example", False),
        (["https://a.example"], None, False),
    ],
)
def test_which_pages_may(origins, origin, right):
    headers = request(Origin=origin)
    if right:
        Handshake("GET", b"/", headers, origins)
        return
    with pytest.raises(HandshakeError) as caught:
        Handshake("GET", b"/", headers, origins)
    assert caught.value.status == 403


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        ("permessage-deflate", "server_max_window_bits=12"),
        (
            "permessage-deflate; client_max_window_bits",
            "server_max_window_bits=12; client_max_window_bits=12",
        ),
        (
            "permessage-deflate; client_max_window_bits=10; server_max_window_bits=9",
            "server_max_window_bits=9; client_max_window_bits=10",
        ),
        (
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            "server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12",
        ),
        ("permessage-deflate; unknown, permessage-deflate", "server_max_window_bits=12"),
        ("permessage-deflate; server_max_window_bits=8", None),
        ("permessage-deflate; server_max_window_bits=16", None),
        ("permessage-deflate; server_max_window_bits", None),
        ("permessage-deflate; server_no_context_takeover=1", None),
        ("permessage-deflate; client_max_window_bits=9; client_max_window_bits=9", None),
        ("permessage-bzip2", None),
    ],
)
def test_an_offer_of_permessage_deflate(offer, answer):
    handshake = Handshake("GET", b"/", request(Sec_WebSocket_Extensions=offer))
    response = handshake.accept().decode()
    if answer is None:
        assert "Extensions" not in response
        assert handshake.inflate is handshake.deflate is None
    else:
        assert f"Sec-WebSocket-Extensions: permessage-deflate; {answer}\r\n" in response
        assert handshake.inflate is not None


def test_compression_can_be_turned_off():
    handshake = Handshake("GET", b"/", request(Sec_WebSocket_Extensions="permessage-deflate"))
    assert b"Extensions" not in handshake.accept(compression=False)


# --- on greenroom's server


def serve(application):
    return HTTPServer(("127.0.0.1", 0), application)


def connect(server, **headers):
    sock = socket.create_connection(server.address)
    sock.settimeout(60)
    sock.sendall(opening(**headers))
    return sock, read_head(sock)


def test_each_connection_is_a_handler_and_knows_its_request():
    def handler(ws):
        ws.send(f"{ws.request.path.decode()} {ws.request.query.decode()} {ws.subprotocol}")
        for message in ws:
            ws.send(message)

    with serve(WebSocketApplication(handler, subprotocols=["b"])) as server:
        sock, head = connect(server, path="/room?n=1", Sec_WebSocket_Protocol="a, b")
        with sock:
            assert "Sec-WebSocket-Protocol: b" in head
            assert read_frames(sock, 1) == [(T, b"/room n=1 b")]
            sock.sendall(binary(b"x") + close(1000))
            assert read_frames(sock) == [(B, b"x"), (C, (1000).to_bytes(2, "big"))]


def test_frames_that_come_with_the_request_are_not_lost():
    def handler(ws):
        ws.send(ws.receive().upper())

    application = WebSocketApplication(handler)
    with serve(application) as server, socket.create_connection(server.address) as sock:
        sock.sendall(opening() + text("early"))
        read_head(sock)
        assert read_frames(sock, 1) == [(T, b"EARLY")]
        sock.sendall(close(1000))


def test_other_requests_go_elsewhere_or_get_426():
    def page(exchange):
        exchange.start(200, None, [])
        exchange.finish(b"page")

    for otherwise, answer in ((page, "HTTP/1.1 200 "), (None, "HTTP/1.1 426 ")):
        application = WebSocketApplication(print, otherwise=otherwise)
        with serve(application) as server:
            sock, head = connect(server, Upgrade=None, Connection=None)
            sock.close()
            assert head.startswith(answer)


def test_a_page_of_elsewhere_is_refused_before_the_handler():
    with serve(WebSocketApplication(print, origins="same")) as server:
        sock, head = connect(server, Origin="http://evil.example")
        sock.close()
        assert head.startswith("HTTP/1.1 403 ")


def test_a_handler_that_fails_is_1011_and_logged(caplog):
    def handler(ws):
        raise ValueError("a bug")

    with serve(WebSocketApplication(handler)) as server:
        sock, _ = connect(server)
        with sock:
            [(first, payload)] = read_frames(sock, 1)
            assert (first, code_of(payload)) == (C, 1011)
            sock.sendall(close(1011))
            assert sock.recv(1) == b""
    assert "a bug" in caplog.text


def test_a_client_that_vanishes_is_no_error(caplog):
    ended = greenroom.Event()

    def handler(ws):
        try:
            ws.receive()
        finally:
            ended.set()

    with serve(WebSocketApplication(handler)) as server:
        sock, _ = connect(server)
        sock.close()
        assert ended.wait(60)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_server_that_stops_at_once_says_that_it_goes_away():
    with serve(WebSocketApplication(WebSocket.receive)) as server:
        sock, _ = connect(server)
        server.stop(0)
    with sock:
        [(first, payload)] = read_frames(sock)
        assert (first, code_of(payload)) == (C, 1001)


# --- in a WSGI application of any server


def environ_of(sock, **headers):
    environ = {"REQUEST_METHOD": "GET", "SERVER_PROTOCOL": "HTTP/1.1", "werkzeug.socket": sock}
    for name, value in request(**headers):
        environ["HTTP_" + name.decode().upper().replace("-", "_")] = value.decode()
    return environ


def test_websocket_takes_over_the_socket_of_the_environ():
    server, client = socket.socketpair()
    with server, client:
        environ = environ_of(server)
        ws = greenroom.websocket(environ)
        assert "101 Switching" in read_head(client)
        assert ws.environ is environ
        client.sendall(text("x") + close(1000))
        assert list(ws) == ["x"]
        ws.close()


def test_a_websocket_that_nobody_closes_ends_with_its_socket():
    server, client = socket.socketpair()
    with client:
        ws = greenroom.websocket(environ_of(server))
        greenroom.sleep(0)
        server.close()
        with pytest.raises(WebSocketClosed):
            ws.receive()
        read_head(client)
        assert client.recv(1) == b""


def test_a_close_that_is_cancelled_ends_the_connection(pair):
    ws, client = pair()
    closing = greenroom.spawn(ws.close)
    assert len(read_frames(client, 1)) == 1
    closing.kill()
    closing.join()
    assert client.recv(1) == b""


def test_websocket_tells_the_client_what_is_wrong_with_its_request():
    server, client = socket.socketpair()
    with server, client:
        with pytest.raises(HandshakeError):
            greenroom.websocket(environ_of(server, Sec_WebSocket_Version="8"))
        head = read_head(client)
        assert head.startswith("HTTP/1.1 426 ")
        assert "Sec-WebSocket-Version: 13" in head


def test_websocket_says_which_server_it_needs():
    with pytest.raises(RuntimeError, match="use greenroom's server"):
        greenroom.websocket({"REQUEST_METHOD": "GET"})


def test_without_wsproto_the_import_says_what_to_install():
    code = (
        "import sys; sys.modules['wsproto.events'] = None\n"
        "try:\n    import greenroom.servers.websocket\n"
        "except ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "pip install greenroom[http]" in done.stdout, done.stderr
    assert module.QUEUE  # the module itself is there
