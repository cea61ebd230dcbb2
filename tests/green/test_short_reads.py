"""After a short read of a TCP stream recv parks without asking the kernel: nothing may get lost.

Random sizes, pauses and ends: whatever the order in which data, FIN and reads meet, the reader gets
each byte once, in order, and then the end.
"""

from hypothesis import given, settings
from hypothesis import strategies as st

import greenroom
from greenroom.green import socket

from .conftest import settle

PATIENCE = settings(max_examples=40)

pieces = st.lists(
    st.tuples(st.integers(1, 5000), st.integers(0, 3)), max_size=8
)  # (bytes, turns to pass after sending them)
read_sizes = st.lists(st.sampled_from([1, 2, 7, 100, 4096, 70_000]), min_size=1, max_size=5)


def connection():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    for sock in (client, server):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client, server


def pass_turns(count):
    for _ in range(count):
        settle()


def reads(sock, sizes, into):
    data, turn = bytearray(), 0
    while True:
        size = sizes[turn % len(sizes)]
        turn += 1
        if into:
            buffer = bytearray(size)
            piece = bytes(buffer[: sock.recv_into(buffer)])
        else:
            piece = sock.recv(size)
        if not piece:
            return bytes(data)
        data += piece


def content(sizes):
    whole = bytes(range(251)) * (sum(sizes) // 251 + 1)
    return whole[: sum(sizes)]


@PATIENCE
@given(pieces, read_sizes, st.booleans(), st.sampled_from(["close", "shutdown"]))
def test_every_byte_and_then_the_end_arrive(parts, sizes, into, end):
    client, server = connection()
    with client, server:
        reading = greenroom.spawn(reads, server, sizes, into)
        data = content([size for size, _ in parts])
        done = 0
        for size, turns in parts:
            client.sendall(data[done : done + size])
            done += size
            pass_turns(turns)
        if end == "close":
            client.close()
        else:
            client.shutdown(socket.SHUT_WR)
        assert reading.result(60) == data


@PATIENCE
@given(pieces, read_sizes, st.integers(0, 3))
def test_data_and_end_that_come_between_two_reads_are_both_seen(parts, sizes, turns):
    client, server = connection()
    with client, server:
        client.sendall(b"first")
        assert server.recv(1000) == b"first"  # a short read: drained, as far as it knows
        data = content([size for size, _ in parts])
        sending = greenroom.spawn(lambda: (client.sendall(data), client.close()))
        pass_turns(turns)
        assert reads(server, sizes, False) == data
        sending.join()


@PATIENCE
@given(st.lists(st.sampled_from(["data", "urgent", "pause"]), max_size=12), read_sizes)
def test_urgent_data_in_between_loses_no_other_byte(script, sizes):
    client, server = connection()
    with client, server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        reading = greenroom.spawn(reads, server, sizes, False)
        sent = bytearray()
        for step in script:
            if step == "pause":
                settle()
            else:
                flags = socket.MSG_OOB if step == "urgent" else 0
                sent += b"%c" % (65 + len(sent) % 26)
                client.sendall(bytes(sent[-1:]), flags)
        client.shutdown(socket.SHUT_WR)
        assert reading.result(60) == sent


@PATIENCE
@given(st.lists(st.integers(1, 3000), min_size=1, max_size=10), st.sampled_from([1, 64, 5000]))
def test_request_and_answer_in_turns_never_stall(sizes, read_size):
    client, server = connection()
    with client, server:

        def echo():
            while data := server.recv(read_size):
                server.sendall(data)
            server.close()

        serving = greenroom.spawn(echo)
        client.settimeout(60)
        for size in sizes:
            client.sendall(content([size]))
            got = b""
            while len(got) < size:
                got += client.recv(read_size)
            assert got == content([size])
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
        serving.join()
