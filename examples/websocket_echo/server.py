"""A page that talks to a WebSocket: each message comes back.

    python examples/websocket_echo/server.py 8000     then open http://127.0.0.1:8000/

Only pages of this server may connect (origins="same"). It prints where it listens (port 0 lets the
system choose) and serves until Ctrl-C. It needs greenroom[http].
"""

import sys
from pathlib import Path

from greenroom.servers.http import Exchange, HTTPServer
from greenroom.servers.websocket import WebSocket, WebSocketApplication

PAGE = (Path(__file__).parent / "page.html").read_bytes()


def echo(ws: WebSocket) -> None:
    """Send back whatever comes, until the client closes."""
    for message in ws:
        ws.send(message)


def page(exchange: Exchange) -> None:
    """Answer a plain request with the page."""
    if exchange.path == b"/":
        exchange.start(200, None, [(b"Content-Type", b"text/html; charset=utf-8")])
        exchange.finish(PAGE)
    else:
        exchange.start(404, None, [(b"Content-Type", b"text/plain")])
        exchange.finish(b"There is nothing here.\n")


def main(port: int) -> None:
    application = WebSocketApplication(echo, otherwise=page, origins="same", subprotocols=["echo"])
    with HTTPServer(("127.0.0.1", port), application) as server:
        print(f"listening on http://127.0.0.1:{server.address[1]}/", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
    except KeyboardInterrupt:
        pass
