"""patch_all(): put the table into effect.                                       layer: patch"""

import importlib
import sys
from dataclasses import dataclass, field
from typing import Any

from greenroom.patch.table import Row, rows

PARTS = ("thread", "queue", "time", "select", "socket", "dns")

_MISSING: Any = object()


@dataclass
class Patched:
    """What patching did.

    names   the targets that are replaced now, as "module:name"
    kept    modules that had copied a name before and keep the old object: (module, name, target)
    """

    names: list[str] = field(default_factory=list)
    kept: list[tuple[str, str, str]] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{len(self.names)} names of the standard library are green"]
        for module, name, target in self.kept:
            lines.append(
                f"cannot patch {target!r} for {module!r}: it kept its own reference as {name!r}; "
                "start with 'greenroom run', or patch before it is imported"
            )
        return "\n".join(lines)


# target -> (owner, attribute, what was in the owner's own dict, or _MISSING, the original)
_undo: dict[str, tuple[Any, str, Any, Any]] = {}


def patch_all(**parts: bool) -> Patched:
    """Make the waits of the standard library park the task instead of blocking the thread.

    parts     thread, queue, time, select, socket, dns: False leaves that part as it is
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
    for row in rows():
        if not row.applies or not parts.get(row.part, True):
            continue
        if row.target not in _undo:
            original = _apply(row)
            if original is _MISSING:
                continue
            if row.how == "by name" and callable(original):
                originals[id(original)] = (original, row.target)
        result.names.append(row.target)
    result.kept = _who_kept(originals)
    return result


def _apply(row: Row) -> Any:
    """Put one row into effect; return the original, _MISSING if this Python has no such name."""
    owner: Any = importlib.import_module(row.module)
    *path, name = row.path
    for step in path:
        owner = getattr(owner, step, _MISSING)
        if owner is _MISSING:
            return _MISSING
    original = getattr(owner, name, _MISSING)
    if original is _MISSING:
        return _MISSING
    own = vars(owner).get(name, _MISSING)
    setattr(owner, name, row.make(original))
    _undo[row.target] = (owner, name, own, original)
    return original


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
            if found is None or found[0] is not value or f"{module_name}:{name}" in _undo:
                continue
            if module_name.partition(".")[0] in sys.stdlib_module_names:
                # The library's own copies ("from time import sleep") are ours to rebind.
                setattr(module, name, getattr_path(found[1]))
                _undo[f"{module_name}:{name}"] = (module, name, value, value)
            else:
                kept.append((module_name, name, found[1]))
    return kept


def getattr_path(target: str) -> Any:
    """Return what "module:name" is now."""
    module, _, name = target.partition(":")
    return getattr(sys.modules[module], name)


def is_patched(target: str) -> bool:
    """Return whether a name ("time.sleep", "socket.socket.recv") is green."""
    module, _, name = target.partition(".")
    return f"{module}:{name}" in _undo or target in _undo


def targets() -> list[str]:
    """Return every replaced name, as "module:name"."""
    return list(_undo)


def original(target: str) -> Any:
    """Return what a name ("time.sleep") was before patching, patched or not.

    Raises    AttributeError: there is no such name
    """
    module, _, name = target.partition(".")
    if f"{module}:{name}" in _undo:
        return _undo[f"{module}:{name}"][3]
    owner: Any = importlib.import_module(module)
    for step in name.split("."):
        owner = getattr(owner, step)
    return owner


def unpatch_all() -> None:
    """Put everything back, for tests. Objects made meanwhile (locks, threads) stay green."""
    for owner, name, own, _ in reversed(_undo.values()):
        if own is _MISSING:
            delattr(owner, name)
        else:
            setattr(owner, name, own)
    _undo.clear()
