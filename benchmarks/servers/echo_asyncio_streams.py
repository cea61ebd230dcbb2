"""Echo server on asyncio streams: a coroutine per connection, `await read`, `await drain`."""

import asyncio

from listener import BACKLOG, RECV_SIZE, listen


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(RECV_SIZE):
        writer.write(data)
        await writer.drain()
    writer.close()


async def main() -> None:
    server = await asyncio.start_server(echo, sock=listen(), backlog=BACKLOG)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
