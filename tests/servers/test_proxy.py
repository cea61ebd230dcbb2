"""The PROXY protocol: what is parsed, what is refused, and that what follows is left alone."""

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from talking import connect, read_all

import greenroom
from greenroom import TCPServer
from greenroom.green import socket
from greenroom.servers import proxy

ports = st.integers(0, 65535)


def v2(family, body, command=1, version=2):
    return proxy.SIGNATURE + struct.pack("!BBH", version << 4 | command, family, len(body)) + body


def parse_v2(raw):
    return proxy.parse_v2(raw[:16], raw[16:])


@given(st.ip_addresses(v=4), st.ip_addresses(v=4), ports, ports)
def test_version_1_of_ipv4(source, destination, one, two):
    header = proxy.parse_v1(f"PROXY TCP4 {source} {destination} {one} {two}\r\n".encode())
    assert header == proxy.Header(1, (str(source), one), (str(destination), two))


@given(st.ip_addresses(v=6), st.ip_addresses(v=6), ports, ports)
def test_version_1_of_ipv6(source, destination, one, two):
    header = proxy.parse_v1(f"PROXY TCP6 {source} {destination} {one} {two}\r\n".encode())
    assert ipaddress.ip_address(header.source[0]) == source
    assert header.destination[1] == two


@given(
    st.sampled_from([4, 6]).flatmap(
        lambda v: st.tuples(st.ip_addresses(v=v), st.ip_addresses(v=v))
    ),
    ports,
    ports,
    st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=50)), max_size=10),
)
def test_version_2_with_its_tlvs(addresses, one, two, tlvs):
    source, destination = addresses
    body = source.packed + destination.packed + struct.pack("!HH", one, two)
    for kind, value in tlvs:
        body += struct.pack("!BH", kind, len(value)) + value
    header = parse_v2(v2(0x11 if source.version == 4 else 0x21, body))
    assert ipaddress.ip_address(header.source[0]) == source
    assert ipaddress.ip_address(header.destination[0]) == destination
    assert (header.source[1], header.destination[1]) == (one, two)
    assert header.tlvs == tlvs


def test_version_2_of_unix_sockets():
    body = b"/run/a".ljust(108, b"\0") + b"\0abstract".ljust(108, b"\0")
    header = parse_v2(v2(0x31, body))
    assert (header.source, header.destination) == ("/run/a", "\0abstract")


@pytest.mark.parametrize(
    "header",
    [
        proxy.parse_v1(b"PROXY UNKNOWN\r\n"),
        proxy.parse_v1(b"PROXY UNKNOWN ::1 x 99999 0\r\n"),
        parse_v2(v2(0, b"")),
        parse_v2(v2(0x11, b"anything", command=0)),
    ],
)
def test_unknown_and_local_tell_no_address(header):
    assert (header.source, header.destination) == (None, None)


@pytest.mark.parametrize(
    "line",
    [
        *(b"PROXY\r\n", b"PROXY \r\n", b"PROXY TCP4\r\n", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n"),
        *(b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 -2\r\n"),
        *(b"PROXY TCP4 1.2.3.4 1.2.3.4 1 02\r\n", b"PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n"),
        *(b"PROXY TCP4 ::1 ::1 1 2\r\n", b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n"),
        *(b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", b"PROXY TCP4 1.2.3.\xff 1.2.3.4 1 2\r\n"),
        *(b"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n", b"PROXY UNKNOWN" + b" " * 200 + b"\r\n"),
    ],
)
def test_a_malformed_line_is_refused(line):
    with pytest.raises(proxy.ProxyError):
        proxy.parse_v1(line)


@pytest.mark.parametrize(
    "raw",
    [
        *(v2(0x11, b"short"), v2(0x11, bytes(12), command=2), v2(0x11, bytes(12), version=1)),
        *(v2(0x11, bytes(13)), v2(0x11, bytes(12) + b"\1\0\5abcd"), v2(0, bytes(5000))),
        v2(0x11, bytes(12))[:-1],
    ],
)
def test_a_malformed_version_2_is_refused(raw):
    with pytest.raises(proxy.ProxyError):
        parse_v2(raw)


@given(st.binary(max_size=130))
def test_any_bytes_give_a_header_or_a_proxy_error(data):
    for parse in (
        lambda: proxy.parse_v1(data),
        lambda: proxy.parse_v1(b"PROXY TCP4 " + data + b"\r\n"),
        lambda: parse_v2(data),
        lambda: parse_v2(proxy.SIGNATURE + data),
        lambda: parse_v2(v2(data[0] if data else 0, data)),
    ):
        try:
            assert isinstance(parse(), proxy.Header)
        except proxy.ProxyError:
            pass


def report(server):
    def handler(sock, address):
        tlvs = server[0].proxy_header().tlvs
        sock.sendall(repr((address, tlvs, read_all(sock))).encode())

    return handler


V4 = bytes([192, 0, 2, 1, 192, 0, 2, 9]) + struct.pack("!HH", 5, 6)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"PROXY TCP4 192.0.2.1 192.0.2.9 5 6\r\n", (("192.0.2.1", 5), [])),
        (v2(0x11, V4 + b"\2\0\2me"), (("192.0.2.1", 5), [(2, b"me")])),
        (v2(0, b"", command=0), (None, [])),
        (b"PROXY UNKNOWN\r\n", (None, [])),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_server_tells_the_handler_the_clients_address(header, expected, size):
    server = []
    server.append(TCPServer("127.0.0.1:0", report(server), proxy_protocol=True))
    with server[0], connect(server[0]) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw = header + b"the rest\n"
        for start in range(0, len(raw), size):
            sock.sendall(raw[start : start + size])
            greenroom.sleep(0)
        sock.shutdown(socket.SHUT_WR)
        address, tlvs = expected
        wanted = (address or sock.getsockname(), tlvs, b"the rest\n")
        assert read_all(sock) == repr(wanted).encode()
    assert not server[0]._headers


@pytest.mark.parametrize(
    "raw", [b"GET / HTTP/1.1\r\n\r\n", b"PROXY TCP4 nonsense\r\n", b"PROX", b"", v2(0x11, b"x")]
)
def test_a_connection_without_a_header_is_closed_and_logged(raw, caplog):
    caplog.set_level("INFO", "greenroom.servers")
    server = TCPServer("127.0.0.1:0", lambda *_: 1 / 0, proxy_protocol=True)
    with server, connect(server) as sock:
        sock.sendall(raw)
        sock.shutdown(socket.SHUT_WR)
        try:
            assert sock.recv(10) == b""
        except ConnectionResetError:
            pass  # it closed with bytes of ours unread
        sock.close()
    assert server.statistics().failed == 1
    (record,) = [one for one in caplog.records if one.name == "greenroom.servers"]
    assert "PROXY header" in record.getMessage()
    assert record.exc_info is None


def test_a_client_that_sends_no_header_is_cut_off(clock):
    server = TCPServer("127.0.0.1:0", lambda *_: 1 / 0, proxy_protocol=True, handshake_timeout=5)
    with server, connect(server) as sock:
        sock.sendall(b"PROXY")
        assert sock.recv(10) == b""
        assert greenroom.current_time() >= 5
