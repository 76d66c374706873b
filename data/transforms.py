"""From decoded images to the input of networks: resize, crop, flip, and values in [-1, 1].

The random choices are drawn separately from the pixels, so that the two images of a pair can share them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from data import earlier_versions
from data.formats.image_reader import ReadImage
from util.stage import Stage

MULTIPLE = 4  # of sides of uncropped images, so that a ResNet generator's output has the same size


@dataclass(frozen=True)
class Choices:
    """The random choices for one image: the position of the crop, as fractions 0..1 of its range, and the flip."""

    left: float = 0.5
    top: float = 0.5
    flip: bool = False

    @staticmethod
    def draw(random: np.random.Generator) -> Choices:
        return Choices(left=random.random(), top=random.random(), flip=bool(random.random() < 0.5))


CENTRAL = Choices()


class Transform:
    """The transform that --preprocess, --load_size, --crop_size, --no_flip and --augment describe.

    In validation and testing, crops are central and nothing is flipped. Validation scales to --crop_size, the default
    --load_size of test.py, so that an image is the same as at test.
    """

    def __init__(self, opt: argparse.Namespace, stage: Stage | None = None) -> None:
        stage = stage or earlier_versions.missing_stage(opt, "Transform(opt)", "Transform(opt, stage)")
        self.preprocess: str = opt.preprocess
        self.load_size: int = opt.crop_size if stage is Stage.VALIDATE else opt.load_size
        self.crop_size: int = opt.crop_size
        self.may_flip: bool = not opt.no_flip
        self.fast_decode: bool = getattr(opt, "fast_decode", False)
        self.keeps_size = False  # whether --preprocess none keeps every size, because the model pads images
        # Models without discriminators have no --augment: their images are always augmented.
        self.is_random: bool = stage is Stage.TRAIN and getattr(opt, "augment", "basic") != "none"

    def __call__(self, image: Tensor, random: np.random.Generator) -> Tensor:
        """Transform an image with choices of its own."""
        return self.apply(image, self.choose(random))

    def choose(self, random: np.random.Generator) -> Choices:
        """Choices for an image, or for several that belong together; CENTRAL unless training draws at random."""
        return Choices.draw(random) if self.is_random else CENTRAL

    def apply(self, image: Tensor, choices: Choices) -> Tensor:
        """(C, H, W) in 0..255, uint8 or float32, to float32 (C, H', W') in [-1, 1]."""
        return self.finish(self.scale(image), choices)

    def apply_to_labels(self, ids: Tensor, choices: Choices) -> Tensor:
        """Class ids, uint8 (1, H, W), to uint8 (1, H', W'): the geometry of `apply`, without mixing ids."""
        return self.finish_labels(self.scale_labels(ids), choices)

    def scale(self, image: Tensor) -> Tensor:
        """The first part of `apply`, which has no random choices, so that its result can be cached."""
        return resize(image, *self.target_size(image.shape[-2], image.shape[-1]))

    def scale_read(self, image: ReadImage) -> Tensor:
        """`scale` for an image that may have been decoded at reduced scale: the result has the same size."""
        return resize_read(image, *self.target_size(*image.size))

    def scale_labels(self, ids: Tensor) -> Tensor:
        """The first part of `apply_to_labels`."""
        return resize_labels(ids, *self.target_size(ids.shape[-2], ids.shape[-1]))

    def finish(self, image: Tensor, choices: Choices) -> Tensor:
        """The second part of `apply`: crop, flip, and values in [-1, 1]. `image` is not modified."""
        image = self._crop_and_flip(image, choices)
        # The memory layout is kept: changing it would double the cost, and the model's device does it faster.
        # F.to_dtype and F.normalize take four times as long, and round differently.
        return torch.empty_like(image, dtype=torch.float32).copy_(image).div_(127.5).sub_(1.0)

    def finish_labels(self, ids: Tensor, choices: Choices) -> Tensor:
        """The second part of `apply_to_labels`; cached ids may be float32."""
        ids = self._crop_and_flip(ids, choices)
        return torch.empty(ids.shape, dtype=torch.uint8).copy_(ids)

    def _crop_and_flip(self, image: Tensor, choices: Choices) -> Tensor:
        if self.crops:
            image = crop(image, self.crop_size, choices)
        return F.horizontal_flip(image) if choices.flip and self.may_flip else image

    @property
    def crops(self) -> bool:
        """Whether images are cropped to squares of --crop_size."""
        return "crop" in self.preprocess

    @property
    def scaling(self) -> str:
        """The settings that the result of `scale` depends on, as text for the key of a cache."""
        load, crop = f" load_size {self.load_size}", f" crop_size {self.crop_size}"
        none = " original size" if self.keeps_size else ""
        used = {"resize_and_crop": load, "crop": crop, "none": none}.get(self.preprocess, load + crop)
        return self.preprocess + used + (" fast_decode" if self.fast_decode and self.scales_down else "")

    @property
    def scales_down(self) -> bool:
        """Whether large images become smaller, so that --fast_decode has an effect."""
        return self.preprocess not in ("crop", "none")

    @property
    def needed_size(self) -> Callable[[int, int], tuple[int, int]] | None:
        """With --fast_decode, a function that maps the height and width of an image to the least size to decode."""
        return self.target_size if self.fast_decode else None

    def notes(self) -> list[str]:
        """Sentences for the console about sizes that differ from the options."""
        if self.fast_decode and not self.scales_down:
            return [f"note: --fast_decode has no effect with --preprocess {self.preprocess}, which needs every pixel"]
        if self.preprocess == "scale_width" and _rounded(self.load_size) != self.load_size:
            return [
                f"note: --load_size {self.load_size} becomes a width of {_rounded(self.load_size)}: --preprocess "
                f"scale_width rounds sides to multiples of {MULTIPLE}"
            ]
        return []

    def target_size(self, height: int, width: int) -> tuple[int, int]:
        """The height and width to which an image is resized, before any crop."""
        if self.preprocess == "resize_and_crop":
            return self.load_size, self.load_size
        if self.preprocess == "none":
            return (height, width) if self.keeps_size else (_rounded(height), _rounded(width))
        if self.preprocess == "crop":  # not resized, unless too small to crop from
            scale = max(1.0, self.crop_size / min(height, width))
            return max(self.crop_size, round(height * scale)), max(self.crop_size, round(width * scale))
        scaled_height = max(round(self.load_size * height / width), self.crop_size)
        if self.preprocess == "scale_width_and_crop":
            return scaled_height, self.load_size
        return _rounded(scaled_height), _rounded(self.load_size)


def _rounded(length: int) -> int:
    return max(MULTIPLE, round(length / MULTIPLE) * MULTIPLE)


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """Bicubic with antialiasing, like Pillow's to within a gray level; (C, H, W), values in 0..255."""
    if image.shape[-2:] == (height, width):
        return image
    # Channels last is the layout of a decoded image, and for uint8 two to three times as fast as channels first.
    image = image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    resized = F.resize(image, [height, width], InterpolationMode.BICUBIC, antialias=True)
    # Bicubic interpolation overshoots; uint8 saturates.
    return resized if image.dtype == torch.uint8 else resized.clamp_(0, 255)


