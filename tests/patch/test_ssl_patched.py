"""ssl is changed in place: who imported it, or a module built on it, earlier has TLS that parks."""

import pytest

from .children import output_of

BASICS = """
    import sys
    import {first}
    import greenroom
    greenroom.patch_all()
    import ssl, socket
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(sys.argv[1], sys.argv[2])
    client_context = ssl.create_default_context(cafile=sys.argv[1])
    listener = socket.create_server(("127.0.0.1", 0))
    def serve():
        conn, _ = listener.accept()
        with server_context.wrap_socket(conn, server_side=True) as tls:
            print(tls.recv(100))
            tls.sendall(b"answer")
            try:
                tls.recv(100)
            except greenroom.ClosedError as error:
                print(error)
    serving = greenroom.spawn(serve)
    raw = socket.create_connection(listener.getsockname())
    with client_context.wrap_socket(raw, server_hostname="localhost") as tls:
        reading = greenroom.spawn(tls.recv, 100)
        while "parked on fd" not in repr(reading):
            greenroom.sleep(0)
        print(True)
        tls.sendall(b"question")
        print(reading.result())
    serving.result()
    listener.close()
"""


@pytest.mark.parametrize("first", ["greenroom", "ssl", "http.client", "asyncio"])
def test_ssl_imported_before_patching_or_after(first, certificate):
    code = BASICS.replace("{first}", first)
    assert output_of(code, *certificate) == ["True", "b'question'", "b'answer'"]


def test_names_taken_from_ssl_before_patching(certificate):
    code = """
        import sys
        from ssl import SSLContext, SSLSocket, create_default_context, get_server_certificate
        from ssl import PROTOCOL_TLS_SERVER
        class Counted(SSLSocket):
            count = 0
            def read(self, *args):
                Counted.count += 1
                return super().read(*args)
        class Context(SSLContext):
            sslsocket_class = Counted
        import greenroom
        greenroom.patch_all()
        import socket
        context = Context(PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[1], sys.argv[2])
        context.options |= 0
        context.minimum_version = context.minimum_version
        one, two = socket.socketpair()
        def serve():
            server = context.wrap_socket(two, server_side=True)
            print(type(server).__name__, server.recv(10), server.recv_into(bytearray(5)))
            server.close()
        serving = greenroom.spawn(serve)
        trusting = create_default_context(cafile=sys.argv[1])
        client = trusting.wrap_socket(one, server_hostname="localhost")
        client.sendall(b"hello")
        client.sendall(b"again")
        serving.result()
        print(type(client) is SSLSocket, Counted.count)
        client.close()
        listener = socket.create_server(("127.0.0.1", 0))
        def accept():
            context.wrap_socket(listener.accept()[0], server_side=True).close()
        accepting = greenroom.spawn(accept)
        print(get_server_certificate(listener.getsockname()) == open(sys.argv[1]).read())
        accepting.result()
        listener.close()
    """
    assert output_of(code, *certificate) == ["Counted b'hello' 5", "True 2", "True"]


def test_a_connection_made_before_patching_parks_after_it(certificate):
    code = """
        import socket, ssl, sys, threading
        server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server_context.load_cert_chain(sys.argv[1], sys.argv[2])
        one, two = socket.socketpair()
        ends = []
        accepting = threading.Thread(
            target=lambda: ends.append(server_context.wrap_socket(two, server_side=True)))
        accepting.start()
        client_context = ssl.create_default_context(cafile=sys.argv[1])
        client = client_context.wrap_socket(one, server_hostname="localhost")
        accepting.join()
        server, = ends
        import greenroom
        greenroom.patch_all()
        reading = greenroom.spawn(client.recv, 100)
        greenroom.sleep(0)
        greenroom.sleep(0)
        print("parked on fd" in repr(reading), client.gettimeout())
        server.sendall(b"hello")
        print(reading.result())
        client.settimeout(0.01)
        try:
            client.recv(1)
        except TimeoutError as error:
            print(error)
        client.close(), server.close()
    """
    assert output_of(code, *certificate) == [
        "True None",
        "b'hello'",
        "The read operation timed out",
    ]


HTTPS_SERVER = """
import http.server, ssl, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path == "/slow":
            hold.wait()
        body = self.path.encode() * 1000
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
hold = threading.Event()
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"https://127.0.0.1:{server.server_port}"
"""

