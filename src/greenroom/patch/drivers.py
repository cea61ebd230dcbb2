"""Hooks for database drivers whose waits are in C: psycopg2 and psycopg 3.      layer: patch

A driver written in Python (PyMySQL, pg8000, redis) is green by its sockets. These two wait in
libpq or in an extension of their own, and both offer a place for a wait function.

psycopg2   set_wait_callback(): every wait is ours. With a callback set, psycopg2 itself refuses
           COPY (copy_from, copy_to, copy_expert) and large objects, and a connection belongs to one
           task at a time: it holds a mutex while the callback waits, so that whoever else commits
           or closes it would stop the whole thread.
psycopg    drives generators that say what they wait for. Its wait functions in Python rest on
           select and selectors, and so are green with these; wait_c, the default where the C
           extension is installed, calls poll(2).

When a kill, a timeout() or Ctrl-C interrupts a query, the server is asked to cancel it, so that it
does not go on there and hold its locks. psycopg's connection is then usable; psycopg2 closes a
connection whose wait has raised.
"""

import os
from collections.abc import Callable
from typing import Any

from greenroom import _config
from greenroom.core import offload
from greenroom.core import scheduler as _scheduler
from greenroom.core.timers import FOREVER
from greenroom.errors import Cancelled, Timeout
from greenroom.sync.cancel import timeout

Undo = Callable[[], None]


def _limit() -> timeout:
    """Return a time limit in which a task that is being killed may still wait."""
    limit = timeout(_config.DRIVER_CANCEL_SECONDS)
    limit.shield = True
    return limit


# --- psycopg 3 ----------------------------------------------------------------------------------


def install_psycopg(psycopg: Any) -> Undo | None:
    """Let psycopg's connections park the task. Returns what undoes it, None if it was done.

    Host names are psycopg's own matter: from 3.2 on it asks socket.getaddrinfo and gives libpq the
    addresses; before, libpq looks them up in C.
    """
    waiting, connection = psycopg.waiting, psycopg.Connection
    if hasattr(connection.wait, "around"):
        return None
    wait, method = waiting.wait, connection.wait
    if wait is getattr(waiting, "wait_c", None):
        # Not wait_selector, which psycopg avoids: it misses a connection that another task closed.
        waiting.wait = getattr(waiting, "wait_poll", waiting.wait_selector)
    connection.wait = _settling(method, psycopg)

    def undo() -> None:
        waiting.wait = wait
        connection.wait = method

    return undo


def _settling(method: Callable[..., Any], psycopg: Any) -> Callable[..., Any]:
    """Wrap Connection.wait: a query that a kill or a timeout() cuts short is cancelled.

    As psycopg does itself on Ctrl-C.
    """

    def wait(self: Any, gen: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, gen, *args, **kwargs)
        except Cancelled:
            if self.pgconn.transaction_status == psycopg.pq.TransactionStatus.ACTIVE:
                try:
                    with _limit():
                        _cancel(psycopg, self)
                        method(self, gen)  # takes what is left of the answer
                except psycopg.errors.QueryCanceled:
                    pass  # as asked
                except BaseException:
                    self.pgconn.finish()  # nobody knows what the server will send next
            raise

    wait.around = method  # type: ignore[attr-defined]
    return wait


def _cancel(psycopg: Any, connection: Any) -> None:
    """Ask the server to cancel the connection's query."""
    capabilities = getattr(psycopg, "capabilities", None)
    if capabilities is not None and capabilities.has_cancel_safe():
        connection.cancel_safe(timeout=_config.DRIVER_CANCEL_SECONDS)
    else:
        offload.call(connection.cancel)  # before libpq 17 it waits in C


# --- psycopg2 -----------------------------------------------------------------------------------


