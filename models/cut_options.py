"""Options of --model cut."""

from __future__ import annotations

import argparse
from typing import Any

from models import option_checks
from models.architectures import GENERATORS
from models.model_options import ModelOptions
from util.arguments import TRAINING, TRAINING_NETWORK, ScopedGroup, ScopedParser, boolean, number
from util.errors import UserError

# The defaults of each --CUT_mode.
MODES: dict[str, dict[str, Any]] = {
    "CUT": {"lambda_NCE": 1.0, "nce_idt": True, "flip_equivariance": False, "n_epochs": 200, "n_epochs_decay": 200},
    "FastCUT": {"lambda_NCE": 10.0, "nce_idt": False, "flip_equivariance": True, "n_epochs": 150, "n_epochs_decay": 50},
}


class CUTOptions(ModelOptions):
    """The objective of CUT and FastCUT (Park et al. 2020)."""

    @staticmethod
    def add_options(parser: ScopedParser, is_train: bool) -> None:
        parser.set_defaults(no_dropout=True)
        if not is_train:
            return
        group = parser.add_argument_group("cut")
        weight = number(float, least=0)
        group.add_argument(
            "--CUT_mode",
            choices=MODES,
            default="CUT",
            scope=TRAINING_NETWORK,
            help="FastCUT is lighter, and trains for 150 and 50 epochs",
        )
        group.add_argument(
            "--lambda_GAN", type=weight, default=1.0, scope=TRAINING, help="weight of the GAN loss; 0: no discriminator"
        )
        group.add_argument(
            "--lambda_NCE", type=weight, scope=TRAINING, help="weight of the contrastive loss, 10 in FastCUT; 0: none"
        )
        switch: dict[str, Any] = {"type": boolean, "nargs": "?", "const": True, "metavar": "True|False"}
        group.add_argument(
            "--nce_idt",
            **switch,
            scope=TRAINING,
            help="average the contrastive loss with that of G(B) and B; False in FastCUT",
        )
        group.add_argument(
            "--flip_equivariance",
            **switch,
            scope=TRAINING,
            help="flip the generator's input in half of the steps; True in FastCUT",
        )
        add_contrast_options(group)
        parser.set_defaults(init_type="xavier", pool_size=0, **MODES["CUT"])

    @staticmethod
    def dependent_defaults(opt: argparse.Namespace) -> dict[str, Any]:
        return MODES[opt.CUT_mode] if opt.is_train else {}

    @staticmethod
    def finish_options(opt: argparse.Namespace, is_train: bool) -> None:
        option_checks.check_generator_size(opt)
        option_checks.refuse_class_ids(opt)
        if not is_train:
            return
        option_checks.check_discriminator_size(opt)
        option_checks.check_equal_channels(opt, "lambda_NCE")
        if opt.netG in GENERATORS and GENERATORS[opt.netG][0] != "resnet":
            raise UserError(
                f"--netG {opt.netG} has no features for the contrastive loss: --model cut needs a ResNet, such as "
                "--netG resnet_9blocks"
            )
        if opt.lambda_GAN == opt.lambda_NCE == 0:
            raise UserError("--lambda_GAN and --lambda_NCE are both 0: there is nothing to learn")


def add_contrast_options(group: ScopedGroup) -> None:
    """The patches that the contrastive loss compares, and how."""
    positive = number(int, least=1)
    group.add_argument(
        "--nce_T", type=number(float, above=0), default=0.07, scope=TRAINING, help="temperature of the contrastive loss"
    )
    group.add_argument(
        "--num_patches", type=positive, default=256, metavar="N", scope=TRAINING, help="patches of each feature map"
    )
    group.add_argument(
        "--netF_nc",
        type=positive,
        default=256,
        metavar="N",
        scope=TRAINING_NETWORK,
        help="features of each projected patch",
    )
