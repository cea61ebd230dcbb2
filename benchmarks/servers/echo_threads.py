"""Echo server on OS threads: the same plain `socket` code, unpatched, one thread per connection."""

import threading

from blocking import echo
from listener import listen


def main() -> None:
    listener = listen()
    while True:
        conn, _ = listener.accept()
        threading.Thread(target=echo, args=(conn,), daemon=True).start()


main()
