"""The names that the options offer for networks and losses, and the sizes that they take. Needs no torch."""

from __future__ import annotations

import argparse

from util.errors import UserError

# --netG: what it is, how deep, and what the sides of its images must be multiples of.
GENERATORS: dict[str, tuple[str, int, int]] = {
    "resnet_9blocks": ("resnet", 9, 4),
    "resnet_6blocks": ("resnet", 6, 4),
    "unet_256": ("unet", 8, 256),
    "unet_128": ("unet", 7, 128),
    "global": ("resnet", 9, 16),
    "local": ("local", 9, 32),
}
NORMS = ("instance", "batch", "none", "syncbatch")
UPSAMPLINGS = ("basic", "bilinear")
PADDINGS = ("reflect", "replicate", "zero")  # of residual blocks
INIT_TYPES = ("normal", "xavier", "kaiming", "orthogonal")
AUGMENTATIONS = ("none", "basic", "diffaug")


def add_augment_option(group: argparse._ArgumentGroup) -> None:
    """--augment, for models whose discriminators judge images; its default is what --preprocess and --no_flip say."""
    group.add_argument(
        "--augment",
        choices=AUGMENTATIONS,
        default="basic",
        help="none: crops are central, no flips; basic: random crops and flips, as --preprocess and --no_flip say; "
        "diffaug: those, and discriminators see all images, real and generated, with changed colours, moved, and with "
        "a part cut out (for small datasets)",
    )


def check_generator_size(opt: argparse.Namespace) -> None:
    """Raise UserError for a --crop_size that --netG can't take, or would give back in another size."""
    if opt.netG not in GENERATORS:  # the user's own
        return
    kind, _, multiple = GENERATORS[opt.netG]
    if kind == "unet" and opt.padding_type != "reflect":
        raise UserError(f"--padding_type {opt.padding_type} is for ResNet generators, not for --netG {opt.netG}")
    # A norm of less than 2x2 values leaves nothing; a U-Net has none at its innermost level.
    least = multiple if kind == "unet" else 2 * multiple
    if "crop" in opt.preprocess and (opt.crop_size % multiple or opt.crop_size < least):
        raise UserError(
            f"--crop_size {opt.crop_size} does not fit --netG {opt.netG}, which takes multiples of {multiple} from "
            f"{least} on: use {max(least, round(opt.crop_size / multiple) * multiple)}, or another --netG"
        )


def least_size(n_layers: int) -> int:
    """The least width and height, in pixels, of which a PatchGAN discriminator of so many layers judges a patch."""
    return 3 * 2**n_layers


def check_discriminator_size(opt: argparse.Namespace, scales: int = 1) -> None:
    """Raise UserError for a --crop_size that leaves --netD less than one patch, at the coarsest of so many scales."""
    if opt.netD not in ("basic", "n_layers") or "crop" not in opt.preprocess:
        return
    layers = 3 if opt.netD == "basic" else opt.n_layers_D
    least = least_size(layers) * 2 ** (scales - 1)
    if opt.crop_size < least:
        at_scales, other = (f" at {scales} scales", "a smaller --num_D") if scales > 1 else ("", "--netD pixel")
        raise UserError(
            f"--crop_size {opt.crop_size} is too small for --netD {opt.netD} of {layers} layers{at_scales}, which "
            f"needs {least}: use --netD n_layers with a smaller --n_layers_D, or {other}"
        )


def check_equal_channels(opt: argparse.Namespace, weight: str) -> None:
    """Raise UserError if a loss that compares an output with an input has a weight, but channel counts differ."""
    if getattr(opt, weight) > 0 and opt.input_nc != opt.output_nc:
        raise UserError(
            f"--{weight} {getattr(opt, weight)} needs equal channel counts, not --input_nc {opt.input_nc} and "
            f"--output_nc {opt.output_nc}: use --{weight} 0"
        )


def refuse_class_ids(opt: argparse.Namespace) -> None:
    """Raise UserError for --label_nc, for models that take images alone."""
    if getattr(opt, "label_nc", 0):
        raise UserError(
            f"--label_nc {opt.label_nc}: --model {opt.model} takes images, not class ids: use --model pix2pix or "
            "pix2pix_hd"
        )
