"""Ctrl-C under greenroom run: every finally runs, and the process ends as Python would."""

import signal
import subprocess
import sys
import textwrap
import time

from patch.children import child_environment


def computes(child):
    """Wait until a child has used some CPU time from here on."""

    def used():
        with open(f"/proc/{child.pid}/schedstat") as file:
            return int(file.read().split()[0])

    start = used()
    while used() - start < 50_000_000:
        time.sleep(0.001)


def interrupted(tmp_path, code, is_there=lambda child: None):
    """Run code by greenroom run, send SIGINT when it prints 'ready'; return (status, out, err)."""
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(code))
    with subprocess.Popen(
        [sys.executable, "-m", "greenroom", "run", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=child_environment(),
    ) as child:
        try:
            assert child.stdout.readline() == "ready\n"
            is_there(child)
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=60)
        except BaseException:
            child.kill()
            raise
    return child.returncode, out, err


def test_main_gets_keyboard_interrupt_where_it_waits(tmp_path):
    code = """
        import socket
        listener = socket.create_server(("127.0.0.1", 0))
        try:
            print("ready", flush=True)
            listener.accept()
        except KeyboardInterrupt:
            print("interrupted")
    """
    assert interrupted(tmp_path, code) == (0, "interrupted\n", "")


def test_uncaught_it_runs_every_finally_and_ends_by_the_signal(tmp_path):
    code = """
        import threading, time
        import greenroom
        def work(name):
            try:
                time.sleep(100)
            finally:
                print("finally of", name)
        greenroom.spawn(work, "a task")
        threading.Thread(target=work, args=("a daemon",), daemon=True).start()
        time.sleep(0.001)
        try:
            print("ready", flush=True)
            time.sleep(100)
        finally:
            print("finally of main")
    """
    status, out, err = interrupted(tmp_path, code)
    assert status == -signal.SIGINT
    assert sorted(out.splitlines()) == [
        "finally of a daemon",
        "finally of a task",
        "finally of main",
    ]
    assert err.splitlines()[-1] == "KeyboardInterrupt"


def test_a_thread_that_is_no_daemon_does_not_hold_up_the_end(tmp_path):
    code = """
        import threading, time
        def work():
            try:
                time.sleep(100)
            finally:
                print("finally")
        threading.Thread(target=work).start()
        print("ready", flush=True)
        time.sleep(100)
    """
    status, out, err = interrupted(tmp_path, code)
    assert (status, out) == (-signal.SIGINT, "finally\n")
    assert err.count("Traceback") == 1


def test_a_program_that_computes_is_interrupted_too(tmp_path):
    code = """
        print("ready", flush=True)
        while True:
            pass
    """
    # Uncompiled, one that comes within the call of print() is raised at the next wait.
    status, _, err = interrupted(tmp_path, code, computes)
    assert status == -signal.SIGINT
    assert err.splitlines()[-1] == "KeyboardInterrupt"
