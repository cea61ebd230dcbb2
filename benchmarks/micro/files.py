"""Calls on a regular file whose data lies in the page cache: CPU per call.

    python files.py PEER CASE N [--budget-ms MS]

The program after the patching is the same for every peer; "threads" is Python unpatched.
"""

import sys

if sys.argv[1] == "greenroom":
    import greenroom

    greenroom.patch_all()
    greenroom.current()
elif sys.argv[1] == "gevent":
    from gevent import monkey

    monkey.patch_all()
elif sys.argv[1] != "threads":
    sys.exit(f"no peer {sys.argv[1]!r}: greenroom, gevent or threads")

import atexit
import os
import tempfile
from collections.abc import Callable

from common import Sample, cpu_ns, main

del sys.argv[1]  # the rest is for main()

SIZE = 1 << 20
BLOCK = 4096
PLACES = list(range(0, SIZE, BLOCK))

with tempfile.NamedTemporaryFile(delete=False) as temporary:
    temporary.write(b"x" * SIZE)
PATH = temporary.name
atexit.register(os.unlink, PATH)


def file_read(n: int) -> Sample:
    fd = os.open(PATH, os.O_RDONLY)
    used = 0
    for _ in range(n // len(PLACES)):
        os.lseek(fd, 0, os.SEEK_SET)
        start = cpu_ns()
        for _ in PLACES:
            os.read(fd, BLOCK)
        used += cpu_ns() - start
    os.close(fd)
    return Sample(used, n // len(PLACES) * len(PLACES))


def file_pread(n: int) -> Sample:
    fd = os.open(PATH, os.O_RDONLY)
    start = cpu_ns()
    for _ in range(n // len(PLACES)):
        for offset in PLACES:
            os.pread(fd, BLOCK, offset)
    used = cpu_ns() - start
    os.close(fd)
    return Sample(used, n // len(PLACES) * len(PLACES))


def file_buffered(n: int) -> Sample:
    used = 0
    with open(PATH, "rb") as file:
        for _ in range(n // len(PLACES)):
            file.seek(0)
            start = cpu_ns()
            for _ in PLACES:
                file.read(BLOCK)
            used += cpu_ns() - start
    return Sample(used, n // len(PLACES) * len(PLACES))


def file_open(n: int) -> Sample:
    start = cpu_ns()
    for _ in range(n):
        with open(PATH, "rb") as file:
            file.read(65536)
    return Sample(cpu_ns() - start, n)


CASES: dict[str, Callable[[int], Sample]] = {
    "file_read": file_read,
    "file_pread": file_pread,
    "file_buffered": file_buffered,
    "file_open": file_open,
}

main(CASES)
