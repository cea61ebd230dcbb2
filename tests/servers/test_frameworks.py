"""Frameworks on the ASGI and WSGI applications, and what brings a WebSocket of its own.

Each in a child, patched as `greenroom run` patches.
"""

import subprocess
import sys
import textwrap

import pytest

HEAD = """
import greenroom
greenroom.patch_all()
import asyncio, contextlib, json, os, pathlib, sys, threading, time
import requests
from greenroom.servers.http import HTTPServer
from greenroom.servers.asgi import ASGIApplication
from greenroom.servers.wsgi import WSGIApplication

@contextlib.contextmanager
def serving(application):
    with application, HTTPServer(("127.0.0.1", 0), application) as server:
        yield server

def url_of(server, scheme="http"):
    return "%s://127.0.0.1:%d" % (scheme, server.address[1])
"""


def run(code, *modules):
    """Run code after HEAD, if its modules are there; it must say `done` and nothing on stderr."""
    for name in ("requests", *modules):
        pytest.importorskip(name)
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", HEAD + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout.split()[-1:]) == (0, ["done"]), done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr


def test_starlette_with_streams_background_tasks_middleware_and_websockets():
    run(
        """
        from starlette.applications import Starlette
        from starlette.background import BackgroundTask
        from starlette.middleware import Middleware
        from starlette.middleware.base import BaseHTTPMiddleware
        from starlette.responses import FileResponse, JSONResponse, StreamingResponse
        from starlette.routing import Route, WebSocketRoute
        from websockets.sync.client import connect

        log = []
        background = greenroom.Event()
        @contextlib.asynccontextmanager
        async def lifespan(app):
            log.append("up")
            yield {"pool": 5}
            log.append("down")
        async def stream(request):
            async def pieces():
                for number in range(5):
                    await asyncio.sleep(0.001)
                    yield b"%d" % number
            return StreamingResponse(pieces())
        async def body(request):
            size = 0
            async for piece in request.stream():
                size += len(piece)
            return JSONResponse({"size": size, "pool": request.state.pool})
        async def later(request):
            async def work():
                await asyncio.sleep(0.01)
                log.append("background")
                background.set()
            return JSONResponse({}, background=BackgroundTask(work))
        async def file(request):
            return FileResponse(os.__file__)
        async def fails(request):
            raise ValueError("a bug")
        async def chat(ws):
            await ws.accept(subprotocol="chat" if "chat" in ws.scope["subprotocols"] else None)
            async for message in ws.iter_text():
                await ws.send_text(message.upper())
        class Timing(BaseHTTPMiddleware):
            async def dispatch(self, request, call_next):
                response = await call_next(request)
                response.headers["x-timing"] = "1"
                return response
        routes = [Route("/stream", stream), Route("/body", body, methods=["POST"]),
                  Route("/later", later), Route("/file", file), WebSocketRoute("/chat", chat)]
        app = Starlette(routes=routes, middleware=[Middleware(Timing)], lifespan=lifespan)
        with serving(ASGIApplication(app)) as server:
            url = url_of(server)
            with requests.Session() as session:
                response = session.get(url + "/stream")
                assert response.text == "01234" and response.headers["x-timing"] == "1"
                answer = session.post(url + "/body", data=b"x" * 300_000).json()
                assert answer == {"size": 300_000, "pool": 5}
                assert session.get(url + "/later").status_code == 200
                assert background.wait(30)
                assert session.get(url + "/file").content == pathlib.Path(os.__file__).read_bytes()
                assert session.get(url + "/nothing").status_code == 404
            with connect(url_of(server, "ws") + "/chat", subprotocols=["chat"]) as ws:
                assert ws.subprotocol == "chat"
                for word in ("one", "two" * 1000):
                    ws.send(word)
                    assert ws.recv(10) == word.upper()
            assert ws.protocol.close_code == 1000
        assert log == ["up", "background", "down"], log
        print("done")
        """,
        "starlette",
        "websockets",
    )


def test_fastapi_with_fifty_endpoints_that_block_at_once():
    """requests.get() and time.sleep() in an `async def`: each parks its own coroutine."""
    run(
        """
        from fastapi import Depends, FastAPI, WebSocket
        from pydantic import BaseModel
        meeting = threading.Barrier(50, timeout=30)
        def slow(environ, start_response):
            meeting.wait()  # answers when fifty are here
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"slow"]
        class Item(BaseModel):
            name: str
            price: float
        app = FastAPI()
        @app.get("/blocks")
        async def blocks():
            time.sleep(0.001)
            return requests.get(slow_url, timeout=30).text
        @app.get("/threads")
        def threads():
            return "from a thread"
        @app.post("/items")
        async def items(item: Item):
            return item
        with HTTPServer(("127.0.0.1", 0), WSGIApplication(slow)) as other:
            slow_url = url_of(other)
            with serving(ASGIApplication(app)) as server:
                url = url_of(server)
                get = lambda: requests.get(url + "/blocks", timeout=30).json()
                tasks = [greenroom.spawn(get) for _ in range(50)]
                assert {task.result() for task in tasks} == {"slow"}
                assert requests.get(url + "/threads").json() == "from a thread"
                item = {"name": "x", "price": 1.5}
                assert requests.post(url + "/items", json=item).json() == item
                assert requests.post(url + "/items", json={}).status_code == 422
        print("done")
        """,
        "fastapi",
    )


