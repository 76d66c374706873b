"""Differentiable augmentation of what a discriminator sees, real and generated alike (Zhao et al. 2020).

With few images a discriminator learns them by heart. Were only real images augmented, the generator would learn the
augmentation; as both are, and gradients pass through, it learns the images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

FARTHEST = 1 / 8  # that an image is moved, as a share of its sides
CUT = 1 / 2  # the sides of the square that is cut out, likewise

Augment = Callable[[Tensor], Tensor]


def for_discriminators(augment: str) -> Augment:
    """What --augment puts before a discriminator: `diff_augment`, or nothing."""
    return diff_augment if augment == "diffaug" else _leave


def _leave(images: Tensor) -> Tensor:
    return images


def diff_augment(images: Tensor) -> Tensor:
    """Change the colours of images (N, C, H, W), move them, and cut a part out, each by draws of its own.

    The draws are from torch's global random state on the CPU. Colours may leave [-1, 1].
    """
    return apply(images, Draws.draw(len(images), images.shape[-2], images.shape[-1]))


@dataclass(frozen=True)
class Draws:
    """The random choices for a batch, a value for each image (N,), on the CPU."""

    brightness: Tensor  # -0.5..0.5: is added
    saturation: Tensor  # 0..2: factor of the distance from the pixel's grey
    contrast: Tensor  # 0.5..1.5: factor of the distance from the image's mean
    down: Tensor  # whole pixels that the image is moved, as is `right`
    right: Tensor
    top: Tensor  # of the part cut out, in pixels; may begin or end outside the image, as may `left`
    left: Tensor

    @staticmethod
    def draw(count: int, height: int, width: int) -> Draws:
        def place(length: int) -> Tensor:
            cut = round(length * CUT)
            return torch.randint(-(cut // 2), length - cut // 2 + 1 - cut % 2, (count,))

        def way(length: int) -> Tensor:
            farthest = round(length * FARTHEST)
            return torch.randint(-farthest, farthest + 1, (count,))

        return Draws(
            brightness=torch.rand(count) - 0.5,
            saturation=2 * torch.rand(count),
            contrast=0.5 + torch.rand(count),
            down=way(height),
            right=way(width),
            top=place(height),
            left=place(width),
        )


def apply(images: Tensor, draws: Draws) -> Tensor:
    """The images with these choices; gradients pass through all of it."""
    images = change_colours(images, draws.brightness, draws.saturation, draws.contrast)
    return cut_out(move(images, draws.down, draws.right), draws.top, draws.left)


def change_colours(images: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    """Brightness, then saturation, then contrast, as `Draws` has them."""

    def each(values: Tensor) -> Tensor:
        return values.to(images.device, images.dtype)[:, None, None, None]

    images = images + each(brightness)
    grey = images.mean(dim=1, keepdim=True)
    images = grey + each(saturation) * (images - grey)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + each(contrast) * (images - mean)


def move(images: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Each image moved by whole pixels; what comes in from outside is 0."""
    height, width = images.shape[-2:]
    rows, columns = int(down.abs().max()), int(right.abs().max())
    padded = F.pad(images, (columns, columns, rows, rows))
    corners = zip((rows - down).tolist(), (columns - right).tolist(), strict=True)
    moved = [image[:, y : y + height, x : x + width] for image, (y, x) in zip(padded, corners, strict=True)]
    return torch.stack(moved)


def cut_out(images: Tensor, top: Tensor, left: Tensor) -> Tensor:
    """A part of half the height and width of each image set to 0."""
    height, width = images.shape[-2:]
    rows, columns = torch.arange(height) - top[:, None], torch.arange(width) - left[:, None]
    in_rows = (rows >= 0) & (rows < round(height * CUT))
    in_columns = (columns >= 0) & (columns < round(width * CUT))
    kept = ~(in_rows[:, None, :, None] & in_columns[:, None, None, :])
    return images * kept.to(images.device, images.dtype)
