"""HTTPServer with TLS: the same laws, over records."""

import os
from pathlib import Path
from typing import Any

import pytest
from certificates import Certificate
from rawhttp import GET, LAST, Client, hello, serving, statuses

import greenroom
from greenroom.green.ssl import SSLContext, create_default_context
from greenroom.servers.http import ClientGone, Exchange
from greenroom.servers.tls import TLS

POST = b"POST / HTTP/1.1\r\nHost: x\r\n"


class SecureClient(Client):
    """A client that trusts the server's certificate."""

    def __init__(self, server: Any, certificate: Certificate) -> None:
        super().__init__(server)
        context: SSLContext = create_default_context(cafile=certificate.file)
        self.sock = context.wrap_socket(self.sock, server_hostname="localhost")


@pytest.fixture
def tls(certificate: Certificate) -> TLS:
    return TLS(certificate.file, certificate.key)


def test_requests_and_bodies_go_both_ways(tls: TLS, certificate: Certificate) -> None:
    body = os.urandom(300_000)
    schemes = []

    def application(exchange: Exchange) -> None:
        schemes.append((exchange.scheme, exchange.tls.version()))
        hello(exchange)

    with (
        serving(application, tls=tls) as server,
        SecureClient(server, certificate) as client,
        greenroom.timeout(60),
    ):
        for _ in range(2):
            client.send(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            assert client.response()[2] == b"POST / " + body
        client.send(GET + GET + LAST)
        assert statuses(client.rest()) == [200, 200, 200]
    assert set(schemes) == {("https", "TLSv1.3")}


def test_a_file_goes_out_encrypted(tls: TLS, certificate: Certificate, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(500_000))

    def application(exchange: Exchange) -> None:
        exchange.start(200, None, [])
        with path.open("rb") as file:
            exchange.sendfile(file, 10, 400_000)

    with serving(application, tls=tls) as server, SecureClient(server, certificate) as client:
        client.send(GET)
        assert client.response()[2] == path.read_bytes()[10:400_010]


def test_a_bad_request_is_told(tls: TLS, certificate: Certificate) -> None:
    with serving(tls=tls) as server, SecureClient(server, certificate) as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert client.response()[0] == 400


def test_wait_disconnect_sees_the_end_and_keeps_requests(
    tls: TLS, certificate: Certificate
) -> None:
    left = greenroom.Event()

    def application(exchange: Exchange) -> None:
        if exchange.path == b"/wait":
            exchange.wait_disconnect()
            left.set()
        hello(exchange)

    with serving(application, tls=tls) as server, greenroom.timeout(60):
        with SecureClient(server, certificate) as client:
            client.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
            greenroom.sleep(0)
            client.send(GET)
        left.wait()


def test_idle_and_stuck_clients_are_cut_off(tls: TLS, certificate: Certificate) -> None:
    errors: list[ClientGone] = []

    def application(exchange: Exchange) -> None:
        exchange.start(200, None, [])
        try:
            while exchange.path == b"/":
                exchange.write(b"x" * 100_000)
        except ClientGone as error:
            errors.append(error)
            raise

    options = {"idle_timeout": 0.05, "write_timeout": 0.05}
    with serving(application, tls=tls, **options) as server, greenroom.timeout(60):
        with SecureClient(server, certificate) as idle:
            idle.send(LAST.replace(b"Connection: close\r\n", b""))
            idle.response()
            assert idle.rest() == b""
        with SecureClient(server, certificate) as stuck:
            stuck.send(GET)
            while not errors:
                greenroom.sleep(0.01)


def test_stop_ends_an_idle_connection(tls: TLS, certificate: Certificate) -> None:
    with (
        serving(tls=tls) as server,
        SecureClient(server, certificate) as client,
        greenroom.timeout(60),
    ):
        client.send(GET)
        client.response()
        server.stop(None)
        assert client.rest() == b""
