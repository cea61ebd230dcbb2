"""The servers these tests talk to, and the child processes in which the clients run.

A test asks for a server by naming a fixture (postgres, mariadb, redis, rabbitmq, mosquitto, nats,
slow) and gets its address. Where none answers, or a client package is missing, the test is skipped
with what to do about it; with GREENROOM_REQUIRE_SERVICES=1 it fails. README.md says how to start
them.
"""

import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any
from urllib.parse import urlsplit

import pytest
from patch.children import child_environment, run_child, run_greenroom

HERE = Path(__file__).parent

# name: the environment variable that holds another address, and the address without it
SERVERS = {
    "postgres": ("GREENROOM_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/test"),
    "mariadb": ("GREENROOM_TEST_MARIADB", "mysql://root@127.0.0.1:3306/test"),
    "redis": ("GREENROOM_TEST_REDIS", "redis://127.0.0.1:6379/0"),
    "rabbitmq": ("GREENROOM_TEST_RABBITMQ", "amqp://guest:guest@127.0.0.1:5672/"),
    "mosquitto": ("GREENROOM_TEST_MOSQUITTO", "mqtt://127.0.0.1:1883"),
    "nats": ("GREENROOM_TEST_NATS", "nats://127.0.0.1:4222"),
}


def unavailable(reason: str) -> None:
    """Skip the test, or fail it where everything must be there."""
    if os.environ.get("GREENROOM_REQUIRE_SERVICES", "") not in ("", "0"):
        pytest.fail(f"{reason} (GREENROOM_REQUIRE_SERVICES is set)", pytrace=False)
    pytest.skip(reason)


def address_of(name: str) -> str:
    """Return the address of a server that answers."""
    variable, default = SERVERS[name]
    url = os.environ.get(variable) or default
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 0), 3).close()
    except OSError as error:
        unavailable(
            f"no {name} answers at {url}: {error}; start one with 'docker compose -f "
            f"tests/services/compose.yaml up -d {name}', or say where one is in {variable}"
        )
    return url


@pytest.fixture
def postgres() -> str:
    return address_of("postgres")


@pytest.fixture
def mariadb() -> str:
    return address_of("mariadb")


@pytest.fixture
def redis() -> str:
    return address_of("redis")


@pytest.fixture
def rabbitmq() -> str:
    return address_of("rabbitmq")


@pytest.fixture
def mosquitto() -> str:
    return address_of("mosquitto")


@pytest.fixture
def nats() -> str:
    return address_of("nats")


def serve(program: str) -> Iterator[str]:
    """Run a server of this folder in a process of its own, unpatched; yield what it prints."""
    process = subprocess.Popen(
        [sys.executable, HERE / program],
        stdout=subprocess.PIPE,
        text=True,
        env=child_environment(),
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="session")
def slow() -> Iterator[str]:
    """The base URL of slow_server.py."""
    yield from serve("slow_server.py")


@pytest.fixture(scope="session")
def ssh() -> Iterator[str]:
    """The port of ssh_server.py."""
    need("paramiko")
    yield from serve("ssh_server.py")


def need(*packages: str) -> None:
    """Skip the test, or fail it, if one of the client packages is not installed."""
    for package in packages:
        # Some put an object without a spec in their own place when they are imported: kombu.
        if package not in sys.modules and importlib.util.find_spec(package) is None:
            unavailable(f"{package} is not installed: pip install 'greenroom[services]'")


RunProgram = Callable[..., list[str]]


@pytest.fixture
def program(tmp_path: Path) -> RunProgram:
    """Return program(code, *args): run a program by `greenroom run`, return its lines of output.

    The program is plain blocking code; it must succeed, without a word on stderr.
    """

    def run(code: str, *args: object) -> list[str]:
        path = tmp_path / "program.py"
        path.write_text(dedent(code), encoding="utf-8")
        done = run_greenroom("run", path, *args, env=environment())
        return lines(done)

    return run


@pytest.fixture
def script() -> RunProgram:
    """Return script(code, *args): run a program that patches itself, or not at all."""

    def run(code: str, *args: object) -> list[str]:
        return lines(run_child(code, *args, env=environment()))

    return run


def environment() -> dict[str, str]:
    """Let a child import at_once.py."""
    path = os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH"))))
    return {"PYTHONPATH": path}


def lines(done: Any) -> list[str]:
    assert (done.returncode, done.stderr) == (0, ""), done.stderr or done.stdout
    return done.stdout.splitlines()
