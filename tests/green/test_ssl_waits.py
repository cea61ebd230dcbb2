"""How the waits of TLS end: timeouts, kill(), close; and two directions and many tasks at once."""

import errno
import os
import ssl as stdlib
import subprocess
import sys

import pytest

import greenroom
from greenroom.core import native
from greenroom.green import socket, ssl, sslcalls

from .conftest import outcome, settle, shake_hands

MUCH = 16 << 20  # more than the buffers of a socket hold


def drain(sock, size):
    """Read size bytes; return how many of which byte came."""
    counts = {}
    while size:
        data = sock.recv(65536)
        if not data:
            break
        for octet in set(data):
            counts[octet] = counts.get(octet, 0) + data.count(octet)
        size -= len(data)
    return counts


# --- the socket's timeout


def test_a_read_times_out_and_the_connection_can_still_be_used(tls, clock):
    client, server = tls
    client.settimeout(5)
    for call in (client.recv, client.read, lambda: client.recv_into(bytearray(1))):
        start = clock.now()
        with pytest.raises(TimeoutError) as caught:
            call()
        assert str(caught.value) == "The read operation timed out"
        assert clock.now() == start + 5
    assert client.gettimeout() == 5
    server.sendall(b"late")
    assert client.recv(10) == b"late"


def test_the_timeout_is_that_of_the_whole_read(tls, clock):
    client, server = tls
    client.settimeout(5)

    def disturb():
        for _ in range(10):
            greenroom.sleep(1)
            # New keys wake the reader and bring it nothing; a byte of a record does as much.
            os.write(server.fileno(), next(record))

    record = (bytes([octet]) for octet in b"\x17\x03\x03\x01\x00" + bytes(10))
    disturbing = greenroom.spawn(disturb)
    with pytest.raises(TimeoutError):
        client.recv(10)
    assert clock.now() == 5
    disturbing.join()


def test_a_write_times_out(tls, clock):
    client, _ = tls
    client.settimeout(3)
    with pytest.raises(TimeoutError) as caught:
        client.sendall(bytes(MUCH))
    assert str(caught.value) == "The write operation timed out"
    assert clock.now() == 3


def test_a_handshake_times_out_and_the_socket_is_closed(pair, client_context, clock):
    one, _ = pair
    one.settimeout(2)
    with pytest.raises(TimeoutError, match="The handshake operation timed out"):
        client_context.wrap_socket(one, server_hostname="localhost")
    assert clock.now() == 2
    assert one.fileno() == -1


def test_unwrap_times_out_and_can_be_tried_again(tls, clock):
    client, server = tls
    client.settimeout(2)
    with pytest.raises(TimeoutError, match="The read operation timed out"):
        client.unwrap()
    assert clock.now() == 2
    server.settimeout(0)
    server.unwrap()  # the client's goodbye is there
    assert client.unwrap() is client


def test_the_turn_to_write_times_out(tls, clock):
    client, _ = tls
    blocked = greenroom.spawn(client.sendall, bytes(MUCH))
    settle()
    client.settimeout(2)
    with pytest.raises(TimeoutError, match="The write operation timed out"):
        client.send(b"x")
    assert clock.now() == 2
    blocked.kill()
    blocked.join()


@pytest.mark.parametrize("timeout", [None, 5.0, 0.0])
def test_the_timeout_and_mode_are_the_users(pair, client_context, server_context, timeout):
    client, server = shake_hands(pair, client_context, server_context)
    with client, server:
        client.settimeout(timeout)
        reading = None
        if timeout != 0:
            reading = greenroom.spawn(client.recv, 1)
            settle()
        assert (client.gettimeout(), client.timeout) == (timeout, timeout)
        assert client.getblocking() == (timeout != 0)
        assert not os.get_blocking(client.fileno())
        server.sendall(b"x")
        if reading is not None:
            assert reading.result() == b"x"
        client.setblocking(True)
        assert (client.gettimeout(), client.getblocking()) == (None, True)
        assert not os.get_blocking(client.fileno())


