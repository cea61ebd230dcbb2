"""What the tests of loops share."""

import asyncio
import os
import subprocess
import sys
import textwrap
from typing import Any

from greenroom.aio.loop import new_event_loop


def run(coroutine: Any, *, debug: bool | None = None) -> Any:
    """asyncio.run() in one of our loops."""
    with asyncio.Runner(debug=debug, loop_factory=new_event_loop) as runner:
        return runner.run(coroutine)


def output_of(code: str, **env: str) -> list[str]:
    """Run code in a new interpreter, where it must succeed, and return the lines it printed."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout.splitlines()
