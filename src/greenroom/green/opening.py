# cython: binding=False
"""open() and input().                                                           layer: green

Compiled, they are C functions as the built-in ones are: kept in a class they do not become methods.
"""

from __future__ import annotations

import _io
import builtins
import errno
import io
import os
import sys
from _operator import index
from itertools import permutations

from greenroom import _originals
from greenroom.core import native
from greenroom.core import scheduler as _scheduler
from greenroom.green import fdio
from greenroom.green.files import BufferedRandom, BufferedReader, BufferedWriter, FileIO, is_on_disk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_input = builtins.input
open_source = _io.open
_NO_LINES = (
    "line buffering (buffering=1) isn't supported in binary mode, the default buffer size will be "
    "used"
)
_LARGE = 1 << 31
_FROM_3_14 = sys.version_info >= (3, 14)
_CALLER = 1 if native.compiled() else 2  # for a warning: compiled code has no frame


def open(
    file: Any,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Any = None,
) -> Any:
    """As the built-in open(), of the same arguments. The file's waits park.

    Raises    as the built-in does
    Switches  only for a FIFO whose other end nobody has opened
    """
    plain = _PLAIN.get(mode) if isinstance(mode, str) else None
    binary = plain is not None and "b" in mode
    if (
        plain is None
        or not isinstance(buffering, int)
        or not -_LARGE < buffering < _LARGE
        or not (_is_name(encoding) and _is_name(errors) and _is_name(newline))
        or (binary and (encoding is not None or errors is not None or newline is not None))
        or (buffering == 0 and not binary)
    ):
        # The original has a word to say about it.
        return _originals.open(file, mode, buffering, encoding, errors, newline, closefd, opener)
    if buffering == 1 and binary:
        import warnings  # costs a program that has no reason to be warned

        warnings.warn(_NO_LINES, RuntimeWarning, stacklevel=_CALLER)
        buffering = -1
    if not isinstance(file, (int, str, bytes)):
        file = index(file) if hasattr(file, "__index__") else os.fspath(file)
    result: Any = FileIO(file, plain, closefd, opener)
    try:
        line_buffering = False
        if buffering == 1 or (buffering < 0 and not is_on_disk(result) and result.isatty()):
            buffering = -1
            line_buffering = True
        if buffering < 0:
            buffering = _default_size(result._blksize)
        if buffering == 0:
            return result
        if "+" in plain:
            result = BufferedRandom(result, buffering)
        elif plain == "r":
            result = BufferedReader(result, buffering)
        else:
            result = BufferedWriter(result, buffering)
        if not binary:
            if encoding is None:
                encoding = io.text_encoding(None, _CALLER)
            result = io.TextIOWrapper(result, encoding, errors, newline, line_buffering)
            result.mode = mode
        return result
    except BaseException:
        result.close()
        raise


def _default_size(block: int) -> int:
    """Return the size of the buffer that nobody asked for, from that of the file's blocks."""
    if _FROM_3_14:  # where io.DEFAULT_BUFFER_SIZE is 128 KiB, and not 8
        return max(min(block, 8192 * 1024), io.DEFAULT_BUFFER_SIZE)
    return block


def _is_name(argument: Any) -> bool:
    """Tell whether open() takes this for an encoding and the like; else it leaves the file be."""
    return argument is None or (isinstance(argument, str) and "\0" not in argument)


# The modes of open(), in every order of their letters, and what each is for FileIO.
_PLAIN = {
    "".join(letters): way + plus
    for way in "rwax"
    for plus in ("", "+")
    for kind in ("", "b", "t")
    for letters in permutations(way + plus + kind)
}


def input(prompt: object = "", /) -> str:
    """As the built-in input(). Switches until a line has come.

    On a terminal the prompt is written and the wait parks; the built-in then takes the line, which
    is there. GNU readline, if that is loaded, would show the line once more: it is only told.
    """
    try:
        on_terminal = (
            sys.stdin.fileno() == 0 and os.isatty(0) and sys.stdout.fileno() == 1 and os.isatty(1)
        )
    except (AttributeError, OSError, ValueError):
        on_terminal = False
    if not on_terminal or not _scheduler.can_wait():
        return _input(prompt)
    sys.stdout.write(str(prompt))
    sys.stdout.flush()
    fdio.wait_for(0, False, errno.EOPNOTSUPP)
    readline = sys.modules.get("readline")
    if readline is None:
        return _input()
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    line = line.removesuffix("\n")
    if line:
        readline.add_history(line)
    return line


open.__module__ = "io"
