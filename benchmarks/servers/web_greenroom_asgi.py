"""The same WebSocket case as an ASGI application on greenroom."""

import sys

sys.argv[1] = f"asgi-{sys.argv[1]}"

import web_greenroom  # noqa: E402, F401  (it runs)
