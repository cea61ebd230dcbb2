"""add_reader() and add_writer(): level-triggered, and quiet about fds that are no more."""

import asyncio
import os
import socket

import pytest
from loops import run

import greenroom
from greenroom.aio.transports import SocketTransport
from greenroom.core import scheduler as _scheduler
from greenroom.green import os as green_os


@pytest.fixture
def pair():
    a, b = socket.socketpair()
    a.setblocking(False)
    b.setblocking(False)
    waits = _scheduler.get().io_waits
    yield a, b
    a.close()
    b.close()
    assert _scheduler.get().io_waits == waits


def turns(loop, count=5):
    """Let the loop run for a while, with a look at the fds."""

    async def some():
        for _ in range(count):
            await asyncio.sleep(0)
            greenroom.sleep(0.001)

    loop.run_until_complete(some())


def test_a_reader_is_called_as_long_as_there_is_something_to_read(loop, pair):
    a, b = pair
    seen = []

    def read():
        seen.append(a.recv(1))
        if seen[-1] == b"c":
            loop.stop()

    loop.add_reader(a, read)
    b.send(b"abc")
    loop.run_forever()
    assert seen == [b"a", b"b", b"c"]
    assert loop.remove_reader(a)
    assert not loop.remove_reader(a)


def test_a_writer_is_called_again_and_again_until_it_is_removed(loop, pair):
    a, _ = pair
    seen = []

    def write():
        seen.append(1)
        if len(seen) == 3:
            assert loop.remove_writer(a)
            loop.call_later(0.005, loop.stop)

    loop.add_writer(a, write)
    loop.run_forever()
    assert len(seen) == 3


def test_a_reader_removed_when_it_is_ready_is_not_called(loop, pair):
    a, b = pair
    other, peer = socket.socketpair()
    seen = []
    loop.add_reader(a, lambda: (seen.append("a"), loop.remove_reader(other)))
    loop.add_reader(other, lambda: (seen.append("other"), loop.remove_reader(a)))
    b.send(b"x")
    peer.send(b"x")
    loop.call_later(0.005, loop.stop)
    loop.run_forever()
    assert len(set(seen)) == 1
    loop.remove_reader(a)
    loop.remove_reader(other)
    other.close()
    peer.close()


def test_add_reader_again_replaces_the_callback(loop, pair):
    a, b = pair
    seen = []
    loop.add_reader(a, seen.append, "first")
    loop.add_reader(a, lambda: (seen.append("second"), a.recv(1), loop.stop()))
    b.send(b"x")
    loop.run_forever()
    assert seen == ["second"]
    loop.remove_reader(a)


def test_a_reader_and_a_writer_of_one_fd(loop, pair):
    a, b = pair
    seen = []
    loop.add_reader(a, lambda: (seen.append(a.recv(1)), loop.stop()))
    loop.add_writer(a, lambda: (seen.append("write"), loop.remove_writer(a), b.send(b"x")))
    loop.run_forever()
    assert seen == ["write", b"x"]
    loop.remove_reader(a)


def test_a_reader_that_blocks_is_not_called_a_second_time_meanwhile(loop, pair):
    a, b = pair
    seen = []

    def read():
        seen.append("begin")
        greenroom.sleep(0.005)
        seen.append("end")
        a.recv(10)
        loop.stop()

    loop.add_reader(a, read)
    b.send(b"x")
    loop.run_forever()
    assert seen == ["begin", "end"]
    loop.remove_reader(a)


@pytest.mark.parametrize("close", [os.close, green_os.close])
def test_an_fd_closed_under_its_reader_is_forgotten(loop, close):
    read, write = os.pipe()
    loop.add_reader(read, pytest.fail, "called")
    turns(loop)
    close(read)
    turns(loop)
    os.close(write)


@pytest.mark.parametrize("close", [os.close, green_os.close])
def test_an_fd_closed_by_its_own_callback_is_forgotten(loop, close):
    read, write = os.pipe()
    seen = []
    loop.add_reader(read, lambda: (seen.append(1), close(read)))
    os.write(write, b"x")
    turns(loop)
    assert seen == [1]
    os.close(write)


def test_a_new_file_with_the_number_of_a_closed_one_is_not_watched(loop, pair):
    read, write = os.pipe()
    seen = []
    loop.add_reader(read, seen.append, "old")
    turns(loop)
    green_os.close(read)
    a, b = pair
    os.dup2(a.fileno(), read)
    b.send(b"x")
    turns(loop)
    assert seen == []
    loop.add_reader(read, lambda: (seen.append("new"), loop.remove_reader(read)))
    turns(loop)
    assert seen == ["new"]
    green_os.close(read)
    os.close(write)


def test_while_the_loop_is_stopped_no_fd_is_waited_for_and_then_it_is_again(loop, pair):
    a, b = pair
    seen = []
    scheduler = _scheduler.get()
    before = scheduler.io_waits
    loop.add_reader(a, lambda: seen.append(a.recv(1)))
    turns(loop)
    assert scheduler.io_waits == before
    b.send(b"x")
    greenroom.sleep(0.005)
    assert seen == []
    turns(loop)
    assert seen == [b"x"]


