"""What a run was trained on, in a few numbers: enough to notice that a dataset is another one now."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Fingerprint = dict[str, dict[str, int | str]]


def fingerprint(files: Mapping[str, Sequence[Path]]) -> Fingerprint:
    """For each folder (its name, and the files in it): how many files, of how many bytes, and a SHA-256 sum.

    The sum is of names below the folder that they share and of sizes, in order: not of the content, which would
    take minutes for a large set. A file that is gone counts as one of -1 bytes.
    """
    return {folder: _fingerprint(paths) for folder, paths in files.items()}


def _fingerprint(paths: Sequence[Path]) -> dict[str, int | str]:
    names = [str(path) for path in paths]
    # The first and the last in alphabetical order share what all share.
    common = os.path.commonpath([os.path.dirname(min(names)), os.path.dirname(max(names))]) if names else ""
    total, size = hashlib.sha256(), 0
    for name in names:
        try:
            length = os.stat(name).st_size
        except OSError:
            length = -1
        total.update(f"{name[len(common) :]}\0{length}\n".encode(errors="surrogateescape"))
        size += max(0, length)
    return {"files": len(names), "bytes": size, "sha256": total.hexdigest()}


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """In words, what is different; empty where nothing is."""
    told = []
    for folder in sorted(before.keys() | now.keys()):
        old, new = before.get(folder), now.get(folder)
        if old == new:
            continue
        if old is None or new is None:
            told.append(f"{folder} is {'new' if old is None else 'no longer there'}")
        elif (old["files"], old["bytes"]) != (new["files"], new["bytes"]):
            told.append(
                f"{folder} had {old['files']:,} images of {old['bytes']:,} bytes in all, and has {new['files']:,} of "
                f"{new['bytes']:,}"
            )
        else:
            told.append(f"{folder} has images of other names, sizes or order")
    return "; ".join(told)
