"""select and selectors under patching: every selector class parks, made before or after."""

import textwrap

import pytest

from .children import output_of

PATCHED = """
import select, selectors, socket
import greenroom
greenroom.patch_all()
from greenroom.testing.clock import VirtualClock
one, two = socket.socketpair()
"""


def patched(code):
    return output_of(PATCHED + textwrap.dedent(code) + "\none.close(), two.close()\n")


@pytest.mark.parametrize(
    "kind", ["DefaultSelector", "SelectSelector", "PollSelector", "EpollSelector"]
)
def test_a_selector_parks_until_an_event_or_its_timeout(kind):
    code = f"""
        with selectors.{kind}() as selector, VirtualClock() as clock:
            key = selector.register(one, selectors.EVENT_READ, "data")
            print(selector.select(2), clock.now(), selector.select(0), selector.select(-1))
            waiting = greenroom.spawn(selector.select)
            greenroom.sleep(5)
            print(waiting.done, clock.now())
            two.sendall(b"x")
            print(waiting.result() == [(key, selectors.EVENT_READ)])
            selector.modify(one, selectors.EVENT_WRITE)
            print(selector.select()[0][1] == selectors.EVENT_WRITE)
            selector.unregister(one)
            print(selector.select(1), clock.now())
    """
    assert patched(code) == ["[] 2.0 [] []", "False 7.0", "True", "True", "[] 8.0"]


def test_select_poll_and_epoll_of_the_select_module_park():
    code = """
        seen = []
        def wait_select():
            return select.select([one], [], [])[0] == [one]
        def wait_poll():
            poll = select.poll()
            poll.register(one, select.POLLIN)
            return poll.poll() == [(one.fileno(), select.POLLIN)]
        def wait_epoll():
            with select.epoll() as epoll:
                epoll.register(one, select.EPOLLIN)
                return epoll.poll() == [(one.fileno(), select.EPOLLIN)]
        tasks = [greenroom.spawn(fn) for fn in (wait_select, wait_poll, wait_epoll)]
        greenroom.sleep(0)
        print([task.done for task in tasks])
        two.sendall(b"x")
        print([task.result() for task in tasks])
        print(isinstance(select.epoll(), select.epoll))
    """
    assert patched(code) == ["[False, False, False]", "[True, True, True]", "True"]


def test_a_regular_file_in_select_and_poll():
    code = """
        import tempfile
        with tempfile.TemporaryFile() as file, selectors.SelectSelector() as selector:
            print(select.select([file, one], [], []) == ([file], [], []))
            selector.register(file, selectors.EVENT_READ)
            print(len(selector.select()))
    """
    assert patched(code) == ["True", "1"]


def test_wait_for_several_children_by_subprocess_communicate():
    code = """
        import subprocess, sys
        command = [sys.executable, "-c", "print(input().upper())"]
        def run(word):
            return subprocess.run(command, input=word, capture_output=True, text=True).stdout
        tasks = [greenroom.spawn(run, word) for word in ("one", "two")]
        print([task.result() for task in tasks])
    """
    assert patched(code) == ["['ONE\\n', 'TWO\\n']"]


def test_asyncio_runs_in_a_task_while_others_go_on():
    code = """
        import asyncio, threading, time
        async def main():
            while len(ticks) < 3:
                await asyncio.sleep(0.001)
            return "asyncio"
        ticks = []
        def tick():
            while not done:
                ticks.append(1)
                time.sleep(0.001)
        done = []
        ticking = greenroom.spawn(tick)
        print(greenroom.spawn(asyncio.run, main()).result())
        done.append(True)
        ticking.join()
    """
    assert patched(code) == ["asyncio"]


def test_an_asyncio_loop_that_is_always_busy_lets_threads_run():
    code = """
        import greenroom
        greenroom.patch_all()
        import asyncio, threading
        ran = []
        async def busy():
            while not ran:
                await asyncio.sleep(0)
        threading.Thread(target=ran.append, args=(1,)).start()
        asyncio.run(busy())
        print(ran)
    """
    assert output_of(code) == ["[1]"]


def test_two_threads_may_each_run_an_asyncio_loop():
    code = """
        import greenroom
        greenroom.patch_all()
        import asyncio, threading
        from greenroom.testing.clock import VirtualClock
        async def work(name, pause):
            for step in range(2):
                await asyncio.sleep(pause)
                print(name, step, asyncio.get_running_loop() is asyncio.current_task().get_loop())
        threads = [
            threading.Thread(target=asyncio.run, args=(work(name, pause),))
            for name, pause in (("a", 2), ("b", 3))
        ]
        with VirtualClock():
            for thread in threads:
                thread.start()
            asyncio.run(work("main", 8))
            for thread in threads:
                thread.join()
    """
    assert output_of(code) == [
        "a 0 True",
        "b 0 True",
        "a 1 True",
        "b 1 True",
        "main 0 True",
        "main 1 True",
    ]


def test_a_coroutine_that_waits_in_select_takes_the_running_loop_from_nobody():
    code = """
        import greenroom
        greenroom.patch_all()
        import asyncio, select, socket
        one, other = socket.socketpair()
        async def blocks():
            select.select([one], [], [])
            print("blocks", asyncio.get_running_loop() is loop)
        async def goes_on():
            for _ in range(2):
                print("goes on", asyncio.get_running_loop() is loop)
                await asyncio.sleep(0)
            other.send(b"x")
        async def main():
            global loop
            loop = asyncio.get_running_loop()
            await asyncio.gather(blocks(), goes_on())
        asyncio.run(main())
    """
    assert output_of(code) == ["goes on True", "goes on True", "blocks True"]
