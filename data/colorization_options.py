"""Options of --dataset_mode colorization."""

from __future__ import annotations

import argparse

from data.dataset_options import DatasetOptions
from util.errors import UserError


class ColorizationOptions(DatasetOptions):
    """Lab images: the input is lightness (1 channel), the output color (2 channels)."""

    @staticmethod
    def finish_options(opt: argparse.Namespace, is_train: bool) -> None:
        if (opt.input_nc, opt.output_nc) != (1, 2):
            raise UserError(
                f"--input_nc {opt.input_nc} and --output_nc {opt.output_nc}: --dataset_mode colorization has 1 channel "
                "of lightness and 2 of color: use --input_nc 1 and --output_nc 2"
            )
        if opt.direction != "AtoB":
            raise UserError(
                f"--direction {opt.direction}: --dataset_mode colorization has one direction only: use --direction AtoB"
            )
