"""The child processes of the freeze test: python -m patch.freeze_child MODULE TARGET…

Each target's snippet is run once beside a task that ticks, then ten times at once. One line of JSON
a target says how that went. A snippet that fails is tried three times: a busy machine may stop this
process for as long as the wait takes, a call that blocks does so each time.
"""

import faulthandler
import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import greenroom

from . import freeze_help

clock = time.perf_counter
TICK = 0.01
LONGEST = 15  # seconds for one snippet, then the process ends with a traceback


def ticks_during(call: Callable[[], object]) -> tuple[int, float]:
    """Return how often another task got its turn during the call, and how long the call took."""
    ticks = 0

    def ticker() -> None:
        nonlocal ticks
        while True:
            greenroom.sleep(TICK)
            ticks += 1

    task = greenroom.spawn(ticker)
    greenroom.sleep(0)
    began = clock()
    call()
    found = ticks, clock() - began
    task.kill()
    return found


def ten_at_once(call: Callable[[], object]) -> float:
    """Return how long ten calls in ten tasks take."""
    began = clock()
    for task in greenroom.joinall([greenroom.spawn(call) for _ in range(10)]):
        task.result()
    return clock() - began


def run(call: Callable[[], object], once: bool) -> dict[str, Any]:
    """Run one snippet in both ways."""
    ticks, seconds = ticks_during(call)
    return {"ticks": ticks, "seconds": seconds, "ten": None if once else ten_at_once(call)}


def well(found: dict[str, Any]) -> bool:
    """Tell whether nothing needs to be tried again."""
    return found["ticks"] >= 8 and (found["ten"] or 0) < 5 * freeze_help.WAIT


def exists(target: str) -> bool:
    """Tell whether this interpreter has the name: some depend on how it was built."""
    module, _, path = target.partition(":")
    try:
        found: Any = importlib.import_module(module)
    except ImportError:
        return module.startswith("psycopg")  # the snippet says what to do
    for name in path.split(".") if path else []:
        if not hasattr(found, name):
            return False
        found = getattr(found, name)
    return True


def main(name: str, targets: list[str], out: int) -> None:
    module = importlib.import_module(f"patch.{name}")
    once = getattr(module, "ONCE", {})
    for target in targets:
        faulthandler.dump_traceback_later(LONGEST, exit=True)
        found: dict[str, Any]
        try:
            call = module.FREEZE[target]
            if isinstance(call, str):
                names: dict[str, Any] = {}
                exec(call, names)
                call = names["call"]
            if exists(target):
                for _ in range(3):
                    found = run(call, target in once)
                    if well(found):
                        break
            else:
                found = {"skip": f"this interpreter was built without {target}"}
        except freeze_help.Unavailable as error:
            found = {"unavailable": str(error)}
        except Exception:
            found = {"error": traceback.format_exc()}
        os.write(out, json.dumps({"target": target, **found}).encode() + b"\n")
    faulthandler.cancel_dump_traceback_later()


if __name__ == "__main__":
    out = os.dup(1)  # a snippet may put something else in the place of fd 1
    greenroom.patch_all()
    main(sys.argv[1], sys.argv[2:], out)
