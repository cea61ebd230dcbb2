"""greenroom's servers.

web_greenroom.py wsgi|file|asgi|websocket|asgi-websocket|tls|workers_N PORT
"""

import greenroom

greenroom.patch_all()

import os  # noqa: E402  (after patching)
import sys  # noqa: E402

from blocking import echo  # noqa: E402
from listener import CERTIFICATE, free_port, listen  # noqa: E402
from web_app import ASGI, WSGI, wsgi_computing  # noqa: E402

from greenroom import (  # noqa: E402
    TLS,
    ASGIApplication,
    HTTPServer,
    TCPServer,
    WebSocketApplication,
    WSGIApplication,
)


def echo_messages(ws: greenroom.WebSocket) -> None:
    for message in ws:
        ws.send(message)


def serve_workers(count: int) -> None:
    """As `greenroom serve` does: the workers are this program, started again with its arguments."""
    port = int(sys.argv[2])
    if port == 0:
        port = free_port()
        print("PORT", port, flush=True)
        os.execv(sys.executable, [sys.executable, sys.argv[0], sys.argv[1], str(port)])
    greenroom.serve(wsgi_computing, f"127.0.0.1:{port}", workers=count)


def main() -> None:
    case = sys.argv[1]
    server: TCPServer
    if case.startswith("workers_"):
        serve_workers(int(case.removeprefix("workers_")))
        return
    if case == "tls":
        server = TCPServer(listen(), lambda sock, _: echo(sock), tls=TLS(CERTIFICATE))
    elif case == "websocket":
        server = HTTPServer(listen(), WebSocketApplication(echo_messages))
    elif case in WSGI:
        server = HTTPServer(listen(), WSGIApplication(WSGI[case]))
    else:
        app = ASGI[case.removeprefix("asgi-")]
        server = HTTPServer(listen(), ASGIApplication(app, lifespan="off"))
    server.serve_forever()


main()