def test_the_fd_blocks_again_when_tls_has_left_it(tls):
    client, server = tls
    ending = greenroom.spawn(server.unwrap)
    client.unwrap()
    ending.join()
    assert os.get_blocking(client.fileno())
    server.settimeout(1)
    assert not os.get_blocking(server.fileno())


def test_the_fd_blocks_again_when_it_is_detached(tls):
    client, server = tls
    server.settimeout(1)
    fds = [client.detach(), server.detach()]
    assert [os.get_blocking(fd) for fd in fds] == [True, False]
    for fd in fds:
        os.close(fd)


def test_a_default_timeout_is_the_sockets_and_not_the_handles(
    listener, client_context, server_context
):
    socket.setdefaulttimeout(30)
    try:
        pair = socket.socketpair()
        client, server = shake_hands(pair, client_context, server_context)
    finally:
        socket.setdefaulttimeout(None)
    with client, server:
        assert client.gettimeout() == 30
        reading = greenroom.spawn(client.recv, 1)
        settle()
        server.sendall(b"x")
        assert reading.result() == b"x"


# --- timeout() and kill()


def test_timeout_ends_each_kind_of_wait(pair, client_context, server_context, clock):
    client, server = shake_hands(socket.socketpair(), client_context, server_context)
    for call in (lambda: client.recv(1), client.unwrap):
        with pytest.raises(greenroom.Timeout), greenroom.timeout(1):
            call()
    late = client_context.wrap_socket(
        pair[0], server_hostname="localhost", do_handshake_on_connect=False
    )
    with late, pytest.raises(greenroom.Timeout), greenroom.timeout(1):
        late.do_handshake()
    assert clock.now() == 3
    client.close()
    server.close()


def test_a_killed_reader_takes_nothing_along(tls):
    client, server = tls
    reading = greenroom.spawn(client.recv, 10)
    settle()
    server.sendall(b"data")
    reading.kill()
    reading.join()
    assert isinstance(reading.exception, greenroom.TaskKilled)
    assert client.recv(10) == b"data"


def test_a_reader_killed_between_data_and_its_turn_takes_nothing_along(tls):
    client, server = tls
    reading = greenroom.spawn(client.recv, 10)
    settle()
    killing = greenroom.spawn(lambda: (server.sendall(b"data"), reading.kill()))
    greenroom.joinall([reading, killing])
    if reading.exception is None:
        assert reading.result() == b"data"
    else:
        assert client.recv(10) == b"data"


def cut_short(client, data):
    """Kill a task in the middle of sending data."""
    writing = greenroom.spawn(client.sendall, data)
    settle()
    writing.kill()
    writing.join()
    assert isinstance(writing.exception, greenroom.TaskKilled)


def test_after_a_write_that_was_cut_short_another_is_refused(tls):
    client, server = tls
    cut_short(client, b"a" * MUCH)
    for call in (client.sendall, client.send, client.write):
        with pytest.raises(
            ssl.SSLError, match=r"cannot write to <.*cut short by a timeout or kill"
        ):
            call(b"b" * 10)
    # What the peer sends is not touched by that.
    server.sendall(b"still here")
    assert client.recv(100) == b"still here"


def test_a_write_that_was_cut_short_can_be_repeated(tls, clock):
    client, server = tls
    data = b"a" * sslcalls.WRITE_BYTES
    client.settimeout(1)
    sent = 0
    with pytest.raises(TimeoutError):
        while True:
            sent += client.send(data)
    receiving = greenroom.spawn(drain, server, sent + len(data) + 1)
    client.settimeout(None)
    assert client.send(data) == len(data)
    client.sendall(b"b")
    assert receiving.result() == {97: sent + len(data), 98: 1}