CLIENTS = {
    "requests": """
def get_all(paths, timeout):
    with requests.Session() as session:
        options = {"timeout": (60, timeout), "verify": sys.argv[1]}
        return [session.get(url + path, **options).text for path in paths]
TimedOut = requests.exceptions.ReadTimeout
""",
    "urllib3": """
def get_all(paths, timeout):
    timeout = urllib3.Timeout(connect=60, read=timeout)
    with urllib3.PoolManager(ca_certs=sys.argv[1], retries=False) as pool:
        return [pool.request("GET", url + path, timeout=timeout).data.decode() for path in paths]
TimedOut = urllib3.exceptions.ReadTimeoutError
""",
    "urllib.request": """
def get_all(paths, timeout):
    context = ssl.create_default_context(cafile=sys.argv[1])
    try:
        return [urllib.request.urlopen(url + path, timeout=timeout, context=context).read().decode()
                for path in paths]
    except urllib.error.URLError as error:
        raise error.reason from None  # its time was over while it connected or shook hands
TimedOut = TimeoutError
""",
}

TEN_AT_ONCE = """
def work(number):
    return get_all([f"/{number}/{turn}" for turn in range(3)], 60)
tasks = [greenroom.spawn(work, number) for number in range(10)]
for number, task in enumerate(tasks):
    assert task.result() == [f"/{number}/{turn}" * 1000 for turn in range(3)]
try:
    get_all(["/slow"], 0.1)
except TimedOut:
    print("timed out")
hold.set()
"""


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_https_clients_imported_before_patching_or_after(name, when, certificate):
    pytest.importorskip(name)
    patch = "import greenroom; greenroom.patch_all()"
    order = [f"import {name}", patch] if when == "before" else [patch, f"import {name}"]
    code = "\n".join(order) + HTTPS_SERVER + CLIENTS[name] + TEN_AT_ONCE
    assert output_of(code, *certificate) == ["timed out"]


def test_asyncio_streams_with_tls_in_a_task(certificate):
    code = """
        import greenroom
        greenroom.patch_all()
        import asyncio, ssl, sys
        server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server_context.load_cert_chain(sys.argv[1], sys.argv[2])
        client_context = ssl.create_default_context(cafile=sys.argv[1])
        async def serve(reader, writer):
            writer.write((await reader.readline()).upper())
            writer.close()
        async def main():
            server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context)
            host, port = server.sockets[0].getsockname()
            reader, writer = await asyncio.open_connection(host, port, ssl=client_context)
            writer.write(b"hello\\n")
            line = await reader.readline()
            writer.close()
            server.close()
            return line
        print(greenroom.spawn(asyncio.run, main()).result())
    """
    assert output_of(code, *certificate) == [r"b'HELLO\n'"]


def test_a_child_process_leaves_the_connection_alone(certificate):
    code = """
        import greenroom
        greenroom.patch_all()
        import os, socket, ssl, sys
        server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server_context.load_cert_chain(sys.argv[1], sys.argv[2])
        client_context = ssl.create_default_context(cafile=sys.argv[1])
        one, two = socket.socketpair()
        accepting = greenroom.spawn(server_context.wrap_socket, two, True)
        client = client_context.wrap_socket(one, server_hostname="localhost")
        server = accepting.result()
        reading = greenroom.spawn(server.recv, 10)
        greenroom.sleep(0)
        if os.fork() == 0:
            client.sendall(b"from child")  # it goes on with the connection; the parent does not
            os._exit(0)
        print(reading.result(), os.wait()[1])
        client.close(), server.close()
    """
    assert output_of(code, *certificate) == ["b'from child' 0"]


def test_unpatched_tls_is_the_standard_librarys_again():
    code = """
        import ssl
        before = dict(vars(ssl.SSLSocket)), dict(vars(ssl.SSLContext))
        import greenroom
        greenroom.patch_all()
        assert vars(ssl.SSLSocket) != before[0] and vars(ssl.SSLContext) != before[1]
        greenroom.unpatch_all()
        print(vars(ssl.SSLSocket) == before[0], vars(ssl.SSLContext) == before[1])
    """
    assert output_of(code) == ["True True"]


def test_the_part_can_be_left_out():
    code = """
        import ssl
        before = ssl.SSLSocket.read
        import greenroom
        greenroom.patch_all(ssl=False)
        print(ssl.SSLSocket.read is before)
        greenroom.patch_all()
        print(ssl.SSLSocket.read is before)
    """
    assert output_of(code) == ["True", "False"]
