"""One folder of images, for translation in one direction."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from data.base_dataset import BaseDataset, Sample
from data.single_options import SingleOptions
from util.errors import UserError
from util.stage import Stage


class SingleDataset(SingleOptions, BaseDataset):
    """Every image in --dataroot and its subfolders; --phase is ignored."""

    phase_endings = ()

    def __init__(self, opt: argparse.Namespace, stage: Stage | None = None, phase: str | None = None) -> None:
        super().__init__(opt, stage, phase)
        self.folder = Path(opt.dataroot)
        if not self.folder.is_dir():
            raise UserError(f"--dataroot {opt.dataroot} is not a folder: expected a folder of images")
        self.paths, self.ignored = self.list_images(self.folder)

    def __len__(self) -> int:
        return len(self.paths)

    def files(self) -> Mapping[str, Sequence[Path]]:
        return {"images": self.paths}

    def summary(self) -> str:
        """The number of images and of other files in the folder."""
        return f"{len(self)} images in {self.folder}{self.ignored.describe(self.opt.verbose)}"

    def load(self, index: int, random: np.random.Generator) -> Sample:
        """{"A": image, "A_paths": its file}."""
        path = self.paths[index]
        return {"A": self.image(path, self.opt.input_nc, random), "A_paths": str(path)}
