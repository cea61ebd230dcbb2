"""A call that has done its work returns what came of it, whatever interrupts the task just then."""

import os

import pytest

import greenroom
from greenroom.green import socket

from .conftest import settle

CALLS = 200  # more than the budget of calls that may succeed at once before others run


def interrupted(clock, seconds, body):
    """Call body() under a timeout whose time is over after some calls, without any wait."""
    try:
        with greenroom.timeout(seconds):
            body()
    except greenroom.Timeout:
        pass


def test_a_timeout_that_meets_a_recv_that_succeeds_loses_no_byte(pair, clock):
    one, two = pair
    two.sendall(bytes(CALLS))
    got = bytearray()

    def body():
        for _ in range(CALLS):
            clock.advance(1)
            got.extend(one.recv(1))

    interrupted(clock, CALLS / 2, body)
    one.settimeout(0)
    while len(got) < CALLS:  # BlockingIOError: a byte is missing
        got += one.recv(CALLS)


def test_a_kill_that_meets_a_recv_that_succeeds_loses_no_byte(pair):
    one, two = pair
    two.sendall(bytes(CALLS))
    got = bytearray()

    def body():
        greenroom.current().kill()
        for _ in range(CALLS):
            got.extend(one.recv(1))

    greenroom.spawn(body).join()
    one.settimeout(0)
    while len(got) < CALLS:  # BlockingIOError: a byte is missing
        got += one.recv(CALLS)


def test_a_timeout_that_meets_an_accept_that_succeeds_loses_no_connection(clock):
    with socket.create_server(("127.0.0.1", 0), backlog=CALLS) as listener:
        clients = [socket.create_connection(listener.getsockname()) for _ in range(CALLS)]
        accepted = []

        def body():
            for _ in range(CALLS):
                clock.advance(1)
                accepted.append(listener.accept()[0])

        fds = len(os.listdir("/proc/self/fd"))
        interrupted(clock, CALLS / 2, body)
        assert len(os.listdir("/proc/self/fd")) == fds + len(accepted)
        while len(accepted) < CALLS:
            listener.settimeout(0)
            accepted.append(listener.accept()[0])
        for sock in (*clients, *accepted):
            sock.close()


def test_a_timeout_that_meets_a_datagram_loses_none(clock):
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, two:
        for number in range(CALLS):
            two.send(b"%d" % number)
        got = []

        def body():
            for _ in range(CALLS):
                clock.advance(1)
                got.append(one.recvmsg(10)[0])

        interrupted(clock, CALLS / 2, body)
        one.settimeout(0)
        while len(got) < CALLS:
            got.append(one.recvmsg(10)[0])
        assert got == [b"%d" % number for number in range(CALLS)]


def test_bytes_that_were_sent_are_counted_whatever_comes_next(pair, clock):
    one, two = pair
    sent = 0

    def body():
        nonlocal sent
        for _ in range(CALLS):
            clock.advance(1)
            sent += one.send(b"x")

    interrupted(clock, CALLS / 2, body)
    settle()
    assert len(two.recv(CALLS * 2)) == sent


BUG = "an operation that never has to wait never looks at its task's scopes"


def test_a_timeout_reaches_a_task_whose_operations_never_wait(clock):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind(("127.0.0.1", 0))
        sink.connect(sink.getsockname())
        with pytest.raises(greenroom.Timeout), greenroom.timeout(10):
            for _ in range(10_000):
                clock.advance(1)
                sink.send(b"x")
                sink.recv(1)


def test_a_kill_reaches_a_task_whose_operations_never_wait(clock):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind(("127.0.0.1", 0))
        sink.connect(sink.getsockname())

        def busy():
            for _ in range(10_000):
                sink.send(b"x")
                sink.recv(1)

        task = greenroom.spawn(busy)
        greenroom.sleep(0)
        task.kill()
        task.join()
        assert isinstance(task.exception, greenroom.TaskKilled)
