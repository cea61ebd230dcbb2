"""TLS between two tasks: what ssl offers, as the standard library has it."""

import io
import socket as stdlib_socket
import ssl as stdlib
import subprocess
import threading
from concurrent.futures import Future

import pytest

import greenroom
from greenroom.green import socket, ssl

from .conftest import outcome, settle, shake_hands


def test_bytes_go_both_ways(tls):
    client, server = tls
    assert client.version() == "TLSv1.3"
    client.sendall(b"to the server")
    assert server.recv(100) == b"to the server"
    assert server.send(b"to the client") == 13
    assert client.read(6) == b"to the"
    assert client.pending() == 7
    assert client.recv() == b" client"
    assert server.write(bytearray(b"abc")) == 3
    buffer = bytearray(5)
    assert client.recv_into(buffer) == 3
    assert buffer == b"abc\0\0"
    server.sendall(memoryview(b"defg"))
    assert client.read(2, buffer) == 2
    assert client.recv_into(buffer, 1) == 1
    assert client.recv_into(buffer, None) == 1
    assert buffer == b"gec\0\0"


def test_a_reader_parks_until_something_comes(tls):
    client, server = tls
    reading = greenroom.spawn(server.recv, 100)
    settle()
    assert "parked on fd" in repr(reading)
    client.sendall(b"x")
    assert reading.result() == b"x"


def test_a_large_message_arrives_whole_while_the_peer_sends_one_too(tls):
    client, server = tls
    there, back = bytes(range(256)) * 20_000, bytes(reversed(range(256))) * 20_000

    def receive(sock, size):
        parts = []
        while size:
            parts.append(sock.recv(100_000))
            size -= len(parts[-1])
        return b"".join(parts)

    sending = [greenroom.spawn(client.sendall, there), greenroom.spawn(server.sendall, back)]
    receiving = greenroom.spawn(receive, server, len(there))
    assert receive(client, len(back)) == back
    assert receiving.result() == there
    assert [task.result() for task in sending] == [None, None]


def test_accept_shakes_hands(listener, client_context, server_context):
    with server_context.wrap_socket(listener, server_side=True) as tls_listener:
        accepting = greenroom.spawn(tls_listener.accept)
        with client_context.wrap_socket(socket.socket(), server_hostname="localhost") as client:
            assert client.version() is None
            client.connect(tls_listener.getsockname())
            server, address = accepting.result()
            with server:
                assert type(server) is ssl.SSLSocket
                assert address == client.getsockname()
                server.sendall(b"hello")
                assert client.recv(10) == b"hello"


def test_connect_ex_shakes_hands(listener, client_context, server_context):
    accepting = greenroom.spawn(
        lambda: server_context.wrap_socket(listener.accept()[0], server_side=True)
    )
    with client_context.wrap_socket(socket.socket(), server_hostname="localhost") as client:
        assert client.connect_ex(listener.getsockname()) == 0
        with accepting.result():
            assert client.version() == "TLSv1.3"


def test_a_handshake_left_to_later(pair, client_context, server_context):
    one, two = pair
    client = client_context.wrap_socket(
        one, server_hostname="localhost", do_handshake_on_connect=False
    )
    server = server_context.wrap_socket(two, server_side=True, do_handshake_on_connect=False)
    with client, server:
        assert client.cipher() is None
        # Whatever comes first shakes hands: a write waits to read, and a read writes first.
        sending = greenroom.spawn(client.sendall, b"first")
        assert server.recv(10) == b"first"
        sending.join()
        assert client.cipher() == server.cipher() != None  # noqa: E711


@pytest.mark.parametrize("timeout", [0, None])
def test_a_handshake_by_hand(pair, client_context, server_context, timeout):
    one, two = pair
    one.settimeout(timeout)
    client = client_context.wrap_socket(
        one, server_hostname="localhost", do_handshake_on_connect=False
    )
    with client:
        accepting = greenroom.spawn(server_context.wrap_socket, two, True)
        client.do_handshake(block=True)
        assert client.gettimeout() == timeout
        accepting.result().close()


