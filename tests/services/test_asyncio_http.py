"""aiohttp, httpx.AsyncClient and websockets beside blocking code, in one thread."""

from .conftest import need

CLIENTS = """
    import asyncio, sys
    import aiohttp, httpx, requests
    import greenroom
    base = sys.argv[1]
    async def with_aiohttp(path):
        async with aiohttp.ClientSession() as session, session.get(base + path) as reply:
            reply.raise_for_status()
            return await reply.text()
    async def with_httpx(path):
        async with httpx.AsyncClient(timeout=30) as client:
            return (await client.get(base + path)).raise_for_status().text
    def blocking(path):
        reply = requests.get(base + path, timeout=30)
        reply.raise_for_status()
        return reply.text
    async def blocking_in_a_coroutine(path):
        return blocking(path)
    async def in_a_green_thread(path):
        return await greenroom.spawn(blocking, path)
    def awaits(path):
        return greenroom.await_(with_aiohttp(path))
    async def awaits_in_a_green_thread(path):
        return await greenroom.spawn(awaits, path)
"""


def test_ten_requests_of_five_kinds_are_at_the_server_together(slow, program):
    need("aiohttp", "httpx", "requests")
    code = """
    async def main():
        ways = [
            with_aiohttp, with_httpx, blocking_in_a_coroutine, in_a_green_thread,
            awaits_in_a_green_thread,
        ]
        found = await asyncio.gather(*(way("/hold/five-kinds") for way in ways * 2))
        print(set(found))
    asyncio.run(main())
    """
    assert program(CLIENTS + code, slow) == ["{'done'}"]


def test_time_limits_and_errors(slow, program):
    need("aiohttp", "httpx", "requests")
    code = """
    async def main():
        for way in with_aiohttp, with_httpx, blocking_in_a_coroutine:
            try:
                async with asyncio.timeout(0.1):
                    await way("/hang")
            except TimeoutError as error:
                print(way.__name__, type(error).__name__)
            task = asyncio.create_task(way("/hang"))
            await asyncio.sleep(0.1)
            task.cancel()
            await asyncio.wait([task])
            print(task.cancelled())
            try:
                await way("/error")
            except (aiohttp.ClientResponseError, httpx.HTTPStatusError, requests.HTTPError):
                print("error")
            print(await way("/fine"))
    asyncio.run(main())
    """
    assert program(CLIENTS + code, slow) == [
        line
        for way in ("with_aiohttp", "with_httpx", "blocking_in_a_coroutine")
        for line in (f"{way} TimeoutError", "True", "error", "done")
    ]


def test_handlers_of_an_aiohttp_server_block_together(slow, program):
    need("aiohttp", "requests")
    code = """
    from aiohttp import web
    async def handler(request):
        return web.Response(text=blocking("/hold/aiohttp-server"))
    async def main():
        app = web.Application()
        app.router.add_get("/", handler)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = "http://%s:%s/" % runner.addresses[0]
        def plain():
            return requests.get(url, timeout=30).text
        async with aiohttp.ClientSession() as session:
            async def get():
                async with session.get(url) as reply:
                    return await reply.text()
            found = await asyncio.gather(
                *(get() for _ in range(5)), *(greenroom.spawn(plain) for _ in range(5))
            )
        await runner.cleanup()
        print(set(found))
    asyncio.run(main())
    """
    assert program(CLIENTS + code, slow) == ["{'done'}"]


def test_websockets_of_three_kinds_meet_in_handlers_that_block(program):
    need("websockets")
    code = """
    import asyncio, threading
    import greenroom
    from websockets.asyncio.client import connect
    from websockets.asyncio.server import serve
    from websockets.sync.client import connect as blocking_connect
    meeting = threading.Barrier(10, timeout=20)
    async def handler(socket):
        async for message in socket:
            meeting.wait()  # blocks: the ten wait for each other
            await socket.send(message.upper())
    async def main():
        async with serve(handler, "127.0.0.1", 0) as server:
            url = "ws://127.0.0.1:%d" % server.sockets[0].getsockname()[1]
            async def talk():
                async with connect(url) as socket:
                    await socket.send("a")
                    return await socket.recv()
            def plain():
                with blocking_connect(url) as socket:
                    socket.send("a")
                    return socket.recv(timeout=20)
            async def plain_in_a_coroutine():
                return plain()
            found = await asyncio.gather(
                *(talk() for _ in range(4)),
                *(plain_in_a_coroutine() for _ in range(3)),
                *(greenroom.spawn(plain) for _ in range(3)),
            )
        print(set(found))
    asyncio.run(main())
    """
    assert program(code) == ["{'A'}"]
