"""Color images split into lightness and color."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from data import image_folder
from data.base_dataset import BaseDataset, Sample
from data.colorization_options import ColorizationOptions
from util import lab
from util.errors import UserError
from util.stage import Stage


class ColorizationDataset(ColorizationOptions, BaseDataset):
    """Every image in <phase>, in CIE Lab: A is L / 50 - 1 (one channel), B is a / 110 and b / 110 (two channels)."""

    is_paired = True
    phase_endings = ("",)

    def __init__(self, opt: argparse.Namespace, stage: Stage | None = None, phase: str | None = None) -> None:
        super().__init__(opt, stage, phase)
        self.folder = Path(opt.dataroot) / self.phase
        if not self.folder.is_dir():
            raise UserError(image_folder.explain_missing(Path(opt.dataroot), [self.phase]))
        self.paths, self.ignored = self.list_images(self.folder)

    def __len__(self) -> int:
        return len(self.paths)

    def files(self) -> Mapping[str, Sequence[Path]]:
        return {self.folder.name: self.paths}

    def summary(self) -> str:
        """The number of images and of other files in the folder."""
        return f"{len(self)} images in {self.folder}{self.ignored.describe(self.opt.verbose)}"

    def load(self, index: int, random: np.random.Generator) -> Sample:
        """{"A": lightness, "B": colors, "A_paths", "B_paths": the file of both}."""
        path = self.paths[index]
        lightness, colors = lab.split_colors(self.image(path, 3, random))
        return {"A": lightness, "B": colors, "A_paths": str(path), "B_paths": str(path)}
