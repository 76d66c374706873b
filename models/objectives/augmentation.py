"""Differentiable augmentation (DiffAugment) of real and generated images for discriminators (Zhao et al. 2020).

A discriminator memorizes small datasets. If only real images were augmented, the generator would learn the distribution
of augmented images. Augmenting both, with gradients through the augmentation, lets it learn the original distribution.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

MAX_SHIFT = 1 / 8  # of translation, relative to the image size
CUTOUT_SIZE = 1 / 2  # sides of the cutout, relative to the image size

Augment = Callable[[Tensor], Tensor]


def for_discriminators(augment: str) -> Augment:
    """The augmentation of --augment for discriminator inputs: `diff_augment` for diffaug, otherwise the identity."""
    return diff_augment if augment == "diffaug" else _identity


def _identity(images: Tensor) -> Tensor:
    return images


def diff_augment(images: Tensor) -> Tensor:
    """Apply random color jitter, translation and cutout to images (N, C, H, W), independently for each image.

    Uses torch's global random state on the device of the images. Results may exceed [-1, 1].
    """
    height, width = images.shape[-2:]
    return apply(images, AugmentationParameters.draw(len(images), height, width, images.device))


@dataclass(frozen=True)
class AugmentationParameters:
    """The random parameters for a batch: tensors (N,) on the images' device, one value for each image."""

    brightness: Tensor  # -0.5..0.5, added to all channels
    saturation: Tensor  # 0..2, multiplies the difference from the pixel's mean over channels
    contrast: Tensor  # 0.5..1.5, multiplies the difference from the image's mean
    down: Tensor  # translation in whole pixels
    right: Tensor  # translation in whole pixels
    top: Tensor  # of the cutout, in pixels; the cutout may extend beyond the image
    left: Tensor  # of the cutout, in pixels

    @staticmethod
    def draw(count: int, height: int, width: int, device: torch.device | None = None) -> AugmentationParameters:
        """Random parameters for `count` images of this size in pixels."""

        def integers(low: int, high: int) -> Tensor:
            return torch.randint(low, high, (count,), device=device)

        def fractions() -> Tensor:
            return torch.rand(count, device=device)

        def cutout_start(length: int) -> Tensor:
            size = round(length * CUTOUT_SIZE)
            return integers(-(size // 2), length - size // 2 + 1 - size % 2)

        def shift(length: int) -> Tensor:
            limit = round(length * MAX_SHIFT)
            return integers(-limit, limit + 1)

        return AugmentationParameters(
            brightness=fractions() - 0.5,
            saturation=2 * fractions(),
            contrast=0.5 + fractions(),
            down=shift(height),
            right=shift(width),
            top=cutout_start(height),
            left=cutout_start(width),
        )


def apply(images: Tensor, parameters: AugmentationParameters) -> Tensor:
    """Augment images (N, C, H, W) with these parameters; differentiable with respect to the images."""
    images = jitter_colors(images, parameters.brightness, parameters.saturation, parameters.contrast)
    return cutout(translate(images, parameters.down, parameters.right), parameters.top, parameters.left)


def jitter_colors(images: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    """Change brightness, then saturation, then contrast, see `AugmentationParameters`."""

    def per_image(values: Tensor) -> Tensor:
        return values.to(images.dtype)[:, None, None, None]

    images = images + per_image(brightness)
    gray = images.mean(dim=1, keepdim=True)
    images = gray + per_image(saturation) * (images - gray)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + per_image(contrast) * (images - mean)


def translate(images: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Shift each image by whole pixels; uncovered pixels are 0."""
    count, channels, height, width = images.shape
    padded = F.pad(images, (1, 1, 1, 1))  # positions outside the image are read from this border of zeros
    rows = _sources(height, down)[:, None, :, None].expand(count, channels, height, width + 2)
    columns = _sources(width, right)[:, None, None, :].expand(count, channels, height, width)
    return padded.gather(2, rows).gather(3, columns)


def _sources(length: int, shift: Tensor) -> Tensor:
    """For images with a border of one pixel: the index (N, length) that each position is copied from."""
    return (torch.arange(1, length + 1, device=shift.device) - shift[:, None]).clamp(0, length + 1)


def cutout(images: Tensor, top: Tensor, left: Tensor) -> Tensor:
    """Set a region of half the height and half the width of each image to 0 (DeVries and Taylor 2017)."""
    height, width = images.shape[-2:]
    rows, columns = _offsets(height, top), _offsets(width, left)
    in_rows = (rows >= 0) & (rows < round(height * CUTOUT_SIZE))
    in_columns = (columns >= 0) & (columns < round(width * CUTOUT_SIZE))
    mask = ~(in_rows[:, None, :, None] & in_columns[:, None, None, :])
    return images * mask.to(images.dtype)


def _offsets(length: int, start: Tensor) -> Tensor:
    """The distance (N, length) of each position from the start."""
    return torch.arange(length, device=start.device) - start[:, None]
