"""TCPServer: a task per connection, limits, an ordered end, and faults."""

import contextlib
import errno
import logging
import os
import socket as real_socket
import struct

import pytest
from patch.children import output_of, run_child
from talking import connect, echo, fds, talk, turns
from waiting import until

import greenroom
from greenroom import TCPServer
from greenroom.green import resolver, socket


@pytest.mark.parametrize("address", [("127.0.0.1", 0), "127.0.0.1:0", "localhost:0", "[::1]:0"])
def test_a_server_answers_at_the_address_it_tells(address):
    if "::1" in address and not os.path.exists("/proc/net/if_inet6"):
        pytest.skip("no IPv6 here")
    with TCPServer(address, echo) as server:
        assert server.address[1] != 0
        assert talk(server) == b"hello"
    assert server.state == "stopped"


def test_each_connection_has_a_task_of_its_own_and_tcp_nodelay():
    seen = []

    def handler(sock, address):
        seen.append((sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0, address))
        echo(sock, address)

    with TCPServer("127.0.0.1:0", handler) as server:
        clients = [connect(server) for _ in range(10)]
        for sock in reversed(clients):
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"
        assert server.connections == 10
        assert sorted(seen) == sorted((True, sock.getsockname()) for sock in clients)
        for sock in clients:
            sock.close()
    assert server.statistics().accepted == 10
    assert server.statistics().active == 0


def test_a_limit_holds_further_connections_in_the_backlog():
    with TCPServer("127.0.0.1:0", echo, limit=2) as server:
        clients = [connect(server) for _ in range(5)]
        for sock in clients:
            sock.sendall(b"x")
        until(lambda: server.statistics().waiting == 3)
        numbers = server.statistics()
        assert (numbers.accepted, numbers.active, numbers.full) == (2, 2, True)
        for sock in clients:  # each that leaves makes room for one
            assert sock.recv(1) == b"x"
            sock.close()
    assert server.statistics().accepted == 5


def test_a_pool_as_limit_may_be_shared_by_two_servers():
    pool = greenroom.Pool(2)
    with (
        TCPServer("127.0.0.1:0", echo, limit=pool) as one,
        TCPServer("127.0.0.1:0", echo, limit=pool) as two,
    ):
        clients = [connect(one), connect(two), connect(one), connect(two)]
        until(lambda: len(pool) == 2)
        turns()
        assert len(pool) == 2
        for sock in clients:
            sock.close()
    assert len(pool) == 0


def test_stop_lets_handlers_finish_until_the_grace_is_over(clock):
    ended = []

    def handler(sock, address):
        try:
            greenroom.sleep(float(sock.recv(10)))
            ended.append("done")
        except BaseException as error:
            ended.append(type(error).__name__)
            raise

    server = TCPServer("127.0.0.1:0", handler)
    server.start()
    with connect(server) as short, connect(server) as long:
        short.sendall(b"3")
        long.sendall(b"30")
        until(lambda: server.connections == 2)
        greenroom.sleep(0.5)
        before = greenroom.current_time()
        server.stop(grace=10)
        assert greenroom.current_time() - before == pytest.approx(10)
        assert ended == ["done", "Cancelled"]
        assert short.recv(1) == long.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        connect(server)


def test_a_second_stop_with_a_shorter_grace_shortens_the_first(clock):
    server = TCPServer("127.0.0.1:0", echo)
    server.start()
    with connect(server):
        until(lambda: server.connections == 1)
        first = greenroom.spawn(server.stop)
        greenroom.sleep(1)
        assert server.state == "stopping"
        server.stop(2)
        first.result()
    assert server.state == "stopped"


def test_stop_before_start_and_stop_again_do_nothing_more():
    server = TCPServer("127.0.0.1:0", echo)
    server.stop()
    with pytest.raises(RuntimeError, match="make a new one"):
        server.start()
    server.serve_forever()  # it has ended
    other = TCPServer("127.0.0.1:0", echo)
    other.start()
    other.stop()
    other.stop()


def test_handlers_may_stop_the_server_two_at_once():
    def handler(sock, address):
        sock.recv(1)
        server.stop()
        sock.sendall(b"stopped")

    server = TCPServer("127.0.0.1:0", handler)
    server.start()
    with connect(server) as one, connect(server) as two:
        one.sendall(b"x")
        two.sendall(b"x")
        server.serve_forever()
        assert one.recv(10) == two.recv(10) == b"stopped"
        until(lambda: not server.connections)


