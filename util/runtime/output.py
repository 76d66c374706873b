"""Standard output and error that can't fail: a program does not depend on being watched.

A console may be closed, full, gone (a pipe whose reader has ended, a lost terminal) or unable to encode a character.
`protect_output` replaces sys.stdout and sys.stderr by streams that drop what can't be written. This covers every
writer: print, warnings, tqdm, argparse, and Python's own flush at exit, which otherwise sets exit code 120.
"""

from __future__ import annotations

import io
import os
import select
import sys
from contextlib import suppress
from typing import Any

PATIENCE = 1.0  # seconds to wait for a non-blocking pipe before text is dropped


def protect_output() -> None:
    """Replace sys.stdout and sys.stderr by streams whose write errors are ignored. Calling it again changes nothing.

    Characters that the encoding lacks are written as escapes (backslashreplace). Streams that are not those of the
    process, such as those of pytest or a notebook, stay.
    """
    _open_missing_descriptors()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            null = open(os.devnull, "w", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
            setattr(sys, name, null)
        elif type(stream) is io.TextIOWrapper and not isinstance(_raw(stream), _UnfailingRaw):
            setattr(sys, name, _protected(stream))


def _open_missing_descriptors() -> None:
    """Open the null device as each of the descriptors 0, 1 and 2 that is closed.

    Otherwise the next opened file, such as a checkpoint, would get this number, and native code that prints a warning
    would write into it.
    """
    if os.name == "nt":
        return
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number, which is this one


def _raw(stream: io.TextIOWrapper) -> Any:
    """The unbuffered file below a text stream; with python -u there is no buffer between them."""
    return getattr(stream.buffer, "raw", stream.buffer)


def _protected(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    """A stream that writes to the same file and never raises an OSError."""
    with suppress(OSError, ValueError):
        stream.flush()
    raw = _UnfailingRaw(_raw(stream))
    return io.TextIOWrapper(
        io.BufferedWriter(raw) if isinstance(stream.buffer, io.BufferedWriter) else raw,
        encoding=stream.encoding,
        errors="backslashreplace" if stream.errors in ("strict", "surrogateescape") else stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class _UnfailingRaw(io.RawIOBase):
    """An unbuffered file for writing that counts bytes as written where the system refuses them."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self.name, self.mode = getattr(raw, "name", "<output>"), getattr(raw, "mode", "wb")

    def write(self, data: Any) -> int:
        left = memoryview(data).cast("B")
        size = len(left)
        try:
            while left:
                written: int | None = self._raw.write(left)
                if written is None and not select.select([], [self._raw], [], PATIENCE)[1]:
                    break  # a non-blocking pipe that stays full
                left = left[written or 0 :]
        except (OSError, ValueError):  # ValueError: the file was closed
            pass
        return size

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        number: int = self._raw.fileno()
        return number

    def isatty(self) -> bool:
        try:
            return bool(self._raw.isatty())
        except (OSError, ValueError):
            return False
