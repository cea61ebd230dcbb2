"""connect, connect_ex, create_connection, create_server."""

import errno
import socket as stdlib

import pytest

import greenroom
from greenroom.green import socket

from .conftest import outcome


@pytest.fixture
def refused():
    """An address at which nobody listens, and that nobody else can take meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()


@pytest.fixture
def silent():
    """The address of a listener whose backlog is full: a connect to it is not answered."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            fillers.append(filler)
        yield listener.getsockname()
        for filler in fillers:
            filler.close()


@pytest.mark.parametrize("timeout", [None, 5])
def test_a_refused_connect_raises_what_the_standard_library_raises(refused, timeout):
    with stdlib.socket() as plain:
        plain.settimeout(timeout)
        expected = outcome(plain.connect, refused)
    with socket.socket() as sock:
        sock.settimeout(timeout)
        assert outcome(sock.connect, refused) == expected
    with socket.socket() as sock:
        sock.settimeout(timeout)
        assert sock.connect_ex(refused) == errno.ECONNREFUSED


def test_connect_parks_the_task_until_the_connection_stands(silent, clock):
    with socket.socket() as sock:
        sock.settimeout(5)
        seen = []
        other = greenroom.spawn(lambda: seen.append("ran"))
        assert outcome(sock.connect, silent) == ("raised", TimeoutError, ("timed out",))
        assert seen == ["ran"]
        other.join()
        assert clock.now() == 5


def test_connect_ex_returns_eagain_at_a_timeout_as_the_standard_library_does(silent, clock):
    with stdlib.socket() as plain:
        plain.settimeout(0.001)
        expected = plain.connect_ex(silent)
    with socket.socket() as sock:
        sock.settimeout(1)
        assert sock.connect_ex(silent) == expected == errno.EAGAIN


def test_a_non_blocking_connect_says_in_progress(listener):
    with socket.socket() as sock:
        sock.setblocking(False)
        assert sock.connect_ex(listener.getsockname()) == errno.EINPROGRESS
        conn, _ = listener.accept()
        with conn:
            sock.setblocking(True)
            conn.sendall(b"x")
            assert sock.recv(1) == b"x"


def test_connect_ex_returns_zero(listener):
    with socket.socket() as sock:
        assert sock.connect_ex(listener.getsockname()) == 0


def test_connecting_twice_says_already_connected(listener):
    with socket.socket() as sock:
        sock.connect(listener.getsockname())
        assert sock.connect_ex(listener.getsockname()) == errno.EISCONN


def test_connect_to_a_name_looks_it_up(listener):
    with socket.socket() as sock:
        sock.connect(("localhost", listener.getsockname()[1]))
        assert sock.getpeername() == listener.getsockname()


def test_connect_to_a_name_that_does_not_exist_raises_gaierror():
    with socket.socket() as sock:
        for call in (sock.connect, sock.connect_ex):
            with pytest.raises(socket.gaierror):
                call(("no-such-host.invalid", 80))


def test_create_connection_to_a_name_and_with_a_source_address(listener):
    address = ("localhost", listener.getsockname()[1])
    with socket.create_connection(address, 5, ("127.0.0.3", 0)) as client:
        assert client.gettimeout() == 5
        assert client.getsockname()[0] == "127.0.0.3"
        assert type(client) is socket.socket


def test_create_connection_refused_raises_the_last_error_or_all(refused):
    assert outcome(socket.create_connection, refused) == outcome(stdlib.create_connection, refused)
    with pytest.raises(ExceptionGroup) as caught:
        socket.create_connection(refused, all_errors=True)
    assert [type(error) for error in caught.value.exceptions] == [ConnectionRefusedError]


def test_create_connection_times_out(silent, clock):
    assert outcome(socket.create_connection, silent, 2) == (
        "raised",
        TimeoutError,
        ("timed out",),
    )
    assert clock.now() == 2


def test_create_server_makes_a_green_listener():
    with socket.create_server(("127.0.0.1", 0), backlog=3) as server:
        assert type(server) is socket.socket
        assert server.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        accepting = greenroom.spawn(server.accept)
        with socket.create_connection(server.getsockname()):
            conn, _ = accepting.result()
            with conn:
                assert type(conn) is socket.socket


def test_create_server_on_a_taken_port_raises_what_the_standard_library_raises(listener):
    address = listener.getsockname()
    assert outcome(socket.create_server, address) == outcome(stdlib.create_server, address)


def test_create_server_dual_stack_takes_both_families():
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        port = server.getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            with socket.create_connection((host, port)) as client:
                conn, _ = server.accept()
                with conn:
                    client.sendall(b"x")
                    assert conn.recv(1) == b"x"


def test_ten_connects_wait_at_once(listener):
    address = listener.getsockname()
    clients = [greenroom.spawn(socket.create_connection, address) for _ in range(10)]
    accepted = [listener.accept()[0] for _ in range(10)]
    connected = [task.result() for task in clients]
    names = {sock.getpeername() for sock in accepted}
    assert names == {sock.getsockname() for sock in connected}
    for sock in (*accepted, *connected):
        sock.close()


def test_connect_after_a_failed_connect_works(refused, listener):
    with socket.socket() as sock:
        with pytest.raises(ConnectionRefusedError):
            sock.connect(refused)
        sock.connect(listener.getsockname())
        conn, _ = listener.accept()
        with conn:
            conn.sendall(b"x")
            assert sock.recv(1) == b"x"
