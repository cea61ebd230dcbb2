"""Say what this installation of greenroom can do, and what it cannot."""

import os
import platform
import resource
import sys

import greenlet

from greenroom import _config
from greenroom.core import arena, native
from greenroom.core import scheduler as _scheduler


def lines() -> list[str]:
    """Return what doctor prints."""
    compiled = native.compiled()
    poller = getattr(type(_scheduler.get().poller), "name", "?")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    slab = "in use" if arena.install() else "not in use"
    how = (
        "yes" if compiled else "no: no C compiler was found when it was installed, so it is slower"
    )
    return [
        f"Python     {platform.python_version()} ({sys.implementation.name}), {sys.executable}",
        f"greenlet   {greenlet.__version__}",
        f"compiled   {how}",
        f"poller     {poller}",
        f"slab       {slab} for the stacks of greenlets",
        f"kernel     {platform.system()} {platform.release()} on {platform.machine()}",
        f"fd limit   {soft} (can be raised to {hard})",
        f"debug      {'on' if _config.DEBUG else 'off'} (GREENROOM_DEBUG)",
        f"processors {os.cpu_count()}",
    ]


def main() -> int:
    """Print the findings; return the exit status."""
    print("\n".join(lines()))
    return 0
