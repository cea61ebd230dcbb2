"""What makes an SSLSocket and an SSLContext green, for patching and our own.    layer: green

The names are those of ssl.SSLSocket; _wrap_socket is ssl.SSLContext's.
"""

from greenroom.green import sslcalls

_wrap_socket = sslcalls.wrap_socket
detach = sslcalls.detach
do_handshake = sslcalls.do_handshake
read = sslcalls.read
recv = sslcalls.recv
recv_into = sslcalls.recv_into
send = sslcalls.send
sendall = sslcalls.sendall
setblocking = sslcalls.setblocking
settimeout = sslcalls.settimeout
unwrap = sslcalls.unwrap
write = sslcalls.write

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
