"""Convolutions that take another way to the same result where that is faster; parameters are those of nn.Conv2d.

`conv` says which way, as --conv does. direct: torch's own. winograd: with fewer multiplications, see
models/winograd.py. auto: whichever a fixed rule of shapes expects to be faster, on CPUs in float32 alone (GPUs have
libraries that choose for themselves).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks import winograd

# Where Winograd's way pays, by measurement (docs/performance.md): below, its transforms cost more than they save.
LEAST_CHANNELS = 256  # of input and output alike
LEAST_TILES = 128  # in a batch
FEW_CHANNELS = 4  # up to which a convolution's output channels leave torch's own way mostly idle


def _is_plain_cpu(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")


def choose_way(network: nn.Module, conv: str) -> None:
    """Set the way of all these convolutions in a network."""
    for module in network.modules():
        if isinstance(module, Convolution3x3 | UpConvolution | OutputConvolution):
            module.conv = conv


class Convolution3x3(nn.Conv2d):
    """A 3x3 convolution of stride 1, without padding or padded with zeros."""

    def __init__(
        self, in_channels: int, out_channels: int, *, bias: bool, padding: int = 0, conv: str = "auto"
    ) -> None:
        super().__init__(in_channels, out_channels, 3, bias=bias, padding=padding)
        self.conv = conv
        self._filters: tuple[object, Tensor] | None = None  # transformed, and what they were made of

    def forward(self, x: Tensor) -> Tensor:
        if self.conv == "direct" or (self.conv == "auto" and not self._pays(x)):
            return super().forward(x)
        pad = int(self.padding[0])
        x = F.pad(x, (pad, pad, pad, pad)) if pad else x
        if not torch.is_inference_mode_enabled():  # the weights may change
            self._filters = None
            return winograd.convolve(x, self.weight, self.bias)
        return winograd.convolve_with(x, self._transformed_filters(), self.bias)

    def _pays(self, x: Tensor) -> bool:
        few = min(self.in_channels, self.out_channels) < LEAST_CHANNELS
        return not few and _is_plain_cpu(x) and winograd.count_tiles(x.shape) >= LEAST_TILES

    def _transformed_filters(self) -> Tensor:
        """The filters, transformed once for all images as long as the weights stay as they are."""
        source = (self.weight.data_ptr(), self.weight._version)
        if self._filters is None or self._filters[0] != source:
            self._filters = (source, winograd.transform_filters(self.weight))
        return self._filters[1]


class UpConvolution(nn.ConvTranspose2d):
    """A transposed 3x3 convolution that doubles the sides.

    On a CPU it takes images in torch's usual layout, whatever layout they come in, as its gradients are faster so;
    the gradients that it hands back have the layout in which the images came.
    """

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool, conv: str = "auto") -> None:
        super().__init__(in_channels, out_channels, 3, stride=2, padding=1, output_padding=1, bias=bias)
        self.conv = conv

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        if self.conv != "direct" and _is_plain_cpu(x) and not x.is_contiguous():
            if x.requires_grad:
                x.register_hook(lambda gradient: gradient.contiguous(memory_format=torch.channels_last))
            x = x.contiguous()
        return super().forward(x, output_size)


class ResizeConvolution(nn.Conv2d):
    """Doubles the sides by bilinear interpolation, then takes a padded 3x3 convolution (Odena et al. 2016).

    Neighbouring outputs are made of equally many inputs, so that it leaves no grid, as a transposed convolution may.
    """

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool) -> None:
        super().__init__(in_channels, out_channels, 3, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        return super().forward(F.pad(x, (1, 1, 1, 1), mode="reflect"))


class OutputConvolution(nn.Conv2d):
    """A convolution without padding to very few channels, such as the colours of an image.

    Torch computes output channels by the sixteen, even for three. Taking one filter column at a time makes them so
    many times as many: a convolution with filters of a single column, whose outputs are then shifted and added.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, conv: str = "auto") -> None:
        super().__init__(in_channels, out_channels, kernel_size)
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        if self.conv == "direct" or self.out_channels > FEW_CHANNELS or not _is_plain_cpu(x):
            return super().forward(x)
        out_channels, channels, height, columns = self.weight.shape
        filters = self.weight.permute(3, 0, 1, 2).reshape(columns * out_channels, channels, height, 1)
        width = x.shape[-1] - columns + 1
        parts = F.conv2d(x, filters).split(out_channels, dim=1)
        y = sum(part[..., shift : shift + width] for shift, part in enumerate(parts))
        return y if self.bias is None else y + self.bias.view(1, -1, 1, 1)
