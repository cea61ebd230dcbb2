"""The seed's first chapter: what recv does without data, after a close, and when non-blocking."""

import pytest

import greenroom
from greenroom.green import socket

from .conftest import settle


def test_recv_without_data_parks_the_task_and_nothing_else(tcp):
    client, server = tcp
    seen = []

    def reader():
        seen.append("asks")
        seen.append(client.recv(100))

    def bystander():
        for step in range(3):
            seen.append(step)
            greenroom.sleep(0)

    reading, other = greenroom.spawn(reader), greenroom.spawn(bystander)
    other.join()
    assert not reading.done
    assert seen == ["asks", 0, 1, 2]
    server.sendall(b"data")
    reading.join()
    assert seen[-1] == b"data"


def test_a_task_that_waits_for_data_names_the_fd_in_its_repr(tcp):
    client, server = tcp
    reading = greenroom.spawn(client.recv, 1, name="reader")
    settle()
    assert repr(reading) == f"<Task reader parked on fd {client.fileno()} to read>"
    server.sendall(b"x")
    reading.join()


def test_a_peer_that_closes_without_sending_gives_empty_bytes_and_no_error(tcp):
    client, server = tcp
    reading = greenroom.spawn(client.recv, 100)
    settle()
    server.close()
    assert reading.result() == b""
    assert client.recv(100) == b""  # and again, as often as one asks


def test_a_non_blocking_socket_without_data_raises_the_real_error(tcp):
    client, server = tcp
    client.setblocking(False)
    with pytest.raises(BlockingIOError) as caught:
        client.recv(100)
    assert caught.value.errno == 11
    server.sendall(b"now")
    settle()
    assert client.recv(100) == b"now"


def test_accept_without_a_client_parks_the_task_and_nothing_else(listener):
    accepting = greenroom.spawn(listener.accept)
    settle()
    assert not accepting.done
    with socket.create_connection(listener.getsockname()) as client:
        conn, address = accepting.result()
        with conn:
            assert address == client.getsockname()
