"""Names of networks, losses and schedules, as options offer them, and the image sizes they take. Needs no torch."""

from __future__ import annotations

import warnings
from typing import Any

# --netG: its kind, its depth, and the number that image sides must be multiples of.
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


def least_size(n_layers: int) -> int:
    """The smallest width and height, in pixels, from which a PatchGAN of `n_layers` layers gets one patch."""
    return 3 * 2**n_layers


def __getattr__(name: str) -> Any:
    """The checks that were here before they moved to models.option_checks: users' models call them."""
    from models import option_checks

    if name.startswith(("check_", "refuse_", "add_")) and hasattr(option_checks, name):
        warnings.warn(
            f"models.architectures.{name} is now models.option_checks.{name}: import it from there",
            FutureWarning,
            stacklevel=2,
        )
        return getattr(option_checks, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
