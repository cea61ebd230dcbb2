"""The asyncio streams echo server, on uvloop's event loop."""

import uvloop
from echo_asyncio_streams import main

uvloop.run(main())
