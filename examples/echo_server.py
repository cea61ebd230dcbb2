"""A plain TCP echo server: one thread per connection, blocking calls, the standard library alone.

Nothing in it knows of green threads, so it runs in two ways:

    python examples/echo_server.py 8989          a real thread for each connection
    greenroom run examples/echo_server.py 8989   a green thread for each connection, one real thread

It prints `listening on 127.0.0.1:PORT` (port 0 lets the system choose) and serves until Ctrl-C.
"""

import resource
import socket
import sys
import threading


def echo(conn: socket.socket) -> None:
    """Send back whatever arrives, until the peer closes."""
    with conn:
        try:
            while data := conn.recv(65536):
                conn.sendall(data)
        except ConnectionError:
            pass  # the peer is gone without a goodbye: nobody is left to tell


def main(port: int) -> None:
    # Each connection is an open file, and the usual soft limit is 1024 of them.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    server = socket.create_server(("127.0.0.1", port), backlog=4096)
    # An echo is read in pieces and answered in pieces: Nagle's algorithm would hold back the last.
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    host, port = server.getsockname()
    print(f"listening on {host}:{port}", flush=True)
    while True:
        conn, _ = server.accept()
        threading.Thread(target=echo, args=(conn,), daemon=True).start()


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 8989)
    except KeyboardInterrupt:
        pass
