"""Options of --model test."""

from __future__ import annotations

import argparse

from models import architectures
from models.model_options import ModelOptions
from util.errors import UserError


class TestOptions(ModelOptions):
    """Options of test."""

    trainable = False

    @staticmethod
    def add_options(parser: argparse.ArgumentParser, is_train: bool) -> None:
        parser.set_defaults(dataset_mode="single")
        parser.add_argument_group("test").add_argument(
            "--model_suffix",
            default="",
            help="which generator: _A loads <epoch>_net_G_A.pth, _B the way back",
        )

    @staticmethod
    def finish_options(opt: argparse.Namespace, is_train: bool) -> None:
        architectures.check_generator_size(opt)
        architectures.refuse_class_ids(opt)
        if "/" in opt.model_suffix or "\\" in opt.model_suffix:
            raise UserError(f"--model_suffix {opt.model_suffix!r} is no part of a file's name")
        if opt.output_nc == 2:
            raise UserError(
                "--output_nc 2: two channels of colour are no image without the lightness: test the run with --model "
                "colorization"
            )
        if opt.model_suffix == "_B":  # a CycleGAN's G_B goes the other way
            opt.input_nc, opt.output_nc = opt.output_nc, opt.input_nc
