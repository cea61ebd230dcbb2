"""greenroom serve: an application over HTTP, on one core or all of them.         layer: cli

The supervisor of several workers is this process before anything is patched; it never loads the
application. A worker is the same command again. It patches, loads the application, and serves it.
"""

from __future__ import annotations

import os
import sys

from greenroom.core import scheduler as _scheduler
from greenroom.patch.apply import patch_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from types import ModuleType
    from typing import Any

FORMATS = ("common", "combined", "json")


class AppError(Exception):
    """What was named is no application: one sentence says what was found, and what to do."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `greenroom serve` takes."""
    add = parser.add_argument
    add(
        "app",
        metavar="APP",
        help="module:name, module:factory(), module (its app or application), or a file in place "
        "of the module: path/to/file.py:name",
    )
    add(
        "--bind",
        metavar="ADDRESS",
        action="append",
        help="host:port, :port, unix:/path or fd://3; again for more (127.0.0.1:8000)",
    )
    add("--workers", metavar="N", default="1", help="processes, or 'auto': one for each core (1)")
    add("--interface", choices=("auto", "wsgi", "asgi"), default="auto", help="(auto)")
    add("--tls-cert", metavar="FILE", help="certificate, PEM; read again when it changes")
    add("--tls-key", metavar="FILE", help="its key, if it is not in the same file")
    add(
        "--reload",
        metavar="FOLDER",
        nargs="?",
        action="append",
        const="",
        help="replace the workers when a file below the folder changes (the current one); "
        "again for more. Write --reload=FOLDER",
    )
    add(
        "--access-log",
        metavar="FORMAT[:FILE]",
        nargs="?",
        const="combined",
        help="common, combined or json, to standard output or a file",
    )
    add("--max-requests", type=int, metavar="N", default=0, help="then a worker is replaced")
    add("--max-requests-jitter", type=int, metavar="N", default=0, help="up to so many more")
    add("--grace", metavar="SECONDS", default="30", help="for requests when it stops, or none (30)")
    add("--limit", type=int, metavar="N", help="connections at once in each worker")
    add(
        "--timeout",
        type=float,
        metavar="SECONDS",
        default=30.0,
        help="a worker that gives no sign of life for so long is dumped and replaced (30)",
    )
    add(
        "--backlog", type=int, metavar="N", default=1024, help="connections the kernel holds (1024)"
    )
    add("--chdir", metavar="FOLDER", help="go there first")
    parser.usage = "greenroom serve [options] APP"


def main(given: argparse.Namespace) -> int:
    """Serve until a signal ends it. Returns the exit status: 2 for a mistake in the command."""
    folder = os.getcwd() if given.chdir is None else given.chdir
    # Patched already if this is a worker or serves alone; the supervisor stays as Python made it.
    from greenroom.servers import worker  # loads much that `greenroom run` does not need

    role = worker.take_role()
    try:
        os.chdir(folder)
        options = make_options(given)
        options.check_files()  # before an application is loaded, and once for all workers
    except (ValueError, TypeError, ImportError, OSError) as error:
        print(f"greenroom: {error}", file=sys.stderr)
        return 2
    from greenroom.servers import serving

    if role is None and options.supervised:
        command = [sys.executable, *sys.orig_argv[1:]]
        if given.chdir is not None:
            command += ["--chdir", os.getcwd()]  # the last one counts, and it is absolute
        try:
            return serving.supervise(options, command)
        except OSError as error:
            print(f"greenroom: {error}", file=sys.stderr)
            return 1
    sys.path.insert(0, os.getcwd())
    patch_all()
    _scheduler.get()  # at the top of the stack
    try:
        app = load_app(given.app)
        serving.find_interface(app, options.interface)
    except (AppError, TypeError) as error:
        if not isinstance(error, AppError) and not _is_ours(error):
            raise
        print(f"greenroom: {error}", file=sys.stderr)
        return 2
    try:
        return serving.work(app, options, role)
    except OSError as error:
        if role is None and _is_ours(error):
            print(f"greenroom: {error}", file=sys.stderr)
            return 1
        raise


