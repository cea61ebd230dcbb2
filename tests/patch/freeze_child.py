"""The child processes of the freeze test: python -m patch.freeze_child MODULE TARGET…

Each target's snippet is run once beside a task that takes turns, then ten times at once. One line
of JSON a target says how that went.
"""

import faulthandler
import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

import greenroom

from . import freeze_help

LONGEST = 100  # seconds for one snippet, then the process ends with a traceback


def went_on(call: Callable[[], object], calls: int) -> bool:
    """Make so many calls at once; return whether all waited, and other tasks went on meanwhile."""
    this = freeze_help.run = freeze_help.Run(calls)

    def others() -> None:
        while True:
            greenroom.sleep(freeze_help.PAUSE)
            this.turns += 1

    other = greenroom.spawn(others)
    if calls == 1:
        call()
    else:
        for task in greenroom.joinall([greenroom.spawn(call) for _ in range(calls)]):
            task.result()
    other.kill()
    enough = len(this.begun) >= calls and this.turns >= freeze_help.TURNS
    return enough and not this.gave_up


def run(call: Callable[[], object], once: bool) -> dict[str, Any]:
    """Run one snippet in both ways."""
    return {"one": went_on(call, 1), "ten": None if once else went_on(call, 10)}


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
                found = run(call, target in once)
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
