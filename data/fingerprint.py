"""Fingerprints of datasets: a few numbers that tell whether a run resumes on the files it was trained on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

CHUNK = 2000  # files that a thread queries at a time
THREADS = 8  # on network disks, the time is spent waiting

Fingerprint = dict[str, dict[str, int | str]]


def fingerprint(files: Mapping[str, Sequence[Path]]) -> Fingerprint:
    """For each folder, given by name and files: the number of files, their total bytes, and a SHA-256 hash.

    The hash covers names below their common folder and sizes, in order. It does not cover contents, which would take
    minutes for a large dataset. A missing file has size -1.
    """
    return {folder: _fingerprint(paths) for folder, paths in files.items()}


def _fingerprint(paths: Sequence[Path]) -> dict[str, int | str]:
    from data.image_folder import ImageFiles  # here, since it imports torch, and --help imports this module

    names = list(paths.names() if isinstance(paths, ImageFiles) else map(str, paths))
    # All names have the folder in common that the first and the last in alphabetical order have in common.
    common = os.path.commonpath([os.path.dirname(min(names)), os.path.dirname(max(names))]) if names else ""
    total, size = hashlib.sha256(), 0
    with ThreadPoolExecutor(THREADS) as threads:
        parts = [names[first : first + CHUNK] for first in range(0, len(names), CHUNK)]
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
    """A description of the differences; empty if there are none."""
    found = []
    for folder in sorted(before.keys() | now.keys()):
        old, new = before.get(folder), now.get(folder)
        if old == new:
            continue
        if old is None or new is None:
            found.append(f"{folder} {'is new' if old is None else 'no longer exists'}")
        elif (old["files"], old["bytes"]) != (new["files"], new["bytes"]):
            found.append(
                f"{folder} had {old['files']:,} images with {old['bytes']:,} bytes in total, and now has "
                f"{new['files']:,} with {new['bytes']:,} bytes"
            )
        else:
            found.append(f"the names, sizes or order of images in {folder} have changed")
    return "; ".join(found)
