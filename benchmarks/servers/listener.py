"""The listening socket that every Python server of this folder starts from.

Plain `socket` code. The green servers import it after patching, so it is theirs too.
"""

import socket
import sys
from pathlib import Path

BACKLOG = 8192
RECV_SIZE = 65536
# A certificate and its key; environment.py makes it.
CERTIFICATE = str(Path(__file__).resolve().parent.parent / "build" / "tls.pem")


def listen() -> socket.socket:
    """Bind to the port named by the last argument (0: any), print "PORT n", return the socket."""
    port = int(sys.argv[-1]) if len(sys.argv) > 1 else 0
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    sock.listen(BACKLOG)
    print("PORT", sock.getsockname()[1], flush=True)
    return sock


def free_port() -> int:
    """A port that is free now, for servers that cannot be given a socket."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
