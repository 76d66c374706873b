"""Options of --model cut."""

from __future__ import annotations

import argparse
from typing import Any

from models import architectures
from models.model_options import ModelOptions
from util.arguments import boolean, builds_networks, not_changed, number
from util.errors import UserError

# What --CUT_mode stands for.
MODES: dict[str, dict[str, Any]] = {
    "CUT": {"lambda_NCE": 1.0, "nce_idt": True, "flip_equivariance": False, "n_epochs": 200, "n_epochs_decay": 200},
    "FastCUT": {"lambda_NCE": 10.0, "nce_idt": False, "flip_equivariance": True, "n_epochs": 150, "n_epochs_decay": 50},
}


class CUTOptions(ModelOptions):
    """Options of cut."""

    @staticmethod
    def add_options(parser: argparse.ArgumentParser, is_train: bool) -> None:
        parser.set_defaults(no_dropout=True)
        if not is_train:
            return
        group = parser.add_argument_group("cut")
        weight, positive = number(float, least=0), number(int, least=1)
        group.add_argument("--CUT_mode", choices=MODES, default="CUT", help="FastCUT: lighter; 150 and 50 epochs")
        group.add_argument("--lambda_GAN", type=weight, default=1.0, help="weight of the GAN loss; 0: no discriminator")
        group.add_argument("--lambda_NCE", type=weight, help="weight of the contrast, in FastCUT 10; 0: none")
        for name, text in (
            ("nce_idt", "hold images of B to themselves, for half of the contrast; not in FastCUT"),
            ("flip_equivariance", "mirror the generator's input in half of the steps; in FastCUT"),
        ):
            group.add_argument(f"--{name}", type=boolean, nargs="?", const=True, metavar="True|False", help=text)
        group.add_argument("--nce_T", type=number(float, above=0), default=0.07, help="temperature of the contrast")
        group.add_argument("--num_patches", type=positive, default=256, metavar="N", help="patches of a feature map")
        group.add_argument("--netF_nc", type=positive, default=256, metavar="N", help="width of the projections")
        builds_networks(parser, "netF_nc", in_testing=False)
        not_changed(parser, "CUT_mode")
        parser.set_defaults(init_type="xavier", pool_size=0, **MODES["CUT"])

    @staticmethod
    def dependent_defaults(opt: argparse.Namespace) -> dict[str, Any]:
        return MODES[opt.CUT_mode] if opt.is_train else {}

    @staticmethod
    def finish_options(opt: argparse.Namespace, is_train: bool) -> None:
        architectures.check_generator_size(opt)
        architectures.refuse_class_ids(opt)
        if not is_train:
            return
        architectures.check_discriminator_size(opt)
        architectures.check_equal_channels(opt, "lambda_NCE")
        if architectures.GENERATORS.get(opt.netG, ("",))[0] != "resnet":
            raise UserError(f"--netG {opt.netG} has no features to contrast: --model cut takes --netG resnet_9blocks")
        if opt.lambda_GAN == opt.lambda_NCE == 0:
            raise UserError("--lambda_GAN and --lambda_NCE are both 0: there is nothing to learn")
