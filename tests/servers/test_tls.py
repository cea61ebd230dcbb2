"""TLS servers: certificates that are read again, handshakes that fail, real clients."""

import contextlib
import os
import shutil
import ssl as stdlib_ssl
import subprocess
import sys
import textwrap

import certificates
import pytest
from talking import connect, echo, fds, read_all
from waiting import until

import greenroom
from greenroom import TLS, TCPServer
from greenroom.green import socket, ssl
from greenroom.servers import tls as tls_module


def trusting(certificate, **options):
    context = ssl.SSLContext(stdlib_ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certificate.file)
    return context


def secure(server, context, **options):
    return context.wrap_socket(connect(server), server_hostname="localhost", **options)


def subject(sock):
    return dict(pair[0] for pair in sock.getpeercert()["subject"])["commonName"]


@pytest.fixture
def files(tmp_path, certificate):
    """A copy of the certificate's files, to be changed."""
    return certificates.Certificate(
        shutil.copy(certificate.file, tmp_path), shutil.copy(certificate.key, tmp_path)
    )


def test_echo_over_tls_with_alpn_and_an_end_that_is_told(certificate):
    before = fds()
    tls = TLS(certificate.file, certificate.key, alpn=["h9", "http/1.1"])
    with TCPServer("127.0.0.1:0", echo, tls=tls) as server:
        context = trusting(certificate)
        context.set_alpn_protocols(["http/1.1"])
        with secure(server, context, suppress_ragged_eofs=False) as sock:
            assert sock.selected_alpn_protocol() == "http/1.1"
            sock.sendall(b"x" * 200_000 + b".")
            got = b""
            while not got.endswith(b"."):
                got += sock.recv(65536)
            assert len(got) == 200_001
    with (
        TCPServer("127.0.0.1:0", lambda sock, _: sock.sendall(b"bye"), tls=tls) as server,
        secure(server, context, suppress_ragged_eofs=False) as sock,
    ):
        assert read_all(sock) == b"bye"  # raises if the end is a cut
        sock.close()
    assert fds() == before


def test_a_plain_ssl_context_serves(certificate):
    context = stdlib_ssl.SSLContext(stdlib_ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.file, certificate.key)
    with (
        TCPServer("127.0.0.1:0", echo, tls=context) as server,
        secure(server, trusting(certificate)) as sock,
    ):
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"
        sock.close()


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_sessions_are_resumed_also_after_a_reload(certificate, version):
    tls = TLS(certificate.file, certificate.key)
    context = trusting(certificate)
    context.maximum_version = stdlib_ssl.TLSVersion[version]
    with TCPServer("127.0.0.1:0", echo, tls=tls) as server:
        session = None
        for number in range(3):
            with secure(server, context, session=session) as sock:
                assert sock.session_reused == (number > 0)
                sock.sendall(b"x")
                assert sock.recv(1) == b"x"
                session = sock.session
            tls.reload()


