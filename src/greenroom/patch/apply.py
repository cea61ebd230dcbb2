"""patch_all(): put the table into effect.                                       layer: patch

A row whose module is imported already takes effect at once; the others wait for the first import of
theirs (imports.py), so that patching imports nothing that the program does not.
"""

from __future__ import annotations

import sys

from greenroom.core import scheduler as _scheduler
from greenroom.patch import imports, locks
from greenroom.patch.table import PARTS, TABLE, Row

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_MISSING: Any = object()


class Patched:
    """What patching did.

    names   the targets that are green now, or will be when their module is imported: "module:name"
    kept    modules that had copied a name before and keep the old object: (module, name, target)
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.kept: list[tuple[str, str, str]] = []

    def __str__(self) -> str:
        lines = [f"{len(self.names)} names of the standard library are green"]
        for module, name, target in self.kept:
            lines.append(
                f"cannot patch {target!r} for {module!r}: it kept its own reference as {name!r}; "
                "start with 'greenroom run', or patch before it is imported"
            )
        return "\n".join(lines)


class _Done:
    """One name that was replaced: how to put it back."""

    __slots__ = ("green", "name", "original", "own", "owner")  # locks.py looks for locks in dicts

    def __init__(self, owner: Any, name: str, own: Any, original: Any, green: Any) -> None:
        self.owner = owner
        self.name = name
        self.own = own  # what was in the owner's own dict, or _MISSING
        self.original = original
        self.green = green

    def undo(self) -> None:
        """Put it back."""
        if self.own is _MISSING:
            delattr(self.owner, self.name)
        else:
            setattr(self.owner, self.name, self.own)


_done: dict[str, _Done] = {}  # by target
_superseded: list[_Done] = []  # what was done to a module that has been imported anew since
_hooked: dict[str, Callable[[], object] | None] = {}  # by target: what undoes a hook
_waiting: dict[str, Row] = {}  # by target: rows whose module has not been imported
_wanted: dict[str, Row] = {}  # by target: the rows of all parts that are patched


def patch_all(**parts: bool) -> Patched:
    """Make the waits of the standard library park the task instead of blocking the thread.

    parts     thread, queue, time, …: False leaves that part as it is; docs/patching.md lists them
    Returns   a Patched: what is replaced, and which modules kept an old reference
    Raises    TypeError: there is no such part
    Switches  never

    May be called again: what is patched stays so, and parts left out before are added.
    """
    for part in parts:
        if part not in PARTS:
            raise TypeError(f"patch_all() knows no part {part!r}; there are {', '.join(PARTS)}")
    result = Patched()
    originals: dict[int, tuple[Any, str]] = {}
    threads_before = "_thread:allocate_lock" in _done
    for row in TABLE:
        if not row.applies or not parts.get(row.part, True):
            continue
        if row.target not in _wanted:
            _wanted[row.target] = row
            imports.when_imported(row.module, _imported)
        if row.module not in sys.modules:
            _waiting.setdefault(row.target, row)
        elif row.target not in _done and row.target not in _hooked:
            done = _apply(row, sys.modules[row.module])
            if done is None:
                continue
            if row.how == "by name" and callable(done.original):
                originals[id(done.original)] = (done.original, row.target)
        if row.how != "hook":
            result.names.append(row.target)
    result.kept = _who_kept(originals)
    if "_thread:allocate_lock" in _done and not threads_before:
        _warn_if_late()
        if "threading" in sys.modules:  # else nobody but the import system has a lock
            for place in locks.replace_all():
                _warn(
                    f"patch_all() found the lock {place} held: it stays a real one, and a task "
                    "that waits for it stops all others; patch before threads are started"
                )
    return result


def _warn_if_late() -> None:
    """Warn if tasks run already: what they have of the library as it was, they keep."""
    scheduler = _scheduler.get()
    who = None
    if scheduler.current is not scheduler.main:
        who = f"called from {scheduler.current!r}"
    elif scheduler.live:
        who = f"called while {scheduler.live} tasks are alive"
    if who is not None:
        _warn(
            f"patch_all() is {who}: a call that waits in the library as it was stops all the "
            "others until it returns; patch at the top of the program"
        )


def _warn(message: str) -> None:
    import warnings  # costs a program that has no reason to be warned

    warnings.warn(message, RuntimeWarning, stacklevel=3)


def _imported(name: str) -> None:
    """Apply the rows that waited for the module, or have them apply to it once more.

    A module may be imported again after it was taken out of sys.modules, or reloaded.
    """
    module = sys.modules[name]
    for row in [row for row in _wanted.values() if row.module == name]:
        _waiting.pop(row.target, None)
        _apply(row, module)


def _module(name: str) -> Any:
    """Import a module; the package importlib is not needed for that."""
    __import__(name)
    return sys.modules[name]


def _replacement(row: Row, original: Any) -> Any:
    module, _, names = row.source.partition(":")
    found: Any = _module(f"greenroom.{module}")
    for name in names.split("."):
        found = getattr(found, name)
    return found(original) if row.around else found


def _apply(row: Row, module: Any) -> _Done | None:
    """Put one row into effect; return what was done, None if this Python has no such name."""
    if row.how == "hook":
        if row.target in _hooked:
            return None
        _hooked[row.target] = _replacement(row, module)
        return None
    owner = module
    *path, name = row.path
    for step in path:
        owner = getattr(owner, step, _MISSING)
    own = vars(owner).get(name, _MISSING) if owner is not _MISSING else _MISSING
    original = getattr(owner, name, _MISSING)
    if original is _MISSING:
        return None
    before = _done.get(row.target)
    if before is not None:
        if before.owner is owner and before.green is original:
            return None  # reloaded, and as it was
        _superseded.append(before)
    copied = _copied_from(original, name)
    if copied is not None:
        original = copied.original
        if own is not _MISSING:  # else it is not copied, but a base class's
            own = original
    green = _replacement(row, original)
    setattr(owner, name, green)
    done = _done[row.target] = _Done(owner, name, own, original, green)
    return done


def _copied_from(value: Any, name: str) -> _Done | None:
    """Find the replaced name that value comes from: the module was imported after patching."""
    found = None
    for done in _done.values():
        if done.green is value and (found is None or done.name == name):
            found = done
    return found


def _who_kept(originals: dict[int, tuple[Any, str]]) -> list[tuple[str, str, str]]:
    """Find the modules that copied one of the originals; those of the library get the new one."""
    kept = []
    for module_name, module in list(sys.modules.items()):
        if module_name.partition(".")[0] == "greenroom" or module is None:
            continue
        try:
            names = list(vars(module).items())
        except TypeError:
            continue
        for name, value in names:
            found = originals.get(id(value))
            if found is None or found[0] is not value or f"{module_name}:{name}" in _done:
                continue
            if module_name == "_io" or getattr(value, "__module__", None) == module_name:
                # Where it was made, and where the table leaves it: imports read through _io, and
                # a program that only imports need not have threads for that.
                continue
            if module_name.partition(".")[0] in sys.stdlib_module_names:
                # The library's own copies ("from time import sleep") are ours to rebind.
                green = _done[found[1]].green
                setattr(module, name, green)
                _done[f"{module_name}:{name}"] = _Done(module, name, value, value, green)
            else:
                kept.append((module_name, name, found[1]))
    return kept


def is_patched(target: str) -> bool:
    """Return whether a name ("time.sleep", "socket.socket.recv") is green.

    So it is too if its module has not been imported yet: it will be from the first import on.
    """
    key = _key(target)
    return key in _done or key in _waiting


def targets() -> list[str]:
    """Return every name that is green, or will be when its module is imported, "module:name"."""
    return [*_done, *_waiting]


def original(target: str) -> Any:
    """Return what a name ("time.sleep") was before patching, patched or not.

    Raises    AttributeError: there is no such name
    """
    key = _key(target)
    module, _, name = key.partition(":")
    _module(module)
    if key in _done:
        return _done[key].original
    owner: Any = sys.modules[module]
    for step in name.split("."):
        owner = getattr(owner, step)
    return owner


def _key(target: str) -> str:
    """Turn "os.path.join" into "os.path:join": the longest name of a module, then the rest."""
    if ":" in target:
        return target
    module, _, name = target.partition(".")
    while True:
        deeper, _, rest = name.partition(".")
        if not rest or f"{module}.{deeper}" not in _modules():
            return f"{module}:{name}"
        module, name = f"{module}.{deeper}", rest


def _modules() -> set[str]:
    return {row.module for row in TABLE} | set(sys.modules)


def unpatch_all() -> None:
    """Put everything back, for tests. Objects made meanwhile (locks, threads) stay green."""
    for done in [*reversed(_done.values()), *reversed(_superseded)]:
        done.undo()
    for undo in _hooked.values():
        if undo is not None:
            undo()
    _hooked.clear()
    _done.clear()
    _superseded.clear()
    _waiting.clear()
    _wanted.clear()
    imports.forget()