def test_who_was_killed_while_waiting_for_the_turn_has_cut_nothing_short(tls):
    client, server = tls
    first = greenroom.spawn(client.sendall, b"a" * MUCH)
    settle()
    cut_short(client, b"b")
    third = greenroom.spawn(client.sendall, b"c")
    assert drain(server, MUCH + 1) == {97: MUCH, 99: 1}
    greenroom.joinall([first, third])


# --- many tasks on one socket


def test_one_task_reads_while_another_waits_to_write(tls):
    client, server = tls
    writing = greenroom.spawn(client.sendall, b"a" * MUCH)
    reading = greenroom.spawn(client.recv, 10)
    settle()
    assert not writing.done and not reading.done
    server.sendall(b"hello")
    assert reading.result() == b"hello"
    assert drain(server, MUCH) == {97: MUCH}
    writing.result()


def test_what_several_tasks_send_does_not_mix(tls):
    client, server = tls
    size = 3 * sslcalls.WRITE_BYTES + 1
    writing = [greenroom.spawn(client.sendall, bytes([octet]) * size) for octet in b"abcdef"]
    received = bytearray()
    while len(received) < 6 * size:
        received += server.recv(65536)
    assert received == b"".join(bytes([octet]) * size for octet in b"abcdef")
    greenroom.joinall(writing)


def test_several_readers_get_each_message_once(tls):
    client, server = tls
    readers = [greenroom.spawn(server.recv, 100) for _ in range(5)]
    settle()
    for number in range(5):
        client.sendall(b"%d" % number)
    assert sorted(task.result() for task in readers) == [b"0", b"1", b"2", b"3", b"4"]


def test_readers_of_one_record_get_it_in_parts(tls):
    client, server = tls
    readers = [greenroom.spawn(server.recv, 2) for _ in range(3)]
    settle()
    client.sendall(b"abcdef")
    assert [task.result() for task in readers] == [b"ab", b"cd", b"ef"]


def test_a_read_goes_on_with_what_openssl_holds_already(tls):
    client, server = tls
    client.sendall(b"abcdef")
    assert [server.recv(2) for _ in range(3)] == [b"ab", b"cd", b"ef"]
    server.settimeout(0)
    client.sendall(b"abcdef")
    assert server.recv(2) == b"ab"  # polled, which the next read must know of
    server.settimeout(None)
    assert server.recv(10) == b"cdef"


def test_who_polls_does_not_write_into_the_middle_of_another_tasks_write(tls):
    client, server = tls
    writing = greenroom.spawn(client.sendall, b"a" * MUCH)
    settle()
    client.settimeout(0)
    with pytest.raises(ssl.SSLWantWriteError, match="another task is in the middle of a write"):
        client.send(b"b")
    client.settimeout(None)
    assert drain(server, MUCH) == {97: MUCH}
    writing.result()


def test_unwrap_comes_after_a_write_that_has_begun(tls):
    client, server = tls
    writing = greenroom.spawn(client.sendall, b"a" * MUCH)
    settle()
    ending = greenroom.spawn(client.unwrap)
    settle()
    assert drain(server, MUCH) == {97: MUCH}
    assert server.recv(1) == b""
    server.unwrap()
    assert ending.result() is client
    writing.result()


def test_a_long_write_lets_others_run_though_the_peer_never_makes_it_wait(tls):
    client, server = tls
    # Each part finds room at once: the reader has emptied the buffers meanwhile.
    turns = []
    receiving = greenroom.spawn(drain, server, 20 * sslcalls.WRITE_BYTES)

    def count():
        while not receiving.done:
            turns.append(1)
            greenroom.sleep(0)

    counting = greenroom.spawn(count)
    client.sendall(bytes(20 * sslcalls.WRITE_BYTES))
    assert len(turns) >= 19
    greenroom.joinall([receiving, counting])


# --- directions: a C object that says what OpenSSL says while it makes new keys


