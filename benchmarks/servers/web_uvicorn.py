"""uvicorn with uvloop and httptools.   web_uvicorn.py asgi|websocket PORT"""

import sys

import uvicorn
from listener import listen
from web_app import ASGI

config = uvicorn.Config(
    ASGI[sys.argv[1]],
    loop="uvloop",
    http="httptools",
    lifespan="off",
    access_log=False,
    log_level="error",
    timeout_keep_alive=75,
)
uvicorn.Server(config).run(sockets=[listen()])
