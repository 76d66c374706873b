"""Options of --dataset_mode latent."""

from __future__ import annotations

import argparse

from data.dataset_options import DatasetOptions
from util.errors import UserError


class LatentOptions(DatasetOptions):
    """Options of latent."""

    @staticmethod
    def finish_options(opt: argparse.Namespace, is_train: bool) -> None:
        if is_train:
            raise UserError("--dataset_mode latent has no images to learn from: it is what test.py gives --model dcgan")
        if not hasattr(opt, "latent_size"):
            raise UserError(f"--dataset_mode latent is for models of noise, such as dcgan, not for --model {opt.model}")
