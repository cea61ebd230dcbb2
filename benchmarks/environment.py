"""What the measurements need: the peers' virtual environment, the compiled programs, the versions.

All of it lives below this folder, in .venv and build, both ignored by git.
"""

import os
import platform
import resource
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

BENCH_DIR = Path(__file__).resolve().parent
PROJECT_DIR = BENCH_DIR.parent
BUILD_DIR = BENCH_DIR / "build"
RESULTS_DIR = BENCH_DIR / "results"
SERVER_PAGE = BENCH_DIR.parent / "docs" / "servers.md"
PARTIAL_RESULTS_DIR = BUILD_DIR / "results"
VENV_DIR = BENCH_DIR / ".venv"
VENV_PYTHON = VENV_DIR / "bin" / "python"

C_PROGRAMS = {
    "loadgen": BENCH_DIR / "loadgen.c",
    "echo_c": BENCH_DIR / "servers" / "echo.c",
    "http_server": BENCH_DIR / "servers" / "http.c",
}
# The load client again, speaking TLS; it needs OpenSSL's headers.
TLS_CLIENT = "loadgen_tls"
GO_PROGRAMS = {
    "web_go": BENCH_DIR / "servers" / "web.go",
    "echo_go": BENCH_DIR / "servers" / "echo.go",
    "micro_go": BENCH_DIR / "micro" / "micro.go",
}
PEER_PACKAGES = (
    *("greenroom", "greenlet", "gevent", "uvloop", "trio", "requests"),
    *("gunicorn", "granian", "uvicorn", "httptools", "websockets"),
)
# What the file case serves.
FILE_BYTES = bytes(range(256)) * 4096


class SetupError(Exception):
    """Something needed is not there; the message says what, in one line."""


def install() -> str | None:
    """Make the virtual environment with the peers and this checkout's greenroom in it.

    Returns  why greenroom could not be installed, or None; the peers are measured all the same
    Raises   SetupError: the environment or the peers could not be installed
    """
    if _first_line([str(VENV_PYTHON), "--version"]) != f"Python {platform.python_version()}":
        _run([sys.executable, "-m", "venv", "--clear", str(VENV_DIR)], "make benchmarks/.venv")
    pip = [str(VENV_PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    requirements = BENCH_DIR / "requirements-peers.txt"
    _run([*pip, "-r", str(requirements)], "install the peers")
    try:
        _run([*pip, f"{PROJECT_DIR}[http]"], "install greenroom")
    except SetupError as error:
        return str(error)
    return None


def compile_programs() -> dict[str, str]:
    """Compile what is newer than its binary. Returns program -> why it is not there.

    Raises  SetupError: no C compiler, so no load client and nothing to measure echo with
    """
    BUILD_DIR.mkdir(exist_ok=True)
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise SetupError("no C compiler found (cc); the load client is a C program")
    for name, source in C_PROGRAMS.items():
        binary = BUILD_DIR / name
        if _is_stale(binary, source):
            _run([compiler, "-O2", "-o", str(binary), str(source)], f"compile {source.name}")
    missing = _compile_tls_client(compiler)
    go = shutil.which("go")
    if go is None:
        return missing | dict.fromkeys(GO_PROGRAMS, "Go toolchain not found")
    for name, source in GO_PROGRAMS.items():
        binary = BUILD_DIR / name
        try:
            if _is_stale(binary, source):
                _run([go, "build", "-o", str(binary), str(source)], f"compile {source.name}")
        except SetupError as error:
            missing[name] = str(error)
    return missing


def _compile_tls_client(compiler: str) -> dict[str, str]:
    binary, source = BUILD_DIR / TLS_CLIENT, C_PROGRAMS["loadgen"]
    command = [compiler, "-O2", "-DWITH_TLS", "-o", str(binary), str(source), "-lssl", "-lcrypto"]
    try:
        if _is_stale(binary, source):
            _run(command, "compile loadgen.c with TLS")
    except SetupError:
        return {TLS_CLIENT: "OpenSSL's headers not found"}
    return {}


def find_tools() -> dict[str, str]:
    """Look for the programs that the server cases use, make their file and their certificate.

    Returns  tool, or the program that is nothing without it -> why there is nothing to run
    """
    missing = {}
    for tool, program in (("wrk", "wrk"), ("nginx", "web_nginx.py"), ("openssl", "openssl")):
        if shutil.which(tool) is None:
            missing[program] = f"{tool} not found"
    if len(os.sched_getaffinity(0)) < 2:
        missing["2 CPUs"] = "a second CPU not found"
    (BUILD_DIR / "1m.bin").write_bytes(FILE_BYTES)
    certificate = str(BUILD_DIR / "tls.pem")
    if "openssl" not in missing:
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        names = ["-subj", "/CN=localhost", "-days", "30", "-keyout", certificate]
        command = ["openssl", "req", "-x509", *curve, *names, "-out", f"{certificate}.part"]
        _run(command, "make a certificate")
        with open(certificate, "a") as both:
            both.write(Path(f"{certificate}.part").read_text())
    return missing


def _is_stale(binary: Path, source: Path) -> bool:
    return not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime


def _run(command: list[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd=BENCH_DIR)
    if done.returncode != 0:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in said if "error" in line.lower()] or said or ["no message"]
        raise SetupError(f"cannot {what}: {without_paths(errors[-1])}")


def without_paths(text: str) -> str:
    """Take this machine's paths out of a message that goes to a report."""
    for path, name in ((VENV_DIR, ".venv"), (PROJECT_DIR, "."), (Path.home(), "~")):
        text = text.replace(str(path), name)
    return text


def raise_file_limit() -> None:
    """Let this process and its children open as many files as the hard limit allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def describe_machine() -> dict[str, str]:
    """Machine and versions, as they stand at the top of the report."""
    facts = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": f"{_cpu_model()}, {os.cpu_count()} CPUs",
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "cc": _first_line([os.environ.get("CC", "cc"), "--version"]),
        "wrk": _first_line(["wrk", "--version"]).split(" [")[0],
        "nginx": _version_on_stderr(["nginx", "-v"]).removeprefix("nginx version: "),
        "openssl": _first_line(["openssl", "version"]),
        "go": _first_line(["go", "version"]).removeprefix("go version "),
    }
    for package in PEER_PACKAGES:
        facts[package] = _package_version(package)
    return facts


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.machine()


def _first_line(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return "not found"
    return done.stdout.split("\n")[0].strip() or "not found"


def _version_on_stderr(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True).stderr.strip()
    except FileNotFoundError:
        return "not found"


# Prints a package's version, and whether an extension module came with it: the goals are for
# greenroom's compiled build, and a run of the other one must be seen for what it is.
_VERSION_PROGRAM = """
import importlib.metadata, sys
try:
    package = importlib.metadata.distribution(sys.argv[1])
except importlib.metadata.PackageNotFoundError:
    sys.exit("not installed")
compiled = any(str(file).endswith(".so") for file in package.files or ())
print(package.version, "" if compiled or sys.argv[1] != "greenroom" else "(not compiled)")
"""


def _package_version(package: str) -> str:
    return _first_line([str(VENV_PYTHON), "-c", _VERSION_PROGRAM, package])
