"""TLS for servers: a context whose certificates may change while it serves.      layer: servers

New files are loaded into the same context: handshakes from then on show the new certificate,
connections keep theirs, and session tickets stay good, because the context keeps its ticket keys.
A pair that does not fit (the key is still being written) is tried on another context first, and the
old one stays: OpenSSL would otherwise take the certificate and then fail at the key.
"""

from __future__ import annotations

import os
import ssl as _stdlib
from collections.abc import Sequence
from typing import Any

from greenroom.core import offload
from greenroom.core import scheduler as _scheduler
from greenroom.green import ssl
from greenroom.servers.server import log

LOOK_EVERY = 1.0  # seconds between two looks at the files' times, at most, and only at handshakes


class TLS:
    """What a server needs for TLS: certificate files that are read again when they change.

    certfile   path of a PEM file with the certificate and those that vouch for it
    keyfile    path of the key's PEM file; None: it is in certfile
    password   of the key, a str, bytes, or a function that returns one
    alpn       protocols offered, the best first: ("http/1.1",)
    client_ca  path of a PEM file: clients must show a certificate that one in it vouches for
    context    an ssl.SSLContext to use instead of all these; it makes green sockets from then on
    Raises     OSError: a file cannot be read; ssl.SSLError: the key does not fit the certificate
    """

    def __init__(
        self,
        certfile: str | os.PathLike[str] | None = None,
        keyfile: str | os.PathLike[str] | None = None,
        *,
        password: Any = None,
        alpn: Sequence[str] = (),
        client_ca: str | os.PathLike[str] | None = None,
        context: _stdlib.SSLContext | None = None,
    ) -> None:
        if (certfile is None) == (context is None):
            raise TypeError("TLS needs a certfile or a context, and not both")
        self.certfile = certfile
        self.keyfile = keyfile
        self.password = password
        self._times: Any = None
        self._looked = 0.0
        if context is not None:
            if type(context) is _stdlib.SSLContext:
                context.__class__ = ssl.SSLContext  # it has the same fields
            self.context: Any = context
            return
        self.context = ssl.SSLContext(_stdlib.PROTOCOL_TLS_SERVER)
        if alpn:
            self.context.set_alpn_protocols(list(alpn))
        if client_ca is not None:
            self.context.load_verify_locations(client_ca)
            self.context.verify_mode = _stdlib.CERT_REQUIRED
        self.reload()

    def reload(self) -> None:
        """Read the files again, for handshakes from now on. Safe while the server serves.

        Raises    OSError, ssl.SSLError: the files are no pair; the old ones stay in use
                  TypeError: it was made of a context, which has no files
        Switches  never
        """
        if self.certfile is None:
            raise TypeError("this TLS was made of a context: call its load_cert_chain()")
        times = self._read_times()
        try:
            _stdlib.SSLContext(_stdlib.PROTOCOL_TLS_SERVER).load_cert_chain(
                self.certfile, self.keyfile, self.password
            )
        except _stdlib.SSLError as error:  # its own text names no file
            key = f"the key {self.keyfile!r}" if self.keyfile is not None else "the key in it"
            raise _stdlib.SSLError(
                error.errno,
                f"cannot use the certificate {self.certfile!r} with {key}: {error.strerror}",
            ) from None
        self.context.load_cert_chain(self.certfile, self.keyfile, self.password)
        self._times = times

    def _read_times(self) -> Any:
        assert self.certfile is not None
        infos = [os.stat(path) for path in (self.certfile, self.keyfile) if path is not None]
        return [(info.st_mtime_ns, info.st_ino, info.st_size) for info in infos]

    def _look(self) -> None:
        """Read the files again if they have changed; log what is wrong with them, once."""
        self._looked = _scheduler.get().now()
        try:
            times = offload.call(self._read_times)
            if times == self._times:
                return
            self._times = times
            self.reload()
            log.info("TLS: read %s again", self.certfile)
        except OSError as error:
            log.error("TLS: cannot read %s again, the old one stays: %s", self.certfile, error)

    def accept(self, sock: Any) -> Any:
        """Return a TLS socket that has taken over a connection's fd, after the handshake.

        Raises    OSError (ssl.SSLError is one): it went wrong, and the connection is closed
        Switches  always
        """
        if self.certfile is not None and _scheduler.get().now() - self._looked >= LOOK_EVERY:
            self._look()
        secured = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        try:
            secured.do_handshake()
        except BaseException:
            secured.close()
            raise
        return secured


def say_goodbye(sock: Any) -> None:
    """Tell a TLS peer that no more will come (close_notify), unless it cannot be sent at once.

    Without it the peer cannot tell the end from a cut, and OpenSSL 3 calls it an error. Never
    waits for the peer's own, which RFC 8446, 6.1 allows.
    """
    if sock.fileno() < 0:
        return  # the handler has closed it
    try:
        sock.settimeout(0)
        sock.unwrap()
    except (OSError, ValueError):
        pass  # it is gone, or its own goodbye has not come
