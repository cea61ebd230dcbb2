"""Build the wheels of every CPython and platform on one machine, without containers. `make wheels`.

Cython runs once: its C is the same for each version of CPython and for each platform. The ziglang
package of PyPI is a C compiler for all of them: clang, and the headers and symbols of glibc 2.28
and of musl for both processors. What is needed of a CPython is its headers, so only those versions
are built whose interpreter is found here (scripts/test.py says where it looks). An extension is
linked against nothing but the C library.

  1. .venvs/wheels gets the tools: ziglang (100 MB), Cython, auditwheel.
  2. A wheel of the plain Python files is made; it is the base of all others.
  3. Each extension is compiled and linked, stripped, for each version and platform.
  4. auditwheel checks the libraries and symbols that each one asks for against the wheel's tag.
  5. dist/ gets the wheels and the sdist.

--test then installs each wheel in an environment of its own that sees no index but dist/ and a
folder of what the tests need, and runs tests/core there: see scripts/wheels_tests.py.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import os
import runpy
import shutil
import subprocess
import sys
import time
import zipfile
from base64 import urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venvs" / "wheels"
WORK = ROOT / "build" / "wheels"
DIST = ROOT / "dist"

PYTHONS = ("3.11", "3.12", "3.13", "3.14", "3.15")
LARGEST = 4 * 1000 * 1000  # bytes that a wheel may have

# Functions that musl has had since 1.2.1 or later (its release notes); Alpine 3.13 has 1.2.2.
SINCE_MUSL_1_2_0 = {
    *("_Fork", "gettid", "reallocarray", "qsort_r", "getdents64", "statx", "preadv2", "pwritev2"),
    *("tcgetwinsize", "tcsetwinsize", "renameat2", "posix_getdents"),
}

TOOLS = [
    *("setuptools>=77", "cython>=3.1,<4", "greenlet>=3.2", "build>=1.2", "wheel>=0.45"),
    *("ziglang>=0.13", "auditwheel>=6.8,<7"),
]


@dataclass(frozen=True)
class Target:
    """A platform: its tag in a wheel's name, and what it is called by others."""

    tag: str
    zig: str  # for `zig cc -target`
    triplet: str  # in the file name of an extension, as the platform's CPython looks for it

    @property
    def machine(self) -> str:
        """x86_64 or aarch64."""
        return self.triplet.partition("-")[0]

    @property
    def libc(self) -> str:
        """gnu or musl."""
        return self.triplet.rpartition("-")[2]


TARGETS = {
    target.tag: target
    for target in (
        Target("manylinux_2_28_x86_64", "x86_64-linux-gnu.2.28", "x86_64-linux-gnu"),
        Target("manylinux_2_28_aarch64", "aarch64-linux-gnu.2.28", "aarch64-linux-gnu"),
        Target("musllinux_1_2_x86_64", "x86_64-linux-musl", "x86_64-linux-musl"),
        Target("musllinux_1_2_aarch64", "aarch64-linux-musl", "aarch64-linux-musl"),
    )
}


def python_tag(version: str) -> str:
    """Return "cp314" of "3.14"."""
    return "cp" + version.replace(".", "")


def extension_name(module: str, version: str, target: Target) -> str:
    """Return the path in a wheel of an extension module."""
    soabi = f"cpython-{version.replace('.', '')}-{target.triplet}"
    return f"{module.replace('.', '/')}.{soabi}.so"


def wheel_name(project: str, version: str, python: str, platform: str) -> str:
    """Return a wheel's file name."""
    tag = python_tag(python)
    return f"{project}-{version}-{tag}-{tag}-{platform}.whl"


def compile_command(
    zig: list[str],
    target: Target,
    source: str,
    output: str,
    includes: Iterable[str],
    args: list[str],
) -> list[str]:
    """Return the command that makes an extension of one C file.

    What only gcc knows of args is left out. -fomit-frame-pointer is on in gcc, and with it clang's
    frames are no larger: 1,608 bytes of C stack a parked task, gcc 1,640; 1,672 without it, and a
    switch 7 % slower. Neither -O3 nor -finline-hint-functions made anything faster.
    """
    known = [arg for arg in args if arg != "-fno-inline-functions-called-once"]
    return [
        *[*zig, "cc", "-target", target.zig, "-shared", "-fPIC", "-DNDEBUG", "-fwrapv"],
        # zig's own defaults are for finding mistakes; this is as Python itself is built.
        *["-fno-sanitize=undefined", "-fno-strict-aliasing", "-fomit-frame-pointer", "-w"],
        *[*known, "-Wl,-s"],
        *[f"-I{folder}" for folder in includes],
        *[source, "-o", output],
    ]


