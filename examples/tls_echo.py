"""A TLS echo server whose certificate may change while it runs.

    openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -keyout key.pem -out cert.pem
    python examples/tls_echo.py cert.pem key.pem 8989
    openssl s_client -connect 127.0.0.1:8989 -CAfile cert.pem

Put new files in place, and new connections get the new certificate; SIGHUP reads them at once.
"""

import signal
import sys

import greenroom
from greenroom.green import ssl


def echo(sock: ssl.SSLSocket, address: object) -> None:
    """Send back whatever arrives, until the peer closes."""
    try:
        while data := sock.recv(65536):
            sock.sendall(data)
    except ConnectionError:
        pass  # the peer is gone without a goodbye: nobody is left to tell


def main(certificate: str, key: str, port: int) -> None:
    tls = greenroom.TLS(certificate, key)
    signal.signal(signal.SIGHUP, lambda *_: tls.reload())
    with greenroom.TCPServer(("127.0.0.1", port), echo, tls=tls) as server:
        print("listening on {}:{}".format(*server.address), flush=True)
        server.serve_forever()


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 8989)
    except KeyboardInterrupt:
        pass
