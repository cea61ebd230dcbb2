"""Uncompiled twin of fastsocket.pyx: the calls as socketcalls.py has them.      layer: green"""

from greenroom.green.socketcalls import recv, recv_into, send, sendall

__all__ = ["recv", "recv_into", "send", "sendall", "usable"]


def usable() -> bool:
    """Return True: these always work."""
    return True
