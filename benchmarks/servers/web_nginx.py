"""nginx, one worker, with a configuration of its own.   web_nginx.py file PORT"""

import os
import shutil

from listener import free_port
from web_app import FILE

CONFIG = """
daemon off; worker_processes 1; pid nginx.pid; error_log stderr error; {user}
events {{ worker_connections 20000; }}
http {{
    access_log off; sendfile on; default_type application/octet-stream;
    keepalive_timeout 75; keepalive_requests 1000000000;
    client_body_temp_path temp; proxy_temp_path temp; fastcgi_temp_path temp;
    uwsgi_temp_path temp; scgi_temp_path temp;
    server {{
        listen 127.0.0.1:{port} backlog=8192;
        location = / {{ root {root}; try_files /{name} =404; }}
    }}
}}
"""

nginx = shutil.which("nginx")
if nginx is None:
    raise SystemExit("nginx not found")
folder = FILE.parent / "nginx"
(folder / "temp").mkdir(parents=True, exist_ok=True)
port = free_port()
# As root its workers would become someone who may not read a private folder.
user = "user root;" if os.geteuid() == 0 else ""
config = CONFIG.format(port=port, root=FILE.parent, name=FILE.name, user=user)
(folder / "nginx.conf").write_text(config)
print("PORT", port, flush=True)
os.execv(nginx, [nginx, "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"])
