"""Wait for what a real thread or another process does, however slow the machine is."""

import time
from collections.abc import Callable

import greenroom

PATIENCE = 60.0  # seconds until a test that waits is told that it waits in vain


def until(condition: Callable[[], object]) -> None:
    """Let others run until condition() holds. On the real clock."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "what is waited for does not come"
        greenroom.sleep(0.001)