def test_a_ready_reader_of_a_loop_that_is_stopped_is_called_once_when_it_runs_again(loop, pair):
    a, b = pair
    seen = []

    def read():
        seen.append(a.recv(10))

    loop.add_reader(a, read)
    b.send(b"x")
    loop.call_soon(loop.stop)
    loop.run_forever()
    greenroom.sleep(0)
    turns(loop)
    assert seen == [b"x"]


@pytest.mark.parametrize("how", ["in a callback", "before", "with a finished future"])
def test_a_loop_that_is_stopped_at_once_looks_at_the_fds_first(loop, pair, how):
    # aiohttp's tests, and asyncio.Runner, rely on one round to let connections end.
    a, b = pair
    seen = []
    loop.add_reader(a, lambda: seen.append(a.recv(10)))
    b.send(b"x")
    if how == "in a callback":
        loop.call_soon(loop.stop)
        loop.run_forever()
    elif how == "before":
        loop.stop()
        loop.run_forever()
    else:
        future = loop.create_future()
        future.set_result(None)
        loop.run_until_complete(future)
    assert seen == [b"x"]


def test_a_transport_hears_of_the_end_in_the_one_round_of_a_loop_that_is_stopped(loop, pair):
    a, b = pair
    lost = []

    class Protocol(asyncio.Protocol):
        def connection_lost(self, exc):
            lost.append(exc)

    loop.run_until_complete(loop.create_connection(Protocol, sock=a))
    b.close()
    for _ in range(2):  # to read the end of the stream; to call connection_lost()
        loop.call_soon(loop.stop)
        loop.run_forever()
    assert lost == [None]


def test_a_transport_that_has_read_all_waits_without_reading_again_and_again(
    loop, pair, monkeypatch
):
    a, b = pair
    reads = []
    read = SocketTransport._read_ready__data_received

    def counted(transport):
        reads.append(transport)
        read(transport)

    monkeypatch.setattr(SocketTransport, "_read_ready__data_received", counted)
    transport, _ = loop.run_until_complete(loop.create_connection(asyncio.Protocol, sock=a))
    for sent in range(1, 4):
        b.send(b"x")
        turns(loop, 10)
        assert len(reads) <= 2 * sent
    transport.close()
    turns(loop)


def test_two_loops_watch_one_fd(pair):
    a, b = pair

    async def reads():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.add_reader(a, lambda: future.done() or future.set_result(None))
        await future
        loop.remove_reader(a)

    tasks = [greenroom.spawn(run, reads()) for _ in range(2)]
    greenroom.sleep(0.001)
    b.send(b"x")
    greenroom.joinall(tasks)


def test_what_is_no_fd(loop):
    for thing, message in ((-1, "Invalid file descriptor: -1"), ("x", "Invalid file object: 'x'")):
        with pytest.raises(ValueError, match=message):
            loop.add_reader(thing, print)


def test_a_closed_fd_cannot_be_watched(loop):
    read, write = os.pipe()
    os.close(read)
    os.close(write)

    async def main():
        with pytest.raises(OSError, match="Bad file descriptor"):
            loop.add_reader(read, print)
        assert not loop.remove_reader(read)

    loop.run_until_complete(main())


def test_an_error_in_a_reader_does_not_end_its_watch(loop, pair):
    a, b = pair
    errors = []
    loop.set_exception_handler(lambda loop, context: errors.append(context["exception"]))

    def read():
        data = a.recv(1)
        if data == b"2":
            loop.stop()
        raise ValueError(data)

    loop.add_reader(a, read)
    b.send(b"12")
    loop.run_forever()
    assert [error.args for error in errors] == [(b"1",), (b"2",)]
    loop.remove_reader(a)


def test_sock_recv_and_sendall(loop, pair):
    a, b = pair

    async def main():
        size = 1 << 20

        async def receive():
            total = 0
            while total < size:
                total += len(await loop.sock_recv(a, 65536))
            return total

        task = asyncio.create_task(receive())
        await loop.sock_sendall(b, b"x" * size)
        return await task == size

    assert loop.run_until_complete(main())


def test_streams_end_to_end():
    async def main():
        served = []

        async def serve(reader, writer):
            served.append(asyncio.current_task())
            while line := await reader.readline():
                writer.write(line.upper())
                greenroom.sleep(0)
                await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]

        async def client(number):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            answers = []
            for line in range(5):
                writer.write(f"{number} {line} x\n".encode())
                answers.append(await reader.readline())
            writer.close()
            await writer.wait_closed()
            return answers

        answers = await asyncio.gather(*(client(number) for number in range(10)))
        await asyncio.gather(*served)
        server.close()
        await server.wait_closed()
        return answers

    assert run(main()) == [
        [f"{number} {line} X\n".encode() for line in range(5)] for number in range(10)
    ]


def test_what_was_closed_while_it_was_watched_is_known_all_the_same(loop, pair):
    """anyio closes a socket and then takes it back: remove_reader() raised ValueError for fd -1."""
    a, b = pair
    loop.add_reader(a, int)
    loop.add_writer(a, int)
    a.close()
    turns(loop)
    loop.remove_reader(a)
    loop.remove_writer(a)
    with pytest.raises(ValueError, match="Invalid file descriptor"):
        loop.remove_reader(a)
    b.close()
    with pytest.raises(ValueError, match="Invalid file descriptor"):
        loop.remove_reader(b)
