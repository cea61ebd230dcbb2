"""socket.sendfile: by the kernel where it can, by send where it cannot."""

import errno
import io
import os
import random

import pytest

import greenroom
from greenroom.green import fastsocket, socket, socketcalls

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
    with pytest.raises(TimeoutError) as caught:
        one.sendfile(file)
    assert str(caught.value) == "timed out" and clock.now() == 4


def test_the_socket_is_blocking_again_afterwards(tcp, file):
    send_and_read(tcp, file)
    assert os.get_blocking(tcp[0].fileno())


def test_a_peer_that_is_gone_raises(pair, file):
    one, two = pair
    two.close()
    with pytest.raises(BrokenPipeError):
        one.sendfile(file)


# --- what HTTPServer calls


@pytest.mark.parametrize("calls", [fastsocket, socketcalls], ids=["fast", "plain"])
@pytest.mark.parametrize("timeout", [None, 1.0])
def test_sendfile_by_a_deadline_sends_what_there_is_room_for(pair, file, clock, calls, timeout):
    one, two = pair
    one.settimeout(timeout)  # does not count
    os.set_blocking(one.fileno(), False)
    fd, done = file.fileno(), 0
    with pytest.raises(TimeoutError):
        while True:
            done += calls.sendfile_by(one, fd, done, len(DATA), clock.now() + 3)
    assert clock.now() == 3
    assert 0 < done < len(DATA)
    reading = greenroom.spawn(read_all, two)
    while sent := calls.sendfile_by(one, fd, done, len(DATA), clock.now() + 3):
        done += sent
    assert done == len(DATA)  # and 0 says that the file has ended
    one.close()
    assert reading.result() == DATA
    with pytest.raises(OSError) as caught:
        calls.sendfile_by(one, fd, 0, 1, clock.now() + 3)
    assert caught.value.errno == errno.EBADF
    assert file.tell() == 0
