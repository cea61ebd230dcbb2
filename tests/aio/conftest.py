"""Loops of ours, unpatched."""

import gc
import logging
from collections.abc import Iterator

import pytest

import greenroom
from greenroom.aio.loop import Loop, new_event_loop


class Log(logging.Handler):
    """What asyncio and greenroom have logged."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@pytest.fixture(autouse=True)
def nothing_logged() -> Iterator[Log]:
    """Fail a test after which a log has errors that it did not take (Log.messages.clear())."""
    log = Log()
    loggers = [logging.getLogger(name) for name in ("asyncio", "greenroom")]
    for logger in loggers:
        logger.addHandler(log)
    yield log
    gc.collect(1)
    for logger in loggers:
        logger.removeHandler(log)
    assert log.messages == []


@pytest.fixture
def loop() -> Iterator[Loop]:
    """A new loop, closed at the end."""
    loop = new_event_loop()
    yield loop
    if not loop.is_closed():
        loop.close()
    greenroom.sleep(0)  # what was ready when it stopped goes
