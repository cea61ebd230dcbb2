"""serve(): one process, the kinds of application, and the command greenroom serve."""

import functools
import os
import signal
import socket
import ssl
import subprocess
import sys
import textwrap

import pytest
import rawhttp
from processes import get, raw, running, serving
from waiting import PATIENCE

import greenroom
from greenroom.servers import serving as module
from greenroom.servers.http import HTTPServer
from greenroom.servers.serving import Options, find_interface

APP = """
import threading

def app(environ, start_response):
    if environ["PATH_INFO"] == "/wait":
        print("waiting", flush=True)
        threading.Event().wait()
    if environ["PATH_INFO"] == "/gate":
        print("waiting", flush=True)
        open("gate").read()  # a FIFO
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["wsgi.url_scheme"].encode()]

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            print(message["type"], flush=True)
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"asgi"})

def make():
    return app

class site:
    application = app

number = 5
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with applications."""
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


# --- the kind of an application


async def asgi3(scope, receive, send): ...


class Asgi3:
    async def __call__(self, scope, receive, send): ...


class Asgi2:
    def __init__(self, scope): ...

    async def __call__(self, receive, send): ...


class WsgiBody:
    def __init__(self, environ, start_response): ...

    def __iter__(self): ...


def wsgi(environ, start_response): ...


@pytest.mark.parametrize(
    ("app", "kind"),
    [
        (asgi3, "asgi"),
        (Asgi3(), "asgi"),
        (Asgi3().__call__, "asgi"),
        (functools.partial(asgi3), "asgi"),
        (lambda scope, receive, send: asgi3(scope, receive, send), "asgi"),
        (wsgi, "wsgi"),
        (functools.partial(wsgi), "wsgi"),
        (WsgiBody, "wsgi"),
        (lambda *args: wsgi(*args), "wsgi"),
    ],
)
def test_the_kind_of_an_application_is_found_out(app, kind):
    assert find_interface(app) == kind


@pytest.mark.parametrize("app", [Asgi2, lambda scope: None])
def test_asgi_2_is_refused_with_what_to_do(app):
    with pytest.raises(TypeError, match=r"ASGI 2.*guarantee_single_callable"):
        find_interface(app)
    assert find_interface(app, "wsgi") == "wsgi"


def test_what_cannot_be_called_is_no_application():
    with pytest.raises(TypeError, match="5 is no application"):
        find_interface(5)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"workers": 0}, "workers is a number from 1 on"),
        ({"workers": "many"}, "workers is a number from 1 on"),
        ({"interface": "fcgi"}, "interface is 'auto', 'wsgi' or 'asgi'"),
        ({"tls_key": "x"}, "tls_key was given without tls_cert"),
        ({"grace": -1}, "grace is 0 or more seconds"),
        ({"grace": float("nan")}, "grace is 0 or more seconds"),
        ({"limit": 0}, "limit is at least 1 connection"),
        ({"timeout": 0}, "timeout is more than 0 seconds"),
        ({"backlog": 0}, "backlog is at least 1 connection"),
        ({"reload": ["/nowhere"]}, "cannot watch '/nowhere'"),
        ({"bind": []}, "bind is empty"),
        ({"max_requests": -1}, "cannot be less than 0"),
    ],
)
def test_a_bad_option_is_said_in_one_sentence(wrong, text):
    with pytest.raises(ValueError, match=text):
        Options(**wrong)


def test_reload_without_watchfiles_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with pytest.raises(ImportError, match=r"greenroom\[reload\]"):
        Options(reload=True)


# --- one process


def test_one_worker_is_one_process_that_drains(folder):
    gate = folder / "gate"
    os.mkfifo(gate)
    with serving("app:app", cwd=folder) as server:
        server.started()
        with raw(server.port, b"GET /gate HTTP/1.1\r\nHost: a\r\n\r\n") as client:
            server.wait_for("waiting")
            server.signal(signal.SIGTERM)
            server.wait_for("stopping: 1 request left")
            gate.write_text("open")
            assert client.recv(12) == b"HTTP/1.1 200"
        assert server.ended() == 0


