"""What a worker process of to_process() runs, as a script.                      layer: sync

It imports nothing of greenroom: a fresh interpreter may not find it, and need not. What it uses
itself is bound here, before the program's main module is imported, which may patch.

The parent's end of the socket is the worker's life: a thread reads from it, and when it is closed
(the parent has ended, or has no more use for the worker) the process ends, a call or not.
"""

import atexit
import multiprocessing.process
import multiprocessing.spawn
import os
import pickle
import signal
import sys
import traceback
from _queue import SimpleQueue
from _thread import start_new_thread
from posix import read, write
from typing import Any

FD = 3  # the worker's end of the socket
HEAD_BYTES = 8  # the length of a message stands before it

_busy = [False]


def main() -> None:
    """Answer requests until there are no more. The first one says what the parent is like."""
    os.set_inheritable(FD, False)
    os.register_at_fork(after_in_child=_close)
    # The parent decides what Ctrl-C, which all processes of the terminal get, means. A function and
    # not SIG_IGN, which the programs that a call starts would inherit.
    signal.signal(signal.SIGINT, _ignore)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT,))
    requests: SimpleQueue[bytes | None] = SimpleQueue()
    start_new_thread(_read_requests, (requests,))
    preparation = requests.get()
    prepared = False
    while (request := requests.get()) is not None:
        try:
            if not prepared:
                _prepare(preparation)
                prepared = True
            fn, args = pickle.loads(request)
            reply = pickle.dumps((True, fn(*args), ""), pickle.HIGHEST_PROTOCOL)
        except BaseException as error:
            reply = _failure(error)
        _flush()
        _busy[0] = False
        _send(reply)
        if not prepared:
            break
    atexit._run_exitfuncs()
    _flush()
    os._exit(0)


def _prepare(preparation: bytes | None) -> None:
    """Take over the parent's path, arguments and folder; import its main module as __mp_main__."""
    me: Any = multiprocessing.process.current_process()
    me._inheriting = True  # code of the main module that would start processes is told not to
    try:
        multiprocessing.spawn.prepare(pickle.loads(preparation or b""))
    finally:
        del me._inheriting


def _failure(error: BaseException) -> bytes:
    """Return the reply that makes the parent raise error."""
    trace = error.__traceback__
    text = "".join(traceback.format_exception(type(error), error, trace and trace.tb_next))
    try:
        reply = pickle.dumps((False, error, text), pickle.HIGHEST_PROTOCOL)
        pickle.loads(reply)
        return reply
    except BaseException:
        last = text.strip().rpartition("\n")[2]
        stand_in = RuntimeError(f"{last} (in a worker process; this error itself does not pickle)")
        return pickle.dumps((False, stand_in, text), pickle.HIGHEST_PROTOCOL)


def _read_requests(requests: "SimpleQueue[bytes | None]") -> None:
    """A thread: pass requests on; at their end, end the process.

    A request comes only after the reply to the one before, so who sets _busy and who clears it
    take turns.
    """
    requests.put(_receive_message())  # the preparation
    while True:
        request = _receive_message()
        if request is None and _busy[0]:
            os._exit(1)
        _busy[0] = True
        requests.put(request)
        if request is None:
            return


def _receive_message() -> bytes | None:
    head = _receive(HEAD_BYTES)
    return _receive(int.from_bytes(head, "little")) if head else None


def _receive(size: int) -> bytes | None:
    """Read so many bytes; None: the other end is closed."""
    data = bytearray()
    while len(data) < size:
        try:
            part = read(FD, min(size - len(data), 1 << 20))
        except OSError:
            part = b""
        if not part:
            return None
        data += part
    return bytes(data)


def _send(reply: bytes) -> None:
    data = memoryview(len(reply).to_bytes(HEAD_BYTES, "little") + reply)
    try:
        while data:
            data = data[write(FD, data) :]
    except OSError:
        os._exit(1)  # the parent has gone


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # closed by the call, or no longer read
            pass


def _close() -> None:
    """In a process that a call has forked: only the worker itself holds its end."""
    try:
        os.close(FD)
    except OSError:
        pass


def _ignore(signum: int, frame: object) -> None:
    """The handler of Ctrl-C."""


if __name__ == "__main__":
    main()
