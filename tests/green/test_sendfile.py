"""socket.sendfile: by the kernel where it can, by send where it cannot."""

import io
import os
import random

import pytest

import greenroom
from greenroom.green import socket

DATA = random.Random(2).randbytes(3 << 20)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(DATA)
    with path.open("rb") as file:
        yield file


def read_all(sock):
    data = bytearray()
    while piece := sock.recv(1 << 16):
        data += piece
    return bytes(data)


def send_and_read(pair, *args):
    one, two = pair
    reading = greenroom.spawn(read_all, two)
    count = one.sendfile(*args)
    one.shutdown(socket.SHUT_WR)
    return count, reading.result()


@pytest.mark.parametrize("timeout", [None, 5])
def test_a_whole_file_larger_than_the_socket_buffer(tcp, file, timeout):
    tcp[0].settimeout(timeout)
    count, got = send_and_read(tcp, file)
    assert count == len(DATA)
    assert got == DATA
    assert file.tell() == len(DATA)


@pytest.mark.parametrize(
    ("offset", "count", "expected"),
    [
        (0, 10, DATA[:10]),
        (5, 2_000_000, DATA[5:2_000_005]),
        (100, None, DATA[100:]),
        (len(DATA) - 3, 10, DATA[-3:]),
        (len(DATA), None, b""),
    ],
)
def test_offset_and_count(tcp, file, offset, count, expected):
    sent, got = send_and_read(tcp, file, offset, count)
    assert sent == len(expected)
    assert got == expected


def test_the_files_place_is_after_the_last_byte_sent(tcp, file):
    send_and_read(tcp, file, 10, 20)
    assert file.tell() == 30


def test_an_empty_file_sends_nothing(tcp, tmp_path):
    path = tmp_path / "empty"
    path.touch()
    with path.open("rb") as file:
        assert send_and_read(tcp, file) == (0, b"")


def test_something_that_is_no_regular_file_is_sent_all_the_same(tcp):
    assert send_and_read(tcp, io.BytesIO(b"in memory"), 3) == (6, b"memory")
    assert greenroom.current().name == "main"


def test_a_non_blocking_socket_raises_value_error(pair, file):
    one, _ = pair
    one.setblocking(False)
    for source in (file, io.BytesIO(b"x")):
        with pytest.raises(ValueError, match=r"^non-blocking sockets are not supported$"):
            one.sendfile(source)


def test_wrong_parameters_raise(pair, file, tmp_path):
    one, _ = pair
    with pytest.raises(ValueError, match="count must be a positive integer"):
        one.sendfile(file, 0, 0)
    with pytest.raises(TypeError, match="count must be a positive integer"):
        one.sendfile(file, 0, 1.5)
    with (tmp_path / "data").open() as text, pytest.raises(ValueError, match="binary mode"):
        one.sendfile(text)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, pytest.raises(ValueError):
        udp.sendfile(file)


def test_a_reader_that_never_reads_times_out(pair, file, clock):
    one, _ = pair
    one.settimeout(4)
    with pytest.raises(TimeoutError, match=r"^timed out$"):
        one.sendfile(file)
    assert clock.now() == 4


def test_the_socket_is_blocking_again_afterwards(tcp, file):
    send_and_read(tcp, file)
    assert os.get_blocking(tcp[0].fileno())


def test_a_peer_that_is_gone_raises(pair, file):
    one, two = pair
    two.close()
    with pytest.raises(BrokenPipeError):
        one.sendfile(file)
