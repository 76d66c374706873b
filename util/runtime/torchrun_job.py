"""The torchrun job of this process, and its mark in a run folder: only processes that it restarts resume the run."""

from __future__ import annotations

import os
from pathlib import Path

from util.files import atomic_write


def is_restarted() -> bool:
    """Whether torchrun restarted this process after a failure (--max-restarts)."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def local_processes() -> int:
    """The processes of this job on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def machine_options() -> list[str]:
    """torchrun's options to start this job again on the same number of machines; empty for one machine."""
    machines = int(os.environ.get("GROUP_WORLD_SIZE", "1"))
    if machines == 1:
        return []
    # All machines can reach the machine of rank 0.
    return [f"--nnodes={machines}", "--rdzv_backend=c10d", f"--rdzv_endpoint={os.environ['MASTER_ADDR']}"]


def leave_mark(folder: Path) -> None:
    """Mark the folder as trained in by this job; each machine has its own mark."""
    if "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("LOCAL_RANK") == "0":
        atomic_write(_mark(folder), _job())


def has_mark(folder: Path) -> bool:
    """Whether this job trained in the folder and saved a state."""
    try:
        return _mark(folder).read_text() == _job() and any(folder.glob("latest_state*.pt"))
    except OSError:
        return False


def _mark(folder: Path) -> Path:
    return folder / f".torchrun_{os.environ.get('GROUP_RANK', '0')}"


def _job() -> str:
    # The parent process is torchrun, which stays the same when it restarts its processes.
    return f"{os.environ['TORCHELASTIC_RUN_ID']} {os.getppid()}\n"
