"""Calls a function when a module is imported.                                  layer: patch

A finder in front of all others lets them find the module, and puts a loader around theirs which,
once the module's code has run, calls the function. The module sees its own loader, not this one.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_wanted: dict[str, Callable[[str], object]] = {}


class _Finder:
    """The entry in sys.meta_path."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Find the module as the other finders do, if it is one that somebody waits for."""
        if name not in _wanted:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None and hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader)  # type: ignore[assignment]
                return spec
        return None

    def invalidate_caches(self) -> None:
        """Nothing is kept here."""


class _Loader:
    """A loader that calls back when the module has been executed."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def create_module(self, spec: Any) -> Any:
        """As the loader does."""
        return self.loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        """Execute the module as its loader does, then call who waits for it."""
        module.__spec__.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        call = _wanted.get(module.__name__)
        if call is not None:
            call(module.__name__)


_finder = _Finder()


def when_imported(name: str, call: Callable[[str], object]) -> None:
    """Call call(name) whenever the module has been imported; not for an import of the past."""
    _wanted[name] = call
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


def forget() -> None:
    """Call nobody any more."""
    _wanted.clear()
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
