"""A slow HTTP server on real threads. Prints its base URL.

/slow/NAME   0.3 s later: how many requests of that NAME were in the server at most, as text
/hold/NAME   waits until ten requests of that NAME are here; 503 if that is not so after 20 s
/hang        answers after 20 s
/error       500
"""

import http.server
import threading
import time
from collections import defaultdict

lock = threading.Lock()
inside = defaultdict(int)
most = defaultdict(int)
barriers = defaultdict(lambda: threading.Barrier(10, timeout=20))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        kind, _, name = self.path.strip("/").partition("/")
        status, body = 200, "done"
        if kind == "slow":
            body = str(self.slow(name))
        elif kind == "hold":
            with lock:
                barrier = barriers[name]
            try:
                barrier.wait()
            except threading.BrokenBarrierError:
                status = 503
        elif kind == "hang":
            time.sleep(20)
        elif kind == "error":
            status = 500
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def slow(self, name):
        with lock:
            inside[name] += 1
            most[name] = max(most[name], inside[name])
        time.sleep(0.3)
        with lock:
            inside[name] -= 1
            return most[name]

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass  # a client that timed out has gone


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
