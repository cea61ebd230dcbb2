"""Many tasks on one fd in one direction, as threads may: each byte and connection goes to one."""

from waiting import until

import greenroom
from greenroom.green import socket

from .conftest import settle


def test_each_of_many_readers_of_a_stream_gets_bytes_nobody_else_gets(tcp):
    client, server = tcp
    readers = [greenroom.spawn(client.recv, 1) for _ in range(50)]
    settle()
    assert not any(task.done for task in readers)
    server.sendall(bytes(range(50)))
    assert sorted(task.result()[0] for task in readers) == list(range(50))


def test_readers_that_find_nothing_left_go_on_waiting(tcp):
    client, server = tcp
    readers = [greenroom.spawn(client.recv, 10) for _ in range(5)]
    settle()
    for count, data in enumerate((b"one", b"two"), 1):
        server.sendall(data)
        until(lambda count=count: sum(task.done for task in readers) >= count)
        settle()
        assert sum(task.done for task in readers) == count
    server.close()
    greenroom.joinall(readers)
    assert sorted(task.result() for task in readers) == [b"", b"", b"", b"one", b"two"]


def test_the_end_of_a_stream_wakes_every_reader(pair):
    one, two = pair
    readers = [greenroom.spawn(one.recv, 10) for _ in range(20)]
    settle()
    two.close()
    assert [task.result() for task in readers] == [b""] * 20


def test_each_of_many_acceptors_gets_one_connection(listener):
    acceptors = [greenroom.spawn(listener.accept) for _ in range(10)]
    settle()
    clients = [socket.create_connection(listener.getsockname()) for _ in range(10)]
    accepted = [task.result() for task in acceptors]
    assert {address for _, address in accepted} == {sock.getsockname() for sock in clients}
    for sock in (*clients, *(sock for sock, _ in accepted)):
        sock.close()


def test_one_client_wakes_one_acceptor_and_the_rest_wait_on(listener):
    acceptors = [greenroom.spawn(listener.accept) for _ in range(3)]
    settle()
    with socket.create_connection(listener.getsockname()):
        until(lambda: any(task.done for task in acceptors))
        settle()
        done = [task for task in acceptors if task.done]
        assert len(done) == 1
        done[0].result()[0].close()
    for task in acceptors:
        task.kill()
    greenroom.joinall(acceptors)


def test_many_writers_of_datagrams_that_wait_are_each_sent_once():
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, two:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the kernel's least: room for few
        writers = [greenroom.spawn(one.send, b"%d" % number) for number in range(200)]
        settle()
        assert not all(task.done for task in writers)
        got = {two.recv(10) for _ in range(200)}
        assert got == {b"%d" % number for number in range(200)}
        greenroom.joinall(writers)


def test_a_killed_reader_leaves_the_data_to_the_others(pair):
    one, two = pair
    first, second = greenroom.spawn(one.recv, 10), greenroom.spawn(one.recv, 10)
    settle()
    two.sendall(b"data")
    first.kill()
    assert second.result() == b"data"
    first.join()


def test_two_objects_on_one_fd_wait_side_by_side(pair):
    one, two = pair
    with one.dup() as copy:
        readers = [greenroom.spawn(one.recv, 1), greenroom.spawn(copy.recv, 1)]
        settle()
        two.sendall(b"ab")
        assert {task.result() for task in readers} == {b"a", b"b"}