class Alone:
    """A supervisor that nobody hears."""

    number = 1
    workers = 1

    def begin(self, orphaned): ...

    def ready(self): ...

    def draining(self, left): ...

    def end(self): ...


@pytest.fixture
def at_work(clock, monkeypatch):
    """make(application, **options) -> (the life of a worker in this process, its task, its lines).

    On a virtual clock: how long a busy machine keeps it waiting does not count.
    """
    said = []
    monkeypatch.setattr(module, "say", said.append)

    def make(application, **options):
        server = HTTPServer(("127.0.0.1", 0), application)
        server.settings.idle_grace = module.IDLE_GRACE
        work = module._Work(application, [server], Options(**options), Alone(), None)
        task = greenroom.spawn(work.run)
        greenroom.sleep(0)
        return work, task, said

    return make


def test_an_idle_client_may_send_what_is_on_its_way_and_then_is_left(at_work):
    entered, go_on = greenroom.Event(), greenroom.Event()

    def application(exchange):
        if exchange.path == b"/wait":
            entered.set()
            go_on.wait()
        rawhttp.hello(exchange)

    work, task, _ = at_work(application)
    (server,) = work.servers
    clients = [rawhttp.Client(server) for _ in range(3)]
    prompt, silent, busy = clients
    for client in (prompt, silent):
        client.send(rawhttp.GET)
        assert b"connection" not in client.response()[1]  # promised a further request
    busy.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
    entered.wait()
    work.ends.set()
    began = greenroom.current_time()
    greenroom.sleep(0.9)
    prompt.send(rawhttp.GET)
    assert prompt.response()[1][b"connection"] == b"close"
    assert silent.rest() == b""
    assert greenroom.current_time() - began == pytest.approx(module.IDLE_GRACE)
    go_on.set()
    assert busy.response()[0] == 200
    for client in clients:
        client.sock.close()
    assert task.result() == 0


def test_what_is_cut_off_is_said_on_a_busy_machine_too(at_work, clock):
    entered = greenroom.Event()

    def application(exchange):
        entered.set()
        greenroom.sleep(1000)

    work, task, said = at_work(application, grace=0.3)
    # On a busy machine 0.1 s goes by before the task that says it has its first turn.
    work._end_idle = lambda: clock.advance(0.1)
    with rawhttp.Client(*work.servers) as client:
        client.send(rawhttp.GET)
        entered.wait()
        work.ends.set()
        assert client.rest() == b""
    assert task.result() == 0
    assert said == ["worker 1: 1 request cut off after 0.3 s"]


def test_a_second_signal_cuts_off(folder):
    with serving("app:app", "--grace", "none", cwd=folder) as server:
        server.started()
        with raw(server.port, b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n") as client:
            server.wait_for("waiting")
            server.signal(signal.SIGINT)
            server.wait_for("stopping: 1 request left")
            server.signal(signal.SIGINT)
            server.wait_for("1 request cut off")
            assert client.recv(1) == b""
        assert server.ended() == 1


def test_asgi_is_served_with_its_lifespan(folder):
    with serving("app:asgi", cwd=folder) as server:
        server.wait_for("lifespan.startup")
        assert server.started().get() == b"asgi"
        server.signal(signal.SIGTERM)
        server.wait_for("lifespan.shutdown")
        assert server.ended() == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_tls(folder, certificate, workers):
    options = ["--tls-cert", certificate.file, "--tls-key", certificate.key, "--workers", workers]
    with serving("app:app", *options, cwd=folder) as server:
        server.started()
        context = ssl.create_default_context(cafile=certificate.file)
        plain = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
        with context.wrap_socket(plain, server_hostname="localhost") as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            received = b""
            while data := client.recv(4096):
                received += data
        assert received.startswith(b"HTTP/1.1 200") and received.endswith(b"https")
        assert server.stop() == 0


def test_several_addresses_and_an_access_log_that_is_opened_again(folder):
    log = folder / "log"
    binds = ["--bind", "127.0.0.1:0", "--bind", f"unix:{folder}/s"]
    with serving("app:app", *binds, "--access-log", f"common:{log}", cwd=folder) as server:
        server.started()
        server.get("/one")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"{folder}/s")
            client.sendall(b"GET /two HTTP/1.0\r\n\r\n")
            while client.recv(4096):
                pass
        log.rename(folder / "old")
        server.signal(signal.SIGUSR1)
        while not log.exists():
            server.get("/between")
        server.get("/three")
        assert server.stop() == 0
    assert '"GET /one' in (folder / "old").read_text()
    assert '"GET /two' in (folder / "old").read_text()
    assert '"GET /three' in log.read_text()