def _is_ours(error: BaseException) -> bool:
    """Tell whether greenroom itself has raised it, and not the application."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    ours = ("servers/serving.py", "servers/address.py")
    return trace is not None and trace.tb_frame.f_code.co_filename.endswith(ours)


def make_options(given: argparse.Namespace) -> Any:
    """Return the Options of a command line. Raises ValueError, ImportError: one sentence."""
    from greenroom.servers import address
    from greenroom.servers.serving import Options

    log, file = given.access_log, "-"
    if log is not None:
        log, colon, path = log.partition(":")
        if log not in FORMATS or (colon and not path):
            raise ValueError(
                f"--access-log {given.access_log!r}: give {', '.join(FORMATS)}, and for a file "
                "its path after a colon, json:/var/log/app.log"
            )
        file = path or "-"
    binds = given.bind or ["127.0.0.1:8000"]
    for bind in binds:
        address.check(bind)
    reload: Any = False
    if given.reload:
        reload = [folder or os.getcwd() for folder in given.reload]
    return Options(
        bind=binds,
        workers="auto" if given.workers == "auto" else _number(given.workers, "--workers"),
        interface=given.interface,
        tls_cert=given.tls_cert,
        tls_key=given.tls_key,
        reload=reload,
        access_log=log,
        access_log_file=file,
        max_requests=given.max_requests,
        max_requests_jitter=given.max_requests_jitter,
        grace=None if given.grace == "none" else _seconds(given.grace),
        limit=given.limit,
        timeout=given.timeout,
        backlog=given.backlog,
        name=given.app,
    )


def _number(text: str, what: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{what} {text!r}: give a number, or 'auto'") from None


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--grace {text!r}: give seconds, or 'none' for no end") from None


# --- from a name to the application


def load_app(name: str) -> Any:
    """Import what `module:name` names, and call it if it ends with ().

    Raises    AppError: there is no such thing; what the module itself raises
    """
    place, colon, attribute = name.partition(":")
    if not place or (colon and not attribute):
        raise AppError(f"{name!r} names no application: write module:name, like app:app")
    module = _load_module(place)
    if not attribute:
        for attribute in ("app", "application"):
            if hasattr(module, attribute):
                break
        else:
            raise AppError(f"{place!r} has no 'app' and no 'application'; {_offer(module, place)}")
    is_factory = attribute.endswith("()")
    found: Any = module
    for part in attribute.removesuffix("()").split("."):
        if not hasattr(found, part):
            raise AppError(f"{place!r} has no {part!r}; {_offer(module, place)}")
        found = getattr(found, part)
    if is_factory:
        if not callable(found):
            raise AppError(f"{name!r}: {found!r} cannot be called; leave the () out")
        found = found()
    if not callable(found):
        raise AppError(f"{name!r} is {found!r}, which is no application; {_offer(module, place)}")
    return found


def _load_module(place: str) -> ModuleType:
    """Import a module by its name, or by the path of its file."""
    import importlib

    if place.endswith(".py") or "/" in place:
        if not os.path.isfile(place):
            raise AppError(f"there is no file {place!r} in {os.getcwd()}")
        folder, file = os.path.split(os.path.abspath(place))
        sys.path.insert(0, folder)
        place = file.removesuffix(".py")
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing != place and not place.startswith(missing + "."):
            raise  # something that the application needs: its traceback says where
        raise AppError(
            f"there is no module {missing!r}, looked for from {os.getcwd()} on: "
            "start there where the application lies, or say --chdir FOLDER"
        ) from None


def _offer(module: ModuleType, place: str) -> str:
    """Say what of a module could be meant."""
    own = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and callable(value)
        and (
            getattr(value, "__module__", module.__name__) == module.__name__
            or not (isinstance(value, type) or hasattr(value, "__code__"))
        )
    ]
    if not own:
        return "and nothing in it can be called: is it the right module?"
    listed = ", ".join(f"{place}:{name}" for name in sorted(own)[:5])
    return f"what it has: {listed}. A function that makes the application is written with ()"
