"""`websockets` on asyncio's own loop.   web_websockets.py websocket PORT"""

import asyncio

from listener import listen
from websockets.asyncio.server import ServerConnection, serve


async def echo(ws: ServerConnection) -> None:
    async for message in ws:
        await ws.send(message)


async def main() -> None:
    async with serve(echo, sock=listen()) as server:
        await server.serve_forever()


asyncio.run(main())
