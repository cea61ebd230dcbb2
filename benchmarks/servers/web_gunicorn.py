"""gunicorn -k gevent, one worker.   web_gunicorn.py wsgi|file PORT"""

import os
import sys

from listener import listen

WORKER = "gevent"


def main(worker: str) -> None:
    case = sys.argv[1]
    sock = listen()
    os.set_inheritable(sock.fileno(), True)
    options = [
        *("--worker-class", worker, "--workers", "1", "--worker-connections", "20000"),
        *("--bind", f"fd://{sock.detach()}", "--keep-alive", "75", "--log-level", "error"),
        *("--chdir", os.path.dirname(os.path.abspath(__file__))),
    ]
    app = {"wsgi": "wsgi", "file": "wsgi_file"}[case]
    arguments = [sys.executable, "-m", "gunicorn", *options, f"web_app:{app}"]
    os.execv(sys.executable, arguments)


if __name__ == "__main__":
    main(WORKER)
