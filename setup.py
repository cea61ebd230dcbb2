"""Build the extensions where a C compiler is found; install plain Python where none is.

The .py files of core/ and sync/ are ordinary Python; with their .pxd beside them Cython compiles
them. All or nothing: a compiled module cannot cimport an uncompiled one. GREENROOM_COMPILE=0 asks
for the plain form, GREENROOM_COMPILE=1 turns "no compiler" into an error.
"""

import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from setuptools import Extension, setup

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
        return (done.stderr.strip().splitlines() or [f"{cc} ended with {done.returncode}"])[0]
    return None


def extensions() -> list[Extension]:
    """Return the cythonized extensions, or [] where they cannot or must not be built."""
    wish = os.environ.get("GREENROOM_COMPILE", "auto")
    if wish == "0":
        return []
    problem = compiler_problem()
    if problem is not None:
        if wish == "1":
            raise SystemExit(f"GREENROOM_COMPILE=1, but no C program can be built: {problem}")
        print(f"greenroom: installing uncompiled (slower): {problem}", file=sys.stderr)
        return []
    import greenlet
    from Cython.Build import cythonize

    root = Path("src/greenroom")
    include = [str(Path(greenlet.__file__).parent)]
    args = ["-O2", "-fno-semantic-interposition", "-Wno-unused-function"]
    # Frames of the C stack below a parked task are copied at each switch: keep them small.
    args.append("-fno-inline-functions-called-once")
    modules = []
    for path in COMPILED:
        name = "greenroom." + path.rsplit(".", 1)[0].replace("/", ".")
        modules.append(
            Extension(name, [str(root / path)], include_dirs=include, extra_compile_args=args)
        )
    return cythonize(
        modules,
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


# The guard is for the processes of cythonize(): a start method that is not fork imports this file.
if __name__ == "__main__":
    setup(
        ext_modules=extensions(),
        options={"build_ext": {"parallel": os.cpu_count() or 1}},
    )