def resize_read(image: ReadImage, height: int, width: int) -> Tensor:
    """`resize` for an image that may have been decoded at reduced scale.

    If the factor does not divide a side, the last row or column of the pixels lies partly outside the image. The exact
    sides of the image determine the scale, so that no point moves.
    """
    full = [side / image.factor for side in image.size]  # exact sides of the image, in reduced pixels
    if tuple(full) == tuple(image.pixels.shape[-2:]):
        return resize(image.pixels, height, width)
    # torch rounds the size of the result down. 1e-4 is added, so that the result is never one pixel too small.
    scales = [(side + 1e-4) / exact for side, exact in zip((height, width), full, strict=True)]
    pixels = image.pixels.permute(1, 2, 0).contiguous().permute(2, 0, 1)[None]
    resized = interpolate(pixels, scale_factor=scales, mode="bicubic", antialias=True)[0, :, :height, :width]
    return resized if resized.dtype == torch.uint8 else resized.clamp_(0, 255)


def resize_labels(ids: Tensor, height: int, width: int) -> Tensor:
    """Nearest neighbor: each pixel takes the id at its center, so no new ids appear."""
    return F.resize(ids, [height, width], InterpolationMode.NEAREST_EXACT)


def crop(image: Tensor, size: int, choices: Choices) -> Tensor:
    """A square of that size, which fits because of `target_size` and the checks of the options."""
    top = round((image.shape[-2] - size) * choices.top)
    left = round((image.shape[-1] - size) * choices.left)
    return F.crop(image, top, left, size, size)
