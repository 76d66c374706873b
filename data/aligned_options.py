"""Options of --dataset_mode aligned."""

from __future__ import annotations

import argparse

from data.dataset_options import DatasetOptions
from util.arguments import NETWORK, ScopedParser, number
from util.errors import UserError

RGB = 3  # the default of --input_nc


class AlignedOptions(DatasetOptions):
    """Pairs of images, or of class ids and an image."""

    @staticmethod
    def add_options(parser: ScopedParser, is_train: bool) -> None:
        parser.add_argument_group("aligned").add_argument(
            "--label_nc",
            type=number(int, least=0, most=256),
            default=0,
            metavar="N",
            scope=NETWORK,
            help="number of classes: the input is a one-channel PNG of class ids below N; 0: the input is an image",
        )

    @staticmethod
    def finish_options(opt: argparse.Namespace, is_train: bool) -> None:
        if opt.label_nc:
            if opt.input_nc not in (RGB, opt.label_nc):
                raise UserError(
                    f"--input_nc {opt.input_nc}: --label_nc {opt.label_nc} sets the input channels: remove --input_nc"
                )
            opt.input_nc = opt.label_nc  # one-hot
