"""greenroom run: a program, unmodified, on green threads.                       layer: cli"""

import os
import sys
from types import CodeType, ModuleType, TracebackType

from greenroom.core import scheduler as _scheduler
from greenroom.patch.apply import patch_all

_AS_GEVENT = ("", ".monkey", ".queue", ".socket")


def main(
    program: str, args: list[str], *, is_module: bool, as_gevent: bool, parts: dict[str, bool]
) -> int:
    """Patch, then run program as __main__. Returns 0, or 2 if there is no such program.

    What the program raises is raised here; its traceback is printed without greenroom's frames.
    """
    try:
        try:
            code, module = load_module(program) if is_module else load_script(program)
        except (OSError, ImportError) as error:
            print(f"greenroom: cannot run {program!r}: {error}", file=sys.stderr)
            return 2
        sys.argv = [str(module.__file__), *args]
        patch_all(**parts)
        if as_gevent:
            offer_as_gevent()
        sys.modules["__main__"] = module
        exec(code, module.__dict__)
    except KeyboardInterrupt:
        cut_tracebacks()
        _scheduler.get().kill_all()
        raise
    except Exception:
        cut_tracebacks()
        raise
    return 0


def load_script(path: str) -> tuple[CodeType, ModuleType]:
    """Compile a script file, or the __main__.py of a folder, and make its module."""
    folder = os.path.dirname(os.path.realpath(path))  # of a link: where the script itself is
    if os.path.isdir(path):
        folder, path = path, os.path.join(path, "__main__.py")
    with open(path, "rb") as file:
        code = compile(file.read(), path, "exec", dont_inherit=True)
    sys.path[0] = folder
    module = ModuleType("__main__")
    module.__file__ = path
    module.__dict__["__builtins__"] = __builtins__
    return code, module


def load_module(name: str) -> tuple[CodeType, ModuleType]:
    """Find a module, or the __main__ of a package, and make its module."""
    import importlib.util  # not needed to run a script

    sys.path[0] = os.getcwd()
    spec = importlib.util.find_spec(name)
    if spec is not None and spec.submodule_search_locations is not None:
        spec = importlib.util.find_spec(name + ".__main__")
    code = None
    if spec is not None and spec.loader is not None and hasattr(spec.loader, "get_code"):
        code = spec.loader.get_code(spec.name)
    if spec is None or code is None:
        raise ImportError(f"there is no module {name!r} that can be run")
    module = ModuleType("__main__")
    module.__file__ = spec.origin
    module.__package__ = spec.parent
    module.__spec__ = spec
    module.__loader__ = spec.loader
    module.__dict__["__builtins__"] = __builtins__
    return code, module


def offer_as_gevent() -> None:
    """Let `import gevent` find greenroom.compat.gevent."""
    for name in _AS_GEVENT:
        module = "greenroom.compat.gevent" + name
        __import__(module)
        sys.modules["gevent" + name] = sys.modules[module]


def cut_tracebacks() -> None:
    """Let the hook that prints the error not show the frames that lead to the program."""
    hook = sys.excepthook

    def excepthook(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        rest = traceback
        while traceback is not None:
            if traceback.tb_frame.f_code.co_filename == __file__:
                rest = traceback.tb_next
            traceback = traceback.tb_next
        hook(kind, error.with_traceback(rest), rest)

    sys.excepthook = excepthook
