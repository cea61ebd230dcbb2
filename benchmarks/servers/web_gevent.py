"""gevent's servers: pywsgi, StreamServer with TLS.   web_gevent.py wsgi|file|tls PORT"""

from gevent import monkey

monkey.patch_all()

import ssl  # noqa: E402  (after patching)
import sys  # noqa: E402
from typing import Any  # noqa: E402

from blocking import echo  # noqa: E402
from gevent.pywsgi import WSGIServer  # noqa: E402
from gevent.server import StreamServer  # noqa: E402
from listener import CERTIFICATE, listen  # noqa: E402
from web_app import WSGI  # noqa: E402


def handle(sock: Any, address: Any) -> None:
    echo(sock)


if sys.argv[1] == "tls":
    # Given the files alone it makes a context for each connection, and resumes no session.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    StreamServer(listen(), handle, ssl_context=context).serve_forever()
else:
    WSGIServer(listen(), WSGI[sys.argv[1]], log=None).serve_forever()
