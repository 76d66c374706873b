"""Writing files so that a reader, or a crash, never meets half of one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_open(path: Path, *, durable: bool = False) -> Iterator[BinaryIO]:
    """A binary file to write that takes the name `path` only when it is whole.

    It is written beside its name and renamed over it; on any error the old file stays. `durable` waits until
    the disk has it, for what must outlive a power cut.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def atomic_write(path: Path, content: bytes | str) -> None:
    """Write a whole file at once; text as UTF-8."""
    with atomic_open(path) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)
