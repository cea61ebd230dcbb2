"""openssl s_server: one connection at a time, each line comes back reversed.   … tls PORT"""

import os
import shutil

from listener import CERTIFICATE, free_port

openssl = shutil.which("openssl")
if openssl is None:
    raise SystemExit("openssl not found")
port = free_port()
print("PORT", port, flush=True)
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
options = ["-cert", CERTIFICATE, "-key", CERTIFICATE, "-rev", "-quiet"]
os.execv(openssl, [openssl, "s_server", "-accept", f"127.0.0.1:{port}", *options])
