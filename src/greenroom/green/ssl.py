"""ssl, as the standard library has it, with waits that park.                    layer: green

For code that wants green TLS without patching anything: `from greenroom.green import ssl`. Whatever
is not defined here is the standard library's own.
"""

import ssl as _stdlib
from typing import Any

from greenroom.green import socket, sslmethods


class SSLSocket(_stdlib.SSLSocket, socket.socket):  # type: ignore[misc]
    """ssl.SSLSocket whose waits park the task. Made by SSLContext.wrap_socket()."""


for _name in sslmethods.METHODS:
    setattr(SSLSocket, _name, getattr(sslmethods, _name))


class SSLContext(_stdlib.SSLContext):
    """ssl.SSLContext that makes green sockets."""

    sslsocket_class = SSLSocket
    _wrap_socket = sslmethods._wrap_socket


def create_default_context(*args: Any, **kwargs: Any) -> SSLContext:
    """As ssl.create_default_context. Never switches."""
    context = _stdlib.create_default_context(*args, **kwargs)
    context.__class__ = SSLContext  # has the same fields
    return context  # type: ignore[return-value]


def get_server_certificate(
    addr: tuple[str, int],
    ssl_version: int = _stdlib.PROTOCOL_TLS_CLIENT,
    ca_certs: str | None = None,
    timeout: Any = socket._DEFAULT,
) -> str:
    """Return the certificate of the server at addr as PEM, verified if ca_certs is given.

    Switches  while it connects and shakes hands
    """
    context = SSLContext(ssl_version)
    context.check_hostname = False
    context.verify_mode = _stdlib.CERT_REQUIRED if ca_certs else _stdlib.CERT_NONE
    if ca_certs:
        context.load_verify_locations(ca_certs)
    with (
        socket.create_connection(addr, timeout) as sock,
        context.wrap_socket(sock, server_hostname=addr[0]) as tls,
    ):
        certificate: Any = tls.getpeercert(True)
    return _stdlib.DER_cert_to_PEM_cert(certificate)


def __getattr__(name: str) -> Any:
    return getattr(_stdlib, name)