class Reluctant:
    """Stands for the C object: wants the other direction first."""

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)

    def read(self, size, *buffer):
        return self.step()

    def write(self, data):
        return self.step()

    do_handshake = shutdown = lambda self: self.step()

    def pending(self):
        return 0

    def version(self):
        return None  # it has not shaken hands

    def step(self):
        result = self.outcomes.pop(0)
        if isinstance(result, type):
            raise result("not now")
        return result


def test_a_read_that_wants_to_write_waits_for_room(tls):
    client, server = tls
    filler = greenroom.spawn(client.sendall, b"a" * MUCH)
    settle()
    sslobj, client._sslobj = client._sslobj, Reluctant(ssl.SSLWantWriteError, b"read")
    reading = greenroom.spawn(client.recv, 10)
    server.sendall(b"to be read, but that is not what it waits for")
    settle()
    assert not reading.done
    greenroom.spawn(drain, server, MUCH).result()
    assert reading.result() == b"read"
    client._sslobj = sslobj
    filler.join()


# --- the handshake


class Counting:
    """Stands for the C object: counts the tries of a handshake and of a read."""

    def __init__(self, sslobj):
        self.sslobj = sslobj
        self.tries = {"do_handshake": 0, "read": 0}

    def __getattr__(self, name):
        if name in self.tries:
            self.tries[name] += 1
        return getattr(self.sslobj, name)


def late(sock, context, server_side):
    """Return an SSLSocket that has not shaken hands yet."""
    name = None if server_side else "localhost"
    return context.wrap_socket(sock, server_side, False, server_hostname=name)


@pytest.mark.skipif(not native.compiled(), reason="what the compiled build saves")
def test_a_server_tries_only_when_the_client_has_sent_something(
    pair, client_context, server_context
):
    server = late(pair[1], server_context, True)
    counting = server._sslobj = Counting(server._sslobj)
    shaking = greenroom.spawn(server.do_handshake)
    settle()
    assert counting.tries["do_handshake"] == 0
    with client_context.wrap_socket(pair[0], server_hostname="localhost") as client, server:
        shaking.result()
        assert counting.tries["do_handshake"] == 2  # a try for each of the client's two flights
        reading = greenroom.spawn(server.recv, 10)
        settle()
        assert counting.tries["read"] == 0
        client.sendall(b"x")
        assert reading.result() == b"x"
        assert counting.tries["read"] == 1


def test_a_client_begins_at_once(pair, client_context):
    client = late(pair[0], client_context, False)
    shaking = greenroom.spawn(client.do_handshake)
    settle()
    assert pair[1].recv(1) == b"\x16"  # a handshake record, RFC 8446, 5.1
    shaking.kill()
    shaking.join()
    client.close()


def test_a_server_that_gave_up_waiting_can_shake_hands_later(
    pair, client_context, server_context, clock
):
    server = late(pair[1], server_context, True)
    server.settimeout(2)
    with pytest.raises(TimeoutError, match="The handshake operation timed out"):
        server.do_handshake()
    assert clock.now() == 2
    client = late(pair[0], client_context, False)
    connecting = greenroom.spawn(client.do_handshake)
    server.do_handshake()
    server.sendall(b"late")
    connecting.join()
    with client, server:
        assert client.recv(10) == b"late"


def test_a_handshake_given_up_in_the_middle_tries_at_once_when_it_goes_on(
    pair, server_context, clock
):
    filler = greenroom.spawn(pair[1].sendall, bytes(MUCH))
    settle()
    filler.kill()
    filler.join()  # no room: it waits for it
    server = late(pair[1], server_context, True)
    server.settimeout(1)
    server._sslobj = Reluctant(ssl.SSLWantWriteError, None)
    pair[0].sendall(b"x")  # as if the client had begun
    with pytest.raises(TimeoutError, match="The handshake operation timed out"):
        server.do_handshake()
    assert os.read(server.fileno(), 10) == b"x"
    server.do_handshake()  # of the client nothing is awaited: the server's answer is half sent
    assert clock.now() == 1
    server.close()


