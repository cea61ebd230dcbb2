"""serve(): an application, on one core or all of them, until a signal ends it.   layer: servers

With one worker the process that calls serve() serves. With several, or when something must be
replaced while clients are served (reload, max_requests), it is the supervisor (servers/workers.py),
and each worker is the same program, started again: it comes to the same serve() call, and takes the
worker's part there.

When a worker is told to stop it closes its listening sockets, and tells each client in its next
response that the connection ends. A client that was promised a further request may be sending it
now: idle connections are kept for IDLE_GRACE seconds before they are closed. Closing them at once
failed about one request a connection and reload under load.
"""

from __future__ import annotations

import _signal
import inspect
import os
import sys
from dataclasses import dataclass, field
from random import randint

from greenroom import __version__
from greenroom.core import scheduler as _scheduler
from greenroom.core.api import sleep, spawn
from greenroom.patch.apply import is_patched
from greenroom.servers import address as _address
from greenroom.servers.accesslog import AccessLog
from greenroom.servers.http import HTTPServer
from greenroom.servers.sockets import Listeners
from greenroom.servers.tls import TLS
from greenroom.servers.worker import Role, take_role
from greenroom.servers.workers import Supervisor, say
from greenroom.servers.wsgi import WSGIApplication
from greenroom.sync.event import Event
from greenroom.sync.pool import Pool
from greenroom.sync.wait import joinall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

# Seconds for which a client that was promised a further request may still send it.
IDLE_GRACE = 1.0


@dataclass
class Options:
    """How to serve: the arguments of serve(), with their checks."""

    bind: Sequence[Any] = ("127.0.0.1:8000",)
    workers: int | str = 1
    interface: str = "auto"
    tls_cert: Any = None
    tls_key: Any = None
    reload: bool | Sequence[str] = False
    access_log: str | None = None
    access_log_file: Any = "-"
    max_requests: int = 0
    max_requests_jitter: int = 0
    grace: float | None = 30.0
    limit: int | None = None
    timeout: float = 30.0
    backlog: int = 1024
    name: str = ""
    http: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.bind, (str, int)) or hasattr(self.bind, "getsockname"):
            self.bind = [self.bind]
        elif isinstance(self.bind, tuple):
            # ("host", 80) is an address, and ("host:80", ":81") two.
            self.bind = [self.bind] if _is_pair(self.bind) else list(self.bind)
        if not self.bind:
            raise ValueError("bind is empty: give at least one address, like '127.0.0.1:8000'")
        if self.workers == "auto":
            self.workers = len(os.sched_getaffinity(0))
        if not isinstance(self.workers, int) or self.workers < 1:
            raise ValueError(f"workers is a number from 1 on, or 'auto', not {self.workers!r}")
        if self.interface not in ("auto", "wsgi", "asgi"):
            raise ValueError(f"interface is 'auto', 'wsgi' or 'asgi', not {self.interface!r}")
        if self.tls_key is not None and self.tls_cert is None:
            raise ValueError("tls_key was given without tls_cert: give the certificate too")
        if self.max_requests < 0 or self.max_requests_jitter < 0:
            raise ValueError("max_requests and max_requests_jitter cannot be less than 0")
        if self.grace is not None and not self.grace >= 0:  # nan is not, either
            raise ValueError(f"grace is 0 or more seconds, or None, not {self.grace!r}")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit is at least 1 connection at once, not {self.limit!r}")
        if not self.timeout > 0:
            raise ValueError(f"timeout is more than 0 seconds, not {self.timeout!r}")
        if self.backlog < 1:
            raise ValueError(f"backlog is at least 1 connection, not {self.backlog!r}")
        if self.reload and not _has_watchfiles():
            raise ImportError("reload needs watchfiles: pip install 'greenroom[reload]'")
        for folder in () if isinstance(self.reload, bool) else self.reload:
            if not os.path.exists(folder):
                raise ValueError(f"cannot watch {folder!r}, given for reload: it does not exist")

    def make_log(self) -> AccessLog | None:
        """Open the access log, if there is to be one. Raises OSError."""
        if self.access_log is None:
            return None
        return AccessLog(self.access_log_file, self.access_log)

    def make_tls(self) -> TLS | None:
        """Read the certificate and its key, if there are any. Raises OSError."""
        if self.tls_cert is None:
            return None
        return TLS(self.tls_cert, self.tls_key, alpn=("http/1.1",))

    def check_files(self) -> None:
        """Raise the OSError now that a worker would raise over a file of these."""
        self.make_tls()
        log = self.make_log()
        if log is not None:
            log.close()

    @property
    def supervised(self) -> bool:
        """Whether a supervisor is needed."""
        return self.workers != 1 or bool(self.reload) or self.max_requests > 0


