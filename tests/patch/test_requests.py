"""requests, unmodified, against the standard library's own server."""

import pytest

from .children import output_of


def test_ten_sessions_at_once_and_one_with_a_timeout():
    pytest.importorskip("requests")
    code = """
        import greenroom
        greenroom.patch_all()
        import http.server, threading, time
        import requests
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            def do_GET(self):
                if self.path == "/slow":
                    hold.wait()
                body = self.path.encode() * 1000
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            def log_message(self, *args):
                pass
        hold = threading.Event()
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}"
        def work(number):
            with requests.Session() as session:
                return [session.get(f"{base}/{number}/{turn}").text for turn in range(3)]
        tasks = [greenroom.spawn(work, number) for number in range(10)]
        for number, task in enumerate(tasks):
            assert task.result() == [f"/{number}/{turn}" * 1000 for turn in range(3)]
        try:
            requests.get(base + "/slow", timeout=(60, 0.01))
        except requests.exceptions.ReadTimeout:
            print("timeout")
        hold.set()
    """
    assert output_of(code) == ["timeout"]
