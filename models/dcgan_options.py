"""Options of --model dcgan."""

from __future__ import annotations

import argparse
from typing import Any

from models import architectures
from models.model_options import ModelOptions
from util.arguments import builds_networks, not_restored, number, withdraw
from util.errors import UserError

OF_TRANSLATION = ("aligned", "colorization", "template", "unaligned")  # datasets, which need withdrawn options


SIZES = (32, 64, 128, 256)


class DCGANOptions(ModelOptions):
    """Options of dcgan."""

    @staticmethod
    def add_options(parser: argparse.ArgumentParser, is_train: bool) -> None:
        withdraw(parser, "netG", "upsample", "netD", "n_layers_D", "no_dropout", "output_nc", "direction")
        parser.set_defaults(norm="batch", crop_size=64)
        group = parser.add_argument_group("dcgan")
        group.add_argument(
            "--latent_size", type=number(int, least=1), default=100, metavar="N", help="values that an image is made of"
        )
        for name in ("latent_size", "crop_size"):
            builds_networks(parser, name)
        if is_train:
            parser.set_defaults(dataset_mode="single", gan_mode="vanilla", pool_size=0, batch_size=128)
            architectures.add_augment_option(group)
        else:
            not_restored(parser, "dataset_mode")
            parser.set_defaults(dataset_mode="latent")

    @staticmethod
    def dependent_defaults(opt: argparse.Namespace) -> dict[str, Any]:
        return {"load_size": opt.crop_size * 9 // 8} if opt.is_train else {}  # crops of nearly the whole image

    @staticmethod
    def finish_options(opt: argparse.Namespace, is_train: bool) -> None:
        if opt.dataset_mode in OF_TRANSLATION:
            raise UserError(
                f"--dataset_mode {opt.dataset_mode} is for models that translate, and --model dcgan makes images of "
                f"noise: use --dataset_mode {'single' if is_train else 'latent'}"
            )
        if opt.crop_size not in SIZES:
            raise UserError(f"--crop_size {opt.crop_size}: --model dcgan makes images of 32, 64, 128 or 256 pixels")
        if is_train and "crop" not in opt.preprocess:
            raise UserError(
                f"--preprocess {opt.preprocess} leaves images of any size, and --model dcgan takes squares: use one "
                "that crops"
            )
