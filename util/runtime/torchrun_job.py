"""Which job of torchrun is training in a run's folder: what it starts again goes on, and no other job does."""

from __future__ import annotations

import os
from pathlib import Path

from util.files import atomic_write


def is_restarted() -> bool:
    """Whether torchrun has started this process in the place of one that had failed (--max-restarts)."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def leave_mark(folder: Path) -> None:
    """Note that this job trains in the folder; each machine has a mark of its own."""
    if "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("LOCAL_RANK") == "0":
        atomic_write(_mark(folder), _job())


def has_mark(folder: Path) -> bool:
    """Whether it is this job that trained in the folder, and that saved something."""
    try:
        return _mark(folder).read_text() == _job() and any(folder.glob("latest_state*.pt"))
    except OSError:
        return False


def _mark(folder: Path) -> Path:
    return folder / f".torchrun_{os.environ.get('GROUP_RANK', '0')}"


def _job() -> str:
    # The parent is torchrun itself, which stays when it starts its processes again.
    return f"{os.environ['TORCHELASTIC_RUN_ID']} {os.getppid()}\n"