def record_of(files: dict[str, bytes], own: str) -> str:
    """Return the text of RECORD for the files of a wheel; own is RECORD's own path."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for name, data in files.items():
        digest = urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        writer.writerow([name, f"sha256={digest}", len(data)])
    writer.writerow([own, "", ""])
    return text.getvalue()


def wheel_metadata(tag: str) -> str:
    """Return the text of WHEEL."""
    return (
        "Wheel-Version: 1.0\nGenerator: greenroom scripts/wheels.py\n"
        f"Root-Is-Purelib: false\nTag: {tag}\n"
    )


def compose(
    base: Path, extensions: dict[str, bytes], python: str, platform: str
) -> dict[str, bytes]:
    """Return the files of a wheel: those of the plain one and the extensions."""
    with zipfile.ZipFile(base) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    info = next(name.partition("/")[0] for name in files if name.endswith(".dist-info/WHEEL"))
    files.pop("greenroom/uncompiled.txt", None)
    del files[f"{info}/RECORD"]
    metadata = {name: files.pop(name) for name in sorted(files) if name.startswith(info)}
    tag = python_tag(python)
    metadata[f"{info}/WHEEL"] = wheel_metadata(f"{tag}-{tag}-{platform}").encode()
    files = {**files, **dict(sorted(extensions.items())), **metadata}
    return {**files, f"{info}/RECORD": record_of(files, f"{info}/RECORD").encode()}


def write_wheel(path: Path, files: dict[str, bytes]) -> None:
    """Write a wheel. The same files give the same bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = (0o100755 if name.endswith(".so") else 0o100644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)


