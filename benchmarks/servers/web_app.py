"""The applications that the HTTP servers of this folder serve, WSGI and ASGI."""

import os
from pathlib import Path
from typing import Any
from wsgiref.util import FileWrapper

FILE = Path(__file__).resolve().parent.parent / "build" / "1m.bin"
BODY = b"green room!\n"
HEADERS = [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))]
RAW_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS]


def wsgi(environ: dict[str, Any], start_response: Any) -> Any:
    start_response("200 OK", HEADERS)
    return [BODY]


def wsgi_computing(environ: dict[str, Any], start_response: Any) -> Any:
    sum(range(50_000))  # about a millisecond
    return wsgi(environ, start_response)


def wsgi_file(environ: dict[str, Any], start_response: Any) -> Any:
    file = open(FILE, "rb")  # the server closes it
    size = os.fstat(file.fileno()).st_size
    headers = [("Content-Type", "application/octet-stream"), ("Content-Length", str(size))]
    start_response("200 OK", headers)
    wrap = environ.get("wsgi.file_wrapper", FileWrapper)  # PEP 3333: servers need not have one
    return wrap(file, 65536)


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": RAW_HEADERS})
    await send({"type": "http.response.body", "body": BODY})


async def asgi_websocket(scope: dict[str, Any], receive: Any, send: Any) -> None:
    while True:
        event = await receive()
        if event["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        elif event["type"] == "websocket.receive":
            await send({"type": "websocket.send", "bytes": event["bytes"]})
        else:
            return


WSGI = {"wsgi": wsgi, "file": wsgi_file}
ASGI = {"asgi": asgi, "websocket": asgi_websocket}
