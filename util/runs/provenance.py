"""What results depend on besides the options: versions and the command; stored in options.json."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("torch", "numpy", "Pillow")


def provenance(device: str | None = None) -> dict[str, Any]:
    """The command, the number of threads, and the versions of Python, of this code and of PACKAGES.

    If the `device` of a job (such as auto) is given, also the device's name and the number of processes; on GPUs, each
    process has its own.
    """
    import torch  # here, so that --help does not import it

    from util.runtime.device import device_name, get_device
    from util.runtime.processes import processes

    versions = {"python": platform.python_version(), "code": code_version(), "threads": str(torch.get_num_threads())}
    versions |= {name: importlib.metadata.version(name) for name in PACKAGES}
    if device is not None:
        versions |= {"device": device_name(get_device(device)), "processes": str(processes().world_size)}
    return {"versions": versions, "command": sys.argv}


@cache
def code_version() -> str:
    """The commit of this checkout, with -dirty if files were modified; "unknown" outside a checkout."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        described = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return described.stdout.strip()


def changed_versions(before: Mapping[str, str], device: str) -> str:
    """The versions that differ from a record, as text, for a job on this device; empty if none differs."""
    if not before:
        return ""
    now = provenance(device)["versions"]
    return ", ".join(
        f"{name} {before[name]} (now {now[name]})" for name in now if name in before and before[name] != now[name]
    )
