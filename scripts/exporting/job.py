"""What a format receives, and what it is."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.exporting.comparison import Comparison, ExportFailed, Run, Trial, require_equal
from scripts.exporting.source import Source
from util.errors import UserError

CONFIG = "config.json"
"""In every exported folder: what the files are and do."""


@dataclass
class Direction:
    """One direction to export."""

    source: Source
    trial: Trial
    precision: str
    """fp32 or fp16."""

    @property
    def name(self) -> str:
        return self.source.direction

    @property
    def bits(self) -> int:
        return self.trial.images.bits

    def describe(self) -> dict[str, Any]:
        """What goes in and what comes out, for CONFIG."""
        source, dtype = self.source, f"uint{self.bits}"
        highest = source.classes - 1 if source.classes else 2**self.bits - 1
        return {
            "input": {
                "layout": "NHWC",
                "dtype": dtype,
                "channels": source.channels,
                "range": [0, highest],
                "class_ids": bool(source.classes),
            },
            "output": {
                "layout": "NHWC",
                "dtype": dtype,
                "channels": self.trial.expected[0].shape[-1],
                "range": [0, 2**self.bits - 1],
            },
            "sizes": {
                "any": True,
                "padded_inside_to_multiples_of": source.multiple,
                "padded_inside_to_at_least": source.least,
            },
            "norm_statistics": source.norm if source.has_batch_norm else "none needed",
            "dropout": "off",
        }

    def check(self, run: Run, file: str) -> Comparison:
        """Compare a file with the network, and print the result.

        Raises ExportFailed if the difference is larger than rounding explains; float16 may differ more.
        """
        try:
            comparison = self.trial.compare(run)
        except ExportFailed as error:
            raise ExportFailed(f"{file} {error}") from error
        if self.precision == "fp32":
            require_equal(comparison, file, self.bits)
        elif not comparison.max_difference < float("inf"):
            raise ExportFailed(f"{file}: float16 is too narrow for this network, whose numbers overflow: use fp32")
        changed = " (the change by float16)" if self.precision == "fp16" else ""
        print(comparison.report(file) + changed, flush=True)
        return comparison


@dataclass(frozen=True)
class Format:
    """A format of exported files."""

    name: str
    packages: tuple[str, ...]
    """Packages that writing and comparing need, by the names under which pip installs and Python imports them."""
    write: Callable[[Path, Sequence[Direction], dict[str, Any]], None]
    """Write all files of some directions into an empty folder, compare them with the network, and record the results
    in the configuration, which is written to CONFIG afterwards. Raises ExportFailed."""
    add_runtime: Callable[[Path, Path | None], None] | None = None
    """Write a runtime that the files need into the folder, from the folder of --runtime, or fetched. Raises
    UserError."""
    viewer: str = ""
    """A command that shows an exported folder, which follows it."""

    def require_packages(self) -> None:
        """Raise UserError if a package is missing."""
        missing = [name for name in self.packages if importlib.util.find_spec(name) is None]
        if missing:
            raise UserError(f"--format {self.name} needs packages that are missing: pip install {' '.join(missing)}")