def test_two_tasks_that_shake_hands_do_so_one_after_the_other(pair, client_context, server_context):
    server = late(pair[1], server_context, True)
    shaking = [greenroom.spawn(server.do_handshake) for _ in range(2)]
    settle()
    with client_context.wrap_socket(pair[0], server_hostname="localhost") as client, server:
        greenroom.joinall(shaking)
        assert [task.exception for task in shaking] == [None, None]
        server.sendall(b"x")
        assert client.recv(1) == b"x"


@pytest.mark.parametrize("first", ["recv", "sendall"])
def test_the_first_read_or_write_shakes_hands_if_nobody_did(
    pair, client_context, server_context, first
):
    server = late(pair[1], server_context, True)
    begun = greenroom.spawn(getattr(server, first), 10 if first == "recv" else b"from the server")
    other = greenroom.spawn(server.recv, 10) if first == "sendall" else None
    settle()
    with client_context.wrap_socket(pair[0], server_hostname="localhost") as client, server:
        client.sendall(b"hello")
        if other is None:
            assert begun.result() == b"hello"
        else:
            assert client.recv(100) == b"from the server"
            assert other.result() == b"hello"
            begun.join()


def test_a_write_that_wants_to_read_waits_for_data(tls):
    client, server = tls
    server.sendall(b"x")
    assert client.recv(1) == b"x"  # and the session tickets before it
    client._sslobj = Reluctant(ssl.SSLWantReadError, 4)
    writing = greenroom.spawn(client.send, b"data")
    settle()
    assert not writing.done
    server.sendall(b"x")
    assert writing.result() == 4


# --- the end of the socket


@pytest.mark.parametrize("end", ["close", "detach"])
def test_closing_wakes_all_who_wait_with_closed_error(tls, end):
    client, _ = tls
    waiting = [greenroom.spawn(client.recv, 1), greenroom.spawn(client.recv_into, bytearray(1))]
    waiting += [greenroom.spawn(client.sendall, bytes(MUCH)) for _ in range(3)]
    settle()
    fd = client.fileno()
    assert getattr(client, end)() in (None, fd)
    greenroom.joinall(waiting)
    assert [type(task.exception) for task in waiting] == [greenroom.ClosedError] * 5
    assert {task.exception.errno for task in waiting} == {errno.EBADF}
    if end == "detach":
        os.close(fd)


def test_closing_wakes_who_shakes_hands_and_who_says_goodbye(tls, client_context):
    one, two = socket.socketpair()
    late = client_context.wrap_socket(
        one, server_hostname="localhost", do_handshake_on_connect=False
    )
    waiting = [greenroom.spawn(late.do_handshake), greenroom.spawn(tls[0].unwrap)]
    settle()
    late.close()
    tls[0].close()
    greenroom.joinall(waiting)
    assert [type(task.exception) for task in waiting] == [greenroom.ClosedError] * 2
    two.close()


def test_who_was_woken_before_the_close_does_not_read_the_next_file(tls):
    client, server = tls
    reading = greenroom.spawn(client.recv, 10)
    reading.add_done_callback(id)
    settle()
    fd = client.fileno()

    def close_when_both_are_ready():
        server.sendall(b"data")
        while "runnable" not in repr(reading):
            greenroom.sleep(0)
        client.close()
        return socket.socketpair()

    closing = greenroom.spawn(close_when_both_are_ready)
    three, four = closing.result()
    reading.join()
    with three, four:
        assert fd in (three.fileno(), four.fileno())
        if isinstance(reading.exception, OSError):
            assert reading.exception.errno == errno.EBADF