def run(command: list[str], **more: Any) -> str:
    """Run a command; return what it printed, or end with that if it failed."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, **more
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\nended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def in_tools() -> None:
    """Go on in .venvs/wheels, which is made or brought up to date."""
    own = VENV / "bin" / "python"
    if not own.exists():
        run([sys.executable, "-m", "venv", str(VENV)])
    run([str(own), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *TOOLS])
    if Path(sys.prefix) != VENV:
        os.execv(own, [str(own), __file__, *sys.argv[1:]])


class Build:
    """What all wheels have in common: the C files, the plain wheel, the compiler."""

    def __init__(self) -> None:
        for folder in (WORK, DIST):
            folder.mkdir(parents=True, exist_ok=True)
        os.chdir(ROOT)
        self.modules = runpy.run_path("setup.py", run_name="setup")["modules"]()
        shutil.rmtree(WORK / "base", ignore_errors=True)
        build = [sys.executable, "-m", "build", "--no-isolation", "--outdir"]
        run([*build, str(DIST), "--sdist", "."])
        run(
            [*build, str(WORK / "base"), "--wheel", "."],
            env={**os.environ, "GREENROOM_COMPILE": "0"},
        )
        self.base = next((WORK / "base").glob("*.whl"))
        self.project, self.version = self.base.name.split("-")[:2]
        # What it compiles of the C libraries is kept, but not in the user's home.
        self.env = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(WORK / "zig")}

    def extension(
        self, module: Any, include: str, version: str, target: Target
    ) -> tuple[str, bytes]:
        """Compile one extension; return its path in the wheel and its bytes."""
        name = extension_name(module.name, version, target)
        output = WORK / target.tag / name
        output.parent.mkdir(parents=True, exist_ok=True)
        zig = [sys.executable, "-m", "ziglang"]
        run(
            compile_command(
                zig,
                target,
                module.sources[0],
                str(output),
                [include, *module.include_dirs],
                module.extra_compile_args,
            ),
            env=self.env,
        )
        return name, output.read_bytes()

    def wheel(self, python: str, include: str, target: Target, pool: ThreadPoolExecutor) -> Path:
        """Build one wheel and have it checked; return its path."""
        extensions = dict(
            pool.map(lambda module: self.extension(module, include, python, target), self.modules)
        )
        path = DIST / wheel_name(self.project, self.version, python, target.tag)
        write_wheel(path, compose(self.base, extensions, python, target.tag))
        audit(path, target)
        size = path.stat().st_size
        if size > LARGEST:
            raise SystemExit(f"{path.name} has {size} bytes, and may have {LARGEST}")
        return path


def audit(path: Path, target: Target) -> None:
    """End the program if the platform in the wheel's name may lack what the wheel needs.

    auditwheel knows each library and each version of a symbol that a platform has. Its commands
    take no other platform than the machine's, so its function is called. musl's symbols have no
    versions, and zig's musl is newer than musllinux_1_2: what came since is looked for here.
    """
    from auditwheel.wheel_abi import analyze_wheel_abi

    # Alpine names its C library otherwise; musl's loader takes any "libc." for itself.
    known = frozenset({"libc.so"} if target.libc == "musl" else ())
    found = analyze_wheel_abi(
        None, None, path, known, disable_isa_ext_check=False, allow_graft=False
    )
    if found.overall_policy < found.policies.get_policy_by_name(target.tag):
        raise SystemExit(
            f"auditwheel finds {path.name} fit for {found.overall_policy.name} only: it needs "
            f"{dict(found.versioned_symbols)}, {found.external_refs[target.tag].libs}"
        )
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".so") and target.libc == "musl":
                newer = undefined_symbols(archive.read(name)) & SINCE_MUSL_1_2_0
                if newer:
                    raise SystemExit(f"{path.name}: {name} needs {newer}, which older musl lacks")


def undefined_symbols(data: bytes) -> set[str]:
    """Return the names that an ELF file asks other libraries for."""
    from elftools.elf.elffile import ELFFile

    table = ELFFile(io.BytesIO(data)).get_section_by_name(".dynsym")
    return {symbol.name for symbol in table.iter_symbols() if symbol["st_shndx"] == "SHN_UNDEF"}


def include_of(python: str) -> str:
    """Return the folder of Python.h of an interpreter."""
    code = "import sysconfig; print(sysconfig.get_path('include'))"
    folder = run([python, "-c", code]).strip()
    if not Path(folder, "Python.h").exists():
        raise SystemExit(f"{python} has no {folder}/Python.h: install its development package")
    return folder


def main() -> int:
    """Build what was asked for; return 0 if all went well."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--python", nargs="*", choices=PYTHONS, default=PYTHONS, metavar="3.14")
    parser.add_argument(
        "--target", nargs="*", choices=TARGETS, default=list(TARGETS), metavar="TAG"
    )
    parser.add_argument("--test", action="store_true", help="install and test them too")
    options = parser.parse_args()
    in_tools()
    # By path: "test" is also the name of CPython's own tests.
    find_pythons = runpy.run_path(str(ROOT / "scripts" / "test.py"))["find_pythons"]
    pythons: dict[str, str] = find_pythons(PYTHONS)
    missing = [version for version in options.python if version not in pythons]
    started = time.monotonic()
    build = Build()
    print(f"C files, sdist and plain wheel: {time.monotonic() - started:.0f} s", flush=True)
    wheels = []
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for version in options.python:
            if version in missing:
                continue
            include = include_of(pythons[version])
            for tag in options.target:
                started = time.monotonic()
                path = build.wheel(version, include, TARGETS[tag], pool)
                wheels.append((version, TARGETS[tag], path))
                took = time.monotonic() - started
                print(f"{path.name}  {path.stat().st_size / 1e6:.2f} MB  {took:.0f} s", flush=True)
    failed = test(wheels, pythons) if options.test else []
    for version in missing:
        print(f"not found, so not built: CPython {version}")
    for problem in failed:
        print(f"failed: {problem}")
    return 1 if missing or failed else 0


def test(wheels: list[tuple[str, Target, Path]], pythons: dict[str, str]) -> list[str]:
    """Test what can be tested here; return what failed."""
    import wheels_tests

    failed = []
    for version, target, path in wheels:
        print(f"{path.name}:", flush=True)
        if target.libc == "musl":
            print("  not tested: no package has a CPython for musl")
        elif target.machine == "x86_64":
            greenlets = [wheels_tests.oldest_greenlet(version), "greenlet"]
            failed += wheels_tests.on_this_machine(version, pythons[version], path, greenlets)
        else:
            failed += wheels_tests.under_qemu(version, path)
    return failed


if __name__ == "__main__":
    sys.exit(main())
