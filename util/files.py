"""Writing files so that neither a reader nor a crash ever sees a partial one."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

CHUNK = 1 << 20  # bytes


@contextmanager
def atomic_open(path: Path, *, durable: bool = False) -> Iterator[BinaryIO]:
    """Open a binary file for writing that is renamed to `path` once it is complete.

    It is written to a temporary file in the same folder. On any error the old file stays. With `durable`, waits until
    the file is on disk, so that it survives a power cut.
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
    """Write a complete file, see `atomic_open`; text as UTF-8."""
    with atomic_open(path, durable=durable) as file:
        # Text may contain a file name from disk, whose bytes need not be valid UTF-8.
        file.write(content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content)


def temporary_name(path: Path) -> Path:
    """The temporary file of this process for `path`, in the same folder."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def remove_temporary_files(folder: Path) -> None:
    """Remove the temporary files of killed processes from a folder and its subfolders.

    Only for a folder that no other process is writing to.
    """
    for temporary in folder.rglob(".*.tmp"):
        temporary.unlink(missing_ok=True)


def to_disk(file: BinaryIO) -> None:
    """Wait until everything written to a file is on disk."""
    file.flush()
    os.fsync(file.fileno())


def folder_to_disk(folder: Path) -> None:
    """Wait until the file names in a folder are on disk, where the system supports it (Windows does not)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems don't support it for folders
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
    """The SHA-256 sum, in hexadecimal, of values that JSON can represent; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


class HashingFile:
    """A file for writing that computes the SHA-256 sum of what is written; `error` keeps an OSError of `write`."""

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


def replace_folder(new: Path, old: Path) -> None:
    """Rename the folder `new` to `old`, and remove what was there before, if anything."""
    if not old.exists():
        os.replace(new, old)
        return
    outdated = temporary_name(old)
    os.replace(old, outdated)
    try:
        os.replace(new, old)
    except OSError:
        os.replace(outdated, old)
        raise
    shutil.rmtree(outdated, ignore_errors=True)
