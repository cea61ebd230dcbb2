"""IPv6: the same calls with four-part addresses."""

import pytest

import greenroom
from greenroom.green import socket

from .conftest import settle


def ipv6_works():
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


pytestmark = pytest.mark.skipif(not ipv6_works(), reason="this machine has no IPv6")


def test_a_tcp_connection():
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        accepting = greenroom.spawn(listener.accept)
        with socket.create_connection(listener.getsockname()[:2]) as client:
            conn, address = accepting.result()
            with conn:
                assert address == client.getsockname()
                assert address[0] == "::1"
                reading = greenroom.spawn(conn.recv, 10)
                settle()
                client.sendall(b"six")
                assert reading.result() == b"six"


def test_connect_takes_two_or_four_parts():
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        for address in (listener.getsockname(), listener.getsockname()[:2]):
            with socket.socket(socket.AF_INET6) as client:
                client.connect(address)
                listener.accept()[0].close()


def test_a_datagram():
    kind = socket.AF_INET6, socket.SOCK_DGRAM
    with socket.socket(*kind) as one, socket.socket(*kind) as two:
        one.bind(("::1", 0))
        two.bind(("::1", 0))
        receiving = greenroom.spawn(one.recvfrom, 10)
        settle()
        two.sendto(b"x", one.getsockname())
        assert receiving.result() == (b"x", two.getsockname())
