"""Say what this installation of greenroom can do, what it cannot, and what a script would meet.

With a script: its imports are read, not run; the modules it imports are then imported here, those
above its call of patch_all() before patching and the others after it, as the script would.
"""

from __future__ import annotations

import ast
import errno
import importlib
import os
import platform
import resource
import sys
import warnings

import greenlet

from greenroom import _config, _gil
from greenroom.core import arena, native
from greenroom.core import scheduler as _scheduler
from greenroom.green import fdcalls
from greenroom.patch import apply
from greenroom.patch.table import PARTS, TABLE

# Packages that wait in C, where no patch reaches, and the way out.
BLOCKING = {
    "sqlite3": "wrap it: sqlite3 = greenroom.offload(sqlite3)",
    "pysqlite3": "wrap it with greenroom.offload()",
    "apsw": "wrap it with greenroom.offload()",
    "MySQLdb": "use PyMySQL, or wrap it with greenroom.offload()",
    "_mysql_connector": "connect with use_pure=True, or wrap it with greenroom.offload()",
    "pyodbc": "wrap it with greenroom.offload()",
    "pymssql": "wrap it with greenroom.offload()",
    "cx_Oracle": "use oracledb in its thin mode, or wrap it with greenroom.offload()",
    "pylibmc": "use pymemcache, or wrap it with greenroom.offload()",
    "confluent_kafka": "use kafka-python, or call poll() and flush() with greenroom.to_thread()",
    "pycurl": "use requests or httpx, or call perform() with greenroom.to_thread()",
    "zmq": "poll its sockets' FD with select, or call recv() with greenroom.to_thread()",
    "grpc": "call stubs with greenroom.to_thread()",
    "lmdb": "wrap it with greenroom.offload() where its disk is slow",
    "ldap": "wrap it with greenroom.offload(), or use ldap3",
    "pyinotify": "it works through select; watchdog uses real threads and works too",
    "uvloop": "leave it out: its loop waits in C and stops all other tasks",
    "tkinter": "run mainloop() in the main task only when no other task must go on",
    "bcrypt": "it computes for long: call it with greenroom.to_thread()",
    "torch": "it computes for long: call it with greenroom.to_thread()",
    "tensorflow": "it computes for long: call it with greenroom.to_thread()",
}
HOOKED = {row.module for row in TABLE if row.part == "drivers"}


# The figures: both on one machine, CPython 3.14. What does not hold: docs/design.md, Known limits.
UNCOMPILED = (
    "a switch takes 3 times as long, an item of a queue 6 times, a new task 11 times; without "
    "patching a signal handler that fires in a wait must not wait, Ctrl-C can come one wait late, "
    "and a task near the recursion limit can fail another's wait"
)


def installation() -> list[str]:
    """Return what can be said without a script: versions, kernel, limits, what is patched."""
    poller = getattr(type(_scheduler.get().poller), "name", "?")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    slab = "in use" if arena.install() else "not in use"
    compiled = native.compiled()
    how = "yes" if compiled else f"no: {_why_uncompiled()}"
    rows = [row for row in TABLE if row.applies and row.how != "hook"]
    return [
        f"Python     {platform.python_version()} ({sys.implementation.name}), {sys.executable}",
        f"GIL        {_gil.status(_config.FREE_THREADED, _gil.enabled())}",
        f"greenlet   {_greenlet()}",
        f"compiled   {how}",
        *([] if compiled else [f"uncompiled {UNCOMPILED}"]),
        f"poller     {poller}",
        f"slab       {slab} for the stacks of greenlets",
        f"kernel     {platform.system()} {platform.release()} on {platform.machine()}",
        f"pipes      {_pipes()}",
        f"files      {_files()}",
        f"children   {_children()}",
        "io_uring   not used",
        f"fd limit   {soft} (can be raised to {hard})",
        f"backlog    at most {_number('/proc/sys/net/core/somaxconn')} connections a listener",
        f"threads    {_config.OFFLOAD_THREADS} for disks, {_config.RESOLVER_THREADS} for names, "
        "as many as needed for other waits",
        f"debug      {'on' if _config.DEBUG else 'off'} (GREENROOM_DEBUG)",
        f"processors {os.cpu_count()}",
        f"patches    {len(rows)} names of the standard library, in the parts {', '.join(PARTS)}",
    ]


