"""manifest.json: the SHA-256 sums of what a run wrote, by which damage is noticed.

It holds the weights, the options and the page's record. The state carries its own sum, and that of losses.jsonl;
samples.jsonl those of the pictures.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from util.errors import UserError
from util.files import atomic_write, sha256

MANIFEST = "manifest.json"
REMEDY = f"if you changed it on purpose, remove {MANIFEST} beside it, and files are taken as they are"

Sums = dict[str, list[str]]


def record(folder: Path, sums: Mapping[str, str], *, old_is_valid: bool = False) -> None:
    """Note the sums of files, by their names in the folder, before they take these names.

    With `old_is_valid` a file may also be as it was noted before: a crash between the two leaves it so. Without,
    as for the weights of several networks, the files are valid only all together.
    """
    noted = _read(folder / MANIFEST) or {}
    for name, new in sums.items():
        before = [old for old in noted.get(name, [])[:1] if old != new] if old_is_valid else []
        noted[name] = [new, *before]
    content = {"files": noted, "sha256": _seal(noted)}
    atomic_write(folder / MANIFEST, json.dumps(content, indent=1) + "\n", durable=True)


def is_known(path: Path) -> bool:
    """Whether the manifest beside a file has its sum."""
    return path.name in (_read(path.with_name(MANIFEST)) or {})


def is_damaged(path: Path) -> bool:
    """Whether the manifest beside a file has another sum than the file."""
    sums = (_read(path.with_name(MANIFEST)) or {}).get(path.name)
    return sums is not None and (not path.is_file() or sha256(path) not in sums)


def damaged(folder: Path) -> list[str]:
    """The files of a folder's manifest that are missing or have another sum."""
    return [name for name in _read(folder / MANIFEST) or {} if is_damaged(folder / name)]


def _read(path: Path) -> Sums | None:
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        files: Sums = content["files"]
        if content["sha256"] == _seal(files):
            return files
    except (ValueError, KeyError, TypeError):
        pass
    raise UserError(f"{path} is damaged: remove it, and the files beside it are taken as they are")


def _seal(files: Sums) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
