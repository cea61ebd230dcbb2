"""Attributes that each task sees its own values of.                             layer: core

As threading.local does it: a `local` may be subclassed, and __init__ runs again, with the same
arguments, in each task that touches the object. The values die with the task, or with the object.
"""

from __future__ import annotations

from _weakref import ref

from greenroom.core import scheduler as _scheduler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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
        if task.locals is None:
            task.locals = []
        elif len(task.locals) % 64 == 63:
            # Those whose local object has died; main would collect them for ever.
            task.locals = [
                one
                for one in task.locals
                if not isinstance(one, _Forget) or one.values() is not None
            ]
        task.locals.append(_Forget(self))
        return values


class _Forget:
    """Called when a task ends."""

    __slots__ = ("values",)

    def __init__(self, values: _Values) -> None:
        self.values = ref(values)

    def __call__(self, task: Any) -> None:
        values = self.values()
        if values is not None:
            values.by_task.pop(id(task), None)


def _dict_of(self: local) -> dict[str, Any]:
    """Return the running task's attributes of self."""
    values: _Values = object.__getattribute__(self, _FIELD)
    task = _scheduler.get().current
    found = values.by_task.get(id(task))
    if found is None:
        found = values.new_dict(task)
        if type(self).__init__ is not object.__init__:
            try:
                type(self).__init__(self, *values.args, **values.kwargs)
            except BaseException:
                values.by_task.pop(id(task), None)  # the next touch tries again
                raise
    return found


_MISSING: Any = object()


def _class_attribute(kind: type, name: str) -> Any:
    for base in kind.__mro__:
        if name in base.__dict__:
            return base.__dict__[name]
    return _MISSING


class local:
    """An object whose attributes are each task's own. Never switches.

    Attributes are looked up here and not by object.__getattribute__ on a swapped __dict__: another
    OS thread could swap it in between.
    """

    __slots__ = ("__weakref__", _FIELD)

    def __new__(cls, /, *args: Any, **kwargs: Any) -> local:
        if (args or kwargs) and cls.__init__ is object.__init__:
            raise TypeError("local() takes arguments only in a subclass with an __init__")
        self = object.__new__(cls)
        values = _Values(args, kwargs)
        object.__setattr__(self, _FIELD, values)
        # type.__call__ is about to run __init__ for the task that makes the object.
        values.new_dict(_scheduler.get().current)
        return self

    def __getattribute__(self, name: str) -> Any:
        values = _dict_of(self)
        if name == "__dict__":
            return values
        kind = type(self)
        found = _class_attribute(kind, name)
        if found is not _MISSING and hasattr(type(found), "__set__"):
            return type(found).__get__(found, self, kind)
        if name in values:
            return values[name]
        if found is not _MISSING:
            get = getattr(type(found), "__get__", None)
            return found if get is None else get(found, self, kind)
        raise AttributeError(f"{kind.__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "__dict__":
            raise AttributeError(
                f"{type(self).__name__!r} object attribute '__dict__' is read-only"
            )
        values = _dict_of(self)
        found = _class_attribute(type(self), name)
        if found is not _MISSING and hasattr(type(found), "__set__"):
            type(found).__set__(found, self, value)
        else:
            values[name] = value

    def __delattr__(self, name: str) -> None:
        if name == "__dict__":
            raise AttributeError(
                f"{type(self).__name__!r} object attribute '__dict__' is read-only"
            )
        values = _dict_of(self)
        found = _class_attribute(type(self), name)
        if found is not _MISSING and hasattr(type(found), "__delete__"):
            type(found).__delete__(found, self)
        elif name in values:
            del values[name]
        else:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
