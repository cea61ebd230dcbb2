"""The transport of a connection: asyncio's own, but for how it reads and writes.  layer: aio

asyncio's transport asks the kernel once more than it must (a read that says EAGAIN, or an epoll
event for each message) and makes a buffer of 256 KiB for each read. Here the calls are those of
green sockets: one scratch buffer, a short read means that there is no more, the fd is registered
once (green/fastsocket.pyx). Uncompiled it is asyncio's transport as it is.
"""

from __future__ import annotations

from asyncio import selector_events

from greenroom.core import native
from greenroom.core import scheduler as _scheduler
from greenroom.green import fastsocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_Base: Any = selector_events._SelectorSocketTransport  # type: ignore[attr-defined]
_recv, _recv_into, _send = fastsocket.recv_now, fastsocket.recv_into_now, fastsocket.send_now
_EDGE = native.compiled() and fastsocket.usable()
_BYTES = (bytes, bytearray, memoryview)


class SocketTransport(_Base):  # type: ignore[misc]
    """A stream connection of a greenroom loop."""

    _context: Any = None  # set by asyncio's __init__ from Python 3.15 on

    def _add_reader(self, fd: int, callback: Any, *args: Any) -> None:
        if self.is_reading():
            self._loop._core.watch(fd, False, callback, args, self._context, _EDGE)

    def _read_ready__data_received(self) -> None:
        if self._conn_lost:
            return
        try:
            data = _recv(self._sock, self.max_size)
        except OSError as error:
            self._fatal_error(error, "Fatal read error on socket transport")
            return
        if data is None:
            return
        if not data:
            self._read_ready__on_eof()
            return
        try:
            self._protocol.data_received(data)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal_error(error, "Fatal error: protocol.data_received() call failed.")

    def _read_ready__get_buffer(self) -> None:
        if self._conn_lost:
            return
        try:
            buffer = self._protocol.get_buffer(-1)
            if not len(buffer):
                raise RuntimeError("get_buffer() returned an empty buffer")
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal_error(error, "Fatal error: protocol.get_buffer() call failed.")
            return
        try:
            count = _recv_into(self._sock, buffer)
        except OSError as error:
            self._fatal_error(error, "Fatal read error on socket transport")
            return
        if count is None:
            return
        if not count:
            self._read_ready__on_eof()
            return
        try:
            self._protocol.buffer_updated(count)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal_error(error, "Fatal error: protocol.buffer_updated() call failed.")

    def write(self, data: Any) -> None:
        """As asyncio.WriteTransport.write: send now what the kernel takes, keep the rest."""
        if (
            self._buffer
            or self._conn_lost
            or self._eof
            or self._empty_waiter is not None
            or not isinstance(data, _BYTES)
        ):
            _Base.write(self, data)
            return
        if not data:
            return
        try:
            sent = _send(self._sock, data)
        except OSError as error:
            self._fatal_error(error, "Fatal write error on socket transport")
            return
        if sent < len(data) or isinstance(data, memoryview):
            data = memoryview(data).cast("B")[sent:]
            if data:
                _Base.write(self, bytes(data))

    def _call_connection_lost(self, error: BaseException | None) -> None:
        _scheduler.closing_fd(self._sock_fd)  # the socket's own close() does not, unpatched
        _Base._call_connection_lost(self, error)
