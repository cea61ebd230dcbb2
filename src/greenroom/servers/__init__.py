"""Servers: TCP, UDP, TLS, HTTP, WSGI, ASGI, WebSocket, on one core or all.        layer: servers"""

# In a patched program the first import of socket loads green.socket and green.resolver, which must
# not be half loaded themselves then: they import it too.
import socket as _socket  # noqa: F401
