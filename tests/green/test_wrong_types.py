"""Wrong types, values and states give what the standard library's socket gives, to the letter."""

import socket as stdlib

import pytest

from greenroom.green import socket

from .conftest import outcome

CALLS = {
    "recv of a str": lambda sock: sock.recv("10"),
    "recv of a negative size": lambda sock: sock.recv(-1),
    "recv without a size": lambda sock: sock.recv(),
    "recv with str flags": lambda sock: sock.recv(1, "flags"),
    "recv_into bytes": lambda sock: sock.recv_into(b"readonly"),
    "recv_into too small a buffer": lambda sock: sock.recv_into(bytearray(2), 3),
    "recv_into a negative count": lambda sock: sock.recv_into(bytearray(2), -1),
    "recvfrom of a negative size": lambda sock: sock.recvfrom(-1),
    "recvfrom_into a negative count": lambda sock: sock.recvfrom_into(bytearray(2), -1),
    "recvfrom_into too small a buffer": lambda sock: sock.recvfrom_into(bytearray(2), 3),
    "recvmsg of a negative size": lambda sock: sock.recvmsg(-1),
    "recvmsg_into bytes": lambda sock: sock.recvmsg_into([b"readonly"]),
    "send of a str": lambda sock: sock.send("text"),
    "send of None": lambda sock: sock.send(None),
    "sendall of a str": lambda sock: sock.sendall("text"),
    "sendall of a number": lambda sock: sock.sendall(3),
    "sendto of a str": lambda sock: sock.sendto("text", ("127.0.0.1", 1)),
    "sendto without an address": lambda sock: sock.sendto(b"x"),
    "sendto with str flags": lambda sock: sock.sendto(b"x", "flags", ("127.0.0.1", 1)),
    "sendto too many": lambda sock: sock.sendto(b"x", 0, ("127.0.0.1", 1), 4),
    "sendmsg of strings": lambda sock: sock.sendmsg(["text"]),
    "sendmsg of a number": lambda sock: sock.sendmsg(3),
    "connect to a number": lambda sock: sock.connect(3),
    "connect without a port": lambda sock: sock.connect(("127.0.0.1",)),
    "connect to a str port": lambda sock: sock.connect(("127.0.0.1", "80")),
    "connect to port 70000": lambda sock: sock.connect(("127.0.0.1", 70000)),
    "connect to a number as host": lambda sock: sock.connect((3, 80)),
    "connect_ex without a port": lambda sock: sock.connect_ex(("127.0.0.1",)),
    "accept when not listening": lambda sock: sock.accept(),
    "recv when not connected": lambda sock: sock.recv(1),
    "send when not connected": lambda sock: sock.send(b"x"),
    "settimeout of a str": lambda sock: sock.settimeout("1"),
    "settimeout negative": lambda sock: sock.settimeout(-1),
    "shutdown when not connected": lambda sock: sock.shutdown(socket.SHUT_WR),
}

# The argument parsers word these differently; the type of the error is the same.
LOOSE = {
    "recv of a str",
    "recv without a size",
    "recv with str flags",
    "sendall of a number",
    "sendmsg of a number",
    "sendto without an address",
    "sendto too many",
    "sendto with str flags",
    "send of a str",
    "sendall of a str",
}

AFTER_CLOSE = [
    "recv when not connected",
    "send when not connected",
    "accept when not listening",
    "shutdown when not connected",
]


def of_both(call, prepare=lambda sock: None):
    found = []
    for module in (stdlib, socket):
        sock = module.socket()
        with sock:
            prepare(sock)
            found.append(outcome(call, sock))
    return found


@pytest.mark.parametrize("timeout", [None, 1, 0])
@pytest.mark.parametrize("name", sorted(set(CALLS) - {"recv_into bytes"}))
def test_a_wrong_call_raises_what_the_standard_library_raises(name, timeout):
    expected, found = of_both(CALLS[name], lambda sock: sock.settimeout(timeout))
    assert expected[0] == "raised" or name.startswith("connect_ex")
    if name in LOOSE:
        expected, found = expected[:2], found[:2]
    assert found == expected


@pytest.mark.parametrize("timeout", [None, 1])
def test_a_buffer_that_cannot_be_written_raises_type_error(timeout):
    expected, found = of_both(CALLS["recv_into bytes"], lambda sock: sock.settimeout(timeout))
    assert found == expected


@pytest.mark.parametrize("name", AFTER_CLOSE)
@pytest.mark.parametrize("timeout", [None, 1, 0])
def test_a_closed_socket_raises_what_the_standard_library_raises(name, timeout):
    def close(sock):
        sock.settimeout(timeout)
        sock.close()

    expected, found = of_both(CALLS[name], close)
    assert found == expected


def test_connecting_a_closed_socket_raises_bad_file_descriptor():
    for timeout in (None, 1):
        address = ("127.0.0.1", 1)
        expected, found = of_both(
            lambda sock, address=address: sock.connect(address),
            lambda sock, timeout=timeout: (sock.settimeout(timeout), sock.close()),
        )
        assert found == expected


def test_closing_twice_is_allowed_and_fileno_is_minus_one():
    sock = socket.socket()
    sock.close()
    sock.close()
    assert sock.fileno() == -1


def test_detaching_marks_the_socket_closed():
    one, two = socket.socketpair()
    file = one.makefile("rb")
    fd = one.detach()
    assert "[closed]" in repr(one)
    with socket.socket(fileno=fd) as taken:
        file.close()
        two.sendall(b"x")
        assert taken.recv(1) == b"x"
    two.close()


POSITIONAL = {
    "recv": {"bufsize": 1},
    "recvfrom": {"bufsize": 1},
    "recvmsg": {"bufsize": 1},
    "recvmsg_into": {"buffers": [bytearray(1)]},
    "send": {"data": b"x"},
    "sendall": {"data": b"x"},
    "sendto": {"data": b"x"},
    "sendmsg": {"buffers": [b"x"]},
    "connect": {"address": ("127.0.0.1", 1)},
    "connect_ex": {"address": ("127.0.0.1", 1)},
}


@pytest.mark.parametrize("name", POSITIONAL)
def test_keywords_that_the_standard_library_refuses_are_refused(name):
    with socket.socket() as sock, pytest.raises(TypeError):
        getattr(sock, name)(**POSITIONAL[name])


def test_keywords_that_the_standard_library_takes_are_taken():
    one, two = socket.socketpair()
    buffer = bytearray(4)
    with one, two:
        two.sendall(b"abcd")
        assert one.recv_into(buffer=buffer, nbytes=2, flags=0) == 2
        assert one.recvfrom_into(buffer=buffer, nbytes=2, flags=0)[0] == 2
