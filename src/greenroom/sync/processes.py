"""to_process(): a call in a worker process.                                     layer: sync

For Python code that computes: it holds the GIL, so in a thread it would hold up every task.

A worker is a fresh interpreter (posix_spawn(3), no fork of a process with threads) that runs
process_worker.py at the other end of a socket; it is kept for the next call. Its preparation, the
parent's sys.path and main module, is multiprocessing's. concurrent.futures and multiprocessing.Pool
were left: to end one call they end all workers, or none.
"""

import _socket
import atexit
import multiprocessing.spawn
import multiprocessing.util
import os
import pickle
import posix
from collections.abc import Callable
from typing import Any

from greenroom import _originals
from greenroom.core import offload
from greenroom.core import scheduler as _scheduler
from greenroom.core.scope import Scope
from greenroom.core.timers import FOREVER
from greenroom.errors import BrokenWorkerError
from greenroom.sync import process_worker
from greenroom.sync.limiter import CapacityLimiter

_limiter = CapacityLimiter(os.cpu_count() or 1)
_idle: list["_Worker"] = []
_workers: set["_Worker"] = set()


def to_process(
    fn: Callable[..., Any], /, *args: Any, limiter: CapacityLimiter | None = None
) -> Any:
    """Call fn(*args) in a worker process and return what it returns.

    fn, args and the result travel by pickle: fn is a function of a module. A worker imports the
    program's main module, which therefore starts its work below `if __name__ == "__main__":`.
    Workers are kept and used again; they end when this process does.

    limiter   a CapacityLimiter that bounds how many such calls run at once; None: the process's
              own, of as many as there are processors
    Raises    what fn raises, with the worker's traceback as its __cause__; BrokenWorkerError: the
              worker ended before it had a result. If the task is killed or its time is over, the
              worker is killed
    Switches  always
    """
    if not callable(fn):
        raise TypeError(f"cannot call {fn!r} in a process: it is not callable")
    try:
        request = pickle.dumps((fn, args), pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        error.add_note(
            "to_process() sends fn and its arguments by pickle: give a function of a module, not a "
            "lambda or one inside another function, and data"
        )
        raise
    if limiter is None:
        limiter = _limiter
    token = object()
    limiter.acquire_for(token)
    try:
        worker = _take_worker()
        try:
            reply = worker.call(request)
        except (EOFError, OSError) as error:
            text = f"worker process {worker.pid} ended before {_name(fn)} had a result"
            raise BrokenWorkerError(f"{text}: {_status_text(worker.end())}") from error
        except BaseException:
            worker.end()
            raise
        _idle.append(worker)
    finally:
        limiter.release_for(token)
    return _unpack(reply, fn)


class RemoteTraceback(Exception):
    """The __cause__ of an error that came from a worker process: its traceback there, as text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


def _unpack(reply: bytes, fn: object) -> Any:
    """Return the result in a reply, or raise the error."""
    try:
        returned, value, text = pickle.loads(reply)
    except Exception as error:
        error.add_note(f"to_process() cannot unpickle here what {_name(fn)} returned or raised")
        raise
    if returned:
        return value
    value.__cause__ = RemoteTraceback(text)
    raise value


class _Worker:
    """A process, and this end of its socket."""

    def __init__(self) -> None:
        preparation = multiprocessing.spawn.get_preparation_data("greenroom worker")
        preparation["authkey"] = bytes(preparation["authkey"])  # of a class that refuses to pickle
        self.waiting = pickle.dumps(preparation)
        self.sock, theirs = _socket.socketpair()
        self.sock.setblocking(False)
        _scheduler.new_fd(self.sock.fileno())
        executable = os.fsdecode(multiprocessing.spawn.get_executable())
        flags: list[str] = multiprocessing.util._args_from_interpreter_flags()  # type: ignore[attr-defined]
        try:
            self.pid = posix.posix_spawn(
                executable,
                # -P: the folder of the script holds a queue.py
                [executable, *flags, "-P", process_worker.__file__],
                os.environ,
                file_actions=[
                    (posix.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (posix.POSIX_SPAWN_DUP2, theirs.fileno(), process_worker.FD),
                ],
                setsigmask=(_originals.signal.SIGINT,),  # until the worker has its handler
            )
        except BaseException:
            self.sock.close()
            raise
        finally:
            theirs.close()
        _workers.add(self)

    @property
    def wait_reason(self) -> str:
        return f"worker process {self.pid}"

    def call(self, request: bytes) -> bytes:
        """Send a request and return the reply. Raises EOFError or OSError: the worker has ended."""
        scheduler = _scheduler.get()
        scheduler.external += 1  # a virtual clock waits for it
        try:
            if self.waiting:
                self.send(self.waiting)
                self.waiting = b""
            self.send(request)
            head = self.receive(process_worker.HEAD_BYTES)
            return bytes(self.receive(int.from_bytes(head, "little")))
        finally:
            scheduler.external -= 1

    def send(self, data: bytes) -> None:
        """Write a message."""
        head = len(data).to_bytes(process_worker.HEAD_BYTES, "little")
        for part in (head, data):
            view = memoryview(part)
            while view:
                try:
                    view = view[self.sock.send(view, _socket.MSG_NOSIGNAL) :]
                except BlockingIOError:
                    _scheduler.get().wait_fd(self.sock.fileno(), True, FOREVER, True)

    def receive(self, size: int) -> bytearray:
        """Read so many bytes."""
        data = bytearray(size)
        view = memoryview(data)
        while view:
            try:
                count = self.sock.recv_into(view)
            except BlockingIOError:
                _scheduler.get().wait_fd(self.sock.fileno(), False, FOREVER, True)
                continue
            if not count:
                raise EOFError("the worker has closed its end")
            view = view[count:]
        return data

    def is_alive(self) -> bool:
        """Tell whether an idle worker is there: it has not closed its end, and says nothing."""
        try:
            self.sock.recv(1, _socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def end(self) -> int | None:
        """Kill the process and wait until it has ended, whatever happens to the task.

        Returns   its status as of waitpid(2); None: the program has waited for it already
        """
        _workers.discard(self)
        self.close()
        try:
            posix.kill(self.pid, _originals.signal.SIGKILL)
        except ProcessLookupError:
            pass
        task = _scheduler.get().current
        shield = Scope(FOREVER, True)
        task.push_scope(shield)
        try:
            status: int = offload.call_unbounded(posix.waitpid, self.pid, 0)[1]
            return status
        except ChildProcessError:
            return None
        finally:
            task.pop_scope(shield)

    def close(self) -> None:
        """Close the socket: a worker that still runs ends then."""
        if self.sock.fileno() >= 0:
            _scheduler.closing_fd(self.sock.fileno())
            self.sock.close()


def _take_worker() -> _Worker:
    """Return an idle worker, or a new one."""
    while True:
        try:
            worker = _idle.pop()
        except IndexError:
            return _Worker()
        if worker.is_alive():
            return worker
        worker.end()


def _status_text(status: int | None) -> str:
    if status is None:
        return "the program has waited for it itself"
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit code {code}"
    return f"killed by signal {-code} ({_originals.signal.strsignal(-code)})"


def _name(fn: object) -> str:
    return f"{getattr(fn, '__name__', fn)}()"


def _close_all() -> None:
    """The workers end when their sockets are closed. In a forked child: they are the parent's."""
    _idle.clear()
    for worker in list(_workers):
        worker.sock.close()
    _workers.clear()


def _after_fork_in_child() -> None:
    global _limiter
    _close_all()
    _limiter = CapacityLimiter(os.cpu_count() or 1)


atexit.register(_close_all)
os.register_at_fork(after_in_child=_after_fork_in_child)
