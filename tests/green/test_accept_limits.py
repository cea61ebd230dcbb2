"""accept when no file descriptor is left: back off, keep the client waiting, go on serving."""

from textwrap import dedent

from patch.children import run_child

PRELOADED = "import logging\n"

CODE = """
    import os, resource, sys
    import greenroom
    from greenroom.green import socket
    from greenroom.testing.clock import VirtualClock
    listener = socket.create_server(("127.0.0.1", 0))
    clients = [socket.create_connection(listener.getsockname()) for _ in range(5)]
    with VirtualClock() as clock:
        greenroom.spawn(int).join()  # whatever the runtime opens is open now
        served = []
        def serve():
            while len(served) < 5:
                conn, _ = listener.accept()
                served.append(conn.recv(10))
                greenroom.sleep(1)  # keeps its fd for a second
                conn.close()
        used = len(os.listdir("/proc/self/fd")) - 1
        highest = max(map(int, os.listdir("/proc/self/fd")))
        resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, 4096))
        for number, client in enumerate(clients):
            client.sendall(b"%d" % number)
        servers = [greenroom.spawn(serve) for _ in range(5)]
        {wait}
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
        greenroom.sleep(10)
        print(sorted(served))
        for task in servers:
            task.kill()
        greenroom.joinall(servers)
"""


def test_clients_wait_until_an_fd_is_free_and_are_served_then():
    wait = "greenroom.sleep(30); print(len(served))"
    done = run_child(PRELOADED + dedent(CODE).format(limit="3", wait=wait))
    assert done.stdout == "0\n[b'0', b'1', b'2', b'3', b'4']\n", done.stderr
    # One warning for each accept that has to wait, not one for each try.
    assert done.stderr.count("Too many open files") == 5
    assert done.stderr.count("\n") == 5


def test_the_warning_needs_no_fd_of_its_own():
    # Symptom: the first accept without an fd ended with "Too many open files: logging/__init__.py".
    wait = "greenroom.sleep(30); print(len(served))"
    done = run_child(CODE.format(limit="3", wait=wait))
    assert done.stdout == "0\n[b'0', b'1', b'2', b'3', b'4']\n", done.stderr


def test_with_one_fd_left_clients_are_served_one_after_the_other():
    # The fds in use have no gap, so a limit of highest + 2 leaves exactly one.
    wait = "greenroom.sleep(20); print(len(served))"
    done = run_child(PRELOADED + dedent(CODE).format(limit="highest + 2", wait=wait))
    assert done.stdout == "5\n[b'0', b'1', b'2', b'3', b'4']\n", done.stderr


def test_accept_with_a_timeout_gives_up_at_its_deadline():
    code = """
        import logging, resource
        import greenroom
        from greenroom.green import socket
        from greenroom.testing.clock import VirtualClock
        listener = socket.create_server(("127.0.0.1", 0))
        client = socket.create_connection(listener.getsockname())
        listener.settimeout(5)
        with VirtualClock() as clock:
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, 4096))
            try:
                listener.accept()
            except OSError as error:
                print(error.strerror, round(clock.now(), 6))
            resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
            conn, _ = listener.accept()
            conn.close(), client.close(), listener.close()
    """
    done = run_child(code)
    assert done.stdout == "Too many open files 5.0\n", done.stderr
