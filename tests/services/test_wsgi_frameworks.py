"""Flask, Django, Bottle, simple-websocket and Flask-SocketIO on HTTPServer.

Each program is patched, runs the server in its main thread, and real clients in threads.
"""

import pytest

from .conftest import need

# Runs client(url) in a thread beside the server, then stops it.
SERVE = """
import subprocess, threading
from greenroom.servers.http import HTTPServer
from greenroom.servers.wsgi import WSGIApplication

def serve(app, client, **options):
    server = HTTPServer("127.0.0.1:0", WSGIApplication(app), **options)
    server.start()
    def work():
        try:
            client("http://127.0.0.1:%d" % server.address[1])
        finally:
            server.stop(5)
    thread = threading.Thread(target=work)
    thread.start()
    server.serve_forever()
    thread.join()
"""


@pytest.fixture
def served(program):
    """Return served(code): run a program that may call serve(app, client)."""
    from textwrap import dedent

    return lambda code: program(SERVE + dedent(code))


def test_flask_with_forms_files_streams_and_errors(served, tmp_path):
    need("flask", "requests")
    got = served(
        """
        import io, logging, os, tempfile
        import flask, requests
        logging.getLogger().handlers = [logging.NullHandler()]
        app = flask.Flask(__name__)
        file = tempfile.NamedTemporaryFile(suffix=".bin")
        file.write(bytes(1000000)); file.flush()

        @app.route("/echo", methods=["POST"])
        def echo():
            upload = flask.request.files["file"].read()
            return {"field": flask.request.form["field"], "size": len(upload)}
        @app.route("/json", methods=["POST"])
        def json():
            return flask.jsonify(flask.request.get_json())
        @app.route("/stream")
        def stream():
            return flask.Response(f"line {n}\\n" for n in range(1000))
        @app.route("/file")
        def send():
            return flask.send_file(file.name, conditional=True)
        @app.route("/fail")
        def fail():
            raise LookupError
        @app.route("/caf\\u00e9/<name>")
        def name(name):
            return name

        def client(url):
            with requests.Session() as session:
                files = {"file": io.BytesIO(b"y" * 3000000)}
                done = session.post(url + "/echo", data={"field": "x"}, files=files)
                print(done.json())
                print(session.post(url + "/json", json=[1, "\\u00e9"]).json())
                def pieces():
                    yield b"[1"
                    yield b",2]"
                headers = {"Content-Type": "application/json"}
                print(session.post(url + "/json", data=pieces(), headers=headers).json())
                print(session.get(url + "/stream").text.count("line"))
                done = session.get(url + "/file")
                print(done.status_code, len(done.content))
                done = session.get(url + "/file", headers={"Range": "bytes=10-19"})
                print(done.status_code, len(done.content), done.headers["Content-Range"])
                print(session.head(url + "/file").headers["Content-Length"])
                print(*(session.get(url + path).status_code for path in ("/fail", "/none")))
                print(ascii(session.get(url + "/caf\\u00e9/na\\u00efve").text))
        serve(app, client)
        file.close()
        """
    )
    assert got == [
        "{'field': 'x', 'size': 3000000}",
        "[1, 'é']",
        "[1, 2]",
        "1000",
        "200 1000000",
        "206 10 bytes 10-19/1000000",
        "1000000",
        "500 404",
        "'na\\xefve'",
    ]


def test_django_with_uploads_streams_and_files(served):
    need("django", "requests")
    got = served(
        """
        import io, tempfile
        import django, requests
        from django.conf import settings
        settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="x", DEBUG=False)
        django.setup()
        from django.core.wsgi import get_wsgi_application
        from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse
        from django.urls import path
        file = tempfile.NamedTemporaryFile()
        file.write(bytes(1000000)); file.flush()

        def upload(request):
            return JsonResponse({name: item.size for name, item in request.FILES.items()})
        def body(request):
            return HttpResponse(str(len(request.body)))
        urlpatterns = [
            path("upload", upload),
            path("body", body),
            path("stream", lambda request: StreamingHttpResponse(str(n) for n in range(10))),
            path("file", lambda request: FileResponse(open(file.name, "rb"))),
        ]
        def client(url):
            with requests.Session() as session:
                print(session.post(url + "/upload", files={"f": io.BytesIO(b"y" * 5000000)}).json())
                print(session.post(url + "/body", data=b"z" * 100000).text)
                print(session.get(url + "/stream").text)
                print(len(session.get(url + "/file").content))
                done = session.get(url + "/file", headers={"Range": "bytes=-5"})
                print(done.status_code, done.headers["Content-Range"])
        serve(get_wsgi_application(), client)
        file.close()
        """
    )
    assert got == [
        "{'f': 5000000}",
        "100000",
        "0123456789",
        "1000000",
        "206 bytes 999995-999999/1000000",
    ]


