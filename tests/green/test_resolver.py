"""Names are looked up in real threads, digits at once; the answers are the standard library's."""

import _thread
import socket as stdlib

import pytest

import greenroom
from greenroom.green import resolver, socket

from .conftest import outcome

NAME = "no-such-host.invalid"


@pytest.fixture
def offloaded(monkeypatch):
    """The names of the functions that were called in a thread."""
    called = []
    real = resolver._pool.start

    def start(run):
        called.append(run.__self__.call.__name__)
        real(run)

    monkeypatch.setattr(resolver._pool, "start", start)
    return called


@pytest.mark.parametrize(
    "args",
    [
        ("127.0.0.1", 80),
        ("::1", 80),
        ("fe80::1%lo", 80),
        (b"127.0.0.1", 80),
        (None, 80),
        ("", 80),
        ("127.0.0.1", "80"),
        ("127.0.0.1", None),
        ("127.0.0.1", 80, socket.AF_INET, socket.SOCK_STREAM),
        (None, 0, 0, socket.SOCK_DGRAM, 0, socket.AI_PASSIVE),
        ("127.0.0.1", 80, socket.AF_INET6),
    ],
)
def test_a_numeric_address_is_answered_at_once_without_a_thread(args, offloaded):
    assert outcome(socket.getaddrinfo, *args) == outcome(stdlib.getaddrinfo, *args)
    assert offloaded == []


@pytest.mark.parametrize("args", [("localhost", 80), ("127.0.0.1", "http"), (NAME, 80)])
def test_a_name_is_looked_up_in_a_thread_while_others_run(args, offloaded):
    seen = []
    other = greenroom.spawn(seen.append, "ran")
    found = outcome(socket.getaddrinfo, *args)
    assert seen == ["ran"]
    assert offloaded == ["getaddrinfo"]
    assert found == outcome(stdlib.getaddrinfo, *args)
    other.join()


def test_the_numbers_are_made_enums_as_in_the_standard_library():
    ((family, kind, _, _, _),) = socket.getaddrinfo("127.0.0.1", 1, type=socket.SOCK_STREAM)
    assert family is socket.AF_INET
    assert kind is socket.SOCK_STREAM


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("gethostbyname", ("127.0.0.1",)),
        ("gethostbyname", ("localhost",)),
        ("gethostbyname", (NAME,)),
        ("gethostbyname_ex", ("127.0.0.1",)),
        ("gethostbyaddr", ("127.0.0.1",)),
        ("gethostbyaddr", ("not an address",)),
        ("getnameinfo", (("127.0.0.1", 80), 0)),
        ("getnameinfo", (("127.0.0.1", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)),
        ("getnameinfo", (("127.0.0.1",), 0)),
        ("gethostbyname", (3,)),
        ("getaddrinfo", ("127.0.0.1", 3.5)),
        ("getaddrinfo", (3, 80)),
        ("getaddrinfo", (None, None)),
        ("getaddrinfo", ("a" * 100, 80)),
        ("getaddrinfo", ("bad\0name", 80)),
    ],
)
def test_answers_and_errors_are_the_standard_librarys(name, args):
    assert outcome(getattr(socket, name), *args) == outcome(getattr(stdlib, name), *args)


def test_ten_look_ups_wait_at_once(offloaded):
    tasks = [greenroom.spawn(socket.getaddrinfo, "localhost", port) for port in range(1, 11)]
    greenroom.sleep(0)
    assert len(offloaded) == 10
    assert [task.result()[0][4][1] for task in tasks] == list(range(1, 11))


def test_a_look_up_that_takes_too_long_can_be_given_up(monkeypatch):
    gate = _thread.allocate_lock()
    gate.acquire()

    def slow(*args):
        gate.acquire()
        return []

    monkeypatch.setitem(resolver._CALLS, "getaddrinfo", slow)
    with pytest.raises(greenroom.Timeout), greenroom.timeout(0.01):
        socket.getaddrinfo("localhost", 80)
    gate.release()


@pytest.mark.parametrize(
    ("host", "numeric"),
    [
        ("1.2.3.4", True),
        ("::", True),
        ("fe80::1%eth0", True),
        (None, True),
        ("", True),
        (b"1.2.3.4", True),
        (bytearray(b"::1"), True),
        ("localhost", False),
        (b"localhost", False),
        ("1.2.3.4.5", False),
        (b"\xff", False),
    ],
)
def test_what_counts_as_numeric(host, numeric):
    assert resolver.is_numeric(host) is numeric


def test_sendmsg_to_a_name_does_not_block_the_thread(offloaded):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.sendmsg([b"x"], [], 0, ("localhost", 9))
    assert offloaded == ["getaddrinfo"]


def test_equal_look_ups_in_flight_are_one_call(offloaded):
    tasks = [greenroom.spawn(socket.getaddrinfo, "localhost", 80) for _ in range(10)]
    others = [greenroom.spawn(socket.getaddrinfo, "localhost", 81) for _ in range(3)]
    answers = [task.result() for task in tasks]
    assert all(answer == answers[0] for answer in answers)
    assert len({id(answer) for answer in answers}) == 10  # each may change its own
    assert offloaded == ["getaddrinfo", "getaddrinfo"]
    greenroom.joinall(others)
    socket.getaddrinfo("localhost", 80)  # a later one asks again
    assert offloaded == ["getaddrinfo"] * 3


def test_equal_look_ups_that_fail_each_raise_the_error():
    tasks = [greenroom.spawn(outcome, socket.gethostbyname, NAME) for _ in range(3)]
    expected = outcome(stdlib.gethostbyname, NAME)
    assert [task.result() for task in tasks] == [expected] * 3
    assert expected[1] is stdlib.gaierror


def test_the_first_who_asks_may_be_killed_and_the_others_have_the_answer(offloaded):
    first = greenroom.spawn(socket.gethostbyname, "localhost")
    second = greenroom.spawn(socket.gethostbyname, "localhost")
    greenroom.sleep(0)
    first.kill()
    assert second.result() == stdlib.gethostbyname("localhost")
    assert isinstance(first.exception, greenroom.TaskKilled)
    assert offloaded == ["gethostbyname"]


def test_a_resolver_of_the_program_answers_and_may_wait(offloaded, clock):
    asked = []

    class Resolver:
        def getaddrinfo(self, host, port, family, type, proto, flags):
            asked.append((host, port))
            greenroom.sleep(1)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", port))]

    assert greenroom.set_resolver(Resolver()) is None
    try:
        found = socket.getaddrinfo("example.invalid", 80)
        assert found[0][4] == ("192.0.2.1", 80)
        assert found[0][0] is socket.AF_INET
        assert socket.getaddrinfo("127.0.0.1", 80) == stdlib.getaddrinfo("127.0.0.1", 80)
        assert asked == [("example.invalid", 80)]
        assert offloaded == []
    finally:
        assert isinstance(greenroom.set_resolver(None), Resolver)
