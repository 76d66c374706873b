"""Writing files so that a reader, or a crash, never meets half of one."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

CHUNK = 1 << 20  # bytes


@contextmanager
def atomic_open(path: Path, *, durable: bool = False) -> Iterator[BinaryIO]:
    """A binary file to write that takes the name `path` only when it is whole.

    It is written beside its name and renamed over it; on any error the old file stays. `durable` waits until
    the disk has it, for what must outlive a power cut.
    """
    temporary = temporary_name(path)
    try:
        with open(temporary, "wb") as file:
            yield file
            if durable:
                to_disk(file)
        os.replace(temporary, path)
        if durable:
            folder_to_disk(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def atomic_write(path: Path, content: bytes | str, *, durable: bool = False) -> None:
    """Write a whole file at once; text as UTF-8."""
    with atomic_open(path, durable=durable) as file:
        # A file name on disk may hold bytes that are no text.
        file.write(content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content)


def temporary_name(path: Path) -> Path:
    """The name beside `path` under which this process writes it at first."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def remove_left_over(folder: Path) -> None:
    """Remove what a killed process was writing into a folder, or below, that nobody else is writing to."""
    for temporary in folder.rglob(".*.tmp"):
        temporary.unlink(missing_ok=True)


def to_disk(file: BinaryIO) -> None:
    """Wait until the disk has what was written to a file."""
    file.flush()
    os.fsync(file.fileno())


def folder_to_disk(folder: Path) -> None:
    """Wait until the disk has the names in a folder, where the system can (Windows needs no such thing)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network disks know no such thing for folders
            raise
    finally:
        os.close(descriptor)


def sha256(path: Path, length: int | None = None) -> str:
    """The SHA-256 sum, in hexadecimal, of a file or of its first `length` bytes."""
    left = path.stat().st_size if length is None else length
    total = hashlib.sha256()
    with open(path, "rb") as file:
        while left > 0 and (block := file.read(min(CHUNK, left))):
            total.update(block)
            left -= len(block)
    return total.hexdigest()


def json_sum(values: Any) -> str:
    """The SHA-256 sum of values that JSON knows, whatever the order of their names."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


class Summed:
    """A file to write into whose SHA-256 sum is taken on the way; `error` keeps what the system refused."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.error: OSError | None = None
        self._sum = hashlib.sha256()

    def write(self, data: bytes) -> int:
        try:
            written = self.file.write(data)
        except OSError as error:
            self.error = error
            raise
        self._sum.update(data)
        return written

    def flush(self) -> None:
        self.file.flush()

    def hexdigest(self) -> str:
        return self._sum.hexdigest()