def test_bottle_and_a_hundred_clients_at_once(served):
    need("bottle", "requests")
    got = served(
        """
        import bottle, requests
        app = bottle.Bottle()
        meeting = threading.Barrier(100, timeout=30)
        @app.get("/<name>")
        def hello(name):
            meeting.wait()  # answers when a hundred requests are here
            return f"hello {name}"
        def client(url):
            found = []
            threads = [
                threading.Thread(target=lambda n=n: found.append(requests.get(f"{url}/{n}").text))
                for n in range(100)
            ]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            print(len(set(found)))
        serve(app, client)
        """
    )
    assert got == ["100"]


def test_curl_uploads_with_expect_and_downloads_ranges(served):
    got = served(
        """
        import shutil, sys, tempfile
        if shutil.which("curl") is None:
            print("no curl"); sys.exit()
        file = tempfile.NamedTemporaryFile()
        file.write(b"0123456789" * 300000); file.flush()
        def app(environ, start_response):
            if environ["REQUEST_METHOD"] == "PUT":
                size = len(environ["wsgi.input"].read())
                start_response("201 Created", [])
                return [b"%d %s" % (size, environ.get("HTTP_EXPECT", "none").encode())]
            start_response("200 OK", [])
            return environ["wsgi.file_wrapper"](open(file.name, "rb"))
        def curl(*args):
            command = ["curl", "-sS", "--max-time", "30", *args]
            return subprocess.run(command, capture_output=True, check=True).stdout
        def client(url):
            print(curl("-T", file.name, url).decode())
            print(curl("-T", file.name, "-H", "Expect: 100-continue", url).decode())
            print(curl("-T", file.name, "-H", "Transfer-Encoding: chunked", url).decode()[:7])
            print(curl("-r", "5-14", url).decode(), len(curl(url, url)))
            print(curl("--http1.0", "-r", "-3", url).decode())
        serve(app, client)
        """
    )
    if got == ["no curl"]:
        pytest.skip("curl is not installed")
    assert got[0].startswith("3000000 ")
    assert got[1:] == ["3000000 100-continue", "3000000", "5678901234 6000000", "789"]


def test_simple_websocket_takes_the_socket_over(served):
    need("simple_websocket")
    got = served(
        """
        import simple_websocket
        def app(environ, start_response):
            ws = simple_websocket.Server(environ)
            try:
                while True:
                    ws.send(ws.receive().upper())
            except simple_websocket.ConnectionClosed:
                pass
            return []
        def client(url):
            clients = [simple_websocket.Client(url.replace("http", "ws") + "/") for _ in range(20)]
            for ws in clients: ws.send("hello")
            print({ws.receive(timeout=10) for ws in clients})
            for ws in clients: ws.close()
        serve(app, client)
        """
    )
    assert got == ["{'HELLO'}"]


def test_flask_socketio_in_threading_mode_upgrades_to_websocket(served):
    need("flask_socketio", "socketio", "websocket", "requests")
    got = served(
        """
        import flask, flask_socketio, socketio
        app = flask.Flask(__name__)
        server_side = flask_socketio.SocketIO(app, async_mode="threading")
        @server_side.on("shout")
        def shout(text):
            return text.upper()
        def client(url):
            for transports in (["polling"], ["websocket"], ["polling", "websocket"]):
                with socketio.SimpleClient() as sio:
                    sio.connect(url, transports=transports)
                    print(sio.transport, sio.call("shout", "hey", timeout=10))
        serve(app, client)
        """
    )
    assert got == ["polling HEY", "websocket HEY", "websocket HEY"]
