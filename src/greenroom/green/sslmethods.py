"""What makes an SSLSocket and an SSLContext green, for patching and our own.    layer: green

The names are those of ssl.SSLSocket; _wrap_socket is ssl.SSLContext's.
"""

from typing import Any

from greenroom.green import fastsocket, fastssl, sslcalls

_fast: Any = fastssl if fastsocket.usable() else sslcalls

_wrap_socket = sslcalls.wrap_socket
detach = sslcalls.detach
do_handshake = _fast.do_handshake
read = _fast.read
recv = _fast.recv
recv_into = _fast.recv_into
send = _fast.send
sendall = _fast.sendall
setblocking = sslcalls.setblocking
settimeout = sslcalls.settimeout
unwrap = sslcalls.unwrap
write = _fast.write

METHODS = (
    "detach",
    "do_handshake",
    "read",
    "recv",
    "recv_into",
    "send",
    "sendall",
    "setblocking",
    "settimeout",
    "unwrap",
    "write",
)
