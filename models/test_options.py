"""Options of --model test."""

from __future__ import annotations

import argparse

from models import option_checks
from models.model_options import ModelOptions
from util.arguments import TRAINING, ScopedParser, name_suffix
from util.errors import UserError


class TestOptions(ModelOptions):
    """One generator in one direction, for a run or for a folder of weights alone."""

    trainable = False

    @staticmethod
    def add_options(parser: ScopedParser, is_train: bool) -> None:
        parser.set_defaults(dataset_mode="single")
        parser.add_argument_group("test").add_argument(
            "--model_suffix",
            type=name_suffix,
            default="",
            scope=TRAINING,
            help="end of the generator's name: _A loads <epoch>_net_G_A.pth (A to B), _B the generator from B to A",
        )

    @staticmethod
    def finish_options(opt: argparse.Namespace, is_train: bool) -> None:
        option_checks.check_generator_size(opt)
        option_checks.refuse_class_ids(opt)
        if opt.output_nc == 2:
            raise UserError(
                "--output_nc 2: two channels of color need the lightness to make an image: test the run with --model "
                "colorization"
            )
        if opt.model_suffix == "_B":  # CycleGAN's G_B translates B to A
            opt.input_nc, opt.output_nc = opt.output_nc, opt.input_nc
