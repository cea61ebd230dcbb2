"""Step 10: a supervised server: what fails is restarted, what is left ends in order.

An acceptor puts connections into a queue; two workers take them out and echo. A worker fails when a
client says `crash`: the supervisor logs it, and starts that worker again, while the other one and
the acceptor go on. Six failures within ten seconds would be more than a restart can mend: then the
supervisor gives up, and the error is the program's. Ctrl-C ends the children in the reverse order
of their starts, each with its `finally`.

Run     python examples/tour/step10_supervised_server.py [PORT]            (until Ctrl-C)
Prints  listening on 127.0.0.1:8989
        worker 1 starts
        worker 2 starts
        worker 1 starts                                 (after a client's `crash`)
        the acceptor has ended                          (Ctrl-C)
        worker 2 has ended
        worker 1 has ended
"""

import queue
import socket
import sys

import greenroom


class Crash(Exception):
    """A client has asked for it."""


def accept(server: socket.socket, connections: queue.Queue) -> None:
    try:
        while True:
            connection, _ = server.accept()
            connections.put(connection)
    finally:
        print("the acceptor has ended", flush=True)


def work(name: str, connections: queue.Queue) -> None:
    print(name, "starts", flush=True)
    try:
        while True:
            with connections.get() as connection:
                echo(connection)
    except Crash:
        raise
    except BaseException:
        print(name, "has ended", flush=True)
        raise


def echo(connection: socket.socket) -> None:
    while data := connection.recv(1024):
        if data == b"crash":
            raise Crash("a client said so")
        connection.sendall(data)


def main(port: int) -> None:
    greenroom.patch_all()
    connections: queue.Queue = queue.Queue(10)
    with (
        socket.create_server(("127.0.0.1", port)) as server,
        greenroom.Supervisor(max_restarts=5, within=10.0, name="server") as supervisor,
    ):
        host, port = server.getsockname()
        print(f"listening on {host}:{port}", flush=True)
        for number in (1, 2):
            supervisor.start(work, f"worker {number}", connections, name=f"worker {number}")
        supervisor.start(accept, server, connections, name="acceptor")


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 8989)
    except KeyboardInterrupt:
        pass
