"""The specification of a metric: what it needs, how it is computed, and how its figures are named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from typing import Protocol

import numpy as np
from torch import Tensor

Interval = tuple[float, float]
"""Low and high end of a 95% confidence interval."""


class Needs(Enum):
    """The arguments of the function `compute` of a metric. Images are (C, H, W) with values in 0..1."""

    IMAGE = "each translation"
    PAIR = "each translation and its ground truth, of the same shape"
    SOURCE = "each translation and its source image"
    SETS = "descriptors of all translations, and of the real images of the same domain"


class Descriptor(Protocol):
    """Computes numbers that describe an image, such as features of a network, for metrics of sets."""

    name: str
    """Unique; mentions everything that the numbers depend on, such as "Inception-v3, clean"."""

    def __call__(self, image: Tensor, /) -> np.ndarray | None:
        """The descriptor, float32 of any fixed shape, of an image (C, H, W) in 0..1, on any device.

        None for an image that it can't describe, such as one with 5 channels.
        """


class Extractor(Descriptor, Protocol):
    """A network whose features describe an image, see util.evaluation.extractors."""

    def spatial(self, image: Tensor, /) -> Tensor | None:
        """Features (C, h, w) of the places of an image (C, H, W) in 0..1. None if it can't describe the image."""


@dataclass(frozen=True)
class Metric:
    """The specification of a metric."""

    name: str
    """For `--metrics`."""
    key: str
    """In metrics.json."""
    label: str
    """In text and curves, with the unit."""
    needs: Needs
    compute: Callable[..., float | None]
    """Takes the arguments that `needs` names. For SETS: two arrays, (n, ...) of the translations and (m, ...) of the
    real images.

    None if it can't score the image, such as one whose channels an extractor can't take.
    """
    value_range: tuple[float, float]
    higher_is_better: bool
    smallest_image: int = 1
    """Smallest width and height, in pixels; smaller images are not scored."""
    smallest_count: int = 1
    """Smallest number of images, and of real images for SETS; with fewer, there is no figure."""
    digits: int = 4
    """Decimals in text."""
    describe: Descriptor | None = None
    """SETS: computes what `compute` takes. None: the features of the extractor in use, see `bound`."""
    interval: Callable[..., Interval | None] | None = None
    """SETS: takes the same arguments as `compute`. Means of single images have the interval of `mean_interval`."""
    difference: Callable[..., Interval | None] | None = None
    """SETS: the interval of the figure of one set of translations minus that of another, translated from the same
    images in the same order. Takes the descriptors of both, and of the real images."""
    warn_below: int = 0
    """SETS: with fewer images than this, a note reports that the figure is biased."""
    takes_extractor: bool = False
    """Not SETS: `compute` takes the extractor in use as its first argument."""
    require: Callable[[], None] | None = None
    """Raises UserError if the metric can't be computed on this machine; called when it is selected."""

    @property
    def needs_extractor(self) -> bool:
        """Whether it compares features of a network, see util.evaluation.extractors."""
        return self.takes_extractor or (self.needs is Needs.SETS and self.describe is None)

    def bound(self, extractor: Extractor) -> Metric:
        """The same metric with an extractor, which becomes part of its key and label."""
        suffix = "".join(letter if letter.isalnum() else "_" for letter in extractor.name.lower())
        return replace(
            self,
            key=f"{self.key}_{suffix.replace('__', '_')}",
            label=f"{self.label} ({extractor.name})",
            describe=extractor if self.needs is Needs.SETS else None,
            compute=partial(self.compute, extractor) if self.takes_extractor else self.compute,
            takes_extractor=False,
        )

    def text(self, value: float, interval: Interval | None = None) -> str:
        """The figure with its label, such as `SSIM 0.547 [0.531, 0.562]`."""
        bounds = f" [{interval[0]:.{self.digits}f}, {interval[1]:.{self.digits}f}]" if interval else ""
        return f"{self.label} {value:.{self.digits}f}{bounds}"

    def is_better(self, value: float, other: float) -> bool:
        """Whether a value is better than another one."""
        return value > other if self.higher_is_better else value < other


def eight_bit(image: Tensor) -> Tensor:
    """An image with values in [-1, 1] as an 8-bit file would store it, with values in 0..1, on the CPU.

    On the CPU, figures are the same for every device, and 64-bit numbers are available.
    """
    return ((image.detach().cpu().float() + 1) * 127.5).round().clamp(0, 255) / 255


def as_rgb(image: Tensor) -> Tensor | None:
    """The colors (3, H, W) of an image with 1, 3 or 4 (RGB and alpha) channels, None for another number."""
    if len(image) == 1:
        return image.expand(3, -1, -1)
    return image[:3] if len(image) in (3, 4) else None
