"""Options of --dataset_mode latent."""

from __future__ import annotations

import argparse

from data.dataset_options import DatasetOptions
from util.errors import UserError


class LatentOptions(DatasetOptions):
    """Random noise instead of images: only for testing, and only for models that turn noise into images."""

    @staticmethod
    def finish_options(opt: argparse.Namespace, is_train: bool) -> None:
        if is_train:
            raise UserError("--dataset_mode latent has no images to train on: use it with test.py and --model dcgan")
        if not hasattr(opt, "latent_size"):
            raise UserError(
                f"--dataset_mode latent is for models that turn noise into images, such as dcgan, not for --model "
                f"{opt.model}"
            )
