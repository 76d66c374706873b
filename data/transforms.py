"""From a decoded image to what a network takes: resize, crop, flip, and values in [-1, 1].

The random choices are drawn apart from the pixels, so that two images can be given the same ones.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

MULTIPLE = 4  # of the sides of an image that isn't cropped: what a ResNet generator gives back in equal size


@dataclass(frozen=True)
class Choices:
    """The random choices for one image: where to crop, as shares 0..1 of the room there is, and whether to flip."""

    left: float = 0.5
    top: float = 0.5
    flip: bool = False

    @staticmethod
    def draw(random: np.random.Generator) -> Choices:
        return Choices(left=random.random(), top=random.random(), flip=bool(random.random() < 0.5))


CENTRAL = Choices()


class Transform:
    """What the options --preprocess, --load_size, --crop_size and --no_flip ask for."""

    def __init__(self, opt: argparse.Namespace) -> None:
        self.preprocess: str = opt.preprocess
        self.load_size: int = opt.load_size
        self.crop_size: int = opt.crop_size
        self.may_flip: bool = not opt.no_flip
        # --augment, which models have that are judged by discriminators; of the others, images are always varied.
        self.is_random: bool = opt.is_train and getattr(opt, "augment", "basic") != "none"

    def __call__(self, image: Tensor, random: np.random.Generator) -> Tensor:
        """Transform with choices drawn for this image."""
        return self.apply(image, self.choose(random))

    def choose(self, random: np.random.Generator) -> Choices:
        """Choices for an image, or several that belong together; in testing, or --augment none, crops are central."""
        return Choices.draw(random) if self.is_random else CENTRAL

    def apply(self, image: Tensor, choices: Choices) -> Tensor:
        """(C, H, W) in 0..255, uint8 or float32, to float32 (C, H', W') in [-1, 1]."""
        return self.finish(self.scale(image), choices)

    def apply_to_labels(self, ids: Tensor, choices: Choices) -> Tensor:
        """Class ids, uint8 (1, H, W), to uint8 (1, H', W'): as `apply` does it, but no id is mixed with another."""
        return self.finish_labels(self.scale_labels(ids), choices)

    def scale(self, image: Tensor) -> Tensor:
        """The part of `apply` that is always the same for an image, and may be kept."""
        return resize(image, *self.target_size(image.shape[-2], image.shape[-1]))

    def scale_labels(self, ids: Tensor) -> Tensor:
        """As `scale`, of `apply_to_labels`."""
        return resize_labels(ids, *self.target_size(ids.shape[-2], ids.shape[-1]))

    def finish(self, image: Tensor, choices: Choices) -> Tensor:
        """The part that follows: crop, flip, and values in [-1, 1]. The image itself is left as it is."""
        image = self._crop_and_flip(image, choices)
        # In the layout that the image has: to turn it costs as much again, and is for the model's device.
        return torch.empty_like(image, dtype=torch.float32).copy_(image).div_(127.5).sub_(1.0)

    def finish_labels(self, ids: Tensor, choices: Choices) -> Tensor:
        """As `finish`, of `apply_to_labels`; ids may have become floating point."""
        ids = self._crop_and_flip(ids, choices)
        return torch.empty(ids.shape, dtype=torch.uint8).copy_(ids)

    def _crop_and_flip(self, image: Tensor, choices: Choices) -> Tensor:
        if "crop" in self.preprocess:
            image = crop(image, self.crop_size, choices)
        return image.flip(-1) if choices.flip and self.may_flip else image

    @property
    def scaling(self) -> str:
        """What `scale` depends on, in words."""
        load, crop = f" load_size {self.load_size}", f" crop_size {self.crop_size}"
        used = {"resize_and_crop": load, "crop": crop, "none": ""}.get(self.preprocess, load + crop)
        return self.preprocess + used

    def target_size(self, height: int, width: int) -> tuple[int, int]:
        """The height and width that an image is resized to, before any crop."""
        if self.preprocess == "resize_and_crop":
            return self.load_size, self.load_size
        if self.preprocess == "none":
            return _rounded(height), _rounded(width)
        if self.preprocess == "crop":  # as it is, but large enough to crop from
            scale = max(1.0, self.crop_size / min(height, width))
            return max(self.crop_size, round(height * scale)), max(self.crop_size, round(width * scale))
        tall = max(round(self.load_size * height / width), self.crop_size)
        if self.preprocess == "scale_width_and_crop":
            return tall, self.load_size
        return _rounded(tall), _rounded(self.load_size)


def _rounded(length: int) -> int:
    return max(MULTIPLE, round(length / MULTIPLE) * MULTIPLE)


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """Bicubic with antialiasing, as Pillow resizes (within a grey level); values stay in 0..255."""
    if image.shape[-2:] == (height, width):
        return image
    # Channels last is the layout of a decoded image, and torch's fast way for uint8; it is told from all four strides.
    batch = image.permute(1, 2, 0).contiguous().view(1, *image.shape[1:], len(image)).permute(0, 3, 1, 2)
    resized = F.interpolate(batch, (height, width), mode="bicubic", antialias=True)
    # Bicubic curves overshoot; uint8 can't.
    return resized.squeeze(0) if image.dtype == torch.uint8 else resized.squeeze(0).clamp_(0, 255)


def resize_labels(ids: Tensor, height: int, width: int) -> Tensor:
    """Each pixel takes the id that lies at its centre; no new ones come about."""
    return F.interpolate(ids.unsqueeze(0), (height, width), mode="nearest-exact").squeeze(0)


def crop(image: Tensor, size: int, choices: Choices) -> Tensor:
    """A square of that size; it fits, as `target_size` and the checks of the options see to."""
    top = round((image.shape[-2] - size) * choices.top)
    left = round((image.shape[-1] - size) * choices.left)
    return image[..., top : top + size, left : left + size]
