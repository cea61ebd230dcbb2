"""Programs that another process looks into: a profiler, a debugger, asyncio's own tools."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from waiting import PATIENCE

# On some systems only its parent may look into a process, unless it says otherwise.
_ALLOW = """
import ctypes
ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)  # PR_SET_PTRACER, anybody
"""


@contextmanager
def program(code: str) -> Iterator[subprocess.Popen[str]]:
    """Start a program, which must print "ready" and end when its stdin does."""
    child = subprocess.Popen(
        [sys.executable, "-u", "-c", _ALLOW + textwrap.dedent(code)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        yield child
    finally:
        child.kill()
        child.communicate()


def until_asleep(pid: int) -> None:
    """Wait until the program has done nothing for a while."""
    seen, often = "", 0
    deadline = time.monotonic() + PATIENCE
    while often < 10:
        assert time.monotonic() < deadline, f"process {pid} does not come to rest"
        # The state, and what it has used of the CPU (proc_pid_stat(5)), after its name.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        now = " ".join(fields[:1] + fields[11:13])
        often = often + 1 if now == seen and fields[0] == "S" else 0
        seen = now
        time.sleep(0.01)


def end(child: subprocess.Popen[str]) -> list[str]:
    """Let a program end; return the lines it has printed since it was ready."""
    printed, _ = child.communicate("", timeout=60)
    assert child.returncode == 0
    return printed.splitlines()


def tool(*args: object) -> str:
    """Run a module of the standard library as a program; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
