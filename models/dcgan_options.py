"""Options of --model dcgan."""

from __future__ import annotations

import argparse
from typing import Any

from models import option_checks
from models.model_options import ModelOptions
from util.arguments import NETWORK, TRAINING, ScopedParser, number
from util.errors import UserError

TRANSLATION_DATASETS = ("aligned", "colorization", "template", "unaligned")  # they read options withdrawn below
SIZES = (32, 64, 128, 256)  # pixels


class DCGANOptions(ModelOptions):
    """DCGAN (Radford et al. 2016) has fixed networks for each image size, and no input image."""

    @staticmethod
    def add_options(parser: ScopedParser, is_train: bool) -> None:
        parser.withdraw(
            "netG", "upsample", "padding_type", "netD", "n_layers_D", "no_dropout", "output_nc", "direction"
        )
        parser.set_defaults(norm="batch", crop_size=64)
        parser.set_scopes(crop_size=NETWORK)
        group = parser.add_argument_group("dcgan")
        group.add_argument(
            "--latent_size",
            type=number(int, least=1),
            default=100,
            metavar="N",
            scope=NETWORK,
            help="values of the latent vector that an image is generated from",
        )
        if is_train:
            parser.set_defaults(dataset_mode="single", gan_mode="vanilla", pool_size=0, batch_size=128)
            option_checks.add_augment_option(group)
        else:
            parser.set_defaults(dataset_mode="latent")
            parser.set_scopes(dataset_mode=TRAINING)  # a test reads latents, not the images of the run

    @staticmethod
    def dependent_defaults(opt: argparse.Namespace) -> dict[str, Any]:
        return {"load_size": opt.crop_size * 9 // 8} if opt.is_train else {}  # crops of nearly the whole image

    @staticmethod
    def finish_options(opt: argparse.Namespace, is_train: bool) -> None:
        if opt.dataset_mode in TRANSLATION_DATASETS:
            raise UserError(
                f"--dataset_mode {opt.dataset_mode} is for models that translate images, and --model dcgan generates "
                f"them from noise: use --dataset_mode {'single' if is_train else 'latent'}"
            )
        if opt.crop_size not in SIZES:
            raise UserError(f"--crop_size {opt.crop_size}: --model dcgan generates images of 32, 64, 128 or 256 pixels")
        if is_train and "crop" not in opt.preprocess:
            raise UserError(
                f"--preprocess {opt.preprocess} does not crop, and --model dcgan needs squares: use resize_and_crop"
            )
