"""Options of --model colorization."""

from __future__ import annotations

import argparse

from models.pix2pix_options import Pix2PixOptions
from util.errors import UserError

OF_WHOLE_IMAGES = ("aligned", "single", "template", "unaligned")  # datasets


class ColorizationOptions(Pix2PixOptions):
    """Options of colorization."""

    @staticmethod
    def add_options(parser: argparse.ArgumentParser, is_train: bool) -> None:
        Pix2PixOptions.add_options(parser, is_train)
        parser.set_defaults(dataset_mode="colorization", input_nc=1, output_nc=2)

    @staticmethod
    def finish_options(opt: argparse.Namespace, is_train: bool) -> None:
        if opt.dataset_mode in OF_WHOLE_IMAGES:
            raise UserError(
                f"--dataset_mode {opt.dataset_mode} leaves lightness and colours together, and --model colorization "
                "takes them apart: use --dataset_mode colorization"
            )
        Pix2PixOptions.finish_options(opt, is_train)
