"""losses.jsonl: one JSON object a line, with what a training run reported."""

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
    """The records of a run, in a file that grows by a line with each; part of the run's checkpoint.

    A record has epoch (from 1), step, images (seen so far), seconds (of training), lr, and each weighted loss.
    The checkpoint has the length and the SHA-256 sum of the file as it was then: what came later is dropped when
    the run goes on, as it is going to be trained again.
    """

    def __init__(self, path: Path, *, forced: bool = False) -> None:
        """`forced`: go on with a file that is damaged, with the lines before the damage."""
        self.path = path
        self.forced = forced
        self._behind = False  # whether the file lacks a record
        self._take(path.read_bytes() if path.is_file() else b"")

    def append(self, record: Record) -> None:
        """Add a record. Where it can't be written this is an OSError, and the next call writes it as well.

        Numbers that JSON does not know (NaN) are a ValueError: losses are finite.
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
        """Begin anew; what there is stays as losses_1.jsonl, or with the next number that is free."""
        if self.path.is_file():
            number = 1
            while (aside := self.path.with_stem(f"{self.path.stem}_{number}")).exists():
                number += 1
            os.replace(self.path, aside)
        self._take(b"")

    def state_dict(self) -> dict[str, Any]:
        """Makes sure that the file has every record; `to_disk` has to follow before the state is of use."""
        if not self.path.is_file() or self.path.stat().st_size != len(self._content):
            atomic_write(self.path, bytes(self._content), durable=True)
            self._behind = False
        return {"bytes": len(self._content), "sha256": self._sum.hexdigest()}

    def to_disk(self) -> None:
        """Wait until the disk has what is in the file; in any thread, while records are appended in another."""
        with open(self.path, "ab") as file:
            to_disk(file)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        kept = self.path.read_bytes()[: state["bytes"]] if self.path.is_file() else b""
        whole = hashlib.sha256(kept).hexdigest() == state["sha256"]
        if not whole and not self.forced:
            raise UserError(
                f"{self.path} is not as the run wrote it: restore it (going on from bare weights leaves the old one as "
                f"{self.path.stem}_1.jsonl), or go on with the lines that can be read by --force"
            )
        self._take(kept)
        atomic_write(self.path, bytes(self._content), durable=True)

    def _take(self, content: bytes) -> None:
        """The records of a file, up to the first line that was not written whole."""
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
