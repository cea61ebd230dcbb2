"""UDPServer: a task per datagram, bounded, and an ordered end."""

import os

import pytest
from talking import fds
from waiting import until

import greenroom
from greenroom import UDPServer
from greenroom.green import socket


def shout(data, address, sock):
    sock.sendto(data.upper(), address)


def client(family=socket.AF_INET):
    return socket.socket(family, socket.SOCK_DGRAM)


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0"])
def test_each_datagram_is_answered_to_its_sender(address):
    if "::1" in address and not os.path.exists("/proc/net/if_inet6"):
        pytest.skip("no IPv6 here")
    before = fds()
    with UDPServer(address, shout) as server:
        family = socket.AF_INET6 if "::1" in address else socket.AF_INET
        with client(family) as one, client(family) as two:
            for sock, text in ((one, b"one"), (two, b"two"), (one, b"")):
                sock.sendto(text, server.address)
            assert one.recv(10) == b"ONE"
            assert two.recv(10) == b"TWO"
            assert one.recv(10) == b""
    assert server.statistics().received == 3
    assert fds() == before


def test_the_largest_datagram_arrives_whole():
    with UDPServer("127.0.0.1:0", shout) as server, client() as sock:
        sock.sendto(b"x" * 65_507, server.address)
        assert sock.recv(65_535) == b"X" * 65_507


def test_what_is_longer_than_max_size_is_dropped_counted_and_logged(caplog):
    with UDPServer("127.0.0.1:0", shout, max_size=10) as server, client() as sock:
        sock.sendto(b"x" * 11, server.address)
        sock.sendto(b"y" * 10, server.address)
        assert sock.recv(100) == b"Y" * 10
    assert server.statistics().truncated == 1
    assert "max_size=10" in caplog.text


def test_a_limit_leaves_further_datagrams_in_the_kernel():
    go = greenroom.Event()
    most = now = 0

    def slow(data, address, sock):
        nonlocal most, now
        now += 1
        most = max(most, now)
        go.wait()
        now -= 1
        sock.sendto(data, address)

    with UDPServer("127.0.0.1:0", slow, limit=3) as server, client() as sock:
        for number in range(10):
            sock.sendto(b"%d" % number, server.address)
        until(lambda: now == 3)
        assert server.statistics().active == 3
        go.set()
        assert sorted(sock.recv(10) for _ in range(10)) == [b"%d" % n for n in range(10)]
    assert most == 3


def test_a_peer_that_refuses_answers_does_no_harm():
    # A connected socket is told of the ICMP error by its next call, udp(7).
    listening = client()
    listening.bind(("127.0.0.1", 0))
    with client() as peer:
        peer.bind(("127.0.0.1", 0))
        peer.connect(peer.getsockname())  # its port is held, and closed to all others
        listening.connect(peer.getsockname())
        with UDPServer(listening, shout) as server:
            listening = server.sockets[0]
            listening.send(b"to nobody")
            until(lambda: server.statistics().failed == 1)
            peer.connect(server.address)
            peer.send(b"here now")
            assert peer.recv(10) == b"HERE NOW"


def test_what_a_handler_raises_is_logged_with_the_sender(caplog):
    def handler(data, address, sock):
        raise ValueError("nothing fits")

    with UDPServer("127.0.0.1:0", handler) as server, client() as sock:
        sock.sendto(b"x", server.address)
        until(lambda: server.statistics().failed == 1)
        sock_port = sock.getsockname()[1]
    assert f"127.0.0.1:{sock_port}" in caplog.records[0].getMessage() or sock_port == 0
    assert caplog.records[0].exc_info[0] is ValueError


def test_stop_lets_handlers_answer_until_the_grace_is_over(clock):
    def slow(data, address, sock):
        greenroom.sleep(float(data))
        sock.sendto(b"done", address)

    server = UDPServer("127.0.0.1:0", slow)
    server.start()
    with client() as sock:
        sock.sendto(b"3", server.address)
        sock.sendto(b"30", server.address)
        until(lambda: server.connections == 2)
        before = greenroom.current_time()
        server.stop(grace=10)
        assert greenroom.current_time() - before == pytest.approx(10)
        assert sock.recv(10) == b"done"
    assert server.connections == 0


def test_unix_datagrams(tmp_path):
    path = str(tmp_path / "server")
    with UDPServer(f"unix:{path}", shout), client(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "client"))
        sock.sendto(b"hello", path)
        assert sock.recv(10) == b"HELLO"
        with pytest.raises(OSError, match="another server does"):
            UDPServer(path, shout).start()
    assert not os.path.exists(path)


def test_a_second_server_does_not_take_over_a_port():
    with (
        UDPServer("127.0.0.1:0", shout) as server,
        pytest.raises(OSError, match="cannot listen on"),
    ):
        UDPServer(server.address, shout).start()


@pytest.mark.parametrize("limit", [0, True, None])
def test_a_limit_below_one_is_no_limit_for_datagrams(limit):
    with pytest.raises(ValueError, match="limit"):
        UDPServer("127.0.0.1:0", shout, limit=limit)
