"""The main job, shown: 10,000 TCP connections held at once by a blocking program in green threads.

Starts `python -m greenroom run examples/echo_server.py 0` as a child and is itself the other side:
one thread, one epoll, the standard library alone. Three phases:

    opening   every connection is opened and its first message comes back, which proves that the
              server accepted it; all of them stay open
    talking   the other rounds: each connection sends a message and waits for its echo, at most
              --in-flight of them at a time, so that latency is the server's and not the queue's
    closing   every connection says goodbye and must get the server's, and not a byte more

Every byte that comes back is compared with the byte sent. Each message is unique: it opens with the
numbers of its connection and round, so an echo that went to the wrong connection is found too.

Exit code: 0 all is well, 1 a byte differs, a connection fails, the server dies or falls silent.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import resource
import select
import shlex
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

HEADER = struct.Struct("!II")  # connection, round
LARGE = 16 * 1024  # bytes; each connection sends one message of LARGE to 2 * LARGE ...
SMALL = 1500  # bytes; ... and the others of up to this
NOISE_BYTES = 1 << 20  # what payloads are cut from
SILENCE_SECONDS = 15.0  # with messages in flight and none coming back: give up
SPARE_FILES = 100  # open files of a process beside its connections
SOURCES = 16  # client addresses 127.0.0.1 ... 127.0.0.16, so that ports cannot run out
IP_BIND_ADDRESS_NO_PORT = 24  # ip(7); the socket module names it only from 3.12


class DemoError(Exception):
    """The demo has failed; the text says how."""


class Messages:
    """Random payloads of differing sizes, the same for the same seed."""

    def __init__(self, rounds: int, seed: int) -> None:
        self.rounds = rounds
        self.seed = seed
        self.noise = random.Random(seed).randbytes(NOISE_BYTES)

    def make(self, number: int, turn: int) -> bytes:
        """The message of connection `number` in round `turn`."""
        header = HEADER.pack(number, turn)
        dice = zlib.crc32(header, self.seed)
        large = (number + turn) % self.rounds == 0  # one round of each connection
        size = LARGE + dice % LARGE if large else dice % SMALL
        start = (dice >> 8) % (NOISE_BYTES - 2 * LARGE)
        return header + self.noise[start : start + size]


class EchoCheck:
    """Compares an echo, piece by piece as it arrives, with the message that was sent."""

    def __init__(self, sent: bytes) -> None:
        self.sent = sent
        self.missing = len(sent)

    def feed(self, piece: bytes) -> bool:
        """True once the whole message is back; DemoError at the first byte that differs."""
        start = len(self.sent) - self.missing
        if piece != self.sent[start : start + len(piece)]:
            raise DemoError(self._difference(piece, start))
        self.missing -= len(piece)
        return self.missing == 0

    def _difference(self, piece: bytes, start: int) -> str:
        number, turn = HEADER.unpack_from(self.sent)
        where = f"connection {number}, message {turn + 1}"
        for offset, (got, want) in enumerate(zip(piece, self.sent[start:], strict=False), start):
            if got != want:
                return f"{where}: byte {offset} came back as 0x{got:02x}, sent as 0x{want:02x}"
        return f"{where}: more came back than the {len(self.sent)} bytes sent"


class Connection:
    __slots__ = ("check", "number", "sent_at", "sock", "turn", "unsent")

    def __init__(self, number: int, sock: socket.socket) -> None:
        self.number = number
        self.sock = sock
        self.turn = 0  # the round of the next message
        self.check: EchoCheck | None = None  # of the message in flight, if one is
        self.unsent: bytes | memoryview = b""
        self.sent_at = 0.0

    def lost(self, error: OSError) -> DemoError:
        return DemoError(f"connection {self.number} failed: {error}")


class Client:
    """All the connections, driven by one epoll."""

    def __init__(
        self, address: tuple[str, int], messages: Messages, in_flight: int, tick: Callable[[], None]
    ) -> None:
        self.address = address
        self.messages = messages
        self.in_flight = in_flight
        self.tick = tick  # called a few times a second
        self.epoll = select.epoll()
        self.by_fd: dict[int, Connection] = {}
        self.idle: deque[Connection] = deque()  # with a message left to send
        self.busy = 0  # connections that wait for an answer
        self.verified = 0  # messages
        self.verified_bytes = 0
        self.latencies: list[float] = []
        self.closing = False
        self.next_tick = self.last_event = 0.0

    def open_all(self, count: int) -> None:
        self.last_event = time.monotonic()
        for number in range(count):
            while self.busy >= self.in_flight:
                self._poll()
            self._say(self._connect(number))
        while self.busy:
            self._poll()

    def talk(self) -> None:
        self.last_event = time.monotonic()
        while self.busy or self.idle:
            while self.idle and self.busy < self.in_flight:
                self._say(self.idle.popleft())
            self._poll()

    def close_all(self) -> None:
        self.last_event = time.monotonic()
        self.closing = True
        self.busy = len(self.by_fd)
        for conn in self.by_fd.values():
            try:
                conn.sock.shutdown(socket.SHUT_WR)
            except OSError as error:
                raise conn.lost(error) from error
        while self.busy:
            self._poll()

    def _connect(self, number: int) -> Connection:
        sock = socket.socket()
        if self.address[0].startswith("127."):
            sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((f"127.0.0.{1 + number % SOURCES}", 0))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(SILENCE_SECONDS)
        try:
            sock.connect(self.address)
        except OSError as error:
            raise DemoError(f"connection {number} could not be opened: {error}") from error
        sock.setblocking(False)
        conn = self.by_fd[sock.fileno()] = Connection(number, sock)
        self.epoll.register(sock, select.EPOLLIN)
        return conn

    def _say(self, conn: Connection) -> None:
        payload = self.messages.make(conn.number, conn.turn)
        conn.check = EchoCheck(payload)
        conn.unsent = payload
        self.busy += 1
        conn.sent_at = time.perf_counter()
        self._send(conn)

    def _send(self, conn: Connection) -> None:
        try:
            sent = conn.sock.send(conn.unsent)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise conn.lost(error) from error
        if sent < len(conn.unsent):
            conn.unsent = memoryview(conn.unsent)[sent:]
            self.epoll.modify(conn.sock, select.EPOLLIN | select.EPOLLOUT)
        else:
            if isinstance(conn.unsent, memoryview):
                self.epoll.modify(conn.sock, select.EPOLLIN)
            conn.unsent = b""

    def _receive(self, conn: Connection) -> None:
        check = conn.check
        # One byte more than is missing: an echo that is too long shows at once.
        try:
            piece = conn.sock.recv(check.missing + 1 if check else 1)
        except OSError as error:
            raise conn.lost(error) from error
        if not piece:
            if not self.closing:
                raise DemoError(f"the server closed connection {conn.number}")
            self.epoll.unregister(conn.sock)
            conn.sock.close()
            self.busy -= 1
        elif check is None:
            raise DemoError(f"connection {conn.number} received bytes that it never sent")
        elif check.feed(piece):
            self.latencies.append(time.perf_counter() - conn.sent_at)
            self.verified += 1
            self.verified_bytes += len(check.sent)
            conn.check = None
            conn.turn += 1
            self.busy -= 1
            if conn.turn < self.messages.rounds:
                self.idle.append(conn)

    def _poll(self) -> None:
        events = self.epoll.poll(0.1)
        for fd, mask in events:
            conn = self.by_fd[fd]
            if mask & select.EPOLLOUT:
                self._send(conn)
            if mask & ~select.EPOLLOUT:
                self._receive(conn)
        now = time.monotonic()
        if events:
            self.last_event = now
        elif now - self.last_event > SILENCE_SECONDS:
            raise DemoError(
                f"the server is silent: {self.busy:,} connections have waited for an answer "
                f"for {SILENCE_SECONDS:.0f} s"
            )
        if now >= self.next_tick:
            self.next_tick = now + 0.1
            self.tick()


class Server:
    """The server as seen from outside: its first line of output, and /proc/PID."""

    def __init__(self, command: list[str]) -> None:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        try:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
            )
        except OSError as error:
            raise DemoError(f"the server could not be started: {error}") from error
        self.proc = Path(f"/proc/{self.process.pid}")
        assert self.process.stdout is not None
        impatience = threading.Timer(SILENCE_SECONDS, self.process.kill)
        impatience.start()
        try:
            for line in self.process.stdout:
                if line.startswith("listening on "):
                    self.address = parse_address(line.removeprefix("listening on ").strip())
                    return
            raise DemoError("the server never said 'listening on HOST:PORT'")
        except BaseException:
            self.stop()
            raise
        finally:
            impatience.cancel()

    def check_alive(self) -> None:
        if (code := self.process.poll()) is not None:
            raise DemoError(f"the server has ended, with exit code {code}")

    def is_dying(self) -> bool:
        """A process that ends gives its memory back before its sockets: its peers know it later."""
        return "VmRSS:" not in (self.proc / "status").read_text()

    def status(self, field: str) -> int:
        """A number out of /proc/PID/status: Threads, or VmRSS in KiB."""
        for line in (self.proc / "status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == field:
                return int(value.split()[0])
        raise KeyError(field)

    def sockets(self) -> int:
        """How many sockets it has open, the listening one included."""
        count = 0
        for fd in os.scandir(self.proc / "fd"):
            with contextlib.suppress(FileNotFoundError):  # closed while we look
                count += os.readlink(fd.path).startswith("socket:")
        return count

    def cpu_seconds(self) -> float:
        fields = (self.proc / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime + stime

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Progress:
    """One live line: rewritten in place on a terminal, printed every second elsewhere."""

    def __init__(self) -> None:
        self.live = sys.stdout.isatty()
        self.next_line = 0.0

    def show(self, line: str, *, last: bool = False) -> None:
        if self.live:
            width = shutil.get_terminal_size().columns - 1  # a wrapped line cannot be rewritten
            print(f"\r{line[:width]}\x1b[K", end="\n" if last else "", flush=True)
        elif last or time.monotonic() >= self.next_line:
            self.next_line = time.monotonic() + 1
            print(line, flush=True)


def run(options: argparse.Namespace) -> list[tuple[str, str, str]]:
    """The whole demo; returns the rows of its table: name, figure, remark."""
    raise_fd_limit(options.connections + SPARE_FILES)
    server = None
    if options.connect:
        address = parse_address(options.connect)
    else:
        python = [options.python, "-m", "greenroom", "run", "examples/echo_server.py", "0"]
        command = shlex.split(options.server) if options.server else python
        print(f"server: {shlex.join(command)}", flush=True)
        server = Server(command)
        address = server.address
    try:
        return exchange(options, address, server)
    except Exception:
        if server:  # if it is dying, that is the news
            if server.process.poll() is None and server.is_dying():
                server.process.wait()
            server.check_alive()
        raise
    finally:
        if server:
            server.stop()


def exchange(
    options: argparse.Namespace, address: tuple[str, int], server: Server | None
) -> list[tuple[str, str, str]]:
    count, rounds = options.connections, options.rounds
    progress = Progress()
    phase, started, base, threads = "opening", time.monotonic(), 0, 0

    def tick(last: bool = False) -> None:
        nonlocal threads
        rate = (client.verified - base) / max(time.monotonic() - started, 1e-3)
        line = (
            f"{phase:7} {len(client.by_fd):>6,}/{count:,} connections "
            f"{client.verified:>7,}/{count * rounds:,} verified {rate:>7,.0f}/s"
        )
        if server:
            server.check_alive()
            threads = max(threads, server.status("Threads"))
            line += f" {threads:>3,} thread{'s' * (threads > 1)}"
        progress.show(line, last=last)

    client = Client(address, Messages(rounds, options.seed), options.in_flight, tick)
    rss_before, sockets_before = (server.status("VmRSS"), server.sockets()) if server else (0, 0)

    client.open_all(count)
    tick(last=True)
    opened_seconds = time.monotonic() - started

    # Only now the clock for speed starts; --rounds 1 has nothing but the opening messages.
    if rounds > 1:
        phase, started, base = "talking", time.monotonic(), client.verified
        client.latencies.clear()
    cpu_before = server.cpu_seconds() if server else 0.0
    client.talk()
    seconds = time.monotonic() - started
    tick(last=True)

    latencies = sorted(client.latencies)
    p50, p99 = (latencies[int(len(latencies) * share)] * 1e3 for share in (0.50, 0.99))
    in_flight = min(options.in_flight, count)
    megabytes = f"{client.verified_bytes / 1e6:,.0f} MB"
    table = [
        ("connections held at once", f"{len(client.by_fd):,}", f"opened in {opened_seconds:.1f} s"),
        ("messages echoed and verified", f"{client.verified:,}", f"{megabytes}, every byte"),
        ("messages per second", f"{len(latencies) / seconds:,.0f}", f"{in_flight:,} at a time"),
        ("latency p50 / p99", f"{p50:.1f} / {p99:.1f} ms", ""),
    ]
    if server:
        held = server.sockets() - sockets_before
        if held < count:
            raise DemoError(f"the server holds {held:,} sockets for {count:,} connections")
        cpu = (server.cpu_seconds() - cpu_before) / len(latencies) * 1e6
        rss = server.status("VmRSS")
        growth = f"{(rss - rss_before) / count:.1f} KiB"
        table[1:1] = [("  as the server's /proc/PID/fd has it", f"{held:,}", "")]
        table += [
            ("server CPU per message", f"{cpu:.1f} us", ""),
            ("memory per connection", growth, f"RSS {rss_before >> 10} to {rss >> 10} MiB"),
            ("OS threads of the server", f"{threads:,}", ""),
        ]
    client.close_all()
    if server:
        server.check_alive()
    return table


def raise_fd_limit(need: int) -> None:
    """Let this process, and the server that it starts, open `need` files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft == unlimited or soft >= need:
        return
    try:  # beyond the hard limit only root may go
        new_hard = hard if hard == unlimited else max(hard, need)
        resource.setrlimit(resource.RLIMIT_NOFILE, (need, new_hard))
    except (ValueError, OSError):
        raise DemoError(
            f"the server needs {need:,} open files and the limit here is {hard:,}: raise it as "
            f"root with `ulimit -Hn {need}`, or pass --connections {max(1, hard - SPARE_FILES)}"
        ) from None


def parse_address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def print_table(rows: list[tuple[str, str, str]]) -> None:
    names, figures = (max(len(row[column]) for row in rows) for column in (0, 1))
    print()
    for name, figure, remark in rows:
        print(f"  {name:{names}}  {figure:>{figures}}   {remark}".rstrip())


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    def positive(text: str) -> int:
        if (value := int(text)) < 1:
            raise argparse.ArgumentTypeError(f"{value} is below 1")
        return value

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--connections", type=positive, default=10_000, metavar="N")
    parser.add_argument("--rounds", type=positive, default=10, metavar="N", help="messages each")
    parser.add_argument("--in-flight", type=positive, default=500, metavar="N", help="at a time")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the payloads")
    parser.add_argument("--python", default=sys.executable, help="interpreter of the server")
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--server", metavar="CMD", help="start this one; prints 'listening on H:P'")
    other.add_argument("--connect", metavar="HOST:PORT", help="to a server that runs already")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse_options(arguments)
    try:
        rows = run(options)
    except DemoError as error:
        print(f"\ndemo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print_table(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
