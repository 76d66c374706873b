"""manifest.json: the SHA-256 sums of what a run wrote, by which damage is noticed.

It holds the weights and the options. The state carries its own sum, and that of losses.jsonl; samples.jsonl has those
of the pictures.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from util.errors import UserError
from util.files import atomic_write, json_sum, sha256

MANIFEST = "manifest.json"
REMEDY = f"if you changed it on purpose, remove {MANIFEST} beside it, and files are taken as they are"

Sums = dict[str, list[str]]


def record(folder: Path, sums: Mapping[str, str], *, old_is_valid: bool = False) -> None:
    """Note the sums of files, by their names in the folder, before they take these names.

    With `old_is_valid` a file may also be as it was noted before: a crash between the two leaves it so. Without,
    as for the weights of several networks, the files are valid only all together.
    """
    noted = _read(folder)
    for name, new in sums.items():
        before = [old for old in noted.get(name, [])[:1] if old != new] if old_is_valid else []
        noted[name] = [new, *before]
    content = {"files": noted, "sha256": json_sum(noted)}
    atomic_write(folder / MANIFEST, json.dumps(content, indent=1) + "\n", durable=True)


def read_files(folder: Path, names: Collection[str]) -> dict[str, bytes]:
    """The content of files that belong together, as one manifest has them; those it does not know, as they are.

    Looks a second time where one is not as it should be: a training may be writing them. Then raises UserError.
    """
    damaged = ""
    for attempt in range(2):
        time.sleep(attempt)
        sums = _read(folder)
        contents = {name: (folder / name).read_bytes() for name in names}
        wrong = [name for name, content in contents.items() if not _matches(content, sums.get(name))]
        if not wrong:
            return contents
        damaged = wrong[0]
    raise UserError(
        f"{folder / damaged} is not as its run wrote it (a save was cut off, or the file is damaged): train.py "
        f"--continue_train writes the latest weights anew; {REMEDY}"
    )


def is_known(path: Path) -> bool:
    """Whether the manifest beside a file has its sum."""
    return path.name in _read(path.parent)


def is_damaged(path: Path) -> bool:
    """Whether the manifest beside a file has another sum than the file."""
    return path.name in damaged(path.parent, [path.name])


def damaged(folder: Path, names: Collection[str] | None = None) -> list[str]:
    """Which files of a folder's manifest, or which of these names, are missing or have another sum."""
    noted = _read(folder)
    looked_at = noted.keys() if names is None else noted.keys() & set(names)
    return [name for name in looked_at if not (folder / name).is_file() or sha256(folder / name) not in noted[name]]


def _matches(content: bytes, sums: Collection[str] | None) -> bool:
    return sums is None or hashlib.sha256(content).hexdigest() in sums


def _read(folder: Path) -> Sums:
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        files: Sums = content["files"]
        if content["sha256"] == json_sum(files):
            return files
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise UserError(f"{path} is damaged: remove it, and the files beside it are taken as they are")
