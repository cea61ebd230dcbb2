"""The asyncio Protocol echo server, on uvloop's event loop."""

import uvloop
from echo_asyncio_protocol import main

uvloop.run(main())
