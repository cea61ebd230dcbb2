"""settimeout: the standard library's errors, after the time on the scheduler's clock."""

import socket as stdlib

import pytest

import greenroom
from greenroom.green import socket

from .conftest import outcome

WAITS = {
    "recv": lambda sock: sock.recv(1),
    "recv_into": lambda sock: sock.recv_into(bytearray(1)),
    "recvfrom": lambda sock: sock.recvfrom(1),
    "recvfrom_into": lambda sock: sock.recvfrom_into(bytearray(1)),
    "recvmsg": lambda sock: sock.recvmsg(1),
    "recvmsg_into": lambda sock: sock.recvmsg_into([bytearray(1)]),
    "recv_waitall": lambda sock: sock.recv(1, socket.MSG_WAITALL),
    "sendall": lambda sock: sock.sendall(bytes(16 << 20)),
    "makefile": lambda sock: sock.makefile("rb").read(1),
}


@pytest.mark.parametrize("name", WAITS)
def test_a_wait_ends_with_timeout_error_when_the_time_is_over(pair, clock, name):
    one, _ = pair
    one.settimeout(5)
    with pytest.raises(TimeoutError) as caught:
        WAITS[name](one)
    assert clock.now() == 5
    assert type(caught.value) is TimeoutError is stdlib.timeout


@pytest.mark.parametrize("name", [name for name in WAITS if name != "recv_waitall"])
def test_the_error_of_a_timeout_is_the_standard_librarys(pair, clock, name):
    one, two = stdlib.socketpair()
    with one, two:
        one.settimeout(0.001)
        expected = outcome(WAITS[name], one)
    pair[0].settimeout(0.001)
    assert outcome(WAITS[name], pair[0]) == expected


def test_accept_times_out(listener, clock):
    listener.settimeout(3)
    assert outcome(listener.accept) == ("raised", TimeoutError, ("timed out",))
    assert clock.now() == 3


def test_send_without_room_times_out(pair, clock):
    one, _ = pair
    one.settimeout(2)
    with pytest.raises(TimeoutError, match="timed out"):
        while True:
            one.send(bytes(65536))
    assert clock.now() == 2


def test_the_timeout_of_sendall_is_for_the_whole_call(pair, clock):
    one, two = pair
    one.settimeout(5)

    def slow():  # 64 KiB a second: always some progress, never enough
        while not sending.done:
            greenroom.sleep(1)
            two.recv(65536)

    sending = greenroom.spawn(one.sendall, bytes(16 << 20))
    reading = greenroom.spawn(slow)
    assert outcome(sending.result) == ("raised", TimeoutError, ("timed out",))
    assert clock.now() == 5
    reading.join()


def test_the_time_starts_anew_with_each_call(pair, clock):
    one, two = pair
    one.settimeout(2)
    for second in (1, 2, 3):
        feeding = greenroom.spawn(lambda: (greenroom.sleep(1), two.send(b"x")))
        assert one.recv(10) == b"x"
        assert clock.now() == second
        feeding.join()


def test_a_socket_works_after_its_timeout(pair, clock):
    one, two = pair
    one.settimeout(1)
    with pytest.raises(TimeoutError):
        one.recv(1)
    two.send(b"late")
    assert one.recv(10) == b"late"


@pytest.mark.parametrize("limit", ["socket", "block"])
def test_what_came_in_time_is_not_late_because_the_thread_was_held_up(pair, clock, limit):
    """Symptom: TimeoutError with the data in the kernel, after a stall longer than the timeout."""
    one, two = pair

    def reader():
        if limit == "socket":
            one.settimeout(5)
            return one.recv(10)
        with greenroom.fail_after(5):
            return one.recv(10)

    task = greenroom.spawn(reader)
    greenroom.sleep(1)
    two.send(b"in time")
    clock.advance(60)
    assert task.result() == b"in time"


def test_two_waiters_with_one_timeout_each_get_their_own(pair, clock):
    one, _ = pair
    one.settimeout(3)
    ended = []

    def reader():
        try:
            one.recv(1)
        except TimeoutError:
            ended.append(clock.now())

    first = greenroom.spawn(reader)
    greenroom.sleep(1)
    second = greenroom.spawn(reader)
    greenroom.joinall([first, second])
    assert ended == [3, 4]


def test_settimeout_changes_the_next_wait_not_the_one_under_way(pair, clock):
    one, _ = pair
    one.settimeout(2)
    reading = greenroom.spawn(outcome, one.recv, 1)
    greenroom.sleep(1)
    one.settimeout(100)
    assert reading.result() == ("raised", TimeoutError, ("timed out",))
    assert clock.now() == 2


def test_without_a_timeout_a_wait_lasts_until_something_comes(pair, clock):
    one, two = pair
    one.settimeout(None)
    reading = greenroom.spawn(one.recv, 1)
    greenroom.sleep(1e6)
    assert not reading.done
    two.send(b"x")
    assert reading.result() == b"x"


def test_the_default_timeout_is_that_of_new_sockets(clock):
    stdlib.setdefaulttimeout(7)
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            assert listener.gettimeout() == 7
            assert outcome(listener.accept) == ("raised", TimeoutError, ("timed out",))
            assert clock.now() == 7
            with socket.create_connection(listener.getsockname()) as client:
                conn, _ = listener.accept()
                with conn:
                    assert (client.gettimeout(), conn.gettimeout()) == (7, 7)
                    assert outcome(conn.recv, 1) == ("raised", TimeoutError, ("timed out",))
                    assert clock.now() == 14
                    client.sendall(b"x")
                    assert conn.recv(1) == b"x"
    finally:
        stdlib.setdefaulttimeout(None)


def test_an_accepted_socket_has_no_timeout_whatever_the_listener_has(listener):
    listener.settimeout(5)
    with socket.create_connection(listener.getsockname()) as client:
        conn, _ = listener.accept()
        with conn:
            assert conn.gettimeout() is None
            assert client.gettimeout() is None
