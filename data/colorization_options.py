"""Options of --dataset_mode colorization."""

from __future__ import annotations

import argparse

from data.dataset_options import DatasetOptions
from util.errors import UserError


class ColorizationOptions(DatasetOptions):
    """Options of colorization."""

    @staticmethod
    def finish_options(opt: argparse.Namespace, is_train: bool) -> None:
        if (opt.input_nc, opt.output_nc) != (1, 2):
            raise UserError(
                f"--input_nc {opt.input_nc} and --output_nc {opt.output_nc}: --dataset_mode colorization goes from "
                "lightness to two channels of colour: use --input_nc 1 and --output_nc 2"
            )
        if opt.direction != "AtoB":
            raise UserError(f"--direction {opt.direction}: --dataset_mode colorization has no way back: use AtoB")