def test_a_signal_handler_may_stop_the_server():
    assert output_of("""
        import os, signal
        import greenroom
        server = greenroom.TCPServer("127.0.0.1:0", lambda sock, address: sock.recv(1))
        signal.signal(signal.SIGTERM, lambda *_: server.stop(0))
        server.start()
        greenroom.spawn(lambda: (greenroom.sleep(0.01), os.kill(os.getpid(), signal.SIGTERM)))
        server.serve_forever()
        print(server.state)
    """) == ["stopped"]


def test_ctrl_c_in_serve_forever_stops_the_server():
    assert output_of("""
        import os, signal
        import greenroom
        signal.signal(signal.SIGINT, signal.default_int_handler)
        server = greenroom.TCPServer("127.0.0.1:0", lambda sock, address: sock.recv(1))
        greenroom.spawn(lambda: (greenroom.sleep(0.01), os.kill(os.getpid(), signal.SIGINT)))
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print(server.state)
    """) == ["stopped"]


def test_a_serving_task_that_is_killed_takes_its_handlers_with_it():
    before = fds()
    server = TCPServer("127.0.0.1:0", echo)
    serving = greenroom.spawn(server.serve_forever)
    turns(2)
    with connect(server) as sock:
        until(lambda: server.connections == 1)
        serving.kill()
        serving.join()
        assert server.connections == 0
        assert server.state == "stopped"
        assert sock.recv(1) == b""
    assert fds() == before


def test_a_timeout_around_stop_leaves_nothing_behind(clock):
    server = TCPServer("127.0.0.1:0", echo)
    server.start()
    with connect(server) as sock:
        until(lambda: server.connections == 1)
        with pytest.raises(TimeoutError), greenroom.timeout(5):
            server.stop()
        assert (server.state, server.connections) == ("stopped", 0)
        assert sock.recv(1) == b""


def test_a_block_that_fails_ends_the_handlers_at_once():
    with pytest.raises(ZeroDivisionError), TCPServer("127.0.0.1:0", echo) as server:
        client = connect(server)
        until(lambda: server.connections == 1)
        _ = 1 / 0
    assert client.recv(1) == b""
    client.close()


class Odd(BaseException):
    pass


@pytest.mark.parametrize("kind", [ValueError, Odd, GeneratorExit])
def test_what_a_handler_raises_is_logged_with_the_peer_and_the_server_goes_on(kind, caplog):
    def handler(sock, address):
        if sock.recv(1) == b"!":
            raise kind("nothing fits")
        sock.sendall(b"fine")

    before = fds()
    with TCPServer("127.0.0.1:0", handler) as server:
        with connect(server) as sock:
            peer = "{}:{}".format(*sock.getsockname())
            sock.sendall(b"!")
            assert sock.recv(1) == b""
        assert talk(server, b"x") == b"fine"
    assert server.statistics().failed == 1
    (record,) = [one for one in caplog.records if one.name == "greenroom.servers"]
    assert peer in record.getMessage()
    assert record.exc_info[0] is kind
    assert fds() == before


def test_5000_connections_opened_and_reset_at_once_are_survived(caplog):
    count = 0

    def handler(sock, address):
        nonlocal count
        count += 1
        with contextlib.suppress(ConnectionResetError):
            sock.recv(1)

    before = fds()
    with TCPServer("127.0.0.1:0", handler) as server:
        for _ in range(50):
            batch = [real_socket.create_connection(server.address) for _ in range(100)]
            for sock in batch:
                reset = struct.pack("ii", 1, 0)
                sock.setsockopt(real_socket.SOL_SOCKET, real_socket.SO_LINGER, reset)
                sock.close()
            until(lambda: server.statistics().waiting == 0)
        until(lambda: not server.connections)
        with connect(server) as sock:
            sock.sendall(b"x")
            assert sock.recv(1) == b""
    assert server.statistics().accepted == count
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert fds() == before


def test_without_fds_it_backs_off_warns_once_and_goes_on():
    done = run_child("""
        import logging, resource, socket as real
        import greenroom
        from greenroom.green import socket
        logging.basicConfig(format="%(message)s")
        server = greenroom.TCPServer("127.0.0.1:0", lambda sock, address: sock.sendall(b"hi"))
        server.start()
        greenroom.sleep(0.01)
        clients = [real.socket() for _ in range(3)]
        for client in clients:
            client.connect(server.address)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 4096))
        greenroom.sleep(0.5)
        print(server.statistics().accepted, server.statistics().waiting)
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
        for client in clients:
            with socket._as_green(client) as green:
                print(green.recv(10))
        server.stop()
    """)
    assert done.stdout == "0 3\n" + "b'hi'\n" * 3, done.stderr
    assert done.stderr.count("Too many open files") == done.stderr.count("\n") == 1


