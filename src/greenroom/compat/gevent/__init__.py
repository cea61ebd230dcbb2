"""gevent's names, on greenroom.                                                 layer: compat

`greenroom run --as-gevent FILE` offers this package under the name gevent, for programs that are to
run as they are. Only gevent's spellings live here; new code uses greenroom's own.
"""

from greenroom.compat.gevent.greenlets import (
    Greenlet,
    GreenletExit,
    getcurrent,
    idle,
    iwait,
    joinall,
    kill,
    killall,
    sleep,
    spawn,
    spawn_later,
    wait,
)
from greenroom.compat.gevent.timeouts import Timeout, with_timeout

__all__ = [
    "Greenlet",
    "GreenletExit",
    "Timeout",
    "getcurrent",
    "idle",
    "iwait",
    "joinall",
    "kill",
    "killall",
    "sleep",
    "spawn",
    "spawn_later",
    "wait",
    "with_timeout",
]
