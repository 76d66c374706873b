"""Options of --model cycle_gan."""

from __future__ import annotations

import argparse

from models import architectures
from models.model_options import ModelOptions
from util.arguments import number
from util.errors import UserError


class CycleGANOptions(ModelOptions):
    """Options of cycle_gan."""

    @staticmethod
    def add_options(parser: argparse.ArgumentParser, is_train: bool) -> None:
        parser.set_defaults(no_dropout=True)  # the published CycleGAN has none
        group = parser.add_argument_group("cycle_gan")
        if not is_train:
            group.add_argument(
                "--translate",
                choices=("both", "A", "B"),
                default="both",
                help="only the images of this folder, testA or testB",
            )
            group.add_argument(
                "--no_reconstruction", action="store_true", help="do not translate back to rec_A and rec_B"
            )
        if is_train:
            weight = number(float, least=0)
            group.add_argument("--lambda_A", type=weight, default=10.0, help="weight of the cycle A -> B -> A; 0: none")
            group.add_argument("--lambda_B", type=weight, default=10.0, help="weight of the cycle B -> A -> B; 0: none")
            group.add_argument(
                "--lambda_identity",
                type=weight,
                default=0.5,
                help="weight of the identity loss, G_A(B) = B and G_B(A) = A, relative to the cycle's; 0: none",
            )
            group.add_argument(
                "--lambda_GAN", type=weight, default=1.0, help="weight of the GAN loss; 0: no discriminators"
            )
            group.add_argument(
                "--lambda_color",
                type=weight,
                default=0.0,
                help="weight of the color loss: what is bluer, redder or greener than the rest of the batch stays so "
                "(for domains that exchange colors, as sea and snow); 0: none",
            )
            architectures.add_augment_option(group)

    @staticmethod
    def finish_options(opt: argparse.Namespace, is_train: bool) -> None:
        architectures.check_generator_size(opt)
        architectures.refuse_class_ids(opt)
        if not is_train:
            return
        architectures.check_discriminator_size(opt)
        architectures.check_equal_channels(opt, "lambda_identity")
        if opt.lambda_color > 0 and not opt.input_nc == opt.output_nc == 3:
            raise UserError(
                f"--lambda_color {opt.lambda_color} compares colors, and --input_nc {opt.input_nc} and --output_nc "
                f"{opt.output_nc} are not both 3: use --lambda_color 0"
            )
        if opt.lambda_A == opt.lambda_B == opt.lambda_GAN == 0:
            color = opt.lambda_color > 0
            why = "--lambda_color alone does not say what images look like" if color else "there is nothing to learn"
            raise UserError(f"--lambda_A, --lambda_B and --lambda_GAN are all 0: {why}; give one of them a weight")
        if opt.lambda_GAN == 0 and opt.augment == "diffaug":
            raise UserError("--augment diffaug is for discriminators, and --lambda_GAN 0 has none: use --augment basic")
