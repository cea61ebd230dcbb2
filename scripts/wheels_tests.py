"""Install a built wheel in an environment of its own and run tests/core on it; wheels.py --test.

pip sees no index there, only dist/ and .venvs/wheels-links, which holds what greenroom and its
tests need, fetched beforehand for the platform in question. So what is tested is an install without
a compiler and without a network.

  x86-64, glibc   on the interpreter itself; with the oldest greenlet allowed, then with the newest
  aarch64, glibc  under qemu-aarch64-static, on Debian's arm64 packages of that CPython, unpacked
                  below .venvs/arm64 by scripts/arm64.sh; the system is not touched. Only the files
                  in FIRST: qemu takes many times as long
  musl            nowhere by this script: no package has a CPython for musl. docs/installing.md says
                  what was done by hand
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).resolve().parent.parent
VENVS = ROOT / ".venvs"
LINKS = VENVS / "wheels-links"
TESTS = ["pytest>=9", "hypothesis>=6"]
LIMIT = 1200  # seconds that one run of the tests may take
FIRST = ["carriers", "task_api", "task_state", "fds", "kill", "threads"]


def oldest_greenlet(version: str) -> str:
    """Return the requirement of the oldest greenlet that pyproject.toml allows a Python."""
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for text in project["dependencies"]:
        found = Requirement(text)
        if found.marker is None or found.marker.evaluate({"python_version": version}):
            return str(found.specifier).replace(">=", "greenlet==")
    raise ValueError(f"pyproject.toml names no greenlet for Python {version}")


def call(command: Iterable[str | Path], **env: str) -> str | None:
    """Run a command; return None, or what it printed if it failed."""
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env={**os.environ, **env},
        timeout=LIMIT,
    )
    return done.stdout if done.returncode else None


def fetch(pip: list[str], python: str, machine: str, packages: list[str]) -> str | None:
    """Put the wheels of packages for a platform into LINKS; return what went wrong, or None."""
    platforms = [f"manylinux{tag}_{machine}" for tag in ("_2_28", "_2_24", "_2_17", "2014")]
    where = [option for tag in platforms for option in ("--platform", tag)]
    tags = ["--python-version", python, "--implementation", "cp", "--only-binary", ":all:"]
    return call([*pip, "download", "--quiet", "--dest", LINKS, *where, *tags, *packages])


def on_this_machine(version: str, python: str, wheel: Path, greenlets: list[str]) -> list[str]:
    """Test a wheel with each of some versions of greenlet; return what failed."""
    failed = []
    for greenlet in greenlets:
        venv = VENVS / f"wheel-{version}"
        shutil.rmtree(venv, ignore_errors=True)
        own = venv / "bin" / "python"
        offline: list[str | Path] = [
            "--quiet",
            "--no-index",
            "--find-links",
            wheel.parent,
            "--find-links",
            LINKS,
        ]
        problem = fetch([sys.executable, "-m", "pip"], version, "x86_64", [*TESTS, greenlet])
        problem = problem or call([python, "-m", "venv", venv])
        started = time.monotonic()
        problem = problem or call([own, "-m", "pip", "install", *offline, wheel, greenlet])
        problem = problem or call([venv / "bin" / "greenroom", "doctor"])
        print(f"  {greenlet}: installed and examined in {time.monotonic() - started:.1f} s")
        problem = problem or call([own, "-m", "pip", "install", *offline, *TESTS])
        problem = problem or call([own, "-m", "pytest", "-q", "tests/core"])
        if problem is not None:
            failed.append(f"{wheel.name} with {greenlet}:\n{problem}")
    return failed


def under_qemu(version: str, wheel: Path) -> list[str]:
    """Test a wheel for aarch64; return what failed, or why nothing was tested."""
    made = call(["bash", ROOT / "scripts" / "arm64.sh", VENVS / "arm64", version])
    if made is not None:
        print(f"  not tested: no arm64 CPython {version} could be had: {made.strip()[-200:]}")
        return []
    problem = fetch([sys.executable, "-m", "pip"], version, "aarch64", [*TESTS, "greenlet"])
    packages = VENVS / "arm64" / f"packages-{version}"
    shutil.rmtree(packages, ignore_errors=True)
    offline: list[str | Path] = [
        "--no-index",
        "--find-links",
        LINKS,
        "--target",
        packages,
        "--only-binary",
        ":all:",
    ]
    tags = ["--python-version", version, "--implementation", "cp"]
    tags += ["--platform", "manylinux_2_28_aarch64", "--platform", "manylinux_2_24_aarch64"]
    tags += ["--platform", "manylinux_2_17_aarch64", "--platform", "manylinux2014_aarch64"]
    install = [sys.executable, "-m", "pip", "install", "--quiet", *offline, *tags]
    problem = problem or call([*install, *TESTS, "greenlet"])
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    python = VENVS / "arm64" / f"python{version}"
    # Children of the tests are started by this name too.
    (packages / "sitecustomize.py").write_text(f"import sys\nsys.executable = {str(python)!r}\n")
    env = {"PYTHONPATH": str(packages), "PYTHONDONTWRITEBYTECODE": ""}
    problem = problem or call([python, "-m", "greenroom", "doctor"], **env)
    files = [f"tests/core/test_{name}.py" for name in FIRST]
    problem = problem or call([python, "-m", "pytest", "-q", *files], **env)
    return [] if problem is None else [f"{wheel.name}:\n{problem}"]
