"""Non-blocking mode: every call that would wait raises the real BlockingIOError, and none parks."""

import errno

import pytest

import greenroom
from greenroom.green import socket

CALLS = {
    "recv": lambda sock: sock.recv(1),
    "recv_into": lambda sock: sock.recv_into(bytearray(1)),
    "recvfrom": lambda sock: sock.recvfrom(1),
    "recvfrom_into": lambda sock: sock.recvfrom_into(bytearray(1)),
    "recvmsg": lambda sock: sock.recvmsg(1),
    "recvmsg_into": lambda sock: sock.recvmsg_into([bytearray(1)]),
    "recv_waitall": lambda sock: sock.recv(10, socket.MSG_WAITALL),
}


@pytest.mark.parametrize("switch_off", ["setblocking", "settimeout"])
@pytest.mark.parametrize("name", CALLS)
def test_receiving_raises(pair, name, switch_off):
    one, _ = pair
    one.setblocking(False) if switch_off == "setblocking" else one.settimeout(0)
    others = []
    task = greenroom.spawn(others.append, 1)
    with pytest.raises(BlockingIOError) as caught:
        CALLS[name](one)
    assert caught.value.args == (errno.EAGAIN, "Resource temporarily unavailable")
    assert others == []  # nobody else ran: it did not park
    task.join()


def test_sending_raises_when_there_is_no_room(pair):
    one, _ = pair
    one.setblocking(False)
    with pytest.raises(BlockingIOError):
        one.sendall(bytes(16 << 20))
    for call in (one.send, lambda data: one.sendmsg([data])):
        with pytest.raises(BlockingIOError):
            call(b"x")


def test_accepting_raises(listener):
    listener.settimeout(0)
    with pytest.raises(BlockingIOError):
        listener.accept()
    with socket.create_connection(listener.getsockname()):
        conn, _ = listener.accept()
        conn.close()


@pytest.mark.parametrize("name", ["recv", "recv_into", "recvfrom", "recvmsg", "send"])
def test_dontwait_raises_at_once_on_a_blocking_socket(pair, clock, name):
    # Symptom: recv(1, MSG_PEEK | MSG_DONTWAIT), with which pools ask whether a connection is alive,
    # waited for ever.
    one, two = pair
    arguments = {
        "recv": (1, socket.MSG_DONTWAIT),
        "recv_into": (bytearray(1), 1, socket.MSG_DONTWAIT),
        "recvfrom": (1, socket.MSG_DONTWAIT),
        "recvmsg": (1, 0, socket.MSG_DONTWAIT),
        "send": (bytes(1 << 20), socket.MSG_DONTWAIT),
    }[name]
    call = greenroom.spawn(lambda: [getattr(one, name)(*arguments) for _ in range(100)])
    at_once = call.join(1)
    call.kill()
    call.join()
    assert at_once
    assert isinstance(call.exception, BlockingIOError)
    two.close()
