"""The asyncio Protocol echo server, unchanged, on greenroom's event loop."""

import greenroom

greenroom.patch_all()

import asyncio  # noqa: E402  (after patching)

from echo_asyncio_protocol import main  # noqa: E402

asyncio.run(main())
