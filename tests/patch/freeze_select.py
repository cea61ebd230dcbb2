"""Calls of the part "select" that wait, for the freeze test."""

import asyncio
import select
import selectors
from collections.abc import Callable

from .freeze_help import begin, pipe, write_later


def pipe_with_news_later() -> int:
    ours, theirs = pipe()
    write_later(theirs)
    return ours


def call_select() -> None:
    select.select([pipe_with_news_later()], [], [])


def call_poll() -> None:
    poll = select.poll()
    poll.register(pipe_with_news_later(), select.POLLIN)
    poll.poll()


def call_epoll() -> None:
    epoll = select.epoll()
    epoll.register(pipe_with_news_later(), select.EPOLLIN)
    epoll.poll()


def selector_of(kind: type[selectors.BaseSelector]) -> Callable[[], None]:
    def call() -> None:
        with kind() as selector:
            selector.register(pipe_with_news_later(), selectors.EVENT_READ)
            selector.select()

    return call


def busy_loop() -> None:
    """An asyncio loop that has something to do all the time."""

    async def work() -> None:
        enough = begin()
        while not enough():
            await asyncio.sleep(0)

    asyncio.run(work())


FREEZE: dict[str, Callable[[], None]] = {
    "select:select": call_select,
    "select:poll": call_poll,
    "select:epoll": call_epoll,
    "selectors:SelectSelector._select": selector_of(selectors.SelectSelector),
    "selectors:PollSelector._selector_cls": selector_of(selectors.PollSelector),
    "selectors:EpollSelector._selector_cls": selector_of(selectors.EpollSelector),
    "asyncio.base_events:BaseEventLoop._run_once": busy_loop,
}

ONCE = {
    "asyncio.base_events:BaseEventLoop._run_once": "it computes, and a thread has one loop",
}
NEVER_WAIT: dict[str, str] = {}
