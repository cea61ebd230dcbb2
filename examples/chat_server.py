"""A chat room for nc or telnet: what one says, the others read.

    python examples/chat_server.py 8989      then, in several terminals: nc 127.0.0.1 8989

Each client has two tasks: one reads its lines, one writes what is queued for it. A client that does
not read fills its queue and is shown the door, so that it holds up nobody.
"""

import contextlib
import queue
import sys
from typing import Any

import greenroom
from greenroom.green import socket

LONGEST = 1000  # bytes of a line
clients: dict[str, tuple[Any, greenroom.Queue]] = {}


def say(line: str, but: str = "") -> None:
    """Queue a line for everybody else."""
    for name, (sock, lines) in list(clients.items()):
        if name == but:
            continue
        try:
            lines.put_nowait(line)
        except queue.Full:
            hang_up(sock)  # its reader ends, and all that belongs to it


def hang_up(sock: Any) -> None:
    with contextlib.suppress(OSError):  # it may be gone already
        sock.shutdown(socket.SHUT_RDWR)


def write(sock: Any, lines: greenroom.Queue) -> None:
    """Send what is queued."""
    with contextlib.suppress(OSError):  # the reader hears of it too
        while True:
            sock.sendall((lines.get() + "\n").encode())


def chat(sock: Any, address: object) -> None:
    """Serve one client: its name first, then its lines."""
    with sock.makefile("rb") as lines:
        sock.sendall(b"your name? ")
        name = lines.readline(LONGEST).decode(errors="replace").strip()
        if not name or name in clients:
            sock.sendall(b"that name is taken\n" if name else b"no name, no chat\n")
            return
        queued: greenroom.Queue = greenroom.Queue(100)
        clients[name] = sock, queued
        writer = greenroom.spawn(write, sock, queued)
        say(f"* {name} has come")
        try:
            while line := lines.readline(LONGEST):
                say(f"{name}: {line.decode(errors='replace').rstrip()}", but=name)
        except ConnectionError:
            pass  # it is gone without a goodbye
        finally:
            del clients[name]
            writer.kill()
            say(f"* {name} has left")


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8989
    with greenroom.TCPServer(("127.0.0.1", port), chat) as server:
        print("listening on {}:{}".format(*server.address), flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
