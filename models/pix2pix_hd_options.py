"""Options of --model pix2pix_hd."""

from __future__ import annotations

import argparse

from models import option_checks
from models.model_options import ModelOptions
from util.arguments import TRAINING, TRAINING_NETWORK, ScopedParser, number
from util.errors import UserError


class Pix2PixHDOptions(ModelOptions):
    """The objective of pix2pixHD (Wang et al. 2018): several discriminators, feature matching, VGG."""

    @staticmethod
    def add_options(parser: ScopedParser, is_train: bool) -> None:
        parser.set_defaults(netG="global", norm="instance", dataset_mode="aligned", no_dropout=True)
        if not is_train:
            return
        parser.set_defaults(pool_size=0)
        weight = number(float, least=0)
        group = parser.add_argument_group("pix2pix_hd")
        group.add_argument(
            "--lambda_feat",
            type=weight,
            default=10.0,
            scope=TRAINING,
            help="weight of the feature matching loss; 0: none",
        )
        group.add_argument(
            "--lambda_vgg",
            type=weight,
            default=0.0,
            scope=TRAINING,
            help="weight of the VGG19 perceptual loss; 0: none",
        )
        group.add_argument(
            "--num_D",
            type=number(int, least=1),
            default=2,
            metavar="N",
            scope=TRAINING_NETWORK,
            help="number of discriminators, each at half the resolution of the one before",
        )
        group.add_argument(
            "--niter_fix_global",
            type=number(int, least=0),
            default=0,
            metavar="N",
            scope=TRAINING,
            help="epochs in which the global part of --netG local is frozen",
        )

    @staticmethod
    def finish_options(opt: argparse.Namespace, is_train: bool) -> None:
        option_checks.refuse_random_pairs(opt)
        option_checks.check_generator_size(opt)
        if not is_train:
            return
        if opt.netD == "pixel":
            raise UserError("--netD pixel has no layers to match: use basic or n_layers with --model pix2pix_hd")
        option_checks.check_discriminator_size(opt, scales=opt.num_D)
        if opt.lambda_vgg > 0 and opt.output_nc != 3:
            raise UserError(f"--lambda_vgg {opt.lambda_vgg} needs color images, not --output_nc {opt.output_nc}")
        if opt.niter_fix_global and opt.netG != "local":
            raise UserError(
                f"--niter_fix_global {opt.niter_fix_global} needs --netG local: {opt.netG} has no global part"
            )
        if opt.niter_fix_global and not (opt.init_from or opt.continue_train):
            raise UserError(
                f"--niter_fix_global {opt.niter_fix_global} freezes the global part, which needs trained weights from "
                "a run of --netG global: add --init_from RUN --init_partial"
            )
