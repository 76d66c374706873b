"""Fitting images to networks: the sizes that networks take, and padding to these sizes.

A network declares its needs in two attributes, both in pixels: `multiple`, of which the sides of its images must be
multiples, and `min_size`, the smallest side of an image.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from util.image_sizes import ImageSizes
from util.stage import Stage

DEFAULT_MULTIPLE = 4  # of a network that declares none: that of a ResNet generator


def image_sizes(networks: Mapping[str, nn.Module], stage: Stage) -> ImageSizes:
    """The sizes that all of these networks take.

    In validation and testing, discriminators see no images, and generators that declare a multiple are padded, see
    `padding`.
    """
    if stage is not Stage.TRAIN:
        networks = {name: network for name, network in networks.items() if hasattr(network, "multiple")}
    if not networks:
        return ImageSizes()
    smallest = max((int(getattr(network, "min_size", 1)), f"net{name}") for name, network in networks.items())
    if stage is not Stage.TRAIN:
        return ImageSizes(smallest[0], smallest_for=smallest[1], padded=True)
    multiple = max((int(getattr(network, "multiple", 1)), f"net{name}") for name, network in networks.items())
    return ImageSizes(smallest[0], multiple[0], smallest_for=smallest[1], multiple_for=multiple[1])


def pad_to_fit(images: Tensor, network: nn.Module) -> Tensor:
    """Images (N, C, H, W) padded at the right and the bottom to the sides that a network takes, by reflection.

    Images too small for a reflection are padded by repeating their last row and column.
    """
    multiple = int(getattr(network, "multiple", DEFAULT_MULTIPLE))
    least = int(getattr(network, "min_size", 2 * multiple))
    height, width = images.shape[-2:]
    down, right = (-(-max(side, least) // multiple) * multiple - side for side in (height, width))
    mode = "reflect" if down < height and right < width else "replicate"
    return F.pad(images, (0, right, 0, down), mode=mode) if down or right else images


def apply_padded(network: nn.Module, images: Tensor) -> Tensor:
    """The output of a network for images (N, C, H, W) of any size: padded by `pad_to_fit`, and cropped back.

    Unlike `padding`, several threads may call it with one network.
    """
    height, width = images.shape[-2:]
    output: Tensor = network(pad_to_fit(images, network))
    return output[..., :height, :width]


@contextmanager
def padding(networks: Iterable[nn.Module]) -> Iterator[None]:
    """A context in which networks that declare a multiple pad their input to it, and crop their output back.

    For one thread at a time.
    """
    with ExitStack() as hooks:
        for network in networks:
            if hasattr(network, "multiple"):
                fit = _Fit()
                hooks.enter_context(network.register_forward_pre_hook(fit.pad))
                hooks.enter_context(network.register_forward_hook(fit.crop))
        yield


class _Fit:
    """The two hooks of a network, and the size of the image between them."""

    def __init__(self) -> None:
        self.height, self.width = 0, 0

    def pad(self, network: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        images, *rest = inputs
        self.height, self.width = images.shape[-2:]
        return pad_to_fit(images, network), *rest

    def crop(self, network: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        return output[..., : self.height, : self.width]
