"""Servers as real processes: started, awaited by what they print, and never left behind."""

import http.client
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from waiting import PATIENCE

# Under nohup(1) SIGHUP is ignored. Children inherit that, and a server respects it: no reload then.
signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Process:
    """A server in a process group of its own."""

    def __init__(self, *command: object, cwd: Path, env: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            list(map(str, command)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port = 0

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._queue.put(line.rstrip("\n"))
        self._queue.put(None)

    def wait_for(self, pattern: str, count: int = 1) -> re.Match[str]:
        """Return the match of the count-th further line that holds the pattern."""
        while True:
            try:
                line = self._queue.get(timeout=PATIENCE)
            except queue.Empty:
                raise AssertionError(f"no {pattern!r} in:\n" + "\n".join(self.lines)) from None
            if line is None:
                raise AssertionError(f"it ended without {pattern!r}:\n" + "\n".join(self.lines))
            self.lines.append(line)
            found = re.search(pattern, line)
            if found is not None:
                count -= 1
                if count == 0:
                    return found

    def started(self) -> "Process":
        """Wait until it serves, and note its port."""
        found = self.wait_for(r"serves .*?(?:https?://[\d.]+:(\d+)|unix:)")
        self.port = int(found[1] or 0)
        return self

    def signal(self, number: int) -> None:
        """Send a signal to the first process alone."""
        self.process.send_signal(number)

    def ended(self) -> int:
        """Wait for the end; return the exit status. Nothing of its group is left then."""
        self.wait_for_end()
        status = self.process.wait(PATIENCE)
        deadline = time.monotonic() + PATIENCE
        try:
            while time.monotonic() < deadline:  # what has ended init may not have reaped yet
                os.killpg(self.process.pid, 0)
                time.sleep(0.01)
        except ProcessLookupError:
            return status
        raise AssertionError("a process of the group has outlived the first:\n" + self.text())

    def wait_for_end(self) -> None:
        """Wait until all processes that hold its output have ended."""
        while (line := self._queue.get(timeout=PATIENCE)) is not None:
            self.lines.append(line)

    def stop(self) -> int:
        """Send SIGTERM; return the exit status."""
        self.signal(signal.SIGTERM)
        return self.ended()

    def text(self) -> str:
        """Return all that it has printed so far, as far as anybody waited for it."""
        return "\n".join(self.lines)

    def kill(self) -> None:
        """Kill the whole group."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def get(self, path: str = "/") -> bytes:
        """GET over a connection of its own."""
        return get(self.port, path)


@contextmanager
def running(*command: object, cwd: Path, env: dict[str, str] | None = None) -> Iterator[Process]:
    """Run a command; whatever happens, its process group does not outlive the block."""
    process = Process(*command, cwd=cwd, env=env)
    try:
        yield process
    finally:
        process.kill()


@contextmanager
def serving(*args: object, cwd: Path) -> Iterator[Process]:
    """Run `greenroom serve ARGS` on a free port."""
    command = [sys.executable, "-m", "greenroom", "serve", *args]
    if "--bind" not in args:
        command += ["--bind", "127.0.0.1:0"]
    with running(*command, cwd=cwd) as process:
        yield process


def get(port: int, path: str = "/") -> bytes:
    """GET over a connection of its own; the body of a 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        assert response.status == 200, (response.status, body)
        return body
    finally:
        connection.close()


class Load:
    """Clients that ask again and again, each over one connection as long as it is kept."""

    def __init__(self, port: int, clients: int = 4, path: str = "/") -> None:
        self.port = port
        self.path = path
        self.done = 0
        self.failed: list[BaseException] = []
        self._ends = False
        self._threads = [threading.Thread(target=self._client, daemon=True) for _ in range(clients)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ends = True
        for thread in self._threads:
            thread.join(PATIENCE)

    def _client(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        while not self._ends:
            try:
                connection.request("GET", self.path)
                response = connection.getresponse()
                response.read()
                if response.status != 200:
                    raise AssertionError(f"status {response.status}")
                self.done += 1
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self.failed.append(error)
                connection.close()
        connection.close()


def raw(port: int, request: bytes) -> socket.socket:
    """Send a request; return the socket to read the response from."""
    sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
    sock.sendall(request)
    return sock
