"""Echo server on greenroom: plain `socket` code, patched, one green thread per connection."""

import greenroom

greenroom.patch_all()

from blocking import echo  # noqa: E402  (after patching)
from listener import listen  # noqa: E402


def main() -> None:
    listener = listen()
    while True:
        conn, _ = listener.accept()
        greenroom.spawn(echo, conn)


main()
