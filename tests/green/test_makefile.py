"""makefile: buffered reading and writing over a green socket."""

import pytest

import greenroom

from .conftest import settle


def test_readline_parks_until_the_line_is_whole(pair):
    one, two = pair
    with one.makefile("rb") as file:
        reading = greenroom.spawn(file.readline)
        for piece in (b"half a ", b"line"):
            settle()
            two.sendall(piece)
            settle()
            assert not reading.done
        two.sendall(b"\nrest")
        assert reading.result() == b"half a line\n"
        two.close()
        assert file.read() == b"rest"
        assert file.read() == b""


def test_text_lines_both_ways(pair):
    one, two = pair

    def upper():
        with two.makefile("rw", encoding="utf-8", newline="\n") as file:
            for line in file:
                file.write(line.upper())
                file.flush()

    serving = greenroom.spawn(upper)
    with one.makefile("rw", encoding="utf-8", newline="\n") as file:
        for word in ("first", "größe"):
            file.write(word + "\n")
            file.flush()
            assert file.readline() == word.upper() + "\n"
    one.shutdown(1)
    serving.join()


def test_a_large_write_parks_until_the_reader_has_taken_it(tcp):
    client, server = tcp
    data = bytes(range(256)) * 20_000

    def write():
        with client.makefile("wb") as file:
            file.write(data)
        client.close()

    writing = greenroom.spawn(write)
    with server.makefile("rb") as file:
        assert file.read() == data
    writing.join()


def test_unbuffered_readinto_gives_what_is_there(pair):
    one, two = pair
    buffer = bytearray(10)
    with one.makefile("rb", buffering=0) as file:
        reading = greenroom.spawn(file.readinto, buffer)
        settle()
        two.sendall(b"abc")
        assert reading.result() == 3
        assert buffer == b"abc" + bytes(7)


def test_a_non_blocking_file_returns_none_without_data(pair):
    one, _ = pair
    one.setblocking(False)
    with one.makefile("rb", buffering=0) as file:
        assert file.read(10) is None


def test_the_socket_stays_open_until_its_file_is_closed_too(pair):
    one, two = pair
    file = one.makefile("wb")
    one.close()
    file.write(b"still here")
    file.flush()
    assert two.recv(100) == b"still here"
    file.close()
    assert two.recv(100) == b""


def test_a_file_after_a_timeout_refuses_to_read(pair, clock):
    one, _ = pair
    one.settimeout(1)
    with one.makefile("rb") as file:
        with pytest.raises(TimeoutError):
            file.read(1)
        with pytest.raises(OSError, match="cannot read from timed out object"):
            file.read(1)
