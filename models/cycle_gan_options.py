"""Options of --model cycle_gan."""

from __future__ import annotations

import argparse

from models import option_checks
from models.model_options import ModelOptions
from util.arguments import TRAINING, ScopedGroup, ScopedParser, number
from util.errors import UserError


class CycleGANOptions(ModelOptions):
    """The objective of CycleGAN (Zhu et al. 2017), whose published generators have no dropout."""

    @staticmethod
    def add_options(parser: ScopedParser, is_train: bool) -> None:
        parser.set_defaults(no_dropout=True)
        group = parser.add_argument_group("cycle_gan")
        if is_train:
            add_loss_weights(group)
            option_checks.add_augment_option(group)
            group.add_argument(
                "--joint_passes",
                choices=("auto", "on", "off"),
                default="auto",
                scope=TRAINING,
                help="compute the translation and the identity image of each generator in one pass, which needs more "
                "memory; auto: on for GPUs, except with batch norm or options that save memory",
            )
        else:
            group.add_argument(
                "--translate",
                choices=("both", "A", "B"),
                default="both",
                scope=TRAINING,
                help="translate only testA, or only testB",
            )
            group.add_argument(
                "--no_reconstruction", action="store_true", scope=TRAINING, help="do not compute rec_A and rec_B"
            )

    @staticmethod
    def automatic_values(opt: argparse.Namespace, device_type: str) -> dict[str, str]:
        saves_memory = opt.grad_checkpoint or opt.accumulate > 1
        is_joint = device_type == "cuda" and not why_separate(opt) and not saves_memory
        return {"joint_passes": "on" if is_joint else "off"}

    @staticmethod
    def finish_options(opt: argparse.Namespace, is_train: bool) -> None:
        option_checks.check_generator_size(opt)
        option_checks.refuse_class_ids(opt)
        if not is_train:
            return
        option_checks.check_discriminator_size(opt)
        option_checks.check_equal_channels(opt, "lambda_identity")
        if opt.lambda_color > 0 and not opt.input_nc == opt.output_nc == 3:
            raise UserError(
                f"--lambda_color {opt.lambda_color} compares colors, and --input_nc {opt.input_nc} and --output_nc "
                f"{opt.output_nc} are not both 3: use --lambda_color 0"
            )
        if opt.joint_passes == "on" and (why := why_separate(opt)):
            raise UserError(f"--joint_passes on: {why}: use --joint_passes off")
        if opt.lambda_A == opt.lambda_B == opt.lambda_GAN == 0:
            color = opt.lambda_color > 0
            why = "--lambda_color alone does not define an image" if color else "there is nothing to learn"
            raise UserError(f"--lambda_A, --lambda_B and --lambda_GAN are all 0: {why}; set one of them above 0")
        if opt.lambda_GAN == 0 and opt.augment == "diffaug":
            raise UserError("--augment diffaug needs discriminators, and --lambda_GAN 0 has none: use --augment basic")


def why_separate(opt: argparse.Namespace) -> str:
    """Why the translation and the identity image can't be computed in one pass; empty if they can."""
    if opt.norm in ("batch", "syncbatch"):
        return f"--norm {opt.norm} would compute its statistics over images of both domains"
    if opt.lambda_identity * opt.lambda_A == 0 or opt.lambda_identity * opt.lambda_B == 0:
        return "at least one generator has no identity loss (--lambda_identity, --lambda_A, --lambda_B)"
    return ""


def add_loss_weights(group: ScopedGroup) -> None:
    """Add the weights of all losses."""
    weight = number(float, least=0)
    group.add_argument(
        "--lambda_A", type=weight, default=10.0, scope=TRAINING, help="weight of the cycle A -> B -> A; 0: none"
    )
    group.add_argument(
        "--lambda_B", type=weight, default=10.0, scope=TRAINING, help="weight of the cycle B -> A -> B; 0: none"
    )
    group.add_argument(
        "--lambda_identity",
        type=weight,
        default=0.5,
        scope=TRAINING,
        help="weight of the identity loss, G_A(B) = B and G_B(A) = A, relative to that of the cycles; 0: none",
    )
    group.add_argument(
        "--lambda_GAN", type=weight, default=1.0, scope=TRAINING, help="weight of the GAN loss; 0: no discriminators"
    )
    group.add_argument(
        "--lambda_color",
        type=weight,
        default=0.0,
        scope=TRAINING,
        help="weight of the color loss: an image that is redder, greener or bluer than others of its batch stays so "
        "(for domains that confuse colors, such as sea and snow); 0: none",
    )
