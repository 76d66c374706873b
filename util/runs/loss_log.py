"""losses.jsonl and metrics.jsonl: the losses and the scores of a training run, one JSON object per line."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from util.errors import UserError
from util.files import atomic_write, to_disk

Record = dict[str, float]


class LossLog:
    """The records of a run, in a file to which each record adds a line; part of the run's checkpoint.

    A record has epoch (from 1), step, images (seen so far), seconds (of training), lr, and each weighted loss.
    The checkpoint stores the length and the SHA-256 sum of the file. Later lines are dropped when the run is resumed,
    because those steps will be trained again.
    """

    def __init__(self, path: Path, *, forced: bool = False) -> None:
        """`forced`: accept a damaged file, with the lines before the damage."""
        self.path = path
        self.forced = forced
        self._behind = False  # whether a record is missing in the file
        self._parse(path.read_bytes() if path.is_file() else b"")

    def append(self, record: Record) -> None:
        """Add a record.

        Raises OSError if it can't be written; the next call then writes it too. Raises ValueError for NaN and
        infinity, which JSON does not have.
        """
        line = (json.dumps(record, allow_nan=False) + "\n").encode()
        self.records.append(record)
        self._content += line
        self._sum.update(line)
        try:
            if self._behind:
                atomic_write(self.path, bytes(self._content), durable=True)
            else:
                with open(self.path, "ab") as file:
                    file.write(line)
        except OSError:
            self._behind = True
            raise
        self._behind = False

    def set_aside(self) -> None:
        """Start an empty log; an existing file is renamed to losses_1.jsonl, or to the next unused number."""
        if self.path.is_file():
            number = 1
            while (renamed := self.path.with_stem(f"{self.path.stem}_{number}")).exists():
                number += 1
            os.replace(self.path, renamed)
        self._parse(b"")

    def state_dict(self) -> dict[str, Any]:
        """Length and sum; writes missing records to the file. The state is valid once `to_disk` was called after it."""
        length = self.path.stat().st_size if self.path.is_file() else 0
        if length != len(self._content):
            atomic_write(self.path, bytes(self._content), durable=True)
            self._behind = False
        return {"bytes": len(self._content), "sha256": self._sum.hexdigest()}

    def to_disk(self) -> None:
        """Wait until the file's content is on disk; thread-safe while another thread appends records."""
        if self.path.is_file():
            with open(self.path, "ab") as file:
                to_disk(file)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Drop the lines after the checkpoint. Raises UserError for a damaged file, unless `forced`."""
        kept = self.path.read_bytes()[: state["bytes"]] if self.path.is_file() else b""
        intact = hashlib.sha256(kept).hexdigest() == state["sha256"]
        if not intact and not self.forced:
            raise UserError(
                f"{self.path} was changed or damaged after the run wrote it: restore it, or resume with its readable "
                f"lines by --force (resuming from weights alone, with --epoch, keeps it as {self.path.stem}_1.jsonl)"
            )
        self._parse(kept)
        if self._content or self.path.is_file():
            atomic_write(self.path, bytes(self._content), durable=True)

    def _parse(self, content: bytes) -> None:
        """Read the records of a file, up to the first incomplete line."""
        self.records: list[Record] = []
        self._content = bytearray()
        for line in content.splitlines(keepends=True):
            try:
                record = json.loads(line)
                record["step"] + record["epoch"] + record["images"]
            except (ValueError, KeyError, TypeError):
                break
            if not line.endswith(b"\n"):
                break
            self.records.append(record)
            self._content += line
        self._sum = hashlib.sha256(self._content)


class NullLossLog:
    """The log of a follower rank: it has no records and no file, and ignores the checkpoint's state of the log."""

    records: tuple[Record, ...] = ()

    def append(self, record: Record) -> None:
        """Ignore the record: rank 0 has the same."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Ignore the state: only rank 0 truncates the file."""