@pytest.mark.parametrize("read_first", [False, True])
def test_a_handshake_after_the_handshake_returns_at_once(
    pair, client_context, server_context, read_first
):
    one, two = pair
    accepting = greenroom.spawn(server_context.wrap_socket, two, True)
    client = client_context.wrap_socket(one, server_hostname="localhost")
    with client, accepting.result() as server:
        if read_first:
            client.sendall(b"hello")
            assert server.recv(10) == b"hello"
        with greenroom.timeout(5):  # there is nothing that the client would send
            server.do_handshake()


def test_a_non_blocking_socket_is_for_the_user_to_poll(pair, client_context, server_context):
    one, two = pair
    one.setblocking(False)
    with pytest.raises(ValueError, match="do_handshake_on_connect should not be specified"):
        client_context.wrap_socket(one, server_hostname="localhost")
    one, other = socket.socketpair()
    one.setblocking(False)
    client = client_context.wrap_socket(
        one, server_hostname="localhost", do_handshake_on_connect=False
    )
    two.close()
    accepting = greenroom.spawn(server_context.wrap_socket, other, True)
    with client:
        for _ in range(10):
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                settle()
        with accepting.result() as server:
            for call in (client.recv, client.read, lambda: client.recv_into(bytearray(1))):
                with pytest.raises(ssl.SSLWantReadError):
                    call()
            with pytest.raises(ssl.SSLWantWriteError):
                while True:
                    client.send(bytes(10_000))
            with pytest.raises(ssl.SSLWantReadError):
                client.recv(1)
            assert (client.gettimeout(), client.getblocking()) == (0.0, False)
            assert server.recv(10) == bytes(10)


def test_alpn(pair, client_context, server_context):
    client_context.set_alpn_protocols(["h2", "http/1.1"])
    server_context.set_alpn_protocols(["http/1.1"])
    client, server = shake_hands(pair, client_context, server_context)
    with client, server:
        assert client.selected_alpn_protocol() == server.selected_alpn_protocol() == "http/1.1"


def test_sni_gives_the_callback_the_sslsocket_and_takes_another_context(
    pair, client_context, server_context, other_certificate
):
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    other.load_cert_chain(*other_certificate)
    seen = []

    def choose(sock, name, context):
        seen.append((type(sock), name, context))
        sock.context = other

    server_context.sni_callback = choose
    client_context.load_verify_locations(other_certificate.file)
    client, server = shake_hands(
        pair, client_context, server_context, server_hostname="other.example"
    )
    with client, server:
        assert seen == [(ssl.SSLSocket, "other.example", server_context)]
        assert server.context is other
        assert ("DNS", "other.example") in client.getpeercert()["subjectAltName"]


def test_a_client_with_a_certificate(pair, client_context, server_context, other_certificate):
    server_context.verify_mode = ssl.CERT_REQUIRED
    server_context.load_verify_locations(other_certificate.file)
    client_context.load_cert_chain(*other_certificate)
    client, server = shake_hands(pair, client_context, server_context)
    with client, server:
        assert server.getpeercert()["subjectAltName"] == (("DNS", "other.example"),)


def test_a_session_is_used_again(client_context, server_context):
    client_context.maximum_version = ssl.TLSVersion.TLSv1_2
    first, server = shake_hands(socket.socketpair(), client_context, server_context)
    with first, server:
        session = first.session
        assert not first.session_reused
    second, server = shake_hands(
        socket.socketpair(), client_context, server_context, session=session
    )
    with second, server:
        assert second.session_reused and server.session_reused
        assert second.session == session


def test_a_session_of_tls_1_3_is_used_again(client_context, server_context):
    first, server = shake_hands(socket.socketpair(), client_context, server_context)
    with first, server:
        server.sendall(b"x")
        assert first.recv(1) == b"x"  # and the ticket before it
        session = first.session
    second, server = shake_hands(
        socket.socketpair(), client_context, server_context, session=session
    )
    with second, server:
        assert second.session_reused


def test_unwrap_waits_for_the_peer_and_gives_the_plain_socket_back(tls):
    client, server = tls
    ending = greenroom.spawn(client.unwrap)
    settle()
    assert not ending.done
    assert server.recv(10) == b""
    assert server.unwrap() is server
    assert ending.result() is client
    assert client.version() is None
    client.sendall(b"plain")
    assert server.recv(10) == b"plain"
    reading = greenroom.spawn(client.recv, 10)
    settle()
    server.send(b"back")
    assert reading.result() == b"back"
    for sock in tls:
        with pytest.raises(ValueError, match="No SSL wrapper around"):
            sock.unwrap()


