"""Names of networks, losses and schedules, as options offer them, and the image sizes they take. Needs no torch."""

from __future__ import annotations

from util import moved

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


__getattr__ = moved.old_names(
    __name__,
    DISCRIMINATORS="models.networks:DISCRIMINATORS",
    GAN_MODES="models.objectives:GAN_MODES",
    LR_POLICIES="models.lr_policies:LR_POLICIES",
    **{
        name: f"models.option_checks:{name}"
        for name in (
            "add_augment_option",
            "check_discriminator_size",
            "check_equal_channels",
            "check_generator_size",
            "refuse_class_ids",
        )
    },
)
