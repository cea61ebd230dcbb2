"""Which packages' tests are run, at which version, with what, and how.

Only what has its tests in its sdist can be run. So these are not:

  psycopg     none of 3.3.9, 3.2.13 and 3.0 has tests
  websockets  17.4 has none; 16.1.1 to 14.2 have only those of the protocol without I/O, less the
              modules that these import
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
        ("aiosqlite/tests/smoke.py", "aiosqlite/tests/helpers.py"),
    ),
    Peer(
        "asgiref",
        "3.13.0",
        ("pytest-asyncio==1.5.0", "packaging", "setuptools", *PYTEST),
        ("tests", "--ignore=tests/test_benchmark_local.py"),
        quick=True,
    ),
    # Trio is not compared. Where it need not be, blockbuster is not installed either, which forbids
    # blocking calls in coroutines and knows nothing of those that park.
    Peer(
        "anyio",
        "4.16.0",
        (
            "hypothesis==6.170.17",
            "psutil==7.2.2",
            "pytest-mock==3.17.0",
            "pytest-timeout==2.4.0",
            "trustme==1.2.1",
            "truststore==0.10.5",
            *PYTEST,
        ),
        ("tests", "-m", "not network"),
    ),
    Peer(
        "starlette",
        "1.10.0",
        (
            "itsdangerous",
            "jinja2",
            "opentelemetry-sdk",
            "python-multipart",
            "pyyaml",
            "httpx==0.28.1",
            "httpx2",
            *PYTEST,
        ),
        ("tests",),
        quick=True,
    ),
    Peer(
        "httpx",
        "0.28.1",
        (
            "chardet==5.2.0",
            "trio==0.35.0",
            "trustme==1.2.1",
            "uvicorn==0.54.0",
            "cryptography",
            *PYTEST,
        ),
        ("tests", "-m", "not network", "-k", "not trio"),
        extras="[brotli,cli,http2,socks,zstd]",
    ),
    Peer(
        "redis",
        "8.1.0",
        (
            "aiohttp==3.14.5",
            "numpy",
            "cachetools",
            "mock",
            "opentelemetry-sdk",
            "pybreaker",
            "pytest-asyncio==1.5.0",
            "pytest-timeout==2.4.0",
            "redis-entraid==1.2.1",
            "requests",
            "xxhash",
            *PYTEST,
        ),
        ("tests/test_asyncio", "-m", "not onlycluster and not redismod and not ssl"),
        extras="[jwt]",
        service=("Redis", 6379),
    ),
    Peer(
        "uvicorn",
        "0.54.0",
        (
            "a2wsgi==1.10.10",
            "cryptography",
            "httptools==0.9.0",
            "httpx2",
            "pytest-mock==3.15.1",
            "python-dotenv",
            "pyyaml",
            "trustme==1.2.1",
            "watchfiles",
            "websockets==16.1.1",
            "wsproto==1.3.2",
            *PYTEST,
        ),
        ("tests", "--ignore=tests/benchmarks", "-o", "addopts="),
    ),
    Peer(
        "aiohttp",
        "3.14.5",
        (
            "freezegun",
            "multidict",
            "pkgconfig",
            "proxy.py",
            "pytest-mock==3.17.0",
            "pytest-timeout==2.4.0",
            "pytest-cov",
            "pytest-xdist==3.8.0",
            "python-on-whales",
            "re-assert",
            "setuptools-git",
            "trustme==1.2.1",
            "zlib_ng",
            "pytest_codspeed",
            "blockbuster",
            *PYTEST,
        ),
        ("tests", "-o", "addopts=", "-m", "not autobahn and not dev_mode and not internal"),
        extras="[speedups]",
        without=("aiohttp",),
    ),
    Peer(
        "SQLAlchemy",
        "2.1.9",
        ("asyncpg==0.32.0", *PYTEST),
        (
            "test/ext/asyncio",
            "test/base/test_concurrency.py",
            "-o",
            "addopts=--maxfail=1000 -p no:logging",
            # It takes ten minutes on asyncpg. On aiosqlite it hangs patched, and why is not known.
            "--ignore=test/ext/asyncio/test_cancellation.py",
            "--dburi=postgresql+asyncpg://postgres@127.0.0.1:5432/test",
        ),
        extras="[asyncio]",  # the tests import the package from its source all the same
        service=("PostgreSQL", 5432),
        seconds=120.0,
    ),
    Peer(
        "asyncpg",
        "0.32.0",
        PYTEST,
        ("tests", "-o", "addopts=--import-mode=importlib"),
        without=("asyncpg",),
        env={"PGHOST": "127.0.0.1", "PGUSER": "postgres"},
        service=("PostgreSQL", 5432),
    ),
]


def find(name: str) -> Peer | None:
    """Return the peer of a name, in whatever case."""
    return next((peer for peer in PEERS if peer.package.lower() == name.lower()), None)
