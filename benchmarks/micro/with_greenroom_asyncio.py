"""The micro cases of asyncio, on greenroom's event loop."""

from with_asyncio import run_on

from greenroom.aio.loop import new_event_loop

run_on(new_event_loop)
