"""The supervisor and its workers, as real processes."""

import os
import re
import shutil
import signal
import socket
import sys
import textwrap
from pathlib import Path

import pytest
from processes import Load, Process, get, raw, running, serving

APP = """
import os, threading, time

opened = threading.Event()

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/hang":
        while True:
            pass
    if path == "/wait":
        print("waiting", os.getpid(), flush=True)
        opened.wait()
    if path == "/open":
        opened.set()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an application."""
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def pids(server: Process) -> set[int]:
    """Return the pids of the workers that say they are ready, out of the lines read so far."""
    return {int(pid) for pid in re.findall(r"\(pid (\d+)\) is ready", server.text())}


def test_every_worker_serves_and_none_outlives_the_supervisor(folder):
    with serving("app:app", "--workers", 2, cwd=folder) as server:
        server.started()
        workers = pids(server)
        assert len(workers) == 2
        seen = set()
        for _ in range(200):  # the kernel chooses; 2 ** -200 that it always chooses one
            seen.add(int(server.get()))
            if seen == workers:
                break
        assert seen == workers
        assert server.stop() == 0


def test_kill_9_of_a_worker_fails_only_its_requests_in_flight(folder):
    with serving("app:app", "--workers", 2, cwd=folder) as server:
        server.started()
        with Load(server.port, 4) as load:
            victim = int(server.get())
            before = load.done
            os.kill(victim, signal.SIGKILL)
            server.wait_for(rf"\(pid {victim}\) has ended: killed by SIGKILL")
            server.wait_for("is ready")
            while load.done < before + 50:
                get(server.port)
        # A client has one request in flight: it may fail, and once.
        assert len(load.failed) <= 4, load.failed
        assert server.stop() == 0


def test_connections_that_wait_to_be_accepted_outlive_a_crash(folder):
    with serving("app:app", "--workers", 2, cwd=folder) as server:
        server.started()
        victims = pids(server)
        for pid in victims:
            os.kill(pid, signal.SIGSTOP)
        request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        waiting = [raw(server.port, request) for _ in range(8)]
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        for sock in waiting:
            with sock:
                assert sock.recv(12) == b"HTTP/1.1 200"
        assert server.stop() == 0


def test_rolling_reloads_fail_no_request(folder):
    with serving("app:app", "--workers", 2, cwd=folder) as server:
        server.started()
        with Load(server.port, 4) as load:
            for _ in range(2):
                server.signal(signal.SIGHUP)
                server.wait_for("is ready", 2)
            first = load.done
            while load.done < first + 20:
                get(server.port)
        assert load.failed == []
        assert len(pids(server)) == 6
        assert server.stop() == 0


def test_ten_rolling_reloads_under_wrk_fail_no_request(folder):
    wrk = shutil.which("wrk")
    if wrk is None:
        pytest.skip("wrk is not installed (apt-get install wrk)")
    with serving("app:app", "--workers", 2, cwd=folder) as server:
        server.started()
        url = f"http://127.0.0.1:{server.port}/"
        # What comes late has come: by itself wrk counts an answer after 2 s as an error.
        with running(wrk, "-t1", "-c16", "-d600", "-T600", url, cwd=folder) as load:
            for _ in range(10):
                server.signal(signal.SIGHUP)
                server.wait_for("is ready", 2)
            load.signal(signal.SIGINT)
            assert int(load.wait_for(r"(\d+) requests in")[1]) > 0
            load.wait_for_end()
            assert "Socket errors" not in load.text() and "Non-2xx" not in load.text()
        assert len(pids(server)) == 22
        assert server.stop() == 0


def test_a_worker_that_hangs_tells_where_and_is_replaced(folder):
    with serving("app:app", "--workers", 2, "--timeout", 5, cwd=folder) as server:
        server.started()
        with raw(server.port, b"GET /hang HTTP/1.1\r\nHost: a\r\n\r\n") as client:
            victim = int(server.wait_for(r"\(pid (\d+)\) hangs")[1])
            server.wait_for(r"app\.py\", line \d+ in app")  # faulthandler's
            server.wait_for("tasks:")  # ours
            server.wait_for(rf"\(pid {victim}\) has ended: killed by SIGKILL")
            assert client.recv(1) == b""
        server.wait_for("is ready")
        assert int(server.get()) != victim
        assert server.stop() == 0


def test_sigterm_waits_for_requests_and_tells_how_many(folder):
    with serving("app:app", "--workers", 2, cwd=folder) as server:
        server.started()
        request = b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"
        with raw(server.port, request) as client:
            worker = int(server.wait_for(r"waiting (\d+)")[1])
            server.signal(signal.SIGTERM)
            server.wait_for(r"draining: worker \d has 1 request left")
            os.kill(worker, signal.SIGUSR1)  # opens the log again; and must not end it
            with pytest.raises(OSError):
                while True:  # until the other worker has heard of it, too
                    get(server.port)
            server.signal(signal.SIGTERM)  # a second one
            server.wait_for("killing the workers that are left")
            assert client.recv(1) == b""
        assert server.ended() == 1


