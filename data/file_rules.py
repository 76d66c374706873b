"""Why a resumed run may find other files: the rules about which files are images have changed since version 1."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from data.formats.opening import SKIPPED_FOLDERS

ADDED_EXTENSIONS = (".jfif", ".jpe", ".pnm")  # they did not count as images in version 1
NEWLY_SKIPPED = tuple(name for name in SKIPPED_FOLDERS if not name.startswith("."))  # hidden ones always were


def explain_new_rules(files: Mapping[str, Sequence[Path]], dataroot: Path) -> str:
    """The newer rules that apply to these files and to the folders in `dataroot`, as a sentence; empty if none does."""
    added = sum(path.suffix.lower() in ADDED_EXTENSIONS for paths in files.values() for path in paths)
    skipped = sorted({name for _, folders, _ in os.walk(dataroot) for name in folders if name in NEWLY_SKIPPED})
    rules = []
    if added:
        rules.append(f"files ending in {', '.join(ADDED_EXTENSIONS)} now count as images ({added} here)")
    if skipped:
        rules.append(f"folders named {', '.join(skipped)} are now skipped")
    return f"by newer rules, {' and '.join(rules)}" if rules else ""
