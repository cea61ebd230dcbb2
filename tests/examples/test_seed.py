"""The seed's own programs, unchanged, on a virtual clock: their waits take no time.

They run as `greenroom run` runs them; the driver only exchanges the clock before.
"""

import re
import socket
import subprocess
import sys
import textwrap

import pytest
from patch.children import EXAMPLES, child_environment, run_child, run_greenroom

SEED = EXAMPLES / "tour" / "seed"
AS_GEVENT = EXAMPLES / "tour" / "as_gevent"

DRIVER = """
    import sys
    from greenroom.cli.main import main
    from greenroom.testing.clock import VirtualClock
    with VirtualClock() as clock:
        try:
            status = main(["run", *sys.argv[1:]])
        except Exception:
            sys.excepthook(*sys.exc_info())
            status = 1
        print("seconds:", round(clock.now()))
        print("status:", status)
"""


def run(*args):
    done = run_child(DRIVER, *args)
    return done.stdout.splitlines(), done.stderr


def turns(first, second):
    return [line for item in range(20) for line in (f"{first} {item}", f"{second} {item}")]


def test_iterators():
    lines, _ = run(SEED / "seed_iterators.py")
    assert lines == ["1", "5", "123", "seconds: 0", "status: 0"]


@pytest.mark.parametrize("name", ["seed_yield.py", "seed_greenlet.py"])
def test_producer_and_consumer_take_turns_and_two_seconds_an_item(name):
    lines, errors = run(SEED / name)
    assert lines == [*turns("发送了数据：", "处理了数据："), "seconds: 40", "status: 0"]
    assert errors == ""


def test_raw_greenlets_inside_a_task_let_other_tasks_run():
    code = f"""
        import runpy
        import greenroom
        greenroom.patch_all()
        from greenroom.testing.clock import VirtualClock
        with VirtualClock() as clock:
            ticks = []
            def tick():
                while not running.done:
                    ticks.append(clock.now())
                    greenroom.sleep(1)
            running = greenroom.spawn(runpy.run_path, {str(SEED / "seed_greenlet.py")!r})
            ticking = greenroom.spawn(tick)
            running.result()
            ticking.join()
            print(ticks == list(range(40)) or ticks == list(range(41)), clock.now())
    """
    done = run_child(code)
    lines = done.stdout.splitlines()
    assert lines[:-1] == turns("发送了数据：", "处理了数据：")
    assert lines[-1].startswith("True 4"), done.stderr


def test_the_queue_of_three_keeps_the_producer_ahead_and_ends_with_an_error_that_says_why():
    lines, errors = run("--as-gevent", AS_GEVENT / "seed_queue.py")
    assert lines[-2:] == ["seconds: 20", "status: 1"]
    produced = [f"生产了数据： {item}" for item in range(20)]
    handled = [f"处理了数据： {item}" for item in range(20)]
    assert [line for line in lines if line.startswith("生产")] == produced
    assert [line for line in lines if line.startswith("处理")] == handled
    assert lines[:6] == [*produced[:4], handled[0], produced[4]]
    assert "DeadlockError: nothing can run: " in errors
    assert re.search(r"<Task consumer> waits for .*seed_queue\.py:\d+ in consumer", errors)


def test_ten_tasks_take_ten_seconds_one_after_another_and_one_at_once():
    lines, errors = run("--as-gevent", AS_GEVENT / "seed_async.py")
    ten = [f"任务执行： {number}" for number in range(10)]
    assert lines == ["synch", *ten, "asynch", *ten, "seconds: 11", "status: 0"]
    assert errors == ""


# The seed's server does not say where it listens: it is told for it.
LISTENS = """
    import socket, sys
    from greenroom.cli.main import main
    listen = socket.socket.listen
    def told(sock, *args):
        listen(sock, *args)
        print(sock.getsockname()[1])
    socket.socket.listen = told
    main(["run", *sys.argv[1:]])
"""


@pytest.fixture
def seed_server(tmp_path):
    """The seed's echo server on a free port: the only change is the number."""
    path = tmp_path / "seed_echo_server.py"
    text = (AS_GEVENT / "seed_echo_server.py").read_text(encoding="utf-8")
    assert text.count("('127.0.0.1',8989)") == 1
    path.write_text(text.replace("8989", "0"), encoding="utf-8")
    command = [sys.executable, "-c", textwrap.dedent(LISTENS), "--as-gevent", str(path)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=child_environment())
    try:
        yield child, ("127.0.0.1", int(child.stdout.readline()))
    finally:
        child.kill()
        child.communicate()


def connect(address):
    return socket.create_connection(address, timeout=60)


def test_the_echo_server_serves_one_client_while_another_says_nothing(seed_server):
    child, address = seed_server
    with connect(address) as silent, connect(address) as client:
        client.sendall(b"hello")
        assert client.recv(100) == b"hello"
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b""
        assert child.stdout.readline() == "b'hello'\n"
        silent.sendall(b"awake")
        assert silent.recv(100) == b"awake"


def test_with_as_gevent_missing_the_program_says_that_gevent_is_not_there():
    done = run_greenroom("run", AS_GEVENT / "seed_async.py")
    if "No module named 'gevent'" not in done.stderr:
        pytest.skip("gevent itself is installed here")
    assert done.returncode == 1
