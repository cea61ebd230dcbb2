"""gunicorn with greenroom's workers, as real processes."""

import os
import re
import signal
import socket
import ssl
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "servers"))
from processes import Load, raw, running
from waiting import PATIENCE

pytest.importorskip("gunicorn")

APP = """
import os, threading, time
import greenroom

opened = threading.Event()

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/wait":
        print("waiting", flush=True)
        opened.wait()
    if path == "/gate":
        print("waiting", flush=True)
        open("gate").read()  # a FIFO
    if path == "/open":
        opened.set()
    if path == "/hang":
        while True:
            pass
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/patched":
        return [str(greenroom.is_patched("time.sleep")).encode()]
    if path == "/body":
        return [environ["wsgi.input"].read()]
    if path == "/scheme":
        return [environ["wsgi.url_scheme"].encode()]
    return [str(os.getpid()).encode()]
"""


@pytest.fixture(params=["Worker", "WSGIWorker"])
def gunicorn(request, tmp_path):
    """A function that starts gunicorn with the worker, and waits until it has booted."""
    (tmp_path / "app.py").write_text(APP)
    stack = []

    def start(*args, workers=1):
        command = [sys.executable, "-m", "gunicorn", "-b", "127.0.0.1:0", "-w", workers, *args]
        command += ["-k", f"greenroom.contrib.gunicorn.{request.param}", "app:app"]
        # Its control socket would lie in the user's folder.
        context = running(*command, cwd=tmp_path, env={"HOME": str(tmp_path)})
        server = context.__enter__()
        stack.append(context)
        server.port = int(server.wait_for(r"Listening at: https?://127\.0\.0\.1:(\d+)")[1])
        server.wait_for("Booting worker", workers)
        return server

    yield start
    for context in stack:
        context.__exit__(None, None, None)


def test_many_requests_wait_at_once_and_the_application_is_patched(gunicorn):
    server = gunicorn()
    assert server.get("/patched") == b"True"
    waiting = [raw(server.port, b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n") for _ in range(5)]
    server.wait_for("waiting", 5)
    server.get("/open")
    for sock in waiting:
        with sock:
            assert sock.recv(12) == b"HTTP/1.1 200"
    assert server.stop() == 0


def test_keep_alive_and_a_body(gunicorn):
    server = gunicorn("--keep-alive", 5)
    post = b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
    with raw(server.port, post) as sock:
        for _ in range(3):
            received = b""
            while b"hello" not in received:
                data = sock.recv(4096)
                assert data, received
                received += data
            sock.sendall(post)
    assert server.stop() == 0


def test_without_keep_alive_each_response_ends_its_connection(gunicorn):
    server = gunicorn("--keep-alive", 0)
    with raw(server.port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") as sock:
        received = b""
        while data := sock.recv(4096):
            received += data
    assert b"connection: close" in received.lower()
    assert server.stop() == 0


def test_sigterm_lets_requests_finish(gunicorn, tmp_path):
    server = gunicorn()
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    with raw(server.port, b"GET /gate HTTP/1.1\r\nHost: a\r\n\r\n") as sock:
        server.wait_for("waiting")
        server.signal(signal.SIGTERM)
        server.wait_for("Handling signal: term")
        gate.write_text("open")
        assert sock.recv(12) == b"HTTP/1.1 200"
    assert server.ended() == 0


def test_requests_are_cut_off_after_the_graceful_timeout(gunicorn):
    server = gunicorn("--graceful-timeout", 1)
    with raw(server.port, b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n") as sock:
        server.wait_for("waiting")
        server.signal(signal.SIGTERM)
        assert sock.recv(1) == b""
    assert server.ended() == 0


def test_max_requests_replaces_the_worker_without_a_failed_request(gunicorn):
    server = gunicorn("--max-requests", 30)
    with Load(server.port, 2) as load:
        server.wait_for("Autorestarting worker")
        server.wait_for("Booting worker")
    assert load.failed == []
    # A SIGTERM that comes before a worker's handlers are set goes lost in gunicorn. Now nobody else
    # asks: another worker's first answer shows that it is up, and not near its last.
    last = server.get()
    while server.get() == last:
        pass
    assert server.stop() == 0


def test_sighup_loads_the_application_anew(gunicorn):
    server = gunicorn()
    first = server.get()
    server.signal(signal.SIGHUP)
    server.wait_for(f"Booting worker|Worker exiting .pid: {first.decode()}", 2)
    assert server.get() != first
    assert server.stop() == 0


def test_a_worker_that_hangs_is_killed_and_replaced(gunicorn):
    server = gunicorn("--timeout", 1)
    with raw(server.port, b"GET /hang HTTP/1.1\r\nHost: a\r\n\r\n"):
        server.wait_for("WORKER TIMEOUT")
        server.wait_for("Booting worker")
    server.get()
    assert server.stop() == 0


def test_tls(gunicorn, certificate):
    server = gunicorn("--certfile", certificate.file, "--keyfile", certificate.key)
    context = ssl.create_default_context(cafile=certificate.file)
    plain = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
    with context.wrap_socket(plain, server_hostname="localhost") as client:
        client.sendall(b"GET /scheme HTTP/1.0\r\n\r\n")
        received = b""
        while data := client.recv(4096):
            received += data
    assert b" 200 " in received and received.endswith(b"https")
    assert server.stop() == 0


def test_the_access_log_is_gunicorn_s(gunicorn):
    server = gunicorn(
        "--access-logfile", "-", "--access-logformat", "%(m)s %(U)s %(q)s %(s)s %(a)s"
    )
    with raw(server.port, b"GET /x?y=1 HTTP/1.0\r\nUser-Agent: me\r\n\r\n") as sock:
        while sock.recv(4096):
            pass
    server.wait_for(r"^GET /x y=1 200 me$")
    assert server.stop() == 0


def test_a_malformed_request_is_refused(gunicorn):
    server = gunicorn()
    with raw(server.port, b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n") as sock:
        assert re.match(rb"HTTP/1.[01] 400 ", sock.recv(4096))
    assert server.stop() == 0


def test_reload_on_a_change_of_a_file(gunicorn, tmp_path):
    server = gunicorn("--reload", "--reload-engine", "poll")
    first = server.get()
    # The reloader has the time of each file since its first look: some later time will be seen.
    later = os.stat(tmp_path / "app.py").st_mtime + 10
    os.utime(tmp_path / "app.py", (later, later))
    server.wait_for("Worker reloading")
    server.wait_for("Booting worker")
    assert server.get() != first
    assert server.stop() == 0
