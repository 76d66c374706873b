"""What a run was trained on, in a few numbers: enough to notice that a dataset is another one now."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

AT_ONCE = 2000  # files whose sizes a thread asks for
THREADS = 8  # on a disk across a network it is waiting that takes the time

Fingerprint = dict[str, dict[str, int | str]]


def fingerprint(files: Mapping[str, Sequence[Path]]) -> Fingerprint:
    """For each folder (its name, and the files in it): how many files, of how many bytes, and a SHA-256 sum.

    The sum is of names below the folder that they share and of sizes, in order: not of the content, which would
    take minutes for a large set. A file that is gone counts as one of -1 bytes.
    """
    return {folder: _fingerprint(paths) for folder, paths in files.items()}


def _fingerprint(paths: Sequence[Path]) -> dict[str, int | str]:
    from data.image_folder import ImageFiles  # only now: it needs torch, and --help reads this file

    names = list(paths.names() if isinstance(paths, ImageFiles) else map(str, paths))
    # The first and the last in alphabetical order share what all share.
    common = os.path.commonpath([os.path.dirname(min(names)), os.path.dirname(max(names))]) if names else ""
    total, size = hashlib.sha256(), 0
    with ThreadPoolExecutor(THREADS) as threads:
        parts = [names[first : first + AT_ONCE] for first in range(0, len(names), AT_ONCE)]
        for part, lengths in zip(parts, threads.map(_lengths, parts), strict=True):
            lines = [f"{name[len(common) :]}\0{length}\n" for name, length in zip(part, lengths, strict=True)]
            total.update("".join(lines).encode(errors="surrogateescape"))
            size += sum(length for length in lengths if length > 0)
    return {"files": len(names), "bytes": size, "sha256": total.hexdigest()}


def _lengths(names: Sequence[str]) -> list[int]:
    return [_length(name) for name in names]


def _length(name: str) -> int:
    try:
        return os.stat(name).st_size
    except OSError:
        return -1


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