def _is_pair(address: tuple[Any, ...]) -> bool:
    return len(address) in (2, 4) and type(address[1]) is int


def _has_watchfiles() -> bool:
    from importlib.util import find_spec  # slow to load, and rarely needed

    return find_spec("watchfiles") is not None


def serve(
    app: Any,
    bind: Any = "127.0.0.1:8000",
    *,
    workers: int | str = 1,
    interface: str = "auto",
    tls_cert: Any = None,
    tls_key: Any = None,
    reload: bool | Sequence[str] = False,
    access_log: str | None = None,
    access_log_file: Any = "-",
    max_requests: int = 0,
    max_requests_jitter: int = 0,
    grace: float | None = 30.0,
    limit: int | None = None,
    timeout: float = 30.0,
    backlog: int = 1024,
    **http: Any,
) -> None:
    """Serve a WSGI or ASGI application until SIGTERM or Ctrl-C.

    app           the application; which kind it is, is found out
    bind          an address as TCPServer takes it, or a list of them
    workers       processes, or "auto" for one for each core that this process may use. With more
                  than one, this process supervises, and the program is started again for each
    interface     "wsgi" or "asgi", should it be found out wrong
    tls_cert      path of a PEM file; with tls_key, or the key in it. Read again when they change
    reload        replace the workers when a file below the current folder, or below those of a
                  list, changes. Needs the extra `reload`
    access_log    "common", "combined", "json", or None; to access_log_file, a path, or "-" for
                  standard output
    max_requests  after so many, plus up to max_requests_jitter, a worker is replaced; 0: never
    grace         seconds that requests may go on for when the server stops; None: for ever
    limit         connections at once in each worker; further ones wait in the kernel
    timeout       seconds without a sign of life after which a worker is dumped and replaced
    backlog       connections that may wait in the kernel
    http          limits and timeouts: HTTPServer's arguments

    Signals       SIGTERM, SIGINT drain and end, a second one cuts off. With workers: SIGHUP
                  replaces them one by one, SIGQUIT to one shows what it does. SIGUSR1 opens the
                  access log again
    Raises        ValueError, TypeError: an argument is wrong; OSError: it cannot listen there
                  SystemExit: it did not end in good order, or this is a worker, whose part is over
    Switches      always
    """
    options = Options(
        bind, workers, interface, tls_cert, tls_key, reload, access_log, access_log_file,
        max_requests, max_requests_jitter, grace, limit, timeout, backlog, "", http,
    )  # fmt: skip
    role = take_role()
    if role is None and options.supervised:
        check_alone()
        status = supervise(options)
    else:
        status = work(app, options, role)
    if status or role is not None:
        raise SystemExit(status)


# --- which kind of application it is


def find_interface(app: Any, wish: str = "auto") -> str:
    """Return "wsgi" or "asgi".

    Raises    TypeError: it is neither, or of ASGI 2
    """
    if not callable(app):
        raise TypeError(
            f"{app!r} is no application: WSGI's is callable(environ, start_response), "
            "ASGI's async callable(scope, receive, send)"
        )
    if wish != "auto":
        return wish
    target = app
    while hasattr(target, "func") and hasattr(target, "keywords"):  # functools.partial
        target = target.func
    is_async = inspect.iscoroutinefunction
    if inspect.isclass(target):
        if is_async(target.__call__):
            raise _asgi2(app)
        return "wsgi"  # its instances are the bodies (PEP 3333 shows one)
    if is_async(target) or is_async(getattr(target, "__call__", None)):  # noqa: B004
        return "asgi"
    try:
        parameters = list(inspect.signature(app).parameters)
    except (TypeError, ValueError):
        return "wsgi"
    if parameters == ["scope"]:
        raise _asgi2(app)
    return "asgi" if parameters[:1] == ["scope"] and len(parameters) == 3 else "wsgi"


