"""The listening socket that every Python server of this folder starts from.

Plain `socket` code. The green servers import it after patching, so it is theirs too.
"""

import socket
import sys

BACKLOG = 8192
RECV_SIZE = 65536


def listen() -> socket.socket:
    """Bind to the port named by the first argument (0: any), print "PORT n", return the socket."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    sock.listen(BACKLOG)
    print("PORT", sock.getsockname()[1], flush=True)
    return sock