def test_errors_of_the_connection_that_was_to_be_accepted_are_passed_over(monkeypatch):
    errors = [errno.EPROTO, errno.ENETDOWN, errno.EPERM]
    accept = socket.socket.accept

    def failing(sock):
        if errors:
            raise OSError(errors.pop(), "injected")
        return accept(sock)

    monkeypatch.setattr(socket.socket, "accept", failing)
    with TCPServer("127.0.0.1:0", echo, limit=1) as server:
        assert talk(server) == b"hello"
    assert not errors


def test_a_listener_that_fails_ends_serve_forever_with_its_error(monkeypatch, caplog):
    def failing(sock):
        raise OSError(errno.EINVAL, "injected")

    monkeypatch.setattr(socket.socket, "accept", failing)
    server = TCPServer("127.0.0.1:0", echo)
    with pytest.raises(OSError, match="injected"):
        server.serve_forever()
    assert "can accept no more" in caplog.text
    assert server.state == "stopped"


def test_two_servers_share_a_port_if_both_say_so():
    with TCPServer("127.0.0.1:0", echo, reuse_port=True) as one:
        with TCPServer(one.address, echo, reuse_port=True) as two:
            assert one.address == two.address
        with pytest.raises(OSError, match=r"cannot listen on 127.0.0.1:.*in use"):
            TCPServer(one.address, echo).start()


@pytest.mark.parametrize("wrap", [lambda sock: sock, lambda sock: f"fd://{sock.detach()}"])
def test_a_listening_socket_is_used_as_it_is(wrap):
    sock = real_socket.create_server(("127.0.0.1", 0))
    address = sock.getsockname()
    with TCPServer(wrap(sock), echo) as server:
        assert server.address == address
        assert talk(server) == b"hello"


@pytest.mark.parametrize("write", ["unix:{}", "{}"])
def test_a_unix_socket_file_is_removed_at_the_end(tmp_path, write):
    path = tmp_path / "socket"
    with TCPServer(write.format(path), echo) as server:
        assert talk(server) == b"hello"
        assert path.exists()
    assert not path.exists()


def test_a_stale_unix_socket_is_replaced_and_a_live_one_refused(tmp_path):
    path = str(tmp_path / "socket")
    with real_socket.socket(real_socket.AF_UNIX) as stale:
        stale.bind(path)
    with TCPServer(path, echo) as server:
        with pytest.raises(OSError, match="another server does"):
            TCPServer(path, echo).start()
        assert talk(server) == b"hello"


def test_a_file_that_is_no_socket_is_left_alone(tmp_path):
    path = tmp_path / "notes"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="no socket"):
        TCPServer(str(path), echo).start()
    assert path.read_text() == "precious"


def test_a_unix_socket_file_that_another_has_taken_over_stays(tmp_path):
    path = tmp_path / "socket"
    with TCPServer(str(path), echo):
        path.rename(tmp_path / "away")
        other = real_socket.socket(real_socket.AF_UNIX)
        other.bind(str(path))
    assert path.exists()
    other.close()


def test_an_abstract_unix_name_needs_no_file():
    name = f"unix:@greenroom-test-{os.getpid()}"
    with TCPServer(name, echo) as server, connect(server) as sock:
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"
        sock.close()


@pytest.mark.parametrize(
    "address", ["8000x", "host", "::1:80", ("127.0.0.1", 99999), 3.5, True, "unix:", "a:b"]
)
def test_what_is_no_address_is_refused_in_one_sentence(address):
    with pytest.raises((ValueError, TypeError), match=r"cannot listen on|ambiguous"):
        TCPServer(address, echo)


def test_a_name_that_cannot_be_looked_up_is_told(monkeypatch):
    def getaddrinfo(*args):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(resolver, "getaddrinfo", getaddrinfo)
    with pytest.raises(socket.gaierror, match="cannot listen on nowhere:80: Name or service"):
        TCPServer("nowhere:80", echo).start()


@pytest.mark.parametrize("limit", [0, -1, True, "many"])
def test_a_limit_below_one_is_refused(limit):
    with pytest.raises((ValueError, TypeError), match="limit"):
        TCPServer("127.0.0.1:0", echo, limit=limit)


def test_a_subclass_may_define_handle():
    class Shout(TCPServer):
        def handle(self, sock, address):
            sock.sendall(sock.recv(100).upper())

    with Shout("127.0.0.1:0") as server:
        assert talk(server) == b"HELLO"
    with pytest.raises(TypeError, match="needs a handler"):
        TCPServer("127.0.0.1:0")
