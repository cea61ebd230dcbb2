"""FastAPI on uvicorn, Django's async views, anyio and trio, all unmodified.

Overlap is shown by meetings: a request goes on when so many others have come as far.
"""

import pytest

from .conftest import need


@pytest.mark.parametrize("loop", ["auto", "asyncio"])
def test_endpoints_of_fastapi_that_block_hold_up_nobody(program, loop):
    need("fastapi", "requests", "uvicorn")
    code = """
    import asyncio, contextlib, http.server, socket, sys, threading, time
    sys.modules["uvloop"] = None  # which "auto" takes where it is installed
    import requests, uvicorn
    import greenroom
    from fastapi import FastAPI

    meeting = threading.Barrier(50, timeout=30)
    class Slow(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            meeting.wait()  # answers when fifty requests are here
            self.send_response(200)
            self.end_headers()
        def log_message(self, *args):
            pass
    class SlowServer(http.server.ThreadingHTTPServer):
        request_queue_size = 128
    slow = SlowServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=slow.serve_forever).start()

    @contextlib.asynccontextmanager
    async def lifespan(app):
        ticker = asyncio.create_task(tick())
        yield
        ticker.cancel()
    app, ticks = FastAPI(lifespan=lifespan), 0
    @app.get("/")
    async def endpoint():
        return requests.get(f"http://127.0.0.1:{slow.server_port}/", timeout=30).status_code
    @app.get("/ticks")
    async def ticking():
        before = ticks
        while ticks < before + 3:
            await asyncio.sleep(0.001)
        return ticks
    async def tick():
        global ticks
        while True:
            await asyncio.sleep(0.001)
            ticks += 1

    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    url = "http://127.0.0.1:%d/" % listener.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, loop=sys.argv[1], log_level="warning"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    def get(path=""):
        reply = requests.get(url + path, timeout=30)
        reply.raise_for_status()
        return reply.json()
    tasks = [greenroom.spawn(get) for _ in range(49)]
    while meeting.n_waiting < 49:
        time.sleep(0.01)
    print("49 wait, and it ticks", get("ticks") >= 3, meeting.n_waiting)
    tasks.append(greenroom.spawn(get))
    print({task.result() for task in tasks})
    server.should_exit = True
    thread.join()
    slow.shutdown()
    """
    assert program(code, loop) == ["49 wait, and it ticks True 49", "{200}"]


def test_a_thousand_coroutines_block_at_once(program):
    code = """
    import asyncio, threading
    meeting = threading.Barrier(1000, timeout=60)
    async def blocks(number):
        meeting.wait()
        await asyncio.sleep(0)
        return number
    async def main():
        return await asyncio.gather(*map(blocks, range(1000)))
    print(asyncio.run(main()) == [*range(1000)])
    """
    assert program(code) == ["True"]


def test_anyio_on_the_loop(program):
    need("anyio")
    code = """
    import threading, time
    import anyio, anyio.from_thread, anyio.to_thread
    async def main():
        main_thread = threading.get_ident()
        async def double(number):
            return number * 2
        def in_thread():
            assert threading.get_ident() != main_thread
            return anyio.from_thread.run(double, 21)
        print(await anyio.to_thread.run_sync(in_thread))
        order = []
        async with anyio.create_task_group() as group:
            async def step(name, pause):
                await anyio.sleep(pause)
                time.sleep(0.001)
                order.append(name)
            group.start_soon(step, "second", 0.1)
            group.start_soon(step, "first", 0)
        print(order)
        with anyio.move_on_after(0.05) as scope:
            await anyio.sleep_forever()
        print(scope.cancelled_caught)
        with anyio.move_on_after(0.05) as scope:
            try:
                threading.Event().wait(30)  # blocks: cancelled where it waits
            finally:
                print("left")
        print(scope.cancelled_caught)
        send, receive = anyio.create_memory_object_stream(1)
        async with anyio.create_task_group() as group:
            group.start_soon(send.send, "item")
            print(await receive.receive())
        send.close()
        receive.close()
    anyio.run(main)
    with anyio.from_thread.start_blocking_portal() as portal:
        print(portal.call(anyio.sleep, 0))
    """
    assert program(code) == [
        "42",
        "['first', 'second']",
        "True",
        "left",
        "True",
        "item",
        "None",
    ]


def test_djangos_guard_lets_a_green_thread_be_while_a_loop_runs(program):
    need("django", "asgiref")
    code = """
    import asyncio, threading
    import django
    from django.conf import settings
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x",
    )
    django.setup()
    from asgiref.sync import async_to_sync, sync_to_async
    from django.core.exceptions import SynchronousOnlyOperation
    from django.db import connection
    from django.http import HttpResponse
    from django.test import AsyncClient
    from django.urls import path
    import greenroom

    started, asked = threading.Event(), threading.Event()
    def query():
        with connection.cursor() as cursor:
            cursor.execute("select 42")
            found = cursor.fetchone()[0]
        connection.close()
        return found
    async def view(request):
        started.set()
        asked.wait()  # blocks, in the running loop, while the other task asks the database
        try:
            query()
        except SynchronousOnlyOperation:
            print("the guard stands in a coroutine")
        return HttpResponse(str(await sync_to_async(query)()))
    urlpatterns = [path("", view)]
    def sync_task():
        started.wait()
        found = query()
        asked.set()
        return found
    async def main():
        task = greenroom.spawn(sync_task)
        reply = await AsyncClient().get("/")
        print(reply.content.decode(), await task)
    asyncio.run(main())
    print(async_to_sync(sync_to_async(query))())
    """
    assert program(code) == ["the guard stands in a coroutine", "42 42", "42"]


def test_trio_refuses_patched_locks_and_unpatched_keeps_the_thread(program, script):
    need("trio")
    patched = """
    import trio
    try:
        trio.run(trio.sleep, 0)
    except trio.TrioInternalError:
        print("refused")
    """
    assert program(patched) == ["refused"]
    unpatched = """
    import warnings
    import greenroom, trio
    warnings.filterwarnings("ignore", "It looks like Trio")  # whose is the wake-up fd of signals?
    order = []
    async def trios():
        await trio.sleep(0.01)
        order.append("trio")
    greenroom.joinall([greenroom.spawn(trio.run, trios), greenroom.spawn(order.append, "other")])
    print(order)
    """
    assert script(unpatched) == ["['trio', 'other']"]
