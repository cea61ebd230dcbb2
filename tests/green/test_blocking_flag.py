"""The fd's own blocking flag, which children and C libraries share, stays as the user set it."""

import os
import socket as stdlib
import subprocess
import sys

import pytest

import greenroom
from greenroom.green import socket

from .conftest import settle


def test_a_connected_socket_is_blocking_whatever_was_done_with_it(tcp):
    client, server = tcp
    reading = greenroom.spawn(client.recv, 10)
    settle()
    assert os.get_blocking(client.fileno())  # even while a task waits on it
    server.sendall(b"x")
    reading.join()
    writing = greenroom.spawn(client.sendall, bytes(16 << 20))
    settle()
    assert not writing.done
    assert os.get_blocking(client.fileno())
    writing.kill()
    writing.join()
    server.send(b"y")
    client.recv_into(bytearray(10))
    assert os.get_blocking(client.fileno()) and os.get_blocking(server.fileno())


def test_a_socket_is_blocking_while_it_connects(listener):
    with socket.socket() as sock:
        connecting = greenroom.spawn(sock.connect, listener.getsockname())
        settle()
        assert os.get_blocking(sock.fileno())
        connecting.join()
        assert os.get_blocking(sock.fileno())


def test_a_failed_connect_leaves_the_socket_blocking():
    with socket.socket() as taken, socket.socket() as sock:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            sock.connect(taken.getsockname())
        assert os.get_blocking(sock.fileno())


def test_an_accepted_socket_is_blocking(listener):
    with socket.create_connection(listener.getsockname()):
        conn, _ = listener.accept()
        with conn:
            assert os.get_blocking(conn.fileno())


def test_a_socket_with_a_timeout_is_non_blocking_as_in_the_standard_library(pair):
    for sock in (pair[0], stdlib.socket()):
        with sock:
            sock.settimeout(5)
            assert not os.get_blocking(sock.fileno())
            sock.settimeout(None)
            assert os.get_blocking(sock.fileno())


def test_a_child_process_inherits_a_blocking_fd(pair):
    one, two = pair
    reading = greenroom.spawn(one.recv, 10)
    settle()
    code = "import os, sys; print(os.get_blocking(int(sys.argv[1])), os.read(int(sys.argv[1]), 9))"
    command = [sys.executable, "-c", code, str(two.fileno())]
    child = subprocess.Popen(command, pass_fds=[two.fileno()], stdout=subprocess.PIPE, text=True)
    one.sendall(b"hello")
    assert child.communicate(timeout=30)[0] == "True b'hello'\n"
    two.sendall(b"x")
    reading.join()


def test_non_blocking_mode_stays_non_blocking(pair):
    one, two = pair
    one.setblocking(False)
    with pytest.raises(BlockingIOError):
        one.recv(1)
    two.send(b"x")
    settle()
    assert one.recv(1) == b"x"
    assert not one.getblocking()
    assert not os.get_blocking(one.fileno())
