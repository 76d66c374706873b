"""manifest.json: the SHA-256 sums of a run's weight files and options, by which damage is detected.

Other files carry their own sums: the state ends with its sum and contains that of losses.jsonl; samples.jsonl contains
those of the images.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from util.command import flag, script_command
from util.errors import UserError
from util.files import atomic_write, json_sum, sha256

MANIFEST = "manifest.json"
REMEDY = f"if you changed it on purpose, remove {MANIFEST} from the folder: files are then read without a check"

Sums = dict[str, list[str]]


def record(folder: Path, sums: Mapping[str, str], *, old_is_valid: bool = False) -> None:
    """Record the sums of new files, by their names in the folder, before the files are renamed to these names.

    With `old_is_valid`, a file may also match its previous sum, as after a crash between the two. Without it, as for
    the weights of several networks, the files are valid only all together.
    """
    recorded = _read(folder)
    for name, new in sums.items():
        before = [old for old in recorded.get(name, [])[:1] if old != new] if old_is_valid else []
        recorded[name] = [new, *before]
    content = {"files": recorded, "sha256": json_sum(recorded)}
    atomic_write(folder / MANIFEST, json.dumps(content, indent=1) + "\n", durable=True)


def read_files(folder: Path, names: Collection[str]) -> dict[str, bytes]:
    """The contents of files that belong together, checked against one manifest; unlisted files are not checked.

    Tries twice, since a training may be writing the files. Raises UserError if a file does not match its sum.
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
    where = [*flag("name", folder.name), *flag("checkpoints_dir", folder.parent)]
    command = script_command("train.py", ["--continue_train", *where])
    raise UserError(
        f"{folder / damaged} does not match its SHA-256 sum in {MANIFEST} (a save was interrupted, or the file is "
        f"damaged): `{command}` rewrites the latest weights; {REMEDY}"
    )


def is_known(path: Path) -> bool:
    """Whether the manifest in a file's folder lists it."""
    return path.name in _read(path.parent)


def is_damaged(path: Path) -> bool:
    """Whether the manifest in a file's folder lists it with a different sum."""
    return path.name in damaged(path.parent, [path.name])


def damaged(folder: Path, names: Collection[str] | None = None) -> list[str]:
    """The listed files (of these names, if given) that are missing or have a different sum."""
    recorded = _read(folder)
    checked = recorded.keys() if names is None else recorded.keys() & set(names)
    return [name for name in checked if not (folder / name).is_file() or sha256(folder / name) not in recorded[name]]


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
    raise UserError(f"{path} is damaged: remove it; the files in its folder are then read without a check")
