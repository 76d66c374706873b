"""Writing files so that a reader, or a crash, never meets half of one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

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
        file.write(content.encode("utf-8") if isinstance(content, str) else content)


def temporary_name(path: Path) -> Path:
    """The name beside `path` under which this process writes it at first."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def remove_left_over(folder: Path) -> None:
    """Remove what a killed process was writing into a folder that nobody else is writing to."""
    for temporary in folder.glob(".*.tmp"):
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
