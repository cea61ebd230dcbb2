"""Echo server on asyncio, lowest layer: a Protocol, callbacks and no coroutine per connection.

Both transports, asyncio's and uvloop's, set TCP_NODELAY by themselves and choose the size of
their own receive buffer (256 KiB).
"""

import asyncio
from typing import cast

from listener import BACKLOG, listen


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, sock=listen(), backlog=BACKLOG)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
