"""socket.socket is changed in place: whoever imported it earlier has the green one."""

from .children import output_of


def test_from_socket_import_socket_before_patching_is_green_too():
    code = """
        from socket import socket, socketpair, create_connection, create_server
        import greenroom
        greenroom.patch_all()
        listener = create_server(("127.0.0.1", 0))
        def serve():
            conn, _ = listener.accept()
            with conn:
                conn.sendall(conn.recv(100))
        serving = greenroom.spawn(serve)
        with create_connection(listener.getsockname()) as client:
            print(type(client) is socket, isinstance(client, socket))
            client.sendall(b"hello")
            print(client.recv(100))
        serving.result()
        one, two = socketpair()
        reading = greenroom.spawn(one.recv, 10)
        greenroom.sleep(0)
        two.sendall(b"x")
        print(reading.result())
        for sock in (listener, one, two):
            sock.close()
    """
    assert output_of(code) == ["True True", "b'hello'", "b'x'"]


def test_a_socket_made_before_patching_parks_after_it():
    code = """
        import socket
        one, two = socket.socketpair()
        import greenroom
        greenroom.patch_all()
        reading = greenroom.spawn(one.recv, 10)
        greenroom.sleep(0)
        print(reading)
        two.sendall(b"x")
        print(reading.result())
        one.close(), two.close()
    """
    lines = output_of(code)
    assert "parked on fd" in lines[0]
    assert lines[1] == "b'x'"


def test_a_subclass_made_before_patching_is_green():
    code = """
        import socket
        class Counted(socket.socket):
            count = 0
            def recv(self, *args):
                Counted.count += 1
                return super().recv(*args)
        import greenroom
        greenroom.patch_all()
        listener = socket.create_server(("127.0.0.1", 0))
        with Counted() as client:
            client.connect(listener.getsockname())
            conn, _ = listener.accept()
            reading = greenroom.spawn(client.recv, 10)
            greenroom.sleep(0)
            conn.sendall(b"x")
            print(reading.result(), Counted.count)
            conn.close()
        listener.close()
    """
    assert output_of(code) == ["b'x' 1"]


def test_unpatched_sockets_are_the_standard_librarys_again():
    code = """
        import greenroom, socket, signal
        greenroom.patch_all()
        one, two = socket.socketpair()
        greenroom.unpatch_all()
        one.settimeout(0.001)
        try:
            one.recv(1)
        except TimeoutError as error:
            print(error, "recv" in vars(socket.socket))
        one.close(), two.close()
    """
    assert output_of(code) == ["timed out False"]


def test_a_name_look_up_lets_other_tasks_run():
    code = """
        import greenroom
        greenroom.patch_all()
        import socket
        seen = []
        other = greenroom.spawn(seen.append, "ran")
        found = socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
        print(seen, found[0][1] is socket.SOCK_STREAM, found[0][0] in socket.AddressFamily)
        seen.clear()
        other = greenroom.spawn(seen.append, "ran")
        socket.getaddrinfo("127.0.0.1", 80)
        print(seen)
        other.join()
        print(socket.gethostbyname("127.0.0.1"), socket.gethostbyname("localhost"))
    """
    assert output_of(code) == ["['ran'] True True", "[]", "127.0.0.1 127.0.0.1"]


def test_socketserver_and_http_server_serve_from_tasks():
    code = """
        import greenroom
        greenroom.patch_all()
        import http.server, threading, urllib.request
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(self.path.encode())
            def log_message(self, *args):
                pass
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        def get(number):
            url = f"http://127.0.0.1:{server.server_port}/{number}"
            return urllib.request.urlopen(url, timeout=10).read()
        tasks = [greenroom.spawn(get, number) for number in range(5)]
        print([task.result() for task in tasks])
        server.shutdown()
        server.server_close()
        serving.join()
    """
    assert output_of(code) == [str([b"/%d" % number for number in range(5)])]


def test_a_green_socket_made_after_patching_is_wrapped_once():
    code = """
        import greenroom
        greenroom.patch_all()
        import socket
        from greenroom.green import socket as green
        print(green.socket.__init__ is socket.socket.__init__)
        print(hasattr(socket.socket.__init__.__wrapped__, "__wrapped__"))
    """
    assert output_of(code) == ["True", "False"]
