"""Words for people: who waits, for what, at which line.                         layer: core"""

from __future__ import annotations

import sys
from os.path import basename, dirname
from types import CodeType, FrameType

import greenlet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_CORE_FOLDER = dirname(__file__) + "/"
_OWN_FOLDER = dirname(dirname(__file__)) + "/"
_SYNC_FOLDER = _OWN_FOLDER + "sync/"

# The standard library's own frames say less than the line that called them, as long as they are
# the ones that any wait goes through.
_PLUMBING = ("threading.py", "queue.py", "socket.py", "selectors.py", "socketserver.py", "ssl.py")


def is_own_code(code: CodeType) -> bool:
    """Tell whether code is greenroom's own."""
    return code.co_filename.startswith(_OWN_FOLDER)


def is_core_code(code: CodeType) -> bool:
    """Tell whether code is of the layer core."""
    return code.co_filename.startswith(_CORE_FOLDER)


def is_waiting_code(code: CodeType) -> bool:
    """Tell whether code is of the layers that keep queues of tasks: core and sync."""
    return code.co_filename.startswith((_CORE_FOLDER, _SYNC_FOLDER))


def describe(reason: object) -> str:
    """Return what a task waits on, in few words."""
    if reason is None:
        return "nothing that is named"
    if isinstance(reason, str):
        return reason
    if isinstance(reason, list):  # the operations of a select
        return "one of " + ", ".join(describe(case.reason()) for case in reason)
    text = getattr(reason, "wait_reason", None)
    if isinstance(text, str):
        return text
    # A Task waited for shows its name only: two that wait for each other must not recurse.
    if hasattr(reason, "state_name"):
        return f"the end of <Task {getattr(reason, 'name', reason)}>"
    return repr(reason)


def frame_of(task: Any) -> FrameType | None:
    """Return the innermost frame of a suspended or the running task, None for one never run."""
    if task.greenlet is None:
        if task.stepper is None or task.state_name == "new":
            return None
        return task.stepper.frame()  # type: ignore[no-any-return]
    frame: FrameType | None = task.greenlet.gr_frame
    if frame is None and task.greenlet is greenlet.getcurrent():
        frame = sys._getframe(1)
    return frame


def where(task: Any) -> str:
    """Return "file.py:31 in function" for the line of the user's code at which task is."""
    frame = frame_of(task)
    fallback = frame
    while frame is not None:
        code = frame.f_code
        if not is_own_code(code):
            fallback = fallback if fallback and not is_own_code(fallback.f_code) else frame
            if basename(code.co_filename) not in _PLUMBING:
                break
        frame = frame.f_back
    frame = frame or fallback
    if frame is None:
        return "not started"
    code = frame.f_code
    return f"{code.co_filename}:{frame.f_lineno} in {code.co_name}"


def waiting(tasks: list[Any]) -> str:
    """Return one line a task, for the deadlock report."""
    return "\n".join(
        f"  <Task {task.name}> waits for {describe(task.reason)} at {where(task)}" for task in tasks
    )