def test_changed_files_are_read_by_the_next_handshake(files, other_certificate, monkeypatch):
    monkeypatch.setattr(tls_module, "LOOK_EVERY", 0)
    tls = TLS(files.file, files.key)
    context = ssl.SSLContext(stdlib_ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(files.file)
    context.load_verify_locations(other_certificate.file)
    with TCPServer("127.0.0.1:0", echo, tls=tls) as server, secure(server, context) as old:
        assert subject(old) == "server"
        shutil.copy(other_certificate.file, files.file)
        with secure(server, context) as sock:  # the key is not there yet: the old pair stays
            assert subject(sock) == "server"
        shutil.copy(other_certificate.key, files.key)
        with secure(server, context) as sock:
            assert subject(sock) == "other"
        old.sendall(b"still here")
        assert old.recv(100) == b"still here"


def test_files_are_looked_at_once_a_second_at_most(certificate, clock, monkeypatch):
    looks = []
    monkeypatch.setattr(TLS, "_look", lambda self: looks.append(1) or clock_seen(self))

    def clock_seen(tls):
        tls._looked = greenroom.current_time()

    tls = TLS(certificate.file, certificate.key)
    context = trusting(certificate)
    with TCPServer("127.0.0.1:0", echo, tls=tls) as server:
        greenroom.sleep(100)
        for _ in range(5):
            secure(server, context).close()
        first = len(looks)
        greenroom.sleep(2)
        secure(server, context).close()
        assert (first, len(looks)) == (1, 2)


def test_reload_under_load_fails_no_connection(certificate):
    tls = TLS(certificate.file, certificate.key)
    context = trusting(certificate)
    done = 0

    def client():
        nonlocal done
        for _ in range(10):
            with secure(server, context) as sock:
                sock.sendall(b"x")
                assert sock.recv(1) == b"x"
            done += 1

    with TCPServer("127.0.0.1:0", echo, tls=tls) as server, greenroom.TaskGroup() as group:
        for _ in range(5):
            group.spawn(client)
        while done < 50:
            tls.reload()
            greenroom.sleep(0.001)
    assert server.statistics().failed == 0


def test_a_pair_that_does_not_fit_is_refused_and_the_old_one_stays(files, other_certificate):
    tls = TLS(files.file, files.key)
    shutil.copy(other_certificate.key, files.key)
    with pytest.raises(ssl.SSLError, match=f"'{files.file}' with the key '{files.key}'"):
        tls.reload()
    with TCPServer("127.0.0.1:0", echo, tls=tls) as server:
        secure(server, trusting(files)).close()
    with pytest.raises(FileNotFoundError):
        TLS("/nowhere/cert.pem")


def test_a_client_that_never_speaks_is_cut_off(certificate, clock, caplog):
    caplog.set_level("INFO", "greenroom.servers")
    tls = TLS(certificate.file, certificate.key)
    with (
        TCPServer("127.0.0.1:0", echo, tls=tls, handshake_timeout=7) as server,
        connect(server) as sock,
    ):
        start = greenroom.current_time()
        assert sock.recv(1) == b""
        assert greenroom.current_time() - start == pytest.approx(7)
    assert "handshake" in caplog.text
    assert server.statistics().failed == 1


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 50, b""])
def test_what_is_no_tls_is_logged_in_one_line(certificate, caplog, said):
    caplog.set_level("INFO", "greenroom.servers")
    tls = TLS(certificate.file, certificate.key)
    with TCPServer("127.0.0.1:0", echo, tls=tls) as server, connect(server) as sock:
        sock.sendall(said)
        sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            read_all(sock)
    (record,) = [one for one in caplog.records if one.name == "greenroom.servers"]
    assert record.levelname == "INFO"
    assert record.exc_info is None
    assert "\n" not in record.getMessage()
    assert ("plain HTTP" in record.getMessage()) == said.startswith(b"GET")


def test_a_stop_during_the_handshake_leaves_no_fd(certificate):
    before = fds()
    tls = TLS(certificate.file, certificate.key)
    server = TCPServer("127.0.0.1:0", echo, tls=tls)
    server.start()
    with connect(server) as sock:
        until(lambda: server.connections == 1)
        greenroom.sleep(0.01)
        server.stop(0)
        assert sock.recv(1) == b""
    assert server.connections == 0
    assert fds() == before


def test_clients_must_show_a_certificate_if_the_server_asks(certificate, other_certificate):
    tls = TLS(certificate.file, certificate.key, client_ca=other_certificate.file)

    def handler(sock, address):
        sock.sendall(subject(sock).encode())

    with TCPServer("127.0.0.1:0", handler, tls=tls) as server:
        context = trusting(certificate)
        with pytest.raises(OSError), secure(server, context) as sock:
            sock.recv(1)
        context.load_cert_chain(other_certificate.file, other_certificate.key)
        with secure(server, context) as sock:
            assert read_all(sock) == b"other"


def test_tls_wants_files_or_a_context(certificate):
    with pytest.raises(TypeError, match="certfile or a context"):
        TLS()
    with pytest.raises(TypeError, match="SSLContext"):
        TCPServer("127.0.0.1:0", echo, tls=certificate.file)
    with pytest.raises(TypeError, match="load_cert_chain"):
        TLS(context=ssl.SSLContext(stdlib_ssl.PROTOCOL_TLS_SERVER)).reload()


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_s_client_connects_and_resumes(certificate, tmp_path, version):
    session = tmp_path / "session"
    code = """
        import sys, greenroom
        def echo(sock, address):
            while data := sock.recv(65536):
                sock.sendall(data)
        tls = greenroom.TLS(sys.argv[1], sys.argv[2])
        server = greenroom.TCPServer("127.0.0.1:0", echo, tls=tls)
        server.start()
        print(server.address[1], flush=True)
        server.serve_forever()
    """
    program = [sys.executable, "-c", textwrap.dedent(code), certificate.file, certificate.key]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as server:
        try:
            port = server.stdout.readline().strip()
            command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", version]
            command += ["-CAfile", certificate.file, "-verify_return_error"]
            for option, expected in (("-sess_out", "New, "), ("-sess_in", "Reused, ")):
                with subprocess.Popen(
                    [*command, option, str(session)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                ) as client:
                    client.stdin.write("hello there\n")
                    client.stdin.flush()
                    output = ""
                    while "hello there" not in output:
                        line = client.stdout.readline()
                        assert line, output
                        output += line
                    client.stdin.write("Q\n")
                    client.stdin.close()
                    output += client.stdout.read()
                    assert client.wait() == 0, output
                assert expected in output
                assert "Verify return code: 0" in output
        finally:
            server.terminate()
    assert os.path.getsize(session)
