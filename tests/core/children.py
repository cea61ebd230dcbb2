"""Scripts that must crash, exit, fork, get signals or deadlock run in a child process."""

import os
import subprocess
import sys
import textwrap


def run_child(
    code: str, *, env: dict[str, str] | None = None, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run code in a new interpreter and return what came of it. A hang fails the test."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def output_of(code: str, *, env: dict[str, str] | None = None, timeout: float = 60) -> list[str]:
    """Run code, which must end with status 0, and return the lines it printed."""
    done = run_child(code, env=env, timeout=timeout)
    assert done.returncode == 0, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout.splitlines()
