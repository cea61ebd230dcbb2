"""Build the extensions where a C compiler is found; install plain Python where none is.

The .py files of core/ and sync/ are ordinary Python; with their .pxd beside them Cython compiles
them. All or nothing: a compiled module cannot cimport an uncompiled one. GREENROOM_COMPILE=0 asks
for the plain form, GREENROOM_COMPILE=1 turns "no compiler" into an error. Why an install is plain
is kept in it (greenroom/uncompiled.txt), for pip shows nobody what is printed here; `greenroom
doctor` says it. scripts/wheels.py takes the C from here too: modules().
"""

import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_py import build_py

# In the order of the layers. A .pyx beside a .py of the same name is its form for the compiler.
COMPILED = [
    "core/native.pyx",
    "core/arena.pyx",
    "core/timers.py",
    "core/waitqueue.py",
    "core/scope.py",
    "core/task.py",
    "core/poller.py",
    "core/epoll.pyx",
    "core/scheduler.py",
    "core/operation.py",
    "core/generator.py",
    "core/api.py",
    "sync/cancel.py",
    "sync/group.py",
    "sync/event.py",
    "sync/lock.py",
    "sync/queue.py",
    "sync/channel.py",
    "sync/select.py",
    "sync/wait.py",
    "sync/pool.py",
    "sync/limiter.py",
    "green/fastsocket.pyx",
    "green/fdcalls.pyx",
    "green/fdio.py",
    "green/files.py",
    "green/opening.py",
    "green/os.py",
    "green/fcntl.py",
    "green/time.py",
    "green/connection.py",
    "green/fastssl.pyx",
    "aio/callbacks.py",
    "aio/transports.py",
    "servers/masking.pyx",
    "servers/frames.py",
    "servers/http1.py",
    "servers/http.py",
    "servers/wsgi.py",
]

# Frames of the C stack below a parked task are copied at each switch: keep them small. Python's own
# flags ask for debug information, which was a third of the time that an install took.
ARGS = [
    "-O2",
    "-g0",
    "-fno-semantic-interposition",
    "-fno-inline-functions-called-once",
    "-Wno-unused-function",
]


def compiler_problem() -> str | None:
    """Try to compile one line against Python.h; return what went wrong, or None."""
    cc = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    include = sysconfig.get_path("include")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text("#include <Python.h>\nint main(void) { return 0; }\n")
        command = [*cc.split(), "-fPIC", f"-I{include}", "-c", str(source)]
        command += ["-o", str(Path(folder, "probe.o"))]
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except OSError as error:
            return f"{cc}: {error.strerror}"
    if done.returncode:
        said = done.stderr.strip().splitlines()
        errors = [line for line in said if "error:" in line] or said
        what = errors[0].rpartition("error: ")[2] if errors else f"status {done.returncode}"
        return f"{cc}: {what}"
    return None


def why_uncompiled() -> str | None:
    """Return why the extensions cannot or must not be built here, or None if they will be."""
    wish = os.environ.get("GREENROOM_COMPILE", "auto")
    if wish == "0":
        return "GREENROOM_COMPILE=0 was set when it was built"
    problem = compiler_problem()
    if problem is None:
        return None
    if wish == "1":
        raise SystemExit(f"GREENROOM_COMPILE=1, but no C program can be built: {problem}")
    return f"no C program could be compiled when it was built: {problem}"


def modules() -> list[Extension]:
    """Run Cython; return the extensions with their C files, those that compile longest first."""
    import greenlet
    from Cython.Build import cythonize

    root = Path("src/greenroom")
    include = [str(Path(greenlet.__file__).parent)]
    found = []
    for path in COMPILED:
        name = "greenroom." + path.rsplit(".", 1)[0].replace("/", ".")
        found.append(
            Extension(name, [str(root / path)], include_dirs=include, extra_compile_args=ARGS)
        )
    built: list[Extension] = cythonize(
        found,
        build_dir="build/cython",
        include_path=["src"],
        nthreads=os.cpu_count() or 1,
        compiler_directives={
            "language_level": "3",
            "annotation_typing": False,  # annotations are for mypy; C types stand in the .pxd
            "binding": True,
            "boundscheck": False,
            "wraparound": False,
            "initializedcheck": False,
            "cdivision": True,
            "auto_pickle": False,
            "embedsignature": False,
        },
    )
    # So that no processor is left with a long one in the end.
    return sorted(built, key=lambda one: -Path(one.sources[0]).stat().st_size)


# pip runs this file three times. Only where something is built is Cython needed.
ASKED = {"egg_info", "dist_info", "sdist"} & set(sys.argv)
BUILDS = __name__ == "__main__" and (
    not ASKED or bool({"bdist_wheel", "build", "build_ext", "install"} & set(sys.argv))
)
REASON = why_uncompiled() if BUILDS else None


class BuildPython(build_py):
    """Copies the Python files, and beside them why there is nothing else."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:  # the sources are what is imported: nothing is written there
            return
        note = Path(self.build_lib, "greenroom", "uncompiled.txt")
        note.unlink(missing_ok=True)  # of an earlier build in the same folder
        if REASON is not None:
            note.write_text(REASON + "\n", encoding="utf-8")


# The guard is for the processes of cythonize(): a start method that is not fork imports this file.
if __name__ == "__main__":
    setup(
        ext_modules=modules() if BUILDS and REASON is None else [],
        cmdclass={"build_py": BuildPython},
        options={"build_ext": {"parallel": os.cpu_count() or 1}},
    )