def test_django_by_asgi():
    run(
        """
        from django.conf import settings
        settings.configure(ROOT_URLCONF=__name__, SECRET_KEY="x", ALLOWED_HOSTS=["*"], DEBUG=False)
        import django
        from django.core.asgi import get_asgi_application
        from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
        from django.urls import path
        async def view(request):
            await asyncio.sleep(0)
            return JsonResponse({"q": request.GET["q"], "method": request.method})
        def plain(request):
            time.sleep(0.001)
            return HttpResponse(request.body[::-1])
        async def stream(request):
            async def pieces():
                for word in ("a", "b"):
                    yield word
            return StreamingHttpResponse(pieces())
        from django.views.decorators.csrf import csrf_exempt
        urlpatterns = [path("view", view), path("stream", stream)]
        urlpatterns += [path("plain", csrf_exempt(plain))]
        with serving(ASGIApplication(get_asgi_application())) as server:
            url = url_of(server)
            assert requests.get(url + "/view?q=ä").json() == {"q": "ä", "method": "GET"}
            assert requests.post(url + "/plain", data=b"abc").content == b"cba"
            assert requests.get(url + "/stream").content == b"ab"
            assert requests.get(url + "/nothing").status_code == 404
        print("done", flush=True)
        os._exit(0)  # 3.13: the end of the interpreter finds a dummy thread of asgiref's
        """,
        "django",
    )


def test_flask_with_greenrooms_own_websocket():
    run(
        """
        from flask import Flask, request
        from websockets.sync.client import connect
        from websockets.exceptions import InvalidStatus
        app = Flask(__name__)
        @app.route("/echo", websocket=True)
        def echo():
            with greenroom.websocket(request.environ) as ws:
                for message in ws:
                    ws.send(message)
            return ""
        with HTTPServer(("127.0.0.1", 0), WSGIApplication(app)) as server:
            with connect(url_of(server, "ws") + "/echo") as ws:
                for message in ("x", b"y" * 100_000):
                    ws.send(message)
                    assert ws.recv(10) == message
            assert ws.protocol.close_code == 1000
        print("done")
        """,
        "flask",
        "websockets",
    )


def test_simple_websocket_takes_the_socket_over():
    run(
        """
        from simple_websocket import ConnectionClosed, Server
        from websockets.sync.client import connect
        def app(environ, start_response):
            ws = Server.accept(environ)
            try:
                while True:
                    ws.send(ws.receive())
            except ConnectionClosed:
                return []
        with HTTPServer(("127.0.0.1", 0), WSGIApplication(app)) as server:
            with connect(url_of(server, "ws")) as ws:
                for message in ("x", b"y" * 100_000):
                    ws.send(message)
                    assert ws.recv(10) == message
        print("done")
        """,
        "simple_websocket",
        "websockets",
    )


def test_flask_socketio_in_threading_mode():
    run(
        """
        from flask import Flask
        from flask_socketio import SocketIO, emit
        from websockets.sync.client import connect
        app = Flask(__name__)
        sio = SocketIO(app, async_mode="threading", cors_allowed_origins="*")
        @sio.on("shout")
        def shout(data):
            time.sleep(0.001)
            emit("answer", data.upper())
        # The protocol of Engine.IO 4 and Socket.IO 5, by hand.
        with HTTPServer(("127.0.0.1", 0), WSGIApplication(app)) as server:
            path = "/socket.io/?EIO=4&transport="
            with connect(url_of(server, "ws") + path + "websocket") as ws:
                assert ws.recv(10).startswith("0{")
                ws.send("40")
                assert ws.recv(10).startswith("40{")
                ws.send('42["shout","hello"]')
                assert ws.recv(10) == '42["answer","HELLO"]'
            url = url_of(server) + path + "polling"
            sid = json.loads(requests.get(url, timeout=10).text[1:])["sid"]
            url += "&sid=" + sid
            requests.post(url, data="40", timeout=10)
            assert requests.get(url, timeout=10).text.startswith("40{")
            requests.post(url, data='42["shout","hello"]', timeout=10)
            assert requests.get(url, timeout=10).text == '42["answer","HELLO"]'
            requests.post(url, data="1", timeout=10)
            server.stop(1)
        print("done", flush=True)
        os._exit(0)  # a thread of Engine.IO never ends
        """,
        "flask_socketio",
        "simple_websocket",
        "websockets",
    )


def test_websockets_over_tls(certificate):
    """Both directions at once, more than the sockets hold, beside pings; then a good end."""
    run(
        f"""
        import ssl
        from websockets.sync.client import connect
        from greenroom.servers.websocket import WebSocketApplication
        def echo(ws):
            for message in ws:
                ws.send(message)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain({certificate.file!r}, {certificate.key!r})
        client = ssl.create_default_context(cafile={certificate.file!r})
        application = WebSocketApplication(echo, max_size=None)
        with HTTPServer(("127.0.0.1", 0), application, tls=context) as server:
            url = "wss://localhost:%d/" % server.address[1]
            with connect(url, ssl=client, compression=None, max_size=None) as ws:
                messages = [bytes([number]) * 300_000 for number in range(20)]
                def send():
                    for message in messages:
                        ws.send(message)
                sender = greenroom.spawn(send)
                for message in messages:
                    assert ws.recv(10) == message
                sender.result()
                assert ws.ping().wait(10)
            assert ws.protocol.close_code == 1000
        print("done")
        """,
        "websockets",
    )
