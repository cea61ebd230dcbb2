"""Servers to talk to, and ways to talk to them."""

import os

import greenroom
from greenroom.green import socket


def echo(sock, address):
    while data := sock.recv(65536):
        sock.sendall(data)


def connect(server):
    """A green socket that is connected to server."""
    address = server.address
    if isinstance(address, (str, bytes)):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(address)
        return sock
    return socket.create_connection(address[:2])


def read_all(sock):
    return b"".join(iter(lambda: sock.recv(65536), b""))


def talk(server, data=b"hello"):
    """Send data and the end, and return all that comes back."""
    with connect(server) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        return read_all(sock)


def fds():
    """The fds that are open, those that the runtime opens when first needed among them."""
    one, two = socket.socketpair()
    with one, two:
        waiting = greenroom.spawn(one.recv, 1)
        greenroom.sleep(0)
        two.send(b"x")
        waiting.join()
    return sorted(os.listdir("/proc/self/fd"))


def turns(count=20):
    """Let what is ready run."""
    for _ in range(count):
        greenroom.sleep(0)
