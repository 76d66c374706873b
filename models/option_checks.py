"""Checks of options that several models share, and the option that several declare. Needs no torch."""

from __future__ import annotations

import argparse

from models.architectures import AUGMENTATIONS, GENERATORS, least_size
from util.arguments import TRAINING, ScopedGroup
from util.errors import UserError


def add_augment_option(group: ScopedGroup) -> None:
    """Add --augment, for models whose discriminators judge images."""
    group.add_argument(
        "--augment",
        choices=AUGMENTATIONS,
        default="basic",
        scope=TRAINING,
        help="none: central crops, no flips; basic: random crops and flips, see --preprocess and --no_flip; diffaug: "
        "also changes colors, shifts and cuts out parts of all images that discriminators see, for small datasets",
    )


def check_generator_size(opt: argparse.Namespace) -> None:
    """Raise UserError for a --crop_size that --netG can't take, or would return in another size."""
    if opt.netG not in GENERATORS:  # the user's own
        return
    kind, _, multiple = GENERATORS[opt.netG]
    if kind == "unet" and opt.padding_type != "reflect":
        raise UserError(f"--padding_type {opt.padding_type} is for ResNet generators, not for --netG {opt.netG}")
    # Normalizing needs 2x2 values at the innermost level; a U-Net does not normalize there.
    least = multiple if kind == "unet" else 2 * multiple
    if "crop" in opt.preprocess and (opt.crop_size % multiple or opt.crop_size < least):
        raise UserError(
            f"--crop_size {opt.crop_size} does not fit --netG {opt.netG}, which needs a multiple of {multiple} and at "
            f"least {least}: use {max(least, round(opt.crop_size / multiple) * multiple)}, or another --netG"
        )


def check_discriminator_size(opt: argparse.Namespace, scales: int = 1) -> None:
    """Raise UserError for a --crop_size that leaves --netD less than one patch at the coarsest of its scales."""
    if opt.netD not in ("basic", "n_layers") or "crop" not in opt.preprocess:
        return
    layers = 3 if opt.netD == "basic" else opt.n_layers_D
    least = least_size(layers) * 2 ** (scales - 1)
    if opt.crop_size < least:
        at_scales, other = (f" at {scales} scales", "a smaller --num_D") if scales > 1 else ("", "--netD pixel")
        raise UserError(
            f"--crop_size {opt.crop_size} is too small for --netD {opt.netD} with {layers} layers{at_scales}, which "
            f"needs {least}: use --netD n_layers with a smaller --n_layers_D, or {other}"
        )


def check_equal_channels(opt: argparse.Namespace, weight: str) -> None:
    """Raise UserError if channel counts differ although the loss of this weight compares output with input."""
    if getattr(opt, weight) > 0 and opt.input_nc != opt.output_nc:
        raise UserError(
            f"--{weight} {getattr(opt, weight)} needs equal channel counts, not --input_nc {opt.input_nc} and "
            f"--output_nc {opt.output_nc}: use --{weight} 0"
        )


def refuse_class_ids(opt: argparse.Namespace) -> None:
    """Raise UserError for --label_nc, for models whose input is an image."""
    if getattr(opt, "label_nc", 0):
        raise UserError(
            f"--label_nc {opt.label_nc}: --model {opt.model} takes images, not class ids: use --model pix2pix or "
            "pix2pix_hd"
        )


def refuse_random_pairs(opt: argparse.Namespace) -> None:
    """Raise UserError for --dataset_mode unaligned, for models that need true pairs."""
    if opt.dataset_mode == "unaligned":
        raise UserError(
            f"--dataset_mode unaligned pairs images at random, and --model {opt.model} learns from true pairs: use "
            "--dataset_mode aligned"
        )