def install_psycopg2(psycopg2: Any) -> Undo | None:
    """Let psycopg2's connections park the task. Returns what undoes it.

    A wait callback that the program has set is left alone, and None returned.
    """
    extensions = psycopg2.extensions
    if extensions.get_wait_callback() is not None:
        return None
    connect = psycopg2._connect
    extensions.set_wait_callback(_callback(psycopg2))
    psycopg2._connect = _connecting(connect, psycopg2)

    def undo() -> None:
        extensions.set_wait_callback(None)
        psycopg2._connect = connect

    return undo


def _callback(psycopg2: Any) -> Callable[[Any], None]:
    """Return the function that psycopg2 calls to wait until a connection's request is done."""
    extensions = psycopg2.extensions
    done, read, write = extensions.POLL_OK, extensions.POLL_READ, extensions.POLL_WRITE

    def wait(connection: Any) -> None:
        scheduler = _scheduler.get()
        while True:
            state = connection.poll()
            if state == done:
                return
            if state != read and state != write:
                raise psycopg2.OperationalError(f"connection.poll() returned {state!r}")
            scheduler.wait_fd(connection.fileno(), state == write, FOREVER, True)

    def wait_or_cancel(connection: Any) -> None:
        try:
            wait(connection)
        except (Cancelled, KeyboardInterrupt, SystemExit):
            try:
                with _limit():
                    offload.call(connection.cancel)  # it waits in C
                    wait(connection)
            except Exception:
                pass  # not connected yet, or no longer; it is closed now in any case
            raise

    return wait_or_cancel


def _connecting(connect: Callable[..., Any], psycopg2: Any) -> Callable[..., Any]:
    """Wrap psycopg2's connect: two things that libpq does only in its blocking form, or in C.

    Host names are looked up first, and connect_timeout is kept.
    """

    def green_connect(dsn: str, *args: Any, **kwargs: Any) -> Any:
        params = psycopg2.extensions.parse_dsn(dsn)
        seconds = _connect_timeout(params)
        if params.get("host") and not params.get("hostaddr"):
            found = _addresses(params["host"], params.get("port", ""), psycopg2)
            if found:
                dsn = psycopg2.extensions.make_dsn(dsn, **found)
                # It is for each address; here for all of them together.
                seconds = seconds and seconds * len(found["hostaddr"].split(","))
        try:
            with timeout(seconds):
                return connect(dsn, *args, **kwargs)
        except Timeout as error:
            raise psycopg2.OperationalError("timeout expired") from error

    return green_connect


def _connect_timeout(params: dict[str, str]) -> float | None:
    """Return the connect_timeout of a connection's parameters in seconds, None if there is none."""
    text = params.get("connect_timeout") or os.environ.get("PGCONNECT_TIMEOUT", "")
    try:
        seconds = int(text)
    except ValueError:
        return None  # libpq says what is wrong
    return max(seconds, 2) if seconds > 0 else None  # libpq knows no shorter one


def _addresses(host: str, port: str, psycopg2: Any) -> dict[str, str]:
    """Return libpq's parameters for a list of hosts and ports, with an address for each name.

    A name with several addresses stands there several times. Nothing is returned if a host is the
    path of a Unix socket, which takes no address.
    """
    import socket  # not at the top: it is to be patched before its first import

    hosts, ports = host.split(","), port.split(",")
    if any(not name or name.startswith(("/", "@")) for name in hosts):
        return {}
    if len(ports) == 1:
        ports *= len(hosts)
    if len(ports) != len(hosts):
        return {}  # libpq says what is wrong
    found: list[tuple[str, str, str]] = []
    failed = ""
    for name, number in zip(hosts, ports, strict=True):
        try:
            answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except OSError as error:
            failed = f'could not translate host name "{name}" to address: {error}'
        else:
            found += [(name, str(answer[4][0]), number) for answer in answers]
    if not found:
        raise psycopg2.OperationalError(failed)
    names, addresses, numbers = zip(*found, strict=True)
    parameters = {"host": ",".join(names), "hostaddr": ",".join(addresses)}
    if port:
        parameters["port"] = ",".join(numbers)
    return parameters
