"""Options of --model pix2pix_hd."""

from __future__ import annotations

import argparse

from models import architectures
from models.model_options import ModelOptions
from models.pix2pix_options import refuse_chance_pairs
from util.arguments import builds_networks, number
from util.errors import UserError


class Pix2PixHDOptions(ModelOptions):
    """Options of pix2pix_hd."""

    @staticmethod
    def add_options(parser: argparse.ArgumentParser, is_train: bool) -> None:
        parser.set_defaults(netG="global", norm="instance", dataset_mode="aligned", no_dropout=True)
        if is_train:
            parser.set_defaults(pool_size=0)
            weight = number(float, least=0)
            group = parser.add_argument_group("pix2pix_hd")
            group.add_argument(
                "--lambda_feat", type=weight, default=10.0, help="weight of the feature matching loss; 0: none"
            )
            group.add_argument(
                "--lambda_vgg",
                type=weight,
                default=0.0,
                help="weight of VGG19's perceptual loss (pip install torchvision)",
            )
            group.add_argument(
                "--num_D", type=number(int, least=1), default=2, metavar="N", help="discriminators, at as many scales"
            )
            builds_networks(parser, "num_D", in_testing=False)
            group.add_argument(
                "--niter_fix_global",
                type=number(int, least=0),
                default=0,
                metavar="N",
                help="epochs in which --netG local does not change its global part",
            )

    @staticmethod
    def finish_options(opt: argparse.Namespace, is_train: bool) -> None:
        refuse_chance_pairs(opt)
        architectures.check_generator_size(opt)
        if not is_train:
            return
        if opt.netD == "pixel":
            raise UserError("--netD pixel has no layers to match: use basic or n_layers with --model pix2pix_hd")
        architectures.check_discriminator_size(opt, scales=opt.num_D)
        if opt.lambda_vgg > 0 and opt.output_nc != 3:
            raise UserError(f"--lambda_vgg {opt.lambda_vgg} is for colour images, not --output_nc {opt.output_nc}")
        if opt.niter_fix_global and opt.netG != "local":
            raise UserError(
                f"--niter_fix_global {opt.niter_fix_global}: only --netG local has a global part, not {opt.netG}"
            )
        if opt.niter_fix_global and not (opt.init_from or opt.continue_train):
            raise UserError(
                f"--niter_fix_global {opt.niter_fix_global} keeps the global part as it is, which a run of --netG "
                "global has to bring: give --init_from RUN --init_partial"
            )
