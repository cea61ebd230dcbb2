"""The micro cases of asyncio, on uvloop's event loop."""

import uvloop
from with_asyncio import run_on

run_on(uvloop.new_event_loop)
