"""TCP and Unix streams: what is sent arrives whole, in order, and the end is seen as the end."""

import hashlib
import os
import random
import struct
import sys

import pytest

import greenroom
from greenroom.green import socket

from .conftest import settle

LINGER_0 = struct.pack("ii", 1, 0)  # close() sends RST


def read_all(sock, size=65536):
    data = bytearray()
    while piece := sock.recv(size):
        data += piece
    return bytes(data)


def test_data_followed_by_a_close_is_read_in_full_and_then_the_end(tcp):
    client, server = tcp
    server.sendall(b"last words")
    server.close()
    assert client.recv(4) == b"last"
    assert client.recv(100) == b" words"
    assert client.recv(100) == b""


def test_after_half_close_the_other_direction_still_works(tcp):
    client, server = tcp
    answering = greenroom.spawn(read_all, server)
    client.sendall(b"question")
    client.shutdown(socket.SHUT_WR)
    assert answering.result() == b"question"
    server.sendall(b"answer")
    assert client.recv(100) == b"answer"
    server.shutdown(socket.SHUT_WR)
    assert client.recv(100) == b""


def test_shutdown_of_ones_own_reading_side_wakes_the_reader_with_the_end(tcp):
    client, _ = tcp
    reading = greenroom.spawn(client.recv, 100)
    settle()
    client.shutdown(socket.SHUT_RD)
    assert reading.result() == b""


def test_a_reset_by_the_peer_raises_connection_reset_in_the_waiting_reader(tcp):
    client, server = tcp
    reading = greenroom.spawn(client.recv, 100)
    settle()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
    server.close()
    with pytest.raises(ConnectionResetError) as caught:
        reading.result()
    assert caught.value.args == (104, "Connection reset by peer")


def test_a_reset_while_sending_raises_in_the_waiting_sender(tcp):
    client, server = tcp
    sending = greenroom.spawn(client.sendall, bytes(16 << 20))
    settle()
    assert not sending.done
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
    server.close()
    with pytest.raises(ConnectionError):
        sending.result()


def test_send_to_a_peer_that_is_gone_raises_broken_pipe(pair):
    one, two = pair
    two.close()
    with pytest.raises(BrokenPipeError):
        one.send(b"x")
    with pytest.raises(BrokenPipeError):
        one.sendall(b"x")


def test_sendall_of_many_megabytes_to_a_slow_reader_arrives_whole(tcp):
    client, server = tcp
    data = random.Random(1).randbytes(8 << 20)

    def slow():
        digest = hashlib.sha256()
        while piece := server.recv(100_000):
            digest.update(piece)
            greenroom.sleep(0)
        return digest.digest()

    reading = greenroom.spawn(slow)
    assert client.sendall(data) is None
    client.shutdown(socket.SHUT_WR)
    assert reading.result() == hashlib.sha256(data).digest()


def test_sendall_takes_any_buffer_and_counts_bytes_not_items(pair):
    one, two = pair
    one.sendall(memoryview(struct.pack("3i", 1, 2, 3)).cast("i"))
    one.sendall(bytearray(b"end"))
    one.sendall(b"")
    assert two.recv(100) == struct.pack("3i", 1, 2, 3) + b"end"


def test_send_without_room_parks_until_the_reader_makes_some(pair):
    one, two = pair
    one.setblocking(False)
    filled = 0
    with pytest.raises(BlockingIOError):
        while True:
            filled += one.send(bytes(65536))
    one.setblocking(True)
    sending = greenroom.spawn(one.send, b"the rest")
    settle()
    assert not sending.done
    read = len(two.recv(filled))
    while read < filled:
        read += len(two.recv(filled - read))
    assert sending.result() == len(b"the rest")
    assert two.recv(100) == b"the rest"


def test_a_reader_and_a_writer_may_wait_on_one_socket_at_once(tcp):
    client, server = tcp
    reading = greenroom.spawn(client.recv, 10)
    writing = greenroom.spawn(client.sendall, bytes(16 << 20))
    settle()
    assert not reading.done and not writing.done
    server.sendall(b"hello")
    assert reading.result() == b"hello"
    client_done = greenroom.spawn(lambda: (writing.join(), client.shutdown(socket.SHUT_WR)))
    assert len(read_all(server, 1 << 20)) == 16 << 20
    client_done.join()


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_recv_into_fills_the_buffer_from_its_start_and_leaves_the_rest(tcp, size):
    client, server = tcp
    server.sendall(b"abc")
    buffer = bytearray(b"-" * 1000)
    count = client.recv_into(buffer, size)
    assert count == min(size, 3)
    assert buffer == b"abc"[:count] + b"-" * (1000 - count)


def test_recv_into_without_a_count_uses_the_whole_buffer(tcp):
    client, server = tcp
    server.sendall(b"abcdef")
    buffer = bytearray(4)
    assert client.recv_into(buffer) == 4
    assert buffer == b"abcd"
    assert client.recv_into(memoryview(buffer)[1:]) == 2
    assert buffer == b"aefd"
    server.close()
    assert client.recv_into(buffer) == 0


def test_peek_leaves_the_data_where_it_is(tcp):
    client, server = tcp
    peeking = greenroom.spawn(client.recv, 3, socket.MSG_PEEK)
    settle()
    server.sendall(b"abcdef")
    assert peeking.result() == b"abc"
    assert client.recv(100, socket.MSG_PEEK) == b"abcdef"
    assert client.recv(100) == b"abcdef"


