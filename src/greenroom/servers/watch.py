"""The watcher of files: a process of its own, for the supervisor.                layer: servers

python -m greenroom.servers.watch FOLDER...  writes the path of each changed file in a line to
standard output, and first an empty one, when it watches. watchfiles watches in a thread, and none
may live where processes are started.
Hidden files, caches and editors' copies are left out (watchfiles.DefaultFilter).
"""

import os
import sys


def main(folders: list[str]) -> int:
    """Watch until the supervisor is gone."""
    import watchfiles  # the extra `reload`; the supervisor has looked

    parent = os.getppid()
    tells = True
    for changes in watchfiles.watch(
        *folders, rust_timeout=250, yield_on_timeout=True, raise_interrupt=False
    ):
        if os.getppid() != parent:
            break
        try:
            if tells:
                os.write(1, b"\n")
                tells = False
            os.write(1, "".join(f"{path}\n" for _, path in sorted(changes, key=str)).encode())
        except BrokenPipeError:
            break
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
