"""Where --init_from leads. Needs no torch, since the options of that run are read before the networks are built."""

from __future__ import annotations

from pathlib import Path


def find_source(source: str, checkpoints: Path) -> Path:
    """The file or folder that --init_from names; a run in `checkpoints` has priority over a folder of its name.

    It may be missing.
    """
    path, run = Path(source), checkpoints / source
    if path.is_file() or (path.is_dir() and not (path.name == source and run.is_dir())):
        return path
    return run