def test_makefile_and_sendfile(tls, tmp_path):
    client, server = tls
    path = tmp_path / "file"
    path.write_bytes(b"line\n" * 100_000)

    def send():
        with path.open("rb") as file:
            assert client.sendfile(file) == 500_000
        client.shutdown(socket.SHUT_WR)

    sending = greenroom.spawn(send)
    with server.makefile("rb") as file:
        assert file.readline() == b"line\n"
        assert len(file.read()) == 499_995
    sending.result()


def test_a_file_object_that_is_no_file_is_sent_too(tls):
    client, server = tls
    assert client.sendfile(io.BytesIO(b"memory"), 3) == 3
    assert server.recv(10) == b"ory"


REFUSED = {
    "recv flags": lambda sock: sock.recv(1, socket.MSG_PEEK),
    "recv_into flags": lambda sock: sock.recv_into(bytearray(1), 1, socket.MSG_PEEK),
    "send flags": lambda sock: sock.send(b"x", socket.MSG_OOB),
    "sendall flags": lambda sock: sock.sendall(b"x", socket.MSG_OOB),
    "recvfrom": lambda sock: sock.recvfrom(1),
    "recvfrom_into": lambda sock: sock.recvfrom_into(bytearray(1)),
    "recvmsg": lambda sock: sock.recvmsg(1),
    "recvmsg_into": lambda sock: sock.recvmsg_into([bytearray(1)]),
    "sendto": lambda sock: sock.sendto(b"x", ("127.0.0.1", 1)),
    "sendmsg": lambda sock: sock.sendmsg([b"x"]),
    "dup": lambda sock: sock.dup(),
    "negative": lambda sock: sock.recv(-1),
    "no number": lambda sock: sock.recv("1"),
    "str": lambda sock: sock.send("text"),
    "str to all": lambda sock: sock.sendall("text"),
    "nothing": lambda sock: sock.send(None),
    "no room": lambda sock: sock.recv_into(bytearray()),
    "read-only": lambda sock: sock.recv_into(b"12345"),
    "read zero": lambda sock: sock.read(0),
    "receive zero": lambda sock: sock.recv(0),
    "send zero": lambda sock: sock.send(b""),
    "send all of zero": lambda sock: sock.sendall(b""),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_refused_in_the_standard_librarys_words(
    tls, name, client_context, server_context
):
    client, server = tls
    server.sendall(b"waits to be read")
    found = outcome(REFUSED[name], client)
    with standard(client_context, server_context) as (client, server):
        server.sendall(b"waits to be read")
        expected = outcome(REFUSED[name], client)
    assert repr(found).replace("greenroom.green.ssl", "ssl") == repr(expected)


class standard:
    """A connection of the standard library's, between real threads, with the same settings."""

    def __init__(self, client_context, server_context):
        self.contexts = [
            as_standard(client_context, stdlib.PROTOCOL_TLS_CLIENT),
            as_standard(server_context, stdlib.PROTOCOL_TLS_SERVER),
        ]

    def __enter__(self):
        one, two = stdlib_socket.socketpair()
        accepting = in_thread(self.contexts[1].wrap_socket, two, True)
        client = self.contexts[0].wrap_socket(one, server_hostname="localhost")
        self.sockets = client, accepting.result()
        return self.sockets

    def __exit__(self, *error):
        for sock in self.sockets:
            sock.close()


def as_standard(context, protocol):
    plain = stdlib.SSLContext(protocol)
    plain.check_hostname = context.check_hostname
    plain.verify_mode = context.verify_mode
    for der in context.get_ca_certs(True):
        plain.load_verify_locations(cadata=der)
    if protocol == stdlib.PROTOCOL_TLS_SERVER:
        plain.load_cert_chain(context.files[0], context.files[1])
    return plain


@pytest.fixture
def server_context(server_context, certificate):
    server_context.files = certificate
    return server_context


def in_thread(call, *args, **options):
    future = Future()

    def run():
        try:
            future.set_result(call(*args, **options))
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=run).start()
    return future


