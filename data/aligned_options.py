"""Options of --dataset_mode aligned."""

from __future__ import annotations

import argparse

from data.dataset_options import DatasetOptions
from util.arguments import builds_networks, number
from util.errors import UserError


class AlignedOptions(DatasetOptions):
    """Options of aligned."""

    @staticmethod
    def add_options(parser: argparse.ArgumentParser, is_train: bool) -> None:
        parser.add_argument_group("aligned").add_argument(
            "--label_nc",
            type=number(int, least=0, most=256),
            default=0,
            metavar="N",
            help="the input is a PNG of class ids below N, of one channel; 0: an image",
        )
        builds_networks(parser, "label_nc")

    @staticmethod
    def finish_options(opt: argparse.Namespace, is_train: bool) -> None:
        if opt.label_nc:
            if opt.input_nc not in (3, opt.label_nc):  # 3: not given
                raise UserError(f"--input_nc {opt.input_nc}: with --label_nc {opt.label_nc} there are as many channels")
            opt.input_nc = opt.label_nc
