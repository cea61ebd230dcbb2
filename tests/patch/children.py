"""Run code in a child process, so that the tests' own process is never patched."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"

# Of a shell's background job SIGINT is ignored; its children would inherit that and take no Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)


def run_child(
    code: str | Path, *args: object, env: dict[str, str] | None = None, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run code (a text for -c, or a file's Path) in a new interpreter and return what came of it.

    A text may be indented. Nothing is imported in the child but what it imports itself.
    """
    program = [str(code)] if isinstance(code, Path) else ["-c", textwrap.dedent(code)]
    return run_command(sys.executable, *program, *args, env=env, timeout=timeout)


def run_greenroom(
    *args: object, env: dict[str, str] | None = None, timeout: float = 60, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `python -m greenroom ARGS`."""
    return run_command(sys.executable, "-m", "greenroom", *args, env=env, timeout=timeout, cwd=cwd)


def run_command(
    *command: object,
    env: dict[str, str] | None = None,
    timeout: float = 60,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command with its output captured as text."""
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=cwd,
        env=child_environment(env),
    )


def child_environment(env: dict[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment, made fit for a child, with env on top."""
    return {**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1", **(env or {})}


def output_of(code: str | Path, *args: object, env: dict[str, str] | None = None) -> list[str]:
    """Run a child that must succeed without a word on stderr; return its lines of output."""
    done = run_child(code, *args, env=env)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.splitlines()
