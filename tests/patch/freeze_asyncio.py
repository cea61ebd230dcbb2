"""asyncio's loops: coroutines that block wait together, for the freeze test."""

import asyncio
import time
from asyncio import unix_events
from collections.abc import Callable
from typing import Any

from .freeze_help import again


def run(**options: Any) -> None:
    async def blocks() -> None:
        again(time.sleep, 0.001)

    with asyncio.Runner(**options) as runner:
        runner.run(blocks())


def runs_on(module: Any, name: str) -> Callable[[], None]:
    return lambda: run(loop_factory=getattr(module, name))


FREEZE = {
    "asyncio.unix_events:_UnixDefaultEventLoopPolicy._loop_factory": run,
    **{
        f"{module.__name__}:{name}": runs_on(module, name)
        for module in (asyncio, unix_events)
        for name in ("SelectorEventLoop", "EventLoop")
    },
}
NEVER_WAIT: dict[str, str] = {}
