"""Echo server on trio: a task per connection, `receive_some` and `send_all`; TCP_NODELAY is set."""

import trio
from listener import RECV_SIZE, listen


async def echo(stream: trio.SocketStream) -> None:
    while data := await stream.receive_some(RECV_SIZE):
        await stream.send_all(data)


async def main() -> None:
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(listen()))
    await trio.serve_listeners(echo, [listener])


trio.run(main)
