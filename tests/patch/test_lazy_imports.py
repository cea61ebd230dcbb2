"""Python 3.15's lazy imports (PEP 810): a row takes effect when the name is first used."""

import sys

import pytest

from .children import output_of, run_child, run_greenroom

pytestmark = pytest.mark.skipif(sys.version_info < (3, 15), reason="lazy imports are new in 3.15")

ALL = {"PYTHON_LAZY_IMPORTS": "all"}

# Each uses what it imports from two threads at once: the second goes on while the first waits.
PROGRAM = """
import http.server
import queue
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from time import sleep

order = []

def waits():
    order.append("waits")
    sleep(0.05)
    order.append("waited")

def both(call):
    order.clear()
    threads = [threading.Thread(target=waits), threading.Thread(target=call)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(order)

def receive():
    one, other = socket.socketpair()
    threading.Timer(0.1, other.send, (b"x",)).start()
    order.append(one.recv(1))

def run():
    order.append(subprocess.run(["sleep", "0.1"]).returncode)

def take():
    things = queue.Queue()
    threading.Timer(0.1, things.put, (1,)).start()
    order.append(things.get())

def pool():
    with ThreadPoolExecutor(2) as executor:
        order.extend(executor.map(sleep, [0.1, 0.1]))

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(0.1)
        self.send_response(204)
        self.end_headers()
    def log_request(self, code):
        pass

def fetch():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever).start()
    order.append(urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/").status)
    server.shutdown()
    server.server_close()

for call in (receive, run, take, pool, fetch):
    both(call)
print(ssl.SSLSocket.read.__module__.partition(".")[0])
"""
ANSWER = [
    "['waits', 'waited', b'x']",
    "['waits', 'waited', 0]",
    "['waits', 'waited', 1]",
    "['waits', 'waited', None, None]",
    "['waits', 'waited', 204]",
    "greenroom",
]


def test_greenroom_run_where_every_import_is_lazy(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    done = run_greenroom("run", path, env=ALL)
    assert (done.returncode, done.stderr, done.stdout.splitlines()) == (0, "", ANSWER)


def test_patching_after_lazy_imports_keeps_no_old_names():
    # What an eager `from time import sleep` before patch_all() keeps, a lazy one looks up later.
    late = PROGRAM.replace("\norder = []", "import greenroom\ngreenroom.patch_all()\n\norder = []")
    assert output_of(late, env=ALL) == ANSWER


@pytest.mark.parametrize("part", ["thread", "queue", "socket", "ssl", "asyncio", "time", "os"])
def test_a_part_that_is_left_out(part, tmp_path):
    # Symptom: without "thread" the module of the originals was imported in the middle of patching.
    path = tmp_path / "program.py"
    path.write_text("import queue, threading, socket, time\nprint(queue.SimpleQueue().empty())")
    done = run_greenroom("run", f"--no-{part}", path, env=ALL)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "True\n")


MODULE = "import time\ntime.sleep(0.05)\nVALUE = 1\n"
USERS = """
import sys
import greenroom
greenroom.patch_all()
sys.path.insert(0, sys.argv[1])
lazy import waits
{first}
tasks = [greenroom.spawn(lambda: waits.VALUE) for _ in range(2)]
print([task.result() for task in tasks])
"""


def test_a_lazy_name_is_to_be_used_before_tasks_share_it(tmp_path):
    # docs/patching.md: CPython marks a lazy import that runs by the interpreter, not by the task.
    (tmp_path / "waits.py").write_text(MODULE)
    done = run_child(USERS.format(first="pass"), tmp_path)
    assert done.returncode == 1 and "ImportCycleError" in done.stderr
    assert output_of(USERS.format(first="waits"), tmp_path) == ["[1, 1]"]
