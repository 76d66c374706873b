"""losses.jsonl: one JSON object a line, with what a training run reported."""

from __future__ import annotations

import json
from pathlib import Path

from util.files import atomic_write

Record = dict[str, float]


class LossLog:
    """The records of a run, in a file that grows by a line with each.

    A record has epoch (from 1), step, images (seen so far), seconds (of training), lr, and each weighted loss.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records = _read(path)

    def append(self, record: Record) -> None:
        """Add a record. Numbers that JSON does not know (NaN) are written as null by nobody: losses are finite."""
        self.records.append(record)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record, allow_nan=False) + "\n")

    def forget_after(self, step: int) -> None:
        """Drop what came after that step: it is going to be trained again."""
        kept = [record for record in self.records if record["step"] <= step]
        self.records = kept
        atomic_write(self.path, "".join(json.dumps(record) + "\n" for record in kept))


def _read(path: Path) -> list[Record]:
    """The records of a file, up to the first line that was not written whole."""
    records: list[Record] = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                break
            records.append(record)
    return records
