"""Opening a run from its folder alone: no images, no command line."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from options import files
from options.base_options import Config
from options.test_options import TestOptions
from util.arguments import NETWORK
from util.errors import UserError


def load_run_options(folder: Path, **overrides: Any) -> argparse.Namespace:
    """The test options of a run, restored from options.json in its folder; `overrides` are options by name.

    `name` and `checkpoints_dir` lead to the folder, so that models find its weights. `dataroot` is the folder that the
    run was trained on, or "" if that is not recorded; it need not exist. A folder of weights without options.json needs
    overrides that describe the networks, and its model is `test` unless `model` is given.

    Raises UserError for a folder that is missing or damaged, an unknown option or a wrong value.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: expected the folder of a run, such as checkpoints/NAME")
    if folder.name in ("", ".."):
        folder = folder.resolve()
    return _InferenceOptions().of_run(folder, overrides)


class _InferenceOptions(TestOptions):
    """Test options without a command line."""

    def of_run(self, folder: Path, overrides: Mapping[str, Any]) -> argparse.Namespace:
        """The options of the run in this folder."""
        self.source_run = {}
        if not (folder / files.OPTIONS).is_file():
            self._require_networks(folder, overrides)
        address = {"name": folder.name, "checkpoints_dir": str(folder.parent)}
        return self.resolve([], Config(f"options of {folder}", {**overrides, **address}))

    def _require_networks(self, folder: Path, overrides: Mapping[str, Any]) -> None:
        """Raise UserError if neither options.json nor `overrides` describe the networks."""
        scopes = self._base_parser(add_help=False).scopes()
        needed = [name for name, scope in scopes.items() if scope == NETWORK]
        if not overrides.keys() & set(needed):
            raise UserError(
                f"{folder} has no {files.OPTIONS}: give the options of its networks that differ from the defaults, at "
                f"least one of {', '.join(needed)}"
            )

    def _training_options(self, model: str) -> set[str]:
        return set()  # overrides are for this call alone, so one that only training has is a mistake

    def _require_dataroot(self, opt: argparse.Namespace) -> None:
        opt.dataroot = opt.dataroot or ""