# How a read without close_notify ends differs by version of OpenSSL and Python.
ENDS = """
import socket, ssl, sys, threading, time

if sys.argv[1] == "green":
    import greenroom

    greenroom.patch_all()

file, key = sys.argv[2:]
server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server_context.load_cert_chain(file, key)
client_context = ssl.create_default_context(cafile=file)


def tcp():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        return one, listener.accept()[0]


def connection(make):
    one, other = make()
    accepted = []
    thread = threading.Thread(
        target=lambda: accepted.append(server_context.wrap_socket(other, server_side=True))
    )
    thread.start()
    client = client_context.wrap_socket(one, server_hostname="localhost")
    thread.join()
    return client, accepted[0]


def drain(sock):
    while sock.recv(65536):
        pass


def outcome(call, *args):
    try:
        return call(*args)
    except Exception as error:
        return type(error).__name__, error.args


for make in (socket.socketpair, tcp):
    # The peer goes, and leaves what it was sent unread (the tickets of TLS 1.3): a reset.
    ends = []
    client, server = connection(make)
    reading = threading.Thread(target=lambda: ends.append(outcome(drain, server)))
    reading.start()
    client.sendall(bytes(300_000))
    client.close()
    reading.join()
    # The reader's own socket is shut down.
    client, server = connection(make)
    reading = threading.Thread(target=lambda: ends.append(outcome(client.recv, 10)))
    reading.start()
    time.sleep(0.2)
    client.shutdown(socket.SHUT_RDWR)
    reading.join()
    print(make.__name__, ends)
"""


def test_a_read_without_close_notify_ends_as_in_the_standard_library(certificate):
    # Symptom: where it ends in ConnectionResetError, ours ended in BrokenPipeError: the question
    # whether anything had come took the socket's error.
    def ends(how):
        command = [sys.executable, "-c", ENDS, how, certificate.file, certificate.key]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert ends("green") == ends("plain") != ""


def test_a_socket_that_was_shut_down_reads_no_more(tls):
    client, _ = tls
    reading = greenroom.spawn(outcome, client.recv, 10)
    settle()
    client.shutdown(socket.SHUT_RDWR)
    reading.join()
    assert outcome(client.read) == (
        "raised",
        ValueError,
        ("Read on closed or unwrapped SSL socket.",),
    )


def test_the_handle_gives_back_nothing_that_is_not_its_own(client_context, server_context):
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(10):
        client, server = shake_hands(socket.socketpair(), client_context, server_context)
        client.close()
        server.close()
    assert set(os.listdir("/proc/self/fd")) == before
    client, server = shake_hands(socket.socketpair(), client_context, server_context)
    fd = client.detach()
    del client
    assert os.fstat(fd)
    os.close(fd)
    server.close()


def test_a_socket_that_nobody_closed_is_warned_of(client_context, server_context):
    client, server = shake_hands(socket.socketpair(), client_context, server_context)
    fd = client.fileno()
    with pytest.warns(ResourceWarning, match=f"unclosed <.*SSLSocket fd={fd}"):
        del client
    with pytest.raises(OSError):
        os.fstat(fd)
    server.close()


def test_a_connection_that_is_older_than_patching(pair, certificate, server_context):
    # Its C object asks the SSLSocket itself for the timeout, for no Handle was made.
    context = stdlib.create_default_context(cafile=certificate.file)
    context.sslsocket_class = ssl.SSLSocket
    client, server = shake_hands(pair, context, server_context)
    with client, server:
        for timeout in (None, 60):
            client.settimeout(timeout)
            reading = greenroom.spawn(client.recv, 10)
            writing = greenroom.spawn(client.sendall, b"a" * MUCH)
            settle()
            assert (client.gettimeout(), os.get_blocking(client.fileno())) == (
                timeout,
                timeout is None,
            )
            server.sendall(b"x")
            assert reading.result() == b"x"
            assert drain(server, MUCH) == {97: MUCH}
            writing.result()
        ending = greenroom.spawn(client.unwrap)
        assert server.recv(10) == b""
        server.unwrap()
        assert ending.result() is client
