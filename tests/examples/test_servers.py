"""The servers of examples/ answer real clients: nc's way of talking, curl, openssl s_client."""

import contextlib
import http.server
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading

import pytest
from patch.children import EXAMPLES, child_environment


@contextlib.contextmanager
def running(name, *args):
    """An example as a child process; gives its port. It must end at once and quietly on Ctrl-C."""
    command = [sys.executable, str(EXAMPLES / name), *map(str, args), "0"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=child_environment(),
    ) as child:
        try:
            line = child.stdout.readline()
            assert line.startswith("listening on 127.0.0.1:"), line + child.stderr.read()
            yield int(line.rpartition(":")[2])
            child.send_signal(signal.SIGINT)
            _, errors = child.communicate(timeout=20)
            assert (child.returncode, errors) == (0, "")
        finally:
            child.kill()


def curl(*args):
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    command = ["curl", "-sS", "--max-time", "20", "--noproxy", "", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True)


class Pages(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, text):
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        self.answer(f"page {self.path} of {self.headers['Host']}\n".encode())

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"])).upper())

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def site(context=None):
    """A web server of the standard library, in a thread; gives its port."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        server.daemon_threads = True
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def web():
    with site() as port:
        yield port


@pytest.fixture(scope="module")
def secure_web(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.file, certificate.key)
    with site(context) as port:
        yield port


@pytest.fixture
def nobody():
    """A port where nobody listens, and nobody can: it is taken."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


# --- chat


class Guest:
    """A client of the chat, as nc is one."""

    def __init__(self, port, name):
        self.sock = socket.create_connection(("127.0.0.1", port), 20)
        self.lines = self.sock.makefile("rw", encoding="utf-8", newline="\n")
        assert self.lines.read(11) == "your name? "
        self.say(name)

    def say(self, line):
        self.lines.write(line + "\n")
        self.lines.flush()

    def hear(self):
        return self.lines.readline()

    def leave(self):
        self.lines.close()
        self.sock.close()


def test_chat_passes_on_what_one_says_to_the_others():
    with running("chat_server.py") as port:
        ann = Guest(port, "ann")
        assert ann.hear() == "* ann has come\n"
        bob = Guest(port, "bob")
        assert bob.hear() == ann.hear() == "* bob has come\n"
        ann.say("hello ☕")
        assert bob.hear() == "ann: hello ☕\n"
        second = Guest(port, "bob")
        assert second.hear() == "that name is taken\n"
        second.leave()
        ann.leave()
        assert bob.hear() == "* ann has left\n"
        bob.leave()


def test_chat_drops_a_guest_who_does_not_read_and_serves_the_others():
    with running("chat_server.py") as port:
        deaf, ann = Guest(port, "deaf"), Guest(port, "ann")
        assert ann.hear() == "* ann has come\n"
        gone = ""
        for _ in range(100_000):
            ann.sock.settimeout(20)
            ann.sock.sendall(b"x" * 998 + b"\n")
            ann.sock.settimeout(0.0)
            with contextlib.suppress(BlockingIOError):
                gone += ann.sock.recv(1000).decode()
            if gone:
                break
        assert gone == "* deaf has left\n"
        deaf.leave()
        ann.leave()


# --- TLS


def test_openssl_s_client_reads_its_echo(certificate):
    with running("tls_echo.py", certificate.file, certificate.key) as port:
        command = ["openssl", "s_client", "-quiet", "-verify_return_error", "-CAfile"]
        command += [certificate.file, "-connect", f"127.0.0.1:{port}"]
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as client:
            client.stdin.write("hello\n")
            client.stdin.flush()
            assert client.stdout.readline() == "hello\n"
            client.terminate()


# --- proxies


@pytest.mark.parametrize("option", ["--socks5", "--socks5-hostname"])
def test_curl_reads_a_page_through_the_socks5_proxy(web, option):
    with running("socks5_proxy.py") as port:
        done = curl(option, f"127.0.0.1:{port}", f"http://localhost:{web}/a")
        assert done.stdout == f"page /a of localhost:{web}\n", done.stderr


def test_curl_reads_https_through_the_socks5_proxy(secure_web, certificate):
    with running("socks5_proxy.py") as port:
        proxy = f"127.0.0.1:{port}"
        url = f"https://localhost:{secure_web}/s"
        done = curl("--socks5-hostname", proxy, "--cacert", certificate.file, url)
        assert done.stdout == f"page /s of localhost:{secure_web}\n", done.stderr


def test_the_socks5_proxy_tells_that_a_connection_was_refused(nobody):
    with running("socks5_proxy.py") as port:
        done = curl("--socks5", f"127.0.0.1:{port}", f"http://127.0.0.1:{nobody}/")
        assert done.returncode == 97  # CURLE_PROXY
        assert "(5)" in done.stderr


def test_the_socks5_proxy_passes_a_half_close_on():
    with (
        running("socks5_proxy.py") as port,
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(("127.0.0.1", port), 20) as client,
    ):
        number = listener.getsockname()[1].to_bytes(2, "big")
        client.sendall(b"\5\1\0")
        assert client.recv(2) == b"\5\0"
        client.sendall(b"\5\1\0\1\x7f\0\0\1" + number)
        assert client.recv(10)[:2] == b"\5\0"
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        server, _ = listener.accept()
        with server, server.makefile("rb") as file:
            assert file.read() == b"question"  # to its end
            server.sendall(b"answer")
        assert client.recv(100) == b"answer"
        assert client.recv(100) == b""


def test_curl_reads_and_posts_through_the_http_proxy(web):
    with running("http_proxy.py") as port:
        proxy = f"http://127.0.0.1:{port}"
        done = curl("-x", proxy, f"http://localhost:{web}/b?c=d")
        assert done.stdout == f"page /b?c=d of localhost:{web}\n", done.stderr
        url = f"http://localhost:{web}/"
        done = curl("-x", proxy, "-d", "shout", url, url)
        assert done.stdout == "SHOUTSHOUT", done.stderr


def test_curl_reads_https_through_the_http_proxy(secure_web, certificate):
    with running("http_proxy.py") as port:
        url = f"https://localhost:{secure_web}/t"
        done = curl("-x", f"http://127.0.0.1:{port}", "--cacert", certificate.file, url)
        assert done.stdout == f"page /t of localhost:{secure_web}\n", done.stderr


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"GET /not-absolute HTTP/1.1\r\n\r\n", b"400"),
        (b"CONNECT nowhere HTTP/1.1\r\n\r\n", b"400"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET http://127.0.0.1:%d/ HTTP/1.1\r\n\r\n", b"502"),
    ],
)
def test_the_http_proxy_says_what_is_wrong(request_head, status, nobody):
    if b"%d" in request_head:
        request_head %= nobody
    with (
        running("http_proxy.py") as port,
        socket.create_connection(("127.0.0.1", port), 20) as client,
    ):
        client.sendall(request_head)
        with client.makefile("rb") as answer:
            assert answer.read().split(b" ")[1] == status
