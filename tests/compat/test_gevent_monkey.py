"""gevent.monkey, in child processes."""

from patch.children import output_of


def test_patch_all_is_greenrooms():
    code = """
        from greenroom.compat.gevent import monkey
        print(monkey.patch_all(), monkey.patch_all(ssl=False, subprocess=True, Event=True))
        import greenroom, time
        print(greenroom.is_patched("time.sleep"), monkey.is_module_patched("socket"))
        print(monkey.is_object_patched("socket", "socket.recv"), monkey.is_module_patched("json"))
        print(monkey.get_original("time", "sleep") is greenroom.original("time.sleep"))
        print(len(monkey.get_original("select", ["select", "poll"])))
    """
    assert output_of(code) == ["True True", "True True", "True False", "True", "2"]


def test_parts_alone_add_up():
    code = """
        from greenroom.compat.gevent import monkey
        import greenroom
        mark = {"time": "time.sleep", "socket": "socket.socket.recv", "thread": "threading.Lock",
                "queue": "queue.SimpleQueue", "select": "select.select"}
        def patched():
            return [part for part, name in mark.items() if greenroom.is_patched(name)]
        monkey.patch_time()
        print(patched())
        monkey.patch_socket(dns=False)
        print(patched(), greenroom.is_patched("_socket.getaddrinfo"))
        monkey.patch_select(), monkey.patch_thread(threading=True), monkey.patch_queue()
        print(patched() == list(mark))
    """
    assert output_of(code) == ["['time']", "['time', 'socket'] False", "True"]


def test_sockets_of_compat_are_green_without_patching():
    code = """
        from greenroom.compat import gevent
        from greenroom.compat.gevent import socket
        listener = socket.create_server(("127.0.0.1", 0))
        def serve():
            conn, _ = listener.accept()
            with conn:
                conn.sendall(conn.recv(10).upper())
        serving = gevent.spawn(serve)
        with socket.create_connection(listener.getsockname(), timeout=5) as client:
            client.sendall(b"hello")
            print(client.recv(10), socket.AF_INET.name)
        serving.get()
        listener.close()
    """
    assert output_of(code) == ["b'HELLO' AF_INET"]