def _greenlet() -> str:
    version: str = greenlet.__version__
    if _config.FREE_THREADED and _gil.is_old(version):
        return _gil.old_greenlet(version).removeprefix("greenlet ")
    return version


def _why_uncompiled() -> str:
    """Return what setup.py noted when it could not build the extensions."""
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    try:
        with open(os.path.join(folder, "uncompiled.txt"), encoding="utf-8") as file:
            return file.read().strip()
    except FileNotFoundError:
        return (
            f"{folder} has no extensions for this Python; if it is a source folder, "
            "'python setup.py build_ext --inplace' builds them"
        )


def _pipes() -> str:
    read_end, write_end = os.pipe()
    try:
        if fdcalls.try_read(read_end, 1) == errno.EAGAIN:
            return "read and written without blocking (RWF_NOWAIT)"
    finally:
        os.close(read_end)
        os.close(write_end)
    return "read when poll(2) says so: there is no RWF_NOWAIT for them here (Linux 6.4 has it)"


def _files() -> str:
    """Try a file that is surely in the page cache: greenroom's own."""
    with open(__file__, "rb") as file:
        file.read()
        if isinstance(fdcalls.try_read(file.fileno(), 1, 0), int):
            return (
                f"read in threads: the file system of {os.path.dirname(__file__)} has no RWF_NOWAIT"
            )
    return "read at once when they are in the page cache (RWF_NOWAIT), else in threads"


def _children() -> str:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return "waited for in threads: this kernel has no pidfd_open(2)"
    return "waited for by pidfd_open(2)"


def _number(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return "an unknown number of"


class _Imports(ast.NodeVisitor):
    """The modules that a script imports before and after its first call of patch_all()."""

    def __init__(self) -> None:
        self.patches = False
        self.before: list[str] = []
        self.after: list[str] = []

    def visit_Import(self, node: ast.Import) -> None:
        for name in node.names:
            self._add(name.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.module and not node.level:
            self._add(node.module)

    def visit_Call(self, node: ast.Call) -> None:
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", None)
        self.patches = self.patches or name == "patch_all"
        self.generic_visit(node)

    def _add(self, name: str) -> None:
        (self.after if self.patches else self.before).append(name)


def examine(path: str) -> list[str]:
    """Return what can be said of a script.

    Raises    OSError, SyntaxError: it cannot be read
    """
    with open(path, "rb") as file:
        tree = ast.parse(file.read(), path)
    imports = _Imports()
    imports.visit(tree)
    sys.path.insert(0, os.path.dirname(os.path.realpath(path)))
    found = [f"script     {path}"]
    if imports.patches:
        found += _import(imports.before)
        found.append(f"           {len(imports.before)} imports, then patch_all()")
        patched, held = _patch()
        found += [f"kept       {line}" for line in str(patched).splitlines()[1:]]
        found += [f"held       {line}" for line in held]
        found += _import(imports.after)
        if not patched.kept and not held:
            found.append("kept       nothing: no module that it imports kept an old reference")
    else:
        found.append("           does not patch: start it with 'greenroom run'")
        _patch()
        found += _import([*imports.before, *imports.after])
    found += _packages()
    return found


def _patch() -> tuple[apply.Patched, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        patched = apply.patch_all()
    return patched, [str(warning.message) for warning in caught]


def _import(names: list[str]) -> list[str]:
    failed = []
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            failed.append(f"import     {name} failed here: {type(error).__name__}: {error}")
        except SystemExit:
            failed.append(f"import     {name} ended the program: it cannot be examined")
    return failed


def _packages() -> list[str]:
    found = [
        f"blocks     {name} waits or computes in C: {remedy}"
        for name, remedy in BLOCKING.items()
        if name in sys.modules
    ]
    found += [f"hooked     {name} waits green" for name in sorted(HOOKED) if name in sys.modules]
    if not any(line.startswith("blocks") for line in found):
        found.append("blocks     no package that is known to block is imported")
    return found


def main(script: str | None = None) -> int:
    """Print the findings; return the exit status: 2 if the script cannot be read, else 0."""
    print("\n".join(installation()))
    if script is None:
        return 0
    try:
        lines = examine(script)
    except (OSError, SyntaxError, ValueError) as error:
        print(f"greenroom: cannot examine {script!r}: {error}", file=sys.stderr)
        return 2
    print("\n".join(lines))
    return 0
