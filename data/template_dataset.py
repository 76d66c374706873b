"""A dataset to copy: rename the file to NAME_dataset.py and the class to NameDataset, and --dataset_mode name finds it.

It works as it is: one folder of images, of which B is the image and A a coarse copy, so that a model may learn to
sharpen.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch.nn.functional as F

from data import image_folder
from data.base_dataset import BaseDataset, Sample
from util.arguments import number
from util.errors import UserError


class TemplateDataset(BaseDataset):
    """Pairs of a coarse and a sharp image out of the folder <phase>, or out of --dataroot itself."""

    @staticmethod
    def add_options(parser: argparse.ArgumentParser, is_train: bool) -> None:
        # The dataset's own flags. Used as opt.coarseness below.
        parser.add_argument_group("template").add_argument(
            "--coarseness", type=number(int, least=1), default=4, help="A has this many times fewer pixels each way"
        )

    @staticmethod
    def finish_options(opt: argparse.Namespace, is_train: bool) -> None:
        if opt.input_nc != opt.output_nc:
            raise UserError(f"--input_nc {opt.input_nc} and --output_nc {opt.output_nc} must be equal: A is made of B")

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        root = Path(opt.dataroot)
        folder = root / opt.phase if (root / opt.phase).is_dir() else root
        self.paths, _ = image_folder.list_images(folder, opt.max_dataset_size)

    def __len__(self) -> int:
        return len(self.paths)

    def files(self) -> Mapping[str, Sequence[Path]]:
        return {"images": self.paths}

    def load(self, index: int, random: np.random.Generator) -> Sample:
        # Every random choice comes from `random`; an image that can't be read raises BadImage, which is handled.
        sharp = self.image(self.paths[index], self.opt.output_nc, random)
        coarse = F.avg_pool2d(sharp, self.opt.coarseness, ceil_mode=True)
        coarse = F.interpolate(coarse.unsqueeze(0), sharp.shape[-2:]).squeeze(0)
        path = str(self.paths[index])
        return {"A": coarse, "B": sharp, "A_paths": path, "B_paths": path}
