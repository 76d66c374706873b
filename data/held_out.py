"""Hold out images for validation by a hash of their names: the same ones in every run on every machine."""

from __future__ import annotations

import argparse
import hashlib
import os
import re
from collections.abc import Sequence
from typing import Any

from util.errors import UserError
from util.stage import Stage

VALIDATION = "val"
"""The prefix of the folders with validation images."""


class Selection:
    """Chooses the images of a folder that a stage uses.

    --val_fraction holds out the images whose name, or group of --val_group, has a hash below that fraction: training
    does not use them, and validation uses only them. Validation uses at most --val_images of a folder. Images with the
    same name in two folders are treated alike, so pairs stay together.
    """

    def __init__(self, opt: argparse.Namespace, stage: Stage) -> None:
        self.stage = stage
        in_use = stage is not Stage.TEST  # options of training
        self.fraction: float = getattr(opt, "val_fraction", 0.0) if in_use else 0.0
        pattern = getattr(opt, "val_group", None)
        self.group = re.compile(pattern) if pattern else None
        self.limit: int | None = getattr(opt, "val_images", None) if stage is Stage.VALIDATE else None
        self.was_used = False

    @property
    def is_needed(self) -> bool:
        """Whether it may exclude images."""
        return self.fraction > 0 or self.limit is not None

    def choose(self, names: Sequence[str], folder: object) -> list[int]:
        """The indices of the chosen images, in order.

        Args:
            names: the paths of the images below their folder.
            folder: for messages.

        Raises:
            UserError: no image is left, or --val_group does not match a name.
        """
        self.was_used = True
        stems = [os.path.splitext(name)[0].replace(os.sep, "/") for name in names]  # the same on every system
        chosen = list(range(len(stems)))
        if self.fraction:
            held_out = [_fraction(self._group(stem)) < self.fraction for stem in stems]
            chosen = [i for i in chosen if held_out[i] == (self.stage is Stage.VALIDATE)]
            if not chosen:
                kind = "no image" if self.stage is Stage.VALIDATE else "all images"
                raise UserError(
                    f"--val_fraction {self.fraction:g} holds out {kind} of the {len(stems)} in {folder}: use another "
                    "fraction, or put validation images into folders of their own, such as valA and valB"
                )
        if self.limit is not None and len(chosen) > self.limit:
            order = sorted(chosen, key=lambda i: _fraction(f"order of {stems[i]}"))
            chosen = sorted(order[: self.limit])
        return chosen

    def _group(self, stem: str) -> str:
        if self.group is None:
            return stem
        match = self.group.search(stem)
        if match is None:
            raise UserError(
                f"--val_group {self.group.pattern} does not match {stem}: every file name needs a group, so that no "
                "group is in both training and validation"
            )
        return "|".join(part or "" for part in match.groups()) or match[0]


def validation_phase(dataset_class: Any, opt: argparse.Namespace) -> str:
    """The prefix of the folders with the validation images; empty if there are none.

    Raises UserError for --val_fraction together with folders of validation images.
    """
    if not dataset_class.has_phase(opt, VALIDATION):
        return opt.phase if opt.val_fraction else ""
    if opt.val_fraction:
        raise UserError(
            f"--val_fraction {opt.val_fraction:g} holds out training images, but {opt.dataroot} has folders of "
            f"validation images ({VALIDATION}...): omit the option, or rename those folders"
        )
    return VALIDATION


def require_selection(dataset: Any, opt: argparse.Namespace, stage: Stage) -> None:
    """Raise UserError if a user's dataset class ignores --val_fraction: it would train on validation images."""
    selection = getattr(dataset, "selection", None)
    if stage is Stage.TRAIN and opt.val_fraction and not (selection and selection.was_used):
        raise UserError(
            f"--val_fraction {opt.val_fraction:g}: --dataset_mode {opt.dataset_mode} does not support it; its class "
            "must list files with self.list_images(folder), as data/template_dataset.py does"
        )


def require_disjoint(training: Any, validation: Any, opt: argparse.Namespace) -> None:
    """Raise UserError if a dataset of the user's own reads the same files for training and validation."""
    held_out = {path for files in validation.files().values() for path in files}
    common = next((path for files in training.files().values() for path in files if path in held_out), None)
    if common is not None:
        raise UserError(
            f"--dataset_mode {opt.dataset_mode} reads {common} for training and for validation: its class must read "
            "the folders of the `phase` that it receives, see data/template_dataset.py; or use --val_freq 0"
        )


def _fraction(text: str) -> float:
    """A number in 0..1 that looks random and depends on the text alone."""
    digest = hashlib.sha256(text.encode(errors="surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
