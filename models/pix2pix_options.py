"""Options of --model pix2pix."""

from __future__ import annotations

import argparse

from models import option_checks
from models.model_options import ModelOptions
from util.arguments import TRAINING, ScopedParser, number
from util.errors import UserError


class Pix2PixOptions(ModelOptions):
    """The objective of pix2pix (Isola et al. 2017), and the published defaults."""

    @staticmethod
    def add_options(parser: ScopedParser, is_train: bool) -> None:
        parser.set_defaults(norm="batch", netG="unet_256", dataset_mode="aligned")
        if is_train:
            parser.set_defaults(pool_size=0, gan_mode="vanilla")
            weight = number(float, least=0)
            group = parser.add_argument_group("pix2pix")
            group.add_argument(
                "--lambda_L1", type=weight, default=100.0, scope=TRAINING, help="weight of |G(A) - B|; 0: none"
            )
            group.add_argument(
                "--lambda_GAN",
                type=weight,
                default=1.0,
                scope=TRAINING,
                help="weight of the GAN loss; 0: no discriminator",
            )

    @staticmethod
    def finish_options(opt: argparse.Namespace, is_train: bool) -> None:
        option_checks.refuse_random_pairs(opt)
        option_checks.check_generator_size(opt)
        if not is_train:
            return
        option_checks.check_discriminator_size(opt)
        if opt.lambda_L1 == opt.lambda_GAN == 0:
            raise UserError("--lambda_L1 and --lambda_GAN are both 0: there is nothing to learn")