def test_serve_in_a_plain_script_says_that_it_is_not_patched_and_returns(folder):
    code = """
        import greenroom
        from app import app
        greenroom.serve(app, "127.0.0.1:0")
        print("after")
    """
    with running(sys.executable, "-c", textwrap.dedent(code), cwd=folder) as server:
        server.started()
        server.wait_for("the standard library is not patched")
        assert get(server.port) == b"http"
        assert server.stop() == 0
        assert server.lines[-1] == "after"


# --- names


def command(folder, *args):
    done = subprocess.run(
        [sys.executable, "-m", "greenroom", "serve", *args],
        cwd=folder, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.parametrize("name", ["app", "app:make()", "app:site.application", "app.py:app"])
def test_ways_to_name_an_application(folder, name):
    with serving(name, cwd=folder) as server:
        assert server.started().get() == b"http"
        assert server.stop() == 0


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["nosuch:app"], "there is no module 'nosuch', looked for from"),
        (["app:nosuch"], "'app' has no 'nosuch'; what it has: app:app, app:asgi, app:make"),
        (["app:number"], "'app:number' is 5, which is no application"),
        (["nosuch.py:app"], "there is no file 'nosuch.py' in"),
        (["app:"], "names no application: write module:name"),
        (["app", "--workers", "x"], "--workers 'x': give a number, or 'auto'"),
        (["app", "--grace", "x"], "--grace 'x': give seconds, or 'none'"),
        (["app", "--bind", "nonsense"], "cannot listen on 'nonsense'"),
        (["app", "--bind", "fd://x"], "cannot listen on 'fd://x'"),
        (["app", "--limit", "0"], "limit is at least 1 connection"),
        (["app", "--tls-cert", "nowhere.pem"], "No such file or directory: 'nowhere.pem'"),
        (["app", "--workers", "2", "--tls-cert", "nowhere.pem"], "'nowhere.pem'"),
        (["app", "--tls-cert", "app.py"], "cannot use the certificate 'app.py' with the key in it"),
        (["app", "--access-log", "json:/nowhere/x"], "No such file or directory: '/nowhere/x'"),
        (["app", "--workers", "2", "--access-log", "json:/nowhere/x"], "'/nowhere/x'"),
        (["app", "--access-log", "xml"], "--access-log 'xml': give common, combined, json"),
    ],
)
def test_a_mistake_in_the_command_is_said_in_one_sentence(folder, args, text):
    status, said = command(folder, *args)
    assert status == 2
    assert said.startswith("greenroom: ") and text in said
    assert said.count("\n") == 1


def test_where_it_cannot_listen_is_said_in_one_sentence(folder):
    status, said = command(folder, "app", "--bind", "unix:app.py")
    assert status == 1
    assert said.startswith("greenroom: ") and "no socket has that name: 'app.py'" in said
    assert said.count("\n") == 1


def test_what_the_application_itself_raises_is_shown_with_its_traceback(folder):
    (folder / "broken.py").write_text("import nothing_of_this_name\n")
    status, said = command(folder, "broken:app")
    assert status == 1
    assert 'broken.py", line 1' in said and "No module named 'nothing_of_this_name'" in said
