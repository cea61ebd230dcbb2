"""The steps of the tour print what their docstrings promise, in that order."""

import ast
import contextlib
import os
import signal
import socket
import subprocess
import sys

import pytest
from patch.children import EXAMPLES, child_environment, output_of, run_greenroom

from examples.test_seed import run as on_a_virtual_clock

TOUR = EXAMPLES / "tour"


def pairs(sent, handled):
    """The lines of a producer and a consumer that take turns."""
    return [line for item in range(20) for line in (f"{sent} {item}", f"{handled} {item}")]


def test_step1_iterators():
    lines = output_of(TOUR / "step1_iterators.py")
    assert lines == ["1", "2", "started", "5", "went on", "2", "3"]


def test_step2_send():
    assert output_of(TOUR / "step2_send.py") == [
        "received 123",
        "received abc",
        "total 5",
        "total 12",
    ]


def test_step3_a_producer_and_a_consumer_by_yield():
    lines = output_of(TOUR / "step3_yield_producer_consumer.py", 0)
    assert lines == pairs("sent", "handled")


def test_step4_the_same_by_greenlet_outside_and_inside_a_task():
    lines = output_of(TOUR / "step4_greenlet_producer_consumer.py", 0)
    turns = pairs("sent", "handled")
    assert lines == ["outside a task", *turns, "inside a task", *turns]


def test_step6_a_queue_of_three_keeps_the_producer_a_little_ahead():
    lines = output_of(TOUR / "step6_queue.py", 0.001)
    first = [f"produced {item}" for item in range(4)]
    middle = [line for item in range(16) for line in (f"handled {item}", f"produced {item + 4}")]
    assert lines == [*first, *middle, *(f"handled {item}" for item in range(16, 20))]


def test_step7_ten_waits_one_after_another_and_at_once():
    lines, errors = on_a_virtual_clock(TOUR / "step7_together.py")
    starts = [f"task {number} starts" for number in range(10)]
    ends = [f"task {number} is done" for number in range(10)]
    one_after_another = [line for pair in zip(starts, ends, strict=True) for line in pair]
    assert lines[:20] == one_after_another
    assert lines[20].startswith("one after another: ")  # real seconds, and few
    assert lines[21:41] == starts + ends
    assert lines[41].startswith("at once: ")
    assert lines[42:] == ["seconds: 11", "status: 0"]
    assert errors == ""


def talk(address, words):
    """Send each word over one connection and return the echoes and what follows the end."""
    with socket.create_connection(address, timeout=30) as client:
        echoes = []
        for word in words:
            client.sendall(word)
            echoes.append(client.recv(1024))
        client.shutdown(socket.SHUT_WR)
        return [*echoes, client.recv(1024)]


@contextlib.contextmanager
def served(*command):
    """A server that says where it listens: the child and the address."""
    with subprocess.Popen(
        [sys.executable, *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=child_environment(),
    ) as child:
        try:
            host, _, port = child.stdout.readline().removeprefix("listening on ").rpartition(":")
            yield child, (host, int(port))
        finally:
            child.kill()


def stopped(child):
    """Press Ctrl-C; return the exit status and the output."""
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=30)
    return child.returncode, out, err


@pytest.mark.parametrize("runner", [[], ["-m", "greenroom", "run"]])
def test_step5_an_echo_server_where_a_silent_client_holds_up_nobody(runner):
    server = served(*runner, TOUR / "step5_echo_server.py", 0)
    with server as (child, address), socket.create_connection(address):  # says nothing
        assert talk(address, [b"hello", b"again"]) == [b"hello", b"again", b""]
        assert talk(address, []) == [b""]
        assert stopped(child) == (0, "b'hello'\nb'again'\n", "")


@pytest.mark.parametrize("runner", [[], ["-m", "greenroom", "run"]])
def test_the_plain_echo_server_runs_on_threads_and_on_tasks(runner):
    server = served(*runner, EXAMPLES / "echo_server.py", 0)
    with server as (child, address), socket.create_connection(address) as silent:
        for _ in range(3):
            assert talk(address, [b"x" * 1000]) == [b"x" * 1000, b""]
        threads = len(os.listdir(f"/proc/{child.pid}/task"))
        assert threads == 1 if runner else threads > 1  # the silent one still has its thread
        silent.sendall(b"awake")
        assert silent.recv(100) == b"awake"
        assert stopped(child) == (0, "", "")


def test_step8_three_kinds_of_producers_and_consumers_share_one_queue():
    lines = output_of(TOUR / "step8_three_kinds.py")
    kinds = ("green thread", "generator", "coroutine")
    puts = [line for line in lines if " put " in line]
    gets = [line for line in lines if " got " in line]
    assert sorted(puts) == sorted(f"the {kind} put {n}" for kind in kinds for n in range(4))
    for kind in kinds:
        assert sum(line.startswith(f"the {kind} got") for line in gets) == 4
        own = [line for line in puts if kind in line]
        assert own == sorted(own)
    items = sorted(line.partition(" got ")[2] for line in gets)
    assert items == sorted(f"{n} of the {kind}" for kind in kinds for n in range(4))
    crossed = [line for line in gets if line.split(" got ")[0] != line.split(" of ")[1]]
    assert crossed
    assert len(lines) == 24


def test_step9_a_crawler_with_two_libraries():
    pytest.importorskip("aiohttp")
    done = run_greenroom("run", TOUR / "step9_crawler.py", 0.001)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "31 pages by requests and aiohttp",
        "at most 4 pages were fetched at once",
    ]


def test_step10_a_worker_that_crashes_is_restarted_and_the_end_is_in_order():
    server = served(TOUR / "step10_supervised_server.py", 0)
    with server as (child, address):
        assert [child.stdout.readline() for _ in range(2)] == [
            "worker 1 starts\n",
            "worker 2 starts\n",
        ]
        assert talk(address, [b"hello"]) == [b"hello", b""]
        assert talk(address, [b"crash"]) == [b"", b""]  # closed by the worker that failed
        restarted = child.stdout.readline()
        assert restarted in ("worker 1 starts\n", "worker 2 starts\n")
        with socket.create_connection(address):  # says nothing: holds one worker
            assert talk(address, [b"again"]) == [b"again", b""]
            status, out, err = stopped(child)
        assert status == 0
        assert out.splitlines() == [
            "the acceptor has ended",
            "worker 2 has ended",
            "worker 1 has ended",
        ]
        assert "failed; it is restarted in 0.1 s" in err and "Crash: a client said so" in err


def test_step11_select_sends_and_receives_in_one_place():
    lines = output_of(TOUR / "step11_select.py", 0.001)
    assert sorted(lines[:6]) == [f"{n} squared is {n * n}" for n in range(6)]
    assert lines[6:] == ["sent 6, received 6", "nothing came in time"]


def test_every_step_says_in_its_docstring_how_to_run_it_and_what_it_prints():
    steps = sorted(TOUR.glob("step*.py"))
    assert len(steps) == 11
    for step in steps:
        text = ast.get_docstring(ast.parse(step.read_text(encoding="utf-8")))
        assert f"examples/tour/{step.name}" in text, step.name
        assert "Prints" in text, step.name
