"""Unix sockets: paths, abstract names, passing file descriptors, a full backlog."""

import array
import os

import pytest

import greenroom
from greenroom.green import socket

from .conftest import settle


def echo_once(listener):
    conn, _ = listener.accept()
    with conn:
        conn.sendall(conn.recv(100))


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_a_connection_by_name(tmp_path, kind):
    name = str(tmp_path / "socket") if kind == "path" else f"\0greenroom-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(name)
        listener.listen()
        serving = greenroom.spawn(echo_once, listener)
        settle()
        client.connect(name)
        peer = client.getpeername()
        assert peer == (name if kind == "path" else name.encode())
        client.sendall(b"hello")
        assert client.recv(100) == b"hello"
        serving.join()


def test_connect_to_a_path_that_does_not_exist_raises(tmp_path):
    with socket.socket(socket.AF_UNIX) as client, pytest.raises(FileNotFoundError):
        client.connect(str(tmp_path / "nobody"))


def test_connect_to_a_full_backlog_parks_until_accept_makes_room(tmp_path, clock):
    name = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen(0)
        clients = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        connecting = [greenroom.spawn(client.connect, name) for client in clients]
        settle()
        assert not all(task.done for task in connecting)
        for _ in clients:
            listener.accept()[0].close()
        greenroom.joinall(connecting)
        assert [task.exception for task in connecting] == [None] * 3
        for client in clients:
            client.close()


def test_connect_to_a_full_backlog_keeps_its_timeout(tmp_path, clock):
    name = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen(0)
        with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
            first.connect(name)
            second.settimeout(3)
            with pytest.raises(TimeoutError, match=r"^timed out$"):
                second.connect(name)
            assert clock.now() == 3


def test_file_descriptors_are_passed(pair):
    one, two = pair
    receiving = greenroom.spawn(two.recvmsg, 10, socket.CMSG_SPACE(2 * 4))
    settle()
    assert not receiving.done
    reader, writer = os.pipe()
    fds = array.array("i", [reader, writer])
    one.sendmsg([b"x"], iter([(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)]))
    os.close(reader)
    data, ancillary, _, _ = receiving.result()
    ((level, kind, passed),) = ancillary
    assert (data, level, kind) == (b"x", socket.SOL_SOCKET, socket.SCM_RIGHTS)
    new_reader, new_writer = array.array("i", passed)
    os.write(writer, b"through")
    assert os.read(new_reader, 100) == b"through"
    for fd in (writer, new_reader, new_writer):
        os.close(fd)


def test_send_fds_and_recv_fds(pair):
    one, two = pair
    reader, writer = os.pipe()
    receiving = greenroom.spawn(socket.recv_fds, two, 10, 2)
    settle()
    socket.send_fds(one, [b"msg"], [reader, writer])
    data, fds, _, _ = receiving.result()
    assert data == b"msg"
    assert len(fds) == 2
    for fd in (reader, writer, *fds):
        os.close(fd)


def test_recvmsg_into_receives_file_descriptors(pair):
    one, two = pair
    buffer = bytearray(3)
    reader, writer = os.pipe()
    socket.send_fds(one, [b"abc"], [writer])
    count, ancillary, _, _ = two.recvmsg_into([buffer], socket.CMSG_SPACE(4))
    assert (count, buffer) == (3, b"abc")
    (passed,) = array.array("i", ancillary[0][2])
    for fd in (reader, writer, passed):
        os.close(fd)


def test_seqpacket_keeps_boundaries_and_has_an_end():
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, two:
        reading = greenroom.spawn(lambda: [one.recv(100) for _ in range(3)])
        settle()
        two.sendall(b"one")
        two.sendall(b"two")
        two.close()
        assert reading.result() == [b"one", b"two", b""]
