"""Writing files so that neither a reader nor a crash ever sees a partial one."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

CHUNK = 1 << 20  # bytes

# What file systems answer that lack an operation. Errors such as EIO and ENOSPC say that data was lost.
MISSING_OPERATION = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
MISSING_SYNC = MISSING_OPERATION | {errno.EINVAL, errno.ENOTTY, errno.EPERM, errno.EACCES, errno.EROFS, errno.EBADF}
DATA_LOST = {errno.EIO, errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
POWER_CUT = "a power cut may damage the last save"
_warned: set[str] = set()  # operations


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
        replace(temporary, path)
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


def replace(source: Path, target: Path) -> None:
    """Rename a file, replacing `target`; where the file system can't rename, copy it, with a warning."""
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno not in MISSING_OPERATION:
            raise
        _warn_unsafe("rename files", target.parent, error, "a crash during a save may damage a file")
        shutil.copyfile(source, target)
        source.unlink(missing_ok=True)


def to_disk(file: BinaryIO) -> None:
    """Wait until everything written to a file is on disk; where the file system can't, warn once.

    Raises OSError if data was lost.
    """
    file.flush()
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in MISSING_SYNC:
            raise
        _warn_unsafe("fsync files", Path(str(file.name)).parent, error, POWER_CUT)


def folder_to_disk(folder: Path) -> None:
    """Wait until the file names in a folder are on disk, where the system can (Windows can't); else warn once."""
    if os.name == "nt":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in DATA_LOST or not folder.is_dir():
            raise
        _warn_unsafe("fsync folders", folder, error, POWER_CUT)


def _warn_unsafe(operation: str, folder: Path, error: OSError, consequence: str) -> None:
    """Warn, once for each operation, that the file system of a folder lacks it."""
    if operation not in _warned:
        _warned.add(operation)
        reason = f"{errno.errorcode.get(error.errno or 0, error.errno)}, {error.strerror}"
        print(
            f"warning: the file system of {folder} can't {operation} ({reason}): saving continues without it, and "
            f"{consequence}",
            file=sys.stderr,
        )


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


def json_text(record: Any) -> str:
    """A record as indented JSON; NaN and infinity, which JSON lacks, become null."""
    return json.dumps(_finite(record), indent=2, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


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


@contextmanager
def renamed_when_complete(*folders: Path) -> Iterator[list[Path]]:
    """Temporary folders to fill, renamed to `folders` at the end: after an error, nothing is left."""
    temporary = [temporary_name(folder) for folder in folders]
    try:
        for folder in temporary:
            folder.mkdir(parents=True)
        yield temporary
        for folder, complete in zip(folders, temporary, strict=True):
            if folder.exists():  # an empty one
                folder.rmdir()
            complete.rename(folder)
    finally:
        for folder in temporary:
            shutil.rmtree(folder, ignore_errors=True)
