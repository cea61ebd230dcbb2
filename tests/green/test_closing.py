"""A socket closed, detached or duplicated by one task while another waits on it."""

import errno
import os
import struct

import pytest
from patch.children import output_of

import greenroom
from greenroom.green import socket

from .conftest import settle


def test_a_reader_gets_an_error_that_names_the_fd_and_who_closed_it(pair):
    one, _ = pair
    fd = one.fileno()
    reading = greenroom.spawn(one.recv, 1)
    settle()
    closing = greenroom.spawn(one.close, name="closer")
    with pytest.raises(greenroom.ClosedError, match=f"read fd {fd}: .*<Task closer>") as caught:
        reading.result()
    assert caught.value.errno == errno.EBADF
    closing.join()


def test_the_error_names_the_line_that_closed_the_fd():
    code = """
        import greenroom
        from greenroom.green import socket
        one, two = socket.socketpair()
        def closer():
            one.close()
        reading = greenroom.spawn(one.recv, 1)
        reading.add_done_callback(lambda task: print(task.exception))
        closing = greenroom.spawn(closer)
        closing.join()
        two.close()
        assert reading.join(1)
    """
    (line,) = output_of(code)
    assert line.endswith("it was closed by <Task closer-2> at <string>:6 in closer")


@pytest.mark.parametrize("end", ["close", "detach"])
def test_everyone_who_waits_in_either_direction_gets_the_error(tcp, end):
    client, _ = tcp
    waiting = [greenroom.spawn(client.recv, 1) for _ in range(3)]
    waiting += [greenroom.spawn(client.sendall, bytes(16 << 20)) for _ in range(3)]
    settle()
    fd = getattr(client, end)()
    greenroom.joinall(waiting)
    assert [type(task.exception) for task in waiting] == [greenroom.ClosedError] * 6
    if end == "detach":
        os.close(fd)


def test_an_acceptor_gets_the_error(listener):
    accepting = greenroom.spawn(listener.accept)
    settle()
    listener.close()
    with pytest.raises(greenroom.ClosedError):
        accepting.result()


def test_a_waiter_never_sees_the_events_of_a_new_file_with_its_number(pair):
    one, _ = pair
    fd = one.fileno()
    reading = greenroom.spawn(one.recv, 1)
    settle()
    one.close()
    three, four = socket.socketpair()  # takes the number before the waiter has run
    with three, four:
        assert fd in (three.fileno(), four.fileno())
        three.sendall(b"x")
        four.sendall(b"x")
        with pytest.raises(greenroom.ClosedError):
            reading.result()
        assert three.recv(10) == four.recv(10) == b"x"


def test_a_number_used_again_starts_without_the_past_of_the_old_file():
    numbers = set()
    for turn in range(20):
        one, two = socket.socketpair()
        numbers.add(one.fileno())
        reading = greenroom.spawn(one.recv, 10)
        settle()
        assert not reading.done, f"turn {turn}: woken by an event of an earlier life"
        two.sendall(b"x")
        assert reading.result() == b"x"
        two.close()
        assert one.recv(10) == b""
        one.close()
    assert len(numbers) < 20


def test_a_duplicate_goes_on_after_the_original_is_closed(pair):
    one, two = pair
    assert greenroom.spawn(lambda: (two.send(b"a"), one.recv(1))).result() == (1, b"a")
    with one.dup() as copy:
        assert type(copy) is socket.socket
        assert copy.fileno() != one.fileno()
        one.close()
        reading = greenroom.spawn(copy.recv, 10)
        settle()
        assert not reading.done
        two.sendall(b"data")
        assert reading.result() == b"data"


def test_a_detached_fd_stays_open_and_can_be_adopted(pair):
    one, two = pair
    fd = one.detach()
    assert one.fileno() == -1
    with socket.socket(fileno=fd) as adopted:
        assert (adopted.family, adopted.type) == (socket.AF_UNIX, socket.SOCK_STREAM)
        reading = greenroom.spawn(adopted.recv, 10)
        settle()
        assert not reading.done
        two.sendall(b"x")
        assert reading.result() == b"x"


def test_detaching_a_closed_socket_gives_minus_one():
    sock = socket.socket()
    sock.close()
    assert sock.detach() == -1


