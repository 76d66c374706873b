"""A dataset to copy: rename the file to NAME_dataset.py and the class to NameDataset; --dataset_mode NAME then uses it.

It works as it is: one folder of images, in which B is the image and A a coarse copy of it, so that a model learns to
sharpen images.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch.nn.functional as F

from data.base_dataset import BaseDataset, Sample
from util.arguments import number
from util.errors import UserError
from util.stage import Stage


class TemplateDataset(BaseDataset):
    """Pairs of a coarse and a sharp image from the folder <phase>, or from --dataroot itself."""

    is_paired = True
    phase_endings = ("",)  # of the folders of a phase: validation images are expected in <val>

    @staticmethod
    def add_options(parser: argparse.ArgumentParser, is_train: bool) -> None:
        # The dataset's own flags. This one is opt.coarseness below.
        parser.add_argument_group("template").add_argument(
            "--coarseness", type=number(int, least=1), default=4, help="A has this many times fewer pixels each way"
        )

    @staticmethod
    def finish_options(opt: argparse.Namespace, is_train: bool) -> None:
        if opt.input_nc != opt.output_nc:
            raise UserError(f"--input_nc {opt.input_nc} and --output_nc {opt.output_nc} must be equal: A is made of B")

    def __init__(self, opt: argparse.Namespace, stage: Stage, phase: str) -> None:
        # self.stage tells whether samples are for training, validation or testing: a ground truth or an order may
        # depend on it. self.phase is the prefix of the folder names: train, val, test.
        super().__init__(opt, stage, phase)
        root = Path(opt.dataroot)
        folder = root / self.phase if (root / self.phase).is_dir() else root
        # This leaves out the images that --val_fraction holds out for validation.
        self.paths, _ = self.list_images(folder)

    def __len__(self) -> int:
        return len(self.paths)

    def files(self) -> Mapping[str, Sequence[Path]]:
        return {"images": self.paths}

    def load(self, index: int, random: np.random.Generator) -> Sample:
        # Take every random choice from `random`. self.image raises UnreadableImage for a damaged file, and the caller
        # of `load` handles it.
        sharp = self.image(self.paths[index], self.opt.output_nc, random)
        coarse = F.avg_pool2d(sharp, self.opt.coarseness, ceil_mode=True)
        coarse = F.interpolate(coarse.unsqueeze(0), sharp.shape[-2:]).squeeze(0)
        path = str(self.paths[index])
        return {"A": coarse, "B": sharp, "A_paths": path, "B_paths": path}