def _asgi2(app: Any) -> TypeError:
    return TypeError(
        f"{app!r} looks like an ASGI 2 application, called with a scope alone; greenroom serves "
        "ASGI 3: wrap it with asgiref.compatibility.guarantee_single_callable(), or say "
        "interface='wsgi' if it is no such thing"
    )


def _wrap(app: Any, options: Options, role: Role | None) -> Any:
    """Return what an HTTPServer calls."""
    if find_interface(app, options.interface) == "asgi":
        from greenroom.servers.asgi import ASGIApplication  # asyncio, which WSGI does not need

        return ASGIApplication(app)
    return WSGIApplication(app, multiprocess=role is not None and role.workers > 1)


# --- one process


class _Counted:
    """An application that says when it has served so many requests."""

    def __init__(self, application: Any, most: int, full: Callable[[], object]) -> None:
        self.application = application
        self.left = most
        self.full = full

    def __call__(self, exchange: Any) -> None:
        self.left -= 1
        if self.left == 0:
            self.full()
        self.application(exchange)


def work(app: Any, options: Options, role: Role | None) -> int:
    """Serve in this process; as a worker if there is a role. Returns the exit status."""
    application = _wrap(app, options, role)
    log = options.make_log()
    tls = options.make_tls()
    called = application
    if role is not None and options.max_requests:
        most = options.max_requests + randint(0, options.max_requests_jitter)
        called = _Counted(application, most, role.retire)
    addresses = role.sockets if role is not None else options.bind
    limit: Any = options.limit
    if limit is not None and len(addresses) > 1:
        limit = Pool(limit)
    servers = [
        HTTPServer(
            address, called, access_log=log, limit=limit, tls=tls, backlog=options.backlog,
            **options.http,
        )
        for address in addresses
    ]  # fmt: skip
    for server in servers:
        server.settings.idle_grace = IDLE_GRACE
    return _Work(application, servers, options, role, log).run()


class _Work:
    """The servers of this process, from start to end."""

    def __init__(
        self,
        application: Any,
        servers: list[HTTPServer],
        options: Options,
        role: Role | None,
        log: AccessLog | None,
    ) -> None:
        self.application = application
        self.servers = servers
        self.options = options
        self.role = role
        self.log = log
        self.ends = Event()
        self.cut = Event()
        self.is_cut = False

    def run(self) -> int:
        before = self._take_signals()
        try:
            if self.role is not None:
                self.role.begin(self._orphaned)
            if hasattr(self.application, "start"):
                self.application.start()
            try:
                for server in self.servers:
                    server.start()
                self._announce()
                watchers = [spawn(self._watch, server) for server in self.servers]
                self.ends.wait()
                self._drain()
                joinall(watchers)
            finally:
                for server in self.servers:
                    server.stop(0)
                if hasattr(self.application, "stop"):
                    self.application.stop(0 if self.is_cut else self.options.grace)
        finally:
            if self.role is not None:
                self.role.end()
            if self.log is not None:
                self.log.close()
            for number, handler in before:
                _signal.signal(number, handler)
        for server in self.servers:
            if server.error is not None:
                raise server.error
        return 1 if self.is_cut else 0

    def _take_signals(self) -> list[tuple[int, Any]]:
        numbers = [_signal.SIGTERM] if self.role is not None else [_signal.SIGTERM, _signal.SIGINT]
        handlers = [(number, self._on_stop_signal) for number in numbers]
        if self.log is not None or self.role is not None:
            handlers.append((_signal.SIGUSR1, self._on_reopen_signal))
        before: list[tuple[int, Any]] = []
        for number, handler in handlers:
            try:
                former = _signal.getsignal(number)
                _signal.signal(number, handler)
            except ValueError:  # not the main thread: whoever has that one stops us
                break
            before.append((number, _signal.SIG_DFL if former is None else former))
        return before

    def _on_stop_signal(self, number: int, frame: Any) -> None:
        if self.ends.is_set():
            self.cut.set()
        self.ends.set()

    def _on_reopen_signal(self, number: int, frame: Any) -> None:
        if self.log is not None:
            try:
                self.log.reopen()
            except OSError as error:
                say(f"cannot open the access log again, the old file stays: {error}")

    def _orphaned(self) -> None:
        if not self.ends.is_set():
            say(f"worker {self.role.number if self.role else 0}: the supervisor is dead; stopping")
        self.ends.set()

    def _watch(self, server: HTTPServer) -> None:
        """Stop all when one can accept no more; run() raises why."""
        try:
            server.serve_forever()
        except Exception:  # it is server.error
            pass
        self.ends.set()

    def _announce(self) -> None:
        if self.role is not None:
            self.role.ready()
            return
        announce([_address.show(server.address) for server in self.servers], self.options)
        if isinstance(self.application, WSGIApplication) and not is_patched("socket.socket.recv"):
            say(
                "the standard library is not patched: a request that waits holds up all others. "
                "Start with 'greenroom run', or call greenroom.patch_all() first"
            )

    def _left(self) -> int:
        return sum(server.busy() for server in self.servers)

    def _drain(self) -> None:
        """Stop accepting, and wait for the requests, but not longer than the grace."""
        grace = self.options.grace
        if self.role is not None:
            self.role.draining(self._left)
        else:
            say(f"stopping: {_requests(self._left())} left; a second signal cuts them off")
        # From one look at the clock, before stop() takes its own: what is cut off is said before.
        warned = _scheduler.get().deadline_after(grace) - 0.05
        stops = [spawn(server.stop, grace) for server in self.servers]
        helpers = [spawn(self._end_idle), spawn(self._cut_off)]
        if self.role is None:
            helpers.append(spawn(self._show_progress))
        elif grace is not None:
            helpers.append(spawn(self._say_cut, grace, warned))
        joinall(stops)
        for helper in helpers:
            helper.kill()
        joinall(helpers)

    def _end_idle(self) -> None:
        sleep(IDLE_GRACE)
        for server in self.servers:
            server.end_idle()

    def _cut_off(self) -> None:
        self.cut.wait()
        self.is_cut = True
        say(f"a second signal: {_requests(self._left())} cut off")
        for server in self.servers:
            server.stop(0)

    def _say_cut(self, grace: float, deadline: float) -> None:
        _scheduler.get().sleep_until(deadline)
        assert self.role is not None
        if self._left():
            say(f"worker {self.role.number}: {_requests(self._left())} cut off after {grace:g} s")

    def _show_progress(self) -> None:
        scheduler = _scheduler.get()
        deadline = scheduler.deadline_after(self.options.grace)
        while True:
            sleep(1.0)
            left = self._left()
            if left:
                rest = deadline - scheduler.now()
                until = f"; cut off in {rest:.0f} s" if rest < 1e9 else ""
                say(f"stopping: {_requests(left)} left{until}")


