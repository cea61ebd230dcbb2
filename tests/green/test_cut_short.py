"""A send that ends in the middle says how much is gone, and one can go on from there."""

import pytest

import greenroom
from greenroom import Cancelled, move_on_after
from greenroom.green import fastsocket, fastssl, socket, socketcalls, sslcalls

MUCH = bytes(range(256)) * (16 << 12)  # more than the buffers of a socket hold


def receive(sock, size=None):
    """Read size bytes, or all up to the end."""
    parts, came = [], 0
    while size is None or came < size:
        part = sock.recv(1 << 16)
        if not part:
            break
        parts.append(part)
        came += len(part)
    return b"".join(parts)


def caught_in(call, *args):
    """Call in a block of 1 s; return the Cancelled that ended it."""
    errors = []
    with move_on_after(1):
        try:
            call(*args)
        except Cancelled as error:
            errors.append(error)
            raise
    (error,) = errors
    return error


@pytest.mark.parametrize("module", [fastsocket, socketcalls])
def test_cancelled_sendall_of_a_socket(pair, clock, module):
    one, other = pair
    error = caught_in(module.sendall, one, MUCH)
    assert 0 < error.bytes_sent < len(MUCH)
    assert error.__notes__ == [f"{error.bytes_sent} of {len(MUCH)} bytes had been sent"]
    assert receive(other, error.bytes_sent) == MUCH[: error.bytes_sent]
    other.settimeout(0)
    with pytest.raises(BlockingIOError):
        other.recv(1)


@pytest.mark.parametrize("module", [fastsocket, socketcalls])
def test_killed_sendall_of_a_socket(pair, clock, module):
    one, other = pair
    task = greenroom.spawn(module.sendall, one, MUCH)
    greenroom.sleep(1)
    task.kill()
    task.join()
    sent = task.exception.__cause__.bytes_sent
    one.close()
    assert receive(other) == MUCH[:sent] != b""


@pytest.mark.parametrize("module", [fastsocket, socketcalls])
def test_sendall_whose_socket_s_timeout_is_over(pair, clock, module):
    one, other = pair
    one.settimeout(2)
    with pytest.raises(TimeoutError) as caught:
        module.sendall(one, MUCH)
    one.close()
    assert receive(other) == MUCH[: caught.value.bytes_sent] != b""


@pytest.mark.parametrize("module", [fastsocket, socketcalls])
def test_sendall_in_a_scope_that_is_cancelled_already(pair, module):
    one, _ = pair
    with greenroom.CancelScope() as scope:
        scope.cancel()
        with pytest.raises(Cancelled) as caught:
            module.sendall(one, MUCH)
    assert 0 < caught.value.bytes_sent < len(MUCH)  # it had to wait only when the buffer was full


def test_cancelled_sendfile(pair, clock, tmp_path):
    one, other = pair
    path = tmp_path / "much"
    path.write_bytes(MUCH)
    with path.open("rb") as file:
        error = caught_in(one.sendfile, file)
        assert file.tell() == error.bytes_sent
    assert error.__notes__ == [f"{error.bytes_sent} of {len(MUCH)} bytes had been sent"]
    one.close()
    assert receive(other) == MUCH[: error.bytes_sent] != b""


@pytest.mark.parametrize("size", [len(MUCH), sslcalls.WRITE_BYTES])
@pytest.mark.parametrize("module", [fastssl, sslcalls])
@pytest.mark.parametrize("name", ["sendall", "send", "write"])
def test_cancelled_write_of_tls_goes_on_where_it_was_cut_short(tls, clock, module, name, size):
    client, server = tls
    data = MUCH[:size]
    sent = 0
    while True:  # fill the buffers
        errors = []
        with move_on_after(1):
            try:
                getattr(module, name)(client, data)
            except Cancelled as error:
                errors.append(error)
                raise
        if errors:
            break
        sent += size
    (error,) = errors
    assert error.bytes_sent % sslcalls.WRITE_BYTES == 0
    assert f"{error.bytes_sent} of {size} bytes had been sent, and perhaps" in error.__notes__[0]

    def finish():
        client.sendall(data[error.bytes_sent :])
        client.shutdown(socket.SHUT_WR)

    finishing = greenroom.spawn(finish)
    assert receive(server) == data * (sent // size + 1)
    finishing.join()


@pytest.mark.parametrize("module", [fastssl, sslcalls])
def test_write_of_tls_that_is_cancelled_before_its_turn_has_sent_nothing(tls, clock, module):
    client, server = tls
    first = greenroom.spawn(client.sendall, MUCH)
    greenroom.sleep(0.5)
    error = caught_in(module.sendall, client, b"second")
    assert error.bytes_sent == 0 and error.__notes__ == ["0 of 6 bytes had been sent"]
    assert receive(server, len(MUCH)) == MUCH
    first.join()
