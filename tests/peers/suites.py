"""Which packages' tests are run, at which version, with what, and how.

Only versions whose sdist has its tests can be run. Without: psycopg, of which no sdist looked at
(3.3.9, 3.2.13, 3.0) has them; websockets after 16.1.1.
"""

from dataclasses import dataclass, field

# As asyncio is to be compared, none of these may be installed.
FORBIDDEN = ("uvloop", "winloop", "zuvloop")

PYTEST = ("pytest==9.2.0",)


@dataclass(frozen=True)
class Peer:
    """A package whose tests are run.

    package    its name on PyPI
    version    the version that is installed, and from whose sdist the tests are
    needs      what the tests need beside it, with exact versions
    args       pytest's arguments
    extras     those of the package that are installed
    without    folders of the sdist that must not be imported: the installed ones are
    env        environment variables
    service    what must answer on this machine: (name, port)
    quick      it is one of the short selection
    seconds    how long one test may take
    """

    package: str
    version: str
    needs: tuple[str, ...]
    args: tuple[str, ...]
    extras: str = ""
    without: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict, hash=False)
    service: tuple[str, int] | None = None
    quick: bool = False
    seconds: float = 60.0


PEERS: list[Peer] = [
    Peer(
        "janus",
        "2.0.0",
        ("pytest-asyncio==1.5.0", *PYTEST),
        ("tests", "--ignore=tests/test_benchmarks.py", "-o", "addopts="),
        quick=True,
    ),
    Peer(
        "aiosqlite",
        "0.22.1",
        PYTEST,
        ("aiosqlite/tests/smoke.py", "aiosqlite/tests/helpers.py", "-k", "not slow"),
        quick=True,
    ),
    Peer(
        "asgiref",
        "3.13.0",
        ("pytest-asyncio==1.5.0", "packaging", "setuptools", *PYTEST),
        ("tests", "--ignore=tests/test_benchmark_local.py"),
        quick=True,
    ),
]


def find(name: str) -> Peer | None:
    """Return the peer of a name, in whatever case."""
    return next((peer for peer in PEERS if peer.package.lower() == name.lower()), None)
