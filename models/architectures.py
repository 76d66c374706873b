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
}
LEAST_SIZE = 8  # in pixels: a norm of less than 2x2 values, after two halvings, leaves nothing
DISCRIMINATORS = ("basic", "n_layers", "pixel")
NORMS = ("instance", "batch", "none", "syncbatch")
INIT_TYPES = ("normal", "xavier", "kaiming", "orthogonal")
GAN_MODES = ("lsgan", "vanilla", "wgangp")
LR_POLICIES = ("linear", "step", "plateau", "cosine")


def check_generator_size(opt: argparse.Namespace) -> None:
    """Raise UserError for a --crop_size that --netG can't take, or would give back in another size."""
    multiple = GENERATORS[opt.netG][2]
    least = max(multiple, LEAST_SIZE)
    if "crop" in opt.preprocess and (opt.crop_size % multiple or opt.crop_size < least):
        raise UserError(
            f"--crop_size {opt.crop_size} does not fit --netG {opt.netG}, which takes multiples of {multiple} from "
            f"{least} on: use {max(least, round(opt.crop_size / multiple) * multiple)}, or another --netG"
        )


def least_size(n_layers: int) -> int:
    """The least width and height, in pixels, of which a PatchGAN discriminator of so many layers judges a patch."""
    return 3 * 2**n_layers


def check_discriminator_size(opt: argparse.Namespace) -> None:
    """Raise UserError for a --crop_size that leaves --netD less than one patch."""
    if opt.netD == "pixel" or "crop" not in opt.preprocess:
        return
    layers = 3 if opt.netD == "basic" else opt.n_layers_D
    least = least_size(layers)
    if opt.crop_size < least:
        raise UserError(
            f"--crop_size {opt.crop_size} is too small for --netD {opt.netD} of {layers} layers, which needs {least}: "
            "use --netD n_layers with a smaller --n_layers_D, or --netD pixel"
        )


def check_equal_channels(opt: argparse.Namespace, weight: str) -> None:
    """Raise UserError if a loss that compares an output with an input has a weight, but channel counts differ."""
    if getattr(opt, weight) > 0 and opt.input_nc != opt.output_nc:
        raise UserError(
            f"--{weight} {getattr(opt, weight)} needs equal channel counts, not --input_nc {opt.input_nc} and "
            f"--output_nc {opt.output_nc}: use --{weight} 0"
        )