def test_fromfd_makes_a_duplicate(pair):
    one, two = pair
    with socket.fromfd(one.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as copy:
        two.sendall(b"x")
        assert copy.recv(10) == b"x"
        assert copy.fileno() != one.fileno()


def test_shutdown_by_another_task_wakes_a_reader(tcp):
    client, _ = tcp
    reading = greenroom.spawn(client.recv, 10)
    settle()
    greenroom.spawn(client.shutdown, socket.SHUT_RDWR).join()
    assert reading.result() == b""


def test_a_handler_that_raises_does_not_stop_the_server(listener, caplog):
    def serve():
        for number in range(3):
            conn, _ = listener.accept()
            greenroom.spawn(handle, conn, number, name=f"handler {number}")

    def handle(conn, number):
        with conn:
            if number == 1:
                raise ZeroDivisionError("a bug in the handler")
            conn.sendall(conn.recv(10))

    serving = greenroom.spawn(serve)
    answers = []
    for _ in range(3):
        with socket.create_connection(listener.getsockname()) as client:
            client.sendall(b"hello")
            try:
                answers.append(client.recv(10))
            except ConnectionResetError:  # closed with our bytes unread
                answers.append(b"")
    serving.join()
    assert answers == [b"hello", b"", b"hello"]
    assert "handler 1" in caplog.text and "a bug in the handler" in caplog.text


def test_a_peer_that_resets_before_accept_does_not_stop_the_server(listener):
    for _ in range(3):
        client = socket.create_connection(listener.getsockname())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    accepted = [greenroom.spawn(listener.accept) for _ in range(4)]
    with socket.create_connection(listener.getsockname()) as client:
        client.sendall(b"x")
        got = []
        for task in accepted:
            conn, _ = task.result()
            with conn:
                try:
                    got.append(conn.recv(1))
                except ConnectionResetError:
                    got.append("reset")
    assert got == ["reset"] * 3 + [b"x"]


@pytest.mark.parametrize("how", ["accept", "socket", "socketpair", "dup"])
def test_a_number_closed_by_foreign_code_serves_its_next_socket(how, listener, caplog):
    # Symptom: os.close(fd) while a task waited on fd; the next socket with that number never woke.
    client = socket.create_connection(listener.getsockname())
    other, _ = listener.accept()
    waiting_client = socket.create_connection(listener.getsockname())
    one, two = socket.socketpair()
    waiting = greenroom.spawn(one.recv, 1)
    settle()
    fd = one.fileno()
    os.close(fd)
    if how == "accept":
        new, peer = listener.accept()[0], waiting_client
    elif how == "socket":
        new = socket.socket()
        new.connect(listener.getsockname())
        listener.accept()[0].close()  # of waiting_client
        peer, _ = listener.accept()
    elif how == "socketpair":
        new, peer = socket.socketpair()
        if peer.fileno() == fd:
            new, peer = peer, new
    else:
        new, peer = other.dup(), client
    assert new.fileno() == fd
    reading = greenroom.spawn(new.recv, 1)
    settle()
    peer.sendall(b"x")
    woken = reading.join(60)
    for task in (reading, waiting):
        task.kill()
        task.join()
    one.detach()
    for sock in {client, other, waiting_client, two, new, peer}:
        sock.close()
    assert woken
    assert reading.result() == b"x"
    assert isinstance(waiting.exception, (greenroom.ClosedError, greenroom.TaskKilled))


def test_closing_from_another_thread_wakes_the_waiter_there():
    code = """
        import _thread
        import greenroom
        from greenroom.green import socket
        one, two = socket.socketpair()
        waits, ended = greenroom.Event(), greenroom.Event()
        def thread():
            reading = greenroom.spawn(one.recv, 1)
            reading.add_done_callback(lambda task: print(type(task.exception).__name__))
            greenroom.sleep(0.01)
            waits.set()
            reading.join()
            ended.set()
        _thread.start_new_thread(thread, ())
        waits.wait(60)  # for ever it would be a deadlock until the thread has begun
        one.close()
        print(ended.wait(60))
        two.close()
    """
    assert output_of(code) == ["ClosedError", "True"]