def test_requests_are_cut_off_when_the_grace_is_over(folder):
    with serving("app:app", "--workers", 2, "--grace", 0.3, cwd=folder) as server:
        server.started()
        with raw(server.port, b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"):
            server.wait_for("waiting")
            server.signal(signal.SIGINT)
            server.wait_for("1 request cut off after 0.3 s")
            assert server.ended() == 0


def test_max_requests_replaces_a_worker_without_a_failed_request(folder):
    with serving("app:app", "--max-requests", 40, cwd=folder) as server:
        server.started()
        with Load(server.port, 3) as load:
            server.wait_for("has served its number of requests")
            server.wait_for("is ready")
            server.wait_for("has served its number of requests")
            server.wait_for("is ready")
        assert load.failed == []
        assert server.stop() == 0


def test_one_that_does_not_start_stops_the_whole(folder):
    (folder / "broken.py").write_text("import nothing_of_this_name\n")
    with serving("broken:app", "--workers", 2, cwd=folder) as server:
        assert server.ended() == 1
        assert "No module named 'nothing_of_this_name'" in server.text()
        assert "did not start; its message is above" in server.text()


def test_a_reload_to_what_does_not_start_keeps_the_old_workers(folder):
    with serving("app:app", "--workers", 2, cwd=folder) as server:
        server.started()
        workers = pids(server)
        (folder / "app.py").write_text("def app(:\n")
        server.signal(signal.SIGHUP)
        server.wait_for("serves on in the place of what did not start")
        assert int(server.get()) in workers
        assert server.stop() == 0


def test_a_worker_ends_when_its_supervisor_is_killed(folder):
    with serving("app:app", "--workers", 2, cwd=folder) as server:
        server.started()
        server.process.kill()
        server.wait_for("the supervisor is dead", 2)
        server.wait_for_end()


def test_a_file_that_changes_replaces_the_workers_and_a_mistake_is_waited_out(folder):
    pytest.importorskip("watchfiles")
    with serving("app:app", "--reload", cwd=folder) as server:
        server.wait_for("watching for files that change|serves", 2)
        found = re.search(r"://[\d.]+:(\d+)", server.text())
        assert found is not None
        server.port = int(found[1])
        first = int(server.get())
        changed(server, folder, "def app(:\n", "did not start")
        assert int(server.get()) == first
        changed(server, folder, APP, "is ready")
        server.wait_for(rf"\(pid {first}\) has ended")
        assert int(server.get()) != first
        assert server.stop() == 0


def changed(server, folder, text, wanted):
    (folder / "app.py").write_text(text)
    server.wait_for("app.py.* changed: replacing")
    server.wait_for(wanted)


def test_a_unix_socket_is_shared_and_its_file_removed(folder):
    path = folder / "s"
    with serving("app:app", "--workers", 2, "--bind", f"unix:{path}", cwd=folder) as server:
        server.started()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert client.recv(12) == b"HTTP/1.1 200"
        assert server.stop() == 0
    assert not path.exists()


def test_a_port_that_is_taken_is_refused(folder):
    with socket.create_server(("127.0.0.1", 0)) as other:
        place = f"127.0.0.1:{other.getsockname()[1]}"
        with serving("app:app", "--workers", 2, "--bind", place, cwd=folder) as server:
            assert server.ended() == 1
            assert f"cannot listen on {place}: Address already in use" in server.text()


def test_two_supervisors_do_not_share_a_port_by_mistake(folder):
    with serving("app:app", "--workers", 2, cwd=folder) as one:
        place = f"127.0.0.1:{one.started().port}"
        with serving("app:app", "--workers", 2, "--bind", place, cwd=folder) as two:
            assert two.ended() == 1
            assert "Address already in use" in two.text()
        assert one.stop() == 0


def test_a_script_that_calls_serve_is_run_again_by_each_worker(folder):
    script = folder / "script.py"
    script.write_text(
        textwrap.dedent("""
            import greenroom
            greenroom.patch_all()
            from app import app
            greenroom.serve(app, "127.0.0.1:0", workers=2)
            print("after")
        """)
    )
    with running(sys.executable, script, cwd=folder) as server:
        server.started()
        assert int(server.get()) in pids(server)
        assert server.stop() == 0
        assert server.text().count("after") == 1  # the supervisor's; a worker ends in serve()


def test_serve_with_workers_refuses_to_leave_tasks_standing(folder):
    code = """
        import greenroom
        greenroom.spawn(greenroom.sleep, 60)
        greenroom.serve(lambda environ, start_response: [], workers=2)
    """
    with running(sys.executable, "-c", textwrap.dedent(code), cwd=folder) as server:
        assert server.ended() == 1
        assert "must come before tasks are started: sleep-1 would stand still" in server.text()
