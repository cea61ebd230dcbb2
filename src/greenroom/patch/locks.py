"""Locks that were made before patching, and are real ones still.                layer: patch

A module that was imported before (logging, queue, a library with a module-level lock) has made its
locks already. A task that waits for such a lock would stop the thread, and with it the task that
holds it. So each real lock that nobody holds is replaced wherever it stands as an attribute: in a
module, an object or a class; and with it the methods of it that a threading.Condition has copied.
The garbage collector knows all of these objects and who refers to them.

A lock that is held now stays, for its holder will release that one; patch_all() warns of it.
"""

from __future__ import annotations

import gc
import os
import sys
from types import BuiltinMethodType, ModuleType

from greenroom import _originals
from greenroom.sync.lock import Lock, RLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LOCKS = (_originals.lock_type, _originals.rlock)

# The lock that is held as long as an OS thread runs, of threading up to Python 3.12.
_SENTINEL = "_tstate_lock"


def replace_all() -> list[str]:
    """Replace the real locks that nobody holds; return where those stand that are held.

    Never switches.
    """
    green: dict[int, Any] = {}  # by the id of the real lock
    found = [thing for thing in gc.get_objects() if type(thing) in _LOCKS]
    free = [lock for lock in found if lock is not _originals.atomic_lock and not _is_held(lock)]
    for lock in free:
        green[id(lock)] = Lock() if type(lock) is _originals.lock_type else RLock()
    methods = [
        thing
        for thing in gc.get_referrers(*free)
        if type(thing) is BuiltinMethodType and id(thing.__self__) in green
    ]
    own = {id(found), id(free), id(green), id(methods), id(sys._getframe())}
    for holder in gc.get_referrers(*free, *methods):
        if id(holder) not in own:
            _replace_in(holder, green)
    return _where([lock for lock in found if id(lock) not in green])


def _is_held(lock: Any) -> bool:
    """Tell whether anybody, this thread included, holds a real lock."""
    if type(lock) is _originals.lock_type:
        return bool(lock.locked())
    if lock._is_owned() or not lock.acquire(False):
        return True
    lock.release()
    return False


def _replace_in(holder: Any, green: dict[int, Any]) -> None:
    """Replace the locks, and methods of them, among the attributes of a module, object or class."""
    fields = holder if type(holder) is dict else getattr(holder, "__dict__", None)
    if fields is None or (type(holder) is dict and _is_ours(holder)):
        return
    for name, value in list(fields.items()):
        if id(value) in green:
            new = green[id(value)]
        elif type(value) is BuiltinMethodType and id(value.__self__) in green:
            new = getattr(green[id(value.__self__)], value.__name__)
        else:
            continue
        if isinstance(holder, type):
            setattr(holder, name, new)
        else:
            fields[name] = new
        if "__spec__" in fields:  # a module: it may be held by another when the process forks
            os.register_at_fork(after_in_child=new._at_fork_reinit)


def _is_ours(fields: dict[str, Any]) -> bool:
    name = fields.get("__name__")
    return isinstance(name, str) and name.partition(".")[0] == "greenroom"


def _where(held: list[Any]) -> list[str]:
    """Return the places, "module.name" or "Class.name", where locks stand that stay as they are."""
    ids = {id(lock) for lock in held}
    places: set[str] = set()
    for holder in gc.get_referrers(*held):
        fields = holder if type(holder) is dict else getattr(holder, "__dict__", None)
        if type(fields) is not dict or _is_ours(fields):
            continue
        if type(holder) is dict:
            owner = holder.get("__name__") or _owner_of(holder)
        else:
            owner = type(holder).__qualname__
        places.update(
            f"{owner}.{name}"
            for name, value in fields.items()
            if id(value) in ids and name != _SENTINEL and isinstance(name, str)
        )
    return sorted(places)


def _owner_of(fields: dict[str, Any]) -> str:
    for owner in gc.get_referrers(fields):
        if getattr(owner, "__dict__", None) is fields and not isinstance(owner, ModuleType):
            return type(owner).__qualname__
    return "an object"