def test_after_close_each_call_says_what_the_standard_librarys_says(
    tls, client_context, server_context
):
    calls = [
        lambda sock: sock.read(),
        lambda sock: sock.write(b"x"),
        lambda sock: sock.recv(1),
        lambda sock: sock.send(b"x"),
        lambda sock: sock.sendall(b"x"),
        lambda sock: sock.pending(),
        lambda sock: sock.version(),
    ]
    client, _ = tls
    client.close()
    found = [outcome(call, client) for call in calls]
    with standard(client_context, server_context) as (client, _):
        client.close()
        assert found == [outcome(call, client) for call in calls]
    with pytest.raises(ValueError, match="No SSL wrapper around"):
        tls[0].unwrap()


@pytest.mark.parametrize("suppress", [True, False])
@pytest.mark.parametrize("into", [True, False])
def test_an_end_without_goodbye(pair, client_context, server_context, suppress, into):
    client, server = shake_hands(
        pair, client_context, server_context, suppress_ragged_eofs=suppress
    )
    with client, server:
        reading = greenroom.spawn(
            (lambda: client.recv_into(bytearray(9))) if into else (lambda: client.recv(9))
        )
        reading.add_done_callback(id)
        settle()
        socket.socket.shutdown(server, socket.SHUT_WR)
        if suppress:
            assert reading.result() == (0 if into else b"")
            assert client.recv(9) == b""
        else:
            with pytest.raises(ssl.SSLEOFError, match="EOF occurred in violation of protocol"):
                reading.result()


def test_a_peer_that_says_goodbye(tls):
    client, server = tls
    ending = greenroom.spawn(server.unwrap)
    assert client.recv(10) == b""
    assert client.recv(10) == b""
    client.settimeout(0)
    client.unwrap()
    ending.result()


def test_reading_after_both_have_said_goodbye(tls):
    client, server = tls
    client.settimeout(0)
    with pytest.raises(ssl.SSLWantReadError):
        client.unwrap()
    client.settimeout(None)
    server.unwrap()
    with pytest.raises(ssl.SSLZeroReturnError):
        client.recv(10)


@pytest.mark.parametrize("problem", ["untrusted", "wrong host", "no tls", "hung up"])
def test_a_handshake_that_fails_fails_in_the_standard_librarys_words(
    problem, pair, client_context, server_context
):
    found = failed_handshake(problem, *pair, client_context, server_context, greenroom.spawn)
    plain = stdlib_socket.socketpair()
    contexts = (
        as_standard(client_context, stdlib.PROTOCOL_TLS_CLIENT),
        as_standard(server_context, stdlib.PROTOCOL_TLS_SERVER),
    )
    expected = failed_handshake(problem, *plain, *contexts, in_thread)
    assert found == expected
    for sock in plain:
        sock.close()


def failed_handshake(problem, one, two, client_context, server_context, start):
    if problem == "untrusted":
        trusting = type(client_context)(stdlib.PROTOCOL_TLS_CLIENT)
        client_context = trusting
    host = "elsewhere.example" if problem == "wrong host" else "localhost"
    if problem == "no tls":
        accepting = start(lambda: two.sendall(b"220 mail.example ESMTP\r\n" * 3))
    elif problem == "hung up":
        accepting = start(lambda: (two.recv(1000), two.shutdown(socket.SHUT_WR)))
    else:
        accepting = start(
            lambda: outcome(lambda: server_context.wrap_socket(two, server_side=True).close())
        )
    found = outcome(lambda: client_context.wrap_socket(one, server_hostname=host))
    accepted = accepting.result()
    return found, accepted if problem in ("untrusted", "wrong host") else None


def test_get_server_certificate(listener, server_context, certificate):
    def serve():
        for _ in range(2):
            conn, _ = listener.accept()
            server_context.wrap_socket(conn, server_side=True).close()

    serving = greenroom.spawn(serve)
    host, port = listener.getsockname()
    with open(certificate.file) as file:
        expected = file.read()
    assert ssl.get_server_certificate((host, port)) == expected
    assert ssl.get_server_certificate((host, port), ca_certs=certificate.file) == expected
    serving.result()


