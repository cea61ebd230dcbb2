"""The GIL on a free-threaded build: greenroom needs it, and says so once.

A program that starts without the GIL gets it when the first extension is loaded that does not
declare to run without. greenroom's do not: their locks, queues and wake-ups are right because
nothing else runs between two lines of C. So that this does not happen in the middle of the program,
where greenroom is first used, `import greenroom` loads one of them on such a build.
"""

import sys
import warnings

from greenroom import _config

REMEDY = "start Python with PYTHON_GIL=1 (or -X gil=1)"
UNSAFE = (
    "tasks in several threads, and the threads that greenroom itself starts for files, names and "
    "to_thread(), lose wake-ups or crash"
)
# The first greenlet that gives up the interpreter's own locks of objects at a switch. They exist on
# a free-threaded build even with the GIL: a task that parks inside a sort or a write holds one.
GREENLET = (3, 5, 4)


def enabled() -> bool:
    """Tell whether the GIL is on now."""
    return not _config.FREE_THREADED or sys._is_gil_enabled()  # type: ignore[attr-defined]


def is_old(version: str) -> bool:
    """Tell whether a greenlet of this version can crash or hang a free-threaded build."""
    numbers = [int(part) for part in version.split(".")[:3] if part.isdigit()]
    return tuple(numbers) < GREENLET


def old_greenlet(version: str) -> str:
    """Return what to say of a greenlet that is_old()."""
    return (
        f"greenlet {version} can crash or hang a free-threaded build of Python, with the GIL too, "
        "when tasks switch inside a lock of the interpreter's own: install greenlet "
        f"{'.'.join(map(str, GREENLET))} or newer, for which Python must be 3.14 or newer"
    )


def message(before: bool, after: bool, owner: str, version: str) -> str | None:
    """Return what importing greenroom on a free-threaded build has to say; None: nothing.

    before, after  whether the GIL was on before and after the import
    owner          what was imported that cannot run without the GIL
    version        of greenlet
    """
    said = []
    if not after:
        said.append(
            "greenroom is imported with the GIL off, and does not support several threads without "
            f"it yet: {UNSAFE}. To use greenroom, {REMEDY}"
        )
    elif not before:
        said.append(
            f"importing greenroom turned the GIL on: {owner} cannot run without it yet. Everything "
            "works, but threads run Python code one at a time, as on an ordinary build. To have "
            f"the GIL from the start, without this warning, {REMEDY}"
        )
    if is_old(version):
        said.append(old_greenlet(version))
    return "; ".join(said) or None


def status(free_threaded: bool, on: bool) -> str:
    """Return what `greenroom doctor` says of the GIL."""
    if not free_threaded:
        return "on: this is an ordinary build of Python"
    if on:
        return (
            "on, as greenroom needs it: this is a free-threaded build of Python, and several "
            "threads without the GIL are not supported yet"
        )
    return (
        "OFF on a free-threaded build of Python: several threads without the GIL are not supported "
        f"yet: {UNSAFE}; {REMEDY}"
    )


def load() -> None:
    """Load the first extension, and warn the importer of greenroom of what that means.

    This replaces CPython's own warning, which names an extension and suggests PYTHON_GIL=0.
    """
    before = enabled()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"The global interpreter lock \(GIL\)", RuntimeWarning)
        import greenlet  # here, not at the top: it may be the one that turns the GIL on

        from greenroom.core import native
    owner = "greenroom's extensions" if native.compiled() else "greenlet"
    said = message(before, enabled(), owner, greenlet.__version__)
    if said is not None:
        warnings.warn(said, RuntimeWarning, stacklevel=3)
