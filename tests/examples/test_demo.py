"""scripts/demo.py: small, it succeeds; with a server that lies, dies or is silent, it must not."""

import sys
import textwrap

import pytest
from patch.children import ROOT, run_child, run_command

DEMO = ROOT / "scripts" / "demo.py"


def demo(*args):
    return run_child(DEMO, *args, timeout=120)


@pytest.fixture
def server(tmp_path):
    """A function that writes an echo server with a fault and returns --server for it."""

    def write(reply):
        path = tmp_path / "server.py"
        path.write_text(
            textwrap.dedent(f"""
            import os, socket, sys, threading
            listener = socket.create_server(("127.0.0.1", 0), backlog=500)
            print("listening on 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
            count = 0
            def serve(conn):
                global count
                while data := conn.recv(65536):
                    count += 1
                    {reply}
                conn.close()
            while True:
                conn, _ = listener.accept()
                threading.Thread(target=serve, args=(conn,), daemon=True).start()
            """)
        )
        return ["--server", f"{sys.executable} -m greenroom run {path}"]

    return write


def test_a_small_demo_succeeds_and_ends_with_its_table():
    done = demo("--connections", 200, "--rounds", 3)
    assert done.returncode == 0, done.stderr
    table = {line.strip().split("  ")[0]: line for line in done.stdout.splitlines()}
    assert "200" in table["connections held at once"]
    assert "600" in table["messages echoed and verified"]
    assert table["OS threads of the server"].split()[-1] == "1"
    assert "memory per connection" in table
    assert "latency p50 / p99" in table


def test_an_honest_server_of_ones_own_succeeds(server):
    done = demo("--connections", 20, "--rounds", 2, *server("conn.sendall(data)"))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ("conn.sendall(data[:-1] + bytes([data[-1] ^ 1]))", "came back as"),
        ("conn.sendall(data if count != 30 else bytes(len(data)))", "came back as"),
        ("conn.sendall(data + b'x')", "more came back"),
        ("conn.close(); return", "closed connection"),
        ("os._exit(3)", "exit code 3"),
    ],
)
def test_a_faulty_server_is_found_out(server, reply, words):
    done = demo("--connections", 20, "--rounds", 3, *server(reply))
    assert done.returncode == 1, done.stdout
    assert words in done.stderr, done.stderr


def test_a_server_that_cannot_be_started_is_one_sentence():
    done = demo("--server", "/no/such/program")
    assert done.returncode == 1
    assert done.stderr.startswith("\ndemo failed: the server could not be started")


def test_wrong_numbers_show_the_usage():
    done = run_command(sys.executable, DEMO, "--connections", "0")
    assert done.returncode == 2
    assert "0 is below 1" in done.stderr