def test_an_sslobject_never_waits(client_context, server_context):
    client_in, client_out, server_in, server_out = (ssl.MemoryBIO() for _ in range(4))
    client = client_context.wrap_bio(client_in, client_out, server_hostname="localhost")
    server = server_context.wrap_bio(server_in, server_out, server_side=True)
    done = set()
    while len(done) < 2:
        for end in (client, server):
            try:
                end.do_handshake()
                done.add(end)
            except ssl.SSLWantReadError:
                pass
        server_in.write(client_out.read())
        client_in.write(server_out.read())
    with pytest.raises(ssl.SSLWantReadError):
        server.read()
    client.write(b"x")
    server_in.write(client_out.read())
    assert server.read() == b"x"


def test_the_properties_of_a_context_are_the_standard_librarys(client_context):
    for context in (client_context, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)):
        context.options |= ssl.OP_NO_TICKET
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.verify_mode = ssl.CERT_REQUIRED
        assert ssl.OP_NO_TICKET in context.options
        assert context.minimum_version is ssl.TLSVersion.TLSv1_3
        assert context.sslsocket_class is ssl.SSLSocket


def test_many_connections_at_once(listener, client_context, server_context):
    def serve(conn):
        with server_context.wrap_socket(conn, server_side=True) as tls:
            while data := tls.recv(1000):
                tls.sendall(data.upper())

    def accept():
        for _ in range(20):
            handlers.append(greenroom.spawn(serve, listener.accept()[0]))

    def ask(number):
        sock = socket.create_connection(listener.getsockname())
        with client_context.wrap_socket(sock, server_hostname="localhost") as tls:
            answers = []
            for turn in range(10):
                tls.sendall(b"client %d turn %d" % (number, turn))
                answers.append(tls.recv(1000))
            return answers

    handlers = []
    accepting = greenroom.spawn(accept)
    clients = [greenroom.spawn(ask, number) for number in range(20)]
    for number, client in enumerate(clients):
        assert client.result() == [b"CLIENT %d TURN %d" % (number, turn) for turn in range(10)]
    accepting.result()
    greenroom.joinall(handlers)


def openssl(*args):
    return subprocess.Popen(
        ["openssl", *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )


def test_new_keys_that_openssls_client_asks_for(listener, server_context):
    port = listener.getsockname()[1]
    with openssl("s_client", "-connect", f"127.0.0.1:{port}") as client:
        conn, _ = listener.accept()
        with server_context.wrap_socket(conn, server_side=True) as server:
            for line in (b"one\n", b"two\n", b"three\n"):
                client.stdin.write(line)
                assert server.recv(100) == line
                server.sendall(b"got " + line)
                client.stdin.write(b"K\n")  # new keys, and the server shall take new ones too
                while client.stderr.readline() != b"KEYUPDATE\n":
                    pass
        out, _ = client.communicate(timeout=30)
    got = [line for line in out.splitlines() if line.startswith(b"got ")]
    assert got == [b"got one", b"got two", b"got three"]


def test_openssls_server_negotiates_anew_while_one_task_reads_and_one_writes(
    certificate, client_context
):
    args = (
        "-accept",
        "127.0.0.1:0",
        "-cert",
        certificate.file,
        "-key",
        certificate.key,
        "-tls1_2",
        "-naccept",
        1,
    )
    with openssl("s_server", *args) as server:
        while not (line := server.stdout.readline()).startswith(b"ACCEPT "):
            assert line, server.stderr.read()
        port = int(line.rpartition(b":")[2])
        with client_context.wrap_socket(socket.socket(), server_hostname="localhost") as client:
            client.connect(("127.0.0.1", port))
            reading = greenroom.spawn(client.recv, 1000)
            lines = [b"line %d\n" % number for number in range(3000)]
            for number, line in enumerate(lines):
                client.sendall(line)
                if number == 1000:
                    server.stdin.write(b"r\n")
            out = [server.stdout.readline()]
            while out[-1] != lines[-1]:
                out.append(server.stdout.readline())
            server.stdin.write(b"the end\n")
            assert reading.result() == b"the end\n"
    assert b"SSL_do_handshake -> 1\n" in out
    assert [line for line in out if line.startswith(b"line ")] == lines
