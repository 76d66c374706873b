"""Options of --model colorization."""

from __future__ import annotations

import argparse

from models.pix2pix_options import Pix2PixOptions
from util.arguments import ScopedParser
from util.errors import UserError

RGB_DATASETS = ("aligned", "single", "template", "unaligned")


class ColorizationOptions(Pix2PixOptions):
    """pix2pix from lightness to the two color channels of Lab."""

    @staticmethod
    def add_options(parser: ScopedParser, is_train: bool) -> None:
        Pix2PixOptions.add_options(parser, is_train)
        parser.set_defaults(dataset_mode="colorization", input_nc=1, output_nc=2)

    @staticmethod
    def finish_options(opt: argparse.Namespace, is_train: bool) -> None:
        if opt.dataset_mode in RGB_DATASETS:
            raise UserError(
                f"--dataset_mode {opt.dataset_mode} does not separate lightness and color, which --model colorization "
                "needs: use --dataset_mode colorization"
            )
        Pix2PixOptions.finish_options(opt, is_train)
