"""Step 5: green threads: an echo server where a wait stops only the one who waits.

`patch_all` makes the standard library's blocking calls green: `accept` and `recv` look as before,
and while one task waits in them the others run. Nobody calls `switch`: the system says (by epoll)
whose data came, and that task goes on. A peer that connects and says nothing holds up nobody; one
that closes gives `b""`.

Run     python examples/tour/step5_echo_server.py [PORT]                    (until Ctrl-C)
Prints  listening on 127.0.0.1:8989
        b'hello'                                        (for a client; README.md has one)
"""

import socket
import sys

import greenroom


def echo(conn: socket.socket) -> None:
    while True:
        data = conn.recv(1024)
        if data:
            print(data, flush=True)
            conn.sendall(data)
        else:
            conn.close()
            break


def main(port: int) -> None:
    greenroom.patch_all()
    server = socket.create_server(("127.0.0.1", port))
    host, port = server.getsockname()
    print(f"listening on {host}:{port}", flush=True)
    while True:
        conn, _ = server.accept()
        greenroom.spawn(echo, conn)


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 8989)
    except KeyboardInterrupt:
        pass
