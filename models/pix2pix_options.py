"""Options of --model pix2pix."""

from __future__ import annotations

import argparse

from models import architectures
from models.model_options import ModelOptions
from util.arguments import number
from util.errors import UserError


class Pix2PixOptions(ModelOptions):
    """Options of pix2pix."""

    @staticmethod
    def add_options(parser: argparse.ArgumentParser, is_train: bool) -> None:
        parser.set_defaults(norm="batch", netG="unet_256", dataset_mode="aligned")
        if is_train:
            parser.set_defaults(pool_size=0, gan_mode="vanilla")
            weight = number(float, least=0)
            group = parser.add_argument_group("pix2pix")
            group.add_argument("--lambda_L1", type=weight, default=100.0, help="weight of |G(A) - B|; 0: none")
            group.add_argument(
                "--lambda_GAN", type=weight, default=1.0, help="weight of the GAN loss; 0: no discriminator"
            )

    @staticmethod
    def finish_options(opt: argparse.Namespace, is_train: bool) -> None:
        refuse_chance_pairs(opt)
        architectures.check_generator_size(opt)
        if not is_train:
            return
        architectures.check_discriminator_size(opt)
        if opt.lambda_L1 == opt.lambda_GAN == 0:
            raise UserError("--lambda_L1 and --lambda_GAN are both 0: there is nothing to learn")


def refuse_chance_pairs(opt: argparse.Namespace) -> None:
    """Raise UserError for the dataset that has an A and a B in each sample, but any two."""
    if opt.dataset_mode == "unaligned":
        raise UserError(
            f"--dataset_mode unaligned pairs images by chance, and --model {opt.model} learns from true pairs: use "
            "--dataset_mode aligned"
        )
