"""Wakes a scheduler that sleeps in its poller.                                  layer: core

A pipe whose read end the poller watches. Two write to it: other threads (call_soon_threadsafe), one
zero byte; and, in the main thread, the interpreter's C-level signal handler, the signal's number
(signal.set_wakeup_fd). Without the second, a signal that comes between the last look at pending
signals and epoll_wait would be acted on only after the next event. An eventfd would not do: that
handler writes one byte, an eventfd takes eight.
"""

import os

from greenroom._originals import signal

# Taken now: patching replaces these on the module os later.
_write, _close = os.write, os.close


class WakeUp:
    """The pipe. `fd` is the end to watch."""

    def __init__(self) -> None:
        self.fd, self._write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._watches_signals = False

    def notify(self) -> None:
        """Wake the scheduler. Callable from any thread."""
        try:
            _write(self._write_fd, b"\0")
        except BlockingIOError:
            pass  # full: it will wake all the same
        except OSError:
            if self._write_fd >= 0:
                raise

    def watch_signals(self) -> None:
        """Let signals write here, unless the program has a wake-up fd of its own."""
        try:
            before = signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        except ValueError:  # not the main thread of the main interpreter
            return
        if before >= 0:
            signal.set_wakeup_fd(before)
        else:
            self._watches_signals = True

    def claim_signals(self) -> int:
        """Let signals write here, whatever was there. Returns the program's fd, -1 for none.

        Raises ValueError in another thread than the main one.
        """
        before = signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        self._watches_signals = True
        return -1 if before == self._write_fd else before

    def close(self) -> None:
        """Close both ends."""
        if self._watches_signals:
            try:
                if (fd := signal.set_wakeup_fd(-1)) not in (-1, self._write_fd):
                    signal.set_wakeup_fd(fd)
            except ValueError:
                pass
        read_fd, self.fd = self.fd, -1
        write_fd, self._write_fd = self._write_fd, -1
        _close(read_fd)
        _close(write_fd)
