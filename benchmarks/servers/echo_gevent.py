"""Echo server on gevent: plain `socket` code, patched, one greenlet per connection."""

from gevent import monkey

monkey.patch_all()

import gevent  # noqa: E402  (after patching)
from blocking import echo  # noqa: E402
from listener import listen  # noqa: E402


def main() -> None:
    listener = listen()
    while True:
        conn, _ = listener.accept()
        gevent.spawn(echo, conn)


main()