def _requests(count: int) -> str:
    return f"{count} request{'' if count == 1 else 's'}"


def announce(shown: Sequence[str], options: Options) -> None:
    """Say where it listens."""
    scheme = "http" if options.tls_cert is None else "https"
    places = [a if a.startswith("unix:") else f"{scheme}://{a}" for a in shown]
    name = f" {options.name}" if options.name else ""
    crew = f"{options.workers} workers, " if options.workers != 1 else ""
    say(
        f"{__version__} serves{name} on {', '.join(places)} ({crew}pid {os.getpid()}); Ctrl-C stops"
    )


# --- several processes


def check_alone() -> None:
    """Refuse to supervise where tasks run: they would stand still."""
    scheduler = _scheduler.get()
    others = [task for task in scheduler.tasks() if task is not scheduler.main]
    if others:
        names = ", ".join(task.name for task in others[:5])
        raise RuntimeError(
            f"serve() with workers must come before tasks are started: {names} would stand still "
            "in the supervisor. Start them in the application, or use workers=1"
        )


def supervise(options: Options, command: list[str] | None = None) -> int:
    """Run workers until told to stop; each is the same program again. Returns the exit status.

    command   argv of a worker, instead of this program's own
    """
    if command is None:
        if not sys.executable or len(sys.orig_argv) < 2:
            raise RuntimeError("workers need a program that can be started again: write a script")
        command = [sys.executable, *sys.orig_argv[1:]]
    assert isinstance(options.workers, int)
    watcher = None
    if options.reload:
        folders = [os.getcwd()] if options.reload is True else list(options.reload)
        watcher = [sys.executable, "-m", "greenroom.servers.watch", *folders]
    listeners = Listeners(options.bind, options.workers, options.backlog)
    try:
        return Supervisor(
            listeners.fds,
            command,
            grace=options.grace,
            timeout=options.timeout,
            watcher=watcher,
            started=lambda: announce(listeners.shown, options),
            stopping=listeners.close,
        ).run()
    finally:
        listeners.close()
