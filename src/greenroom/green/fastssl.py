"""Uncompiled twin of fastssl.pyx: the calls as sslcalls.py has them.            layer: green"""

from greenroom.green.sslcalls import (
    do_handshake,
    read,
    recv,
    recv_into,
    send,
    sendall,
    write,
)

__all__ = ["do_handshake", "read", "recv", "recv_into", "send", "sendall", "write"]
