"""fork: parent and child go on with the sockets they share, neither disturbs the other."""

import os

import greenroom
from greenroom.green import socket

from .conftest import settle


def in_child(fn):
    """Call fn in a forked child; return its exit status: 0 if fn returned True."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = 0 if fn() else 2
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_the_child_receives_on_a_socket_that_the_parent_used(pair):
    one, two = pair
    reading = greenroom.spawn(one.recv, 1)
    settle()
    two.sendall(b"a")
    assert reading.result() == b"a"

    def child():
        echo = greenroom.spawn(lambda: one.sendall(one.recv(10)))
        settle()
        two.sendall(b"child")
        echo.join()
        return two.recv(10) == b"child"

    assert in_child(child) == 0
    two.sendall(b"parent")
    assert one.recv(10) == b"parent"


def test_a_wait_of_the_parent_survives_the_child(pair):
    one, two = pair
    reading = greenroom.spawn(one.recv, 10)
    settle()
    assert in_child(lambda: one.close() or True) == 0
    settle()
    assert not reading.done
    two.sendall(b"x")
    assert reading.result() == b"x"


def test_two_processes_accept_on_one_listener(listener):
    address = listener.getsockname()
    waiting = greenroom.spawn(listener.accept)
    settle()

    def child():
        with socket.create_connection(address) as client:
            conn, _ = listener.accept()
            with conn:
                client.sendall(b"x")
                return conn.recv(1) == b"x"

    assert in_child(child) == 0
    with socket.create_connection(address):
        waiting.result(10)[0].close()