def test_wait_all_gathers_pieces_until_the_count_is_reached(tcp):
    client, server = tcp
    reading = greenroom.spawn(client.recv, 6, socket.MSG_WAITALL)
    for piece in (b"ab", b"cd"):
        server.sendall(piece)
        settle()
        assert not reading.done
    server.sendall(b"efgh")
    assert reading.result() == b"abcdef"
    assert client.recv(100) == b"gh"


def test_wait_all_returns_less_at_the_end_of_the_stream(tcp):
    client, server = tcp
    buffer = bytearray(10)
    reading = greenroom.spawn(client.recv_into, buffer, 10, socket.MSG_WAITALL)
    server.sendall(b"abc")
    settle()
    server.close()
    assert reading.result() == 3
    assert buffer == b"abc" + bytes(7)


def test_peek_with_wait_all_does_not_repeat_bytes(pair):
    one, two = pair
    two.sendall(b"abc")
    two.shutdown(socket.SHUT_WR)
    assert one.recv(6, socket.MSG_PEEK | socket.MSG_WAITALL) == b"abc"


def test_wait_all_that_times_out_loses_no_byte(pair, clock):
    one, two = pair
    one.settimeout(1)
    two.sendall(b"abc")
    got = b""
    try:
        got = one.recv(6, socket.MSG_WAITALL)
    except TimeoutError:
        got = one.recv(6)
    assert got == b"abc"


def test_zero_bytes_are_received_at_once_without_data(pair, clock):
    one, two = pair
    reading = greenroom.spawn(lambda: (one.recv(0), one.recv_into(bytearray())))
    at_once = reading.join(1)
    two.close()
    reading.join()
    assert at_once and reading.result() == (b"", 0)


def test_urgent_data_is_received_out_of_band_and_the_stream_goes_on(tcp):
    client, server = tcp
    server.sendall(b"before")
    server.send(b"!", socket.MSG_OOB)
    server.sendall(b"after")
    assert client.recv(100) == b"before"
    assert client.recv(1, socket.MSG_OOB) == b"!"
    assert client.recv(100) == b"after"
    reading = greenroom.spawn(client.recv, 100)
    settle()
    assert not reading.done
    server.sendall(b"more")
    assert reading.result() == b"more"


def test_a_stream_of_ready_data_lets_other_tasks_run(tcp):
    client, server = tcp
    server.sendall(bytes(1000))
    seen = []

    def other():
        seen.append("ran")

    greenroom.spawn(other)
    while not seen:  # each recv succeeds at once
        assert client.recv(1)
    rest = client.recv(1000)
    assert rest


def test_sendmsg_gathers_and_recvmsg_into_scatters(pair):
    one, two = pair
    assert one.sendmsg(iter([b"abc", bytearray(b"de"), memoryview(b"f")])) == 6
    first, second = bytearray(2), bytearray(10)
    count, ancillary, flags, _ = two.recvmsg_into(iter([first, second]))
    assert (count, ancillary, flags) == (6, [], 0)
    assert (first, second[:4]) == (b"ab", b"cdef")


@pytest.mark.parametrize("method", ["recvmsg", "recvfrom"])
def test_message_calls_park_on_a_stream_too(tcp, method):
    client, server = tcp
    reading = greenroom.spawn(getattr(client, method), 10)
    settle()
    assert not reading.done
    server.sendall(b"abc")
    assert reading.result()[0] == b"abc"


@pytest.mark.parametrize("method", ["recvfrom", "recvfrom_into", "recvmsg", "recvmsg_into"])
def test_wait_all_holds_for_every_receiving_call(pair, method):
    one, two = pair
    buffer = bytearray(6)
    arguments = {
        "recvfrom": (6, socket.MSG_WAITALL),
        "recvfrom_into": (buffer, 6, socket.MSG_WAITALL),
        "recvmsg": (6, 0, socket.MSG_WAITALL),
        "recvmsg_into": ([buffer], 0, socket.MSG_WAITALL),
    }[method]
    reading = greenroom.spawn(getattr(one, method), *arguments)
    two.sendall(b"abc")
    settle()
    two.sendall(b"def")
    assert reading.result()[0] in (b"abcdef", 6)
    assert bytes(buffer) in (b"abcdef", bytes(6))


@pytest.mark.parametrize("end", [b"de", b""])
def test_wait_all_scatters_over_buffers_and_stops_at_the_end_of_the_stream(pair, end):
    one, two = pair
    buffers = [bytearray(2), bytearray(0), bytearray(2), bytearray(2)]
    reading = greenroom.spawn(one.recvmsg_into, buffers, 0, socket.MSG_WAITALL)
    for piece in (b"a", b"bc", end):
        two.sendall(piece)
        settle()
    assert not reading.done
    two.close()
    assert reading.result()[0] == 3 + len(end)
    assert b"".join(buffers) == (b"abc" + end).ljust(6, b"\0")


def test_wait_all_stops_where_an_fd_came_along(pair):
    one, two = pair
    reading = greenroom.spawn(one.recvmsg, 6, socket.CMSG_SPACE(4), socket.MSG_WAITALL)
    settle()
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, (0).to_bytes(4, sys.byteorder))]
    two.sendmsg([b"abc"], rights)
    data, ((_, _, fd),), _, _ = reading.result()
    os.close(int.from_bytes(fd, sys.byteorder))
    assert data == b"abc"


def test_an_empty_error_queue_is_an_error_at_once(clock):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        asking = greenroom.spawn(sock.recvmsg, 100, 100, socket.MSG_ERRQUEUE)
        at_once = asking.join(1)
        asking.kill()
        asking.join()
        assert at_once
        assert isinstance(asking.exception, BlockingIOError)
