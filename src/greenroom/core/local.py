"""Attributes that each task sees its own values of.                             layer: core

As threading.local does it: a `local` may be subclassed, and __init__ runs again, with the same
arguments, in each task that touches the object. The values die with the task, or with the object.
"""

import weakref
from typing import Any

from greenroom.core import scheduler as _scheduler

_FIELD = "_local__values"


class _Values:
    """The dict of each task, by the task's id; lives as long as the local object."""

    __slots__ = ("__weakref__", "args", "by_task", "kwargs")

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.by_task: dict[int, dict[str, Any]] = {}
        self.args = args
        self.kwargs = kwargs

    def new_dict(self, task: Any) -> dict[str, Any]:
        """Give task a dict, and see to it that it is forgotten when the task ends."""
        values = self.by_task[id(task)] = {}
        reference = weakref.ref(self)

        def forget(task: Any) -> None:
            owner = reference()
            if owner is not None:
                owner.by_task.pop(id(task), None)

        if task.locals is None:
            task.locals = []
        elif len(task.locals) % 64 == 63:
            # Those whose local object has died; main would collect them for ever.
            task.locals = [
                fn for fn in task.locals if fn.__closure__[0].cell_contents() is not None
            ]
        task.locals.append(forget)
        return values


def _enter(self: "local") -> None:
    """Make the running task's values the instance's __dict__."""
    values: _Values = object.__getattribute__(self, _FIELD)
    task = _scheduler.get().current
    found = values.by_task.get(id(task))
    if found is None:
        found = values.new_dict(task)
        object.__setattr__(self, "__dict__", found)
        if type(self).__init__ is not object.__init__:
            self.__init__(*values.args, **values.kwargs)  # type: ignore[misc]
    object.__setattr__(self, "__dict__", found)


class local:
    """An object whose attributes are each task's own. Never switches."""

    __slots__ = ("__dict__", "__weakref__", _FIELD)

    def __new__(cls, /, *args: Any, **kwargs: Any) -> "local":
        if (args or kwargs) and cls.__init__ is object.__init__:
            raise TypeError("local() takes arguments only in a subclass with an __init__")
        self = object.__new__(cls)
        values = _Values(args, kwargs)
        object.__setattr__(self, _FIELD, values)
        # type.__call__ is about to run __init__ for the task that makes the object.
        task = _scheduler.get().current
        object.__setattr__(self, "__dict__", values.new_dict(task))
        return self

    def __getattribute__(self, name: str) -> Any:
        _enter(self)
        return object.__getattribute__(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "__dict__":
            raise AttributeError(
                f"{type(self).__name__!r} object attribute '__dict__' is read-only"
            )
        _enter(self)
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        if name == "__dict__":
            raise AttributeError(
                f"{type(self).__name__!r} object attribute '__dict__' is read-only"
            )
        _enter(self)
        object.__delattr__(self, name)
