"""granian, one worker, its own defaults.   web_granian.py wsgi|asgi PORT

The backlog also bounds how many connections it has at once, of which a case holds 10,000.
"""

import os
import sys

from listener import free_port

port = free_port()
print("PORT", port, flush=True)
case = sys.argv[1]
os.chdir(os.path.dirname(os.path.abspath(__file__)))
os.execv(
    sys.executable,
    [
        *(sys.executable, "-m", "granian", f"web_app:{case}"),
        *("--interface", {"wsgi": "wsgi", "asgi": "asginl"}[case], "--no-ws"),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backlog", "16384", "--log-level", "error"),
    ],
)
