"""UDP and Unix datagrams: boundaries are kept, and a wait parks."""

import pytest

import greenroom
from greenroom.green import socket

from .conftest import settle


@pytest.fixture
def udp():
    """Two bound UDP sockets and their addresses."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
    ):
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        yield one, two


@pytest.fixture
def unix():
    """A connected pair of Unix datagram sockets."""
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, two:
        yield one, two


def test_recvfrom_parks_until_a_datagram_comes_and_names_its_sender(udp):
    one, two = udp
    receiving = greenroom.spawn(one.recvfrom, 100)
    settle()
    assert not receiving.done
    assert two.sendto(b"hello", one.getsockname()) == 5
    assert receiving.result() == (b"hello", two.getsockname())


def test_recvfrom_into_fills_a_buffer(udp):
    one, two = udp
    buffer = bytearray(b"------")
    receiving = greenroom.spawn(one.recvfrom_into, buffer, 4)
    settle()
    two.sendto(b"abc", one.getsockname())
    assert receiving.result() == (3, two.getsockname())
    assert buffer == b"abc---"


def test_each_recv_gives_one_datagram_and_cuts_what_does_not_fit(unix):
    one, two = unix
    for text in (b"first", b"", b"third, too long"):
        two.send(text)
    assert one.recv(100) == b"first"
    assert one.recv(100) == b""
    assert one.recv(5) == b"third"
    two.send(b"next")
    assert one.recv(100) == b"next"


def test_sendto_takes_flags_before_the_address(udp):
    one, two = udp
    assert one.sendto(b"x", socket.MSG_DONTWAIT, two.getsockname()) == 1
    assert two.recvfrom(10) == (b"x", one.getsockname())


def test_sendto_a_name_looks_it_up(udp):
    one, two = udp
    one.sendto(b"by name", ("localhost", two.getsockname()[1]))
    assert two.recv(100) == b"by name"


def test_sendmsg_and_recvmsg_carry_the_address(udp):
    one, two = udp
    receiving = greenroom.spawn(two.recvmsg, 100)
    settle()
    assert one.sendmsg([b"a", b"b"], [], 0, two.getsockname()) == 2
    assert receiving.result() == (b"ab", [], 0, one.getsockname())


def test_a_connected_udp_socket_hears_that_nobody_listens(udp):
    one, two = udp
    gone = two.getsockname()
    two.close()
    one.connect(gone)
    one.send(b"anyone?")
    with pytest.raises(ConnectionRefusedError):
        one.recv(100)


def test_a_full_queue_parks_the_sender_until_one_is_read(unix):
    one, two = unix
    one.setblocking(False)
    sent = 0
    with pytest.raises(BlockingIOError):
        while True:
            one.send(b"%d" % sent)
            sent += 1
    one.setblocking(True)
    sending = greenroom.spawn(one.send, b"last")
    settle()
    assert not sending.done
    got = [two.recv(100) for _ in range(sent + 1)]
    assert sending.result() == 4
    assert got == [b"%d" % number for number in range(sent)] + [b"last"]


def test_many_datagrams_to_many_receivers_are_each_received_once(unix):
    one, two = unix
    receivers = [greenroom.spawn(one.recv, 100) for _ in range(20)]
    settle()
    for number in range(20):
        two.send(b"%d" % number)
        if number % 3 == 0:
            settle()
    got = {task.result() for task in receivers}
    assert got == {b"%d" % number for number in range(20)}


def test_wait_all_on_datagrams_gives_one_datagram(unix):
    one, two = unix
    two.send(b"abc")
    two.send(b"def")
    assert one.recv(6, socket.MSG_WAITALL) == b"abc"


def test_a_datagram_larger_than_the_scratch_buffer_arrives_whole(unix):
    one, two = unix
    two.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400_000)
    two.send(bytes(300_000))
    assert len(one.recv(400_000)) == 300_000


def test_a_truncated_datagram_says_nothing_of_what_others_received(unix):
    # Symptom: with MSG_TRUNC recv(2) returns the datagram's full size, and what lay in the buffer
    # that all sockets receive into was returned beyond the bytes asked for.
    one, two = unix
    two.send(b"SECRET" * 100)
    assert b"SECRET" in one.recv(1000)
    two.send(b"x" * 600)
    try:
        assert b"SECRET" not in one.recv(10, socket.MSG_TRUNC)
    except ValueError as error:  # so CPython answers from 3.15 on
        assert str(error) == "size larger than allocated size"
