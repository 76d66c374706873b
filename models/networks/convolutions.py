"""Convolutions with faster algorithms for CPUs. Their parameters are those of nn.Conv2d and nn.ConvTranspose2d.

`conv` (--conv) selects the algorithm. direct: torch's convolution. winograd: fewer multiplications, see
models/networks/winograd.py. auto: the algorithm expected to be faster, by a fixed rule on shapes, for float32 on CPUs;
otherwise direct (on GPUs, cuDNN selects an algorithm itself).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks import winograd
from models.networks.padding import reflect

# With fewer channels or tiles, Winograd's transforms cost more than they save: measured, see docs/performance.md.
MIN_CHANNELS = 256  # of both input and output
MIN_TILES = 128  # of the whole batch
MAX_OUTPUT_CHANNELS = 4  # OutputConvolution is faster up to this number of output channels


def _is_plain_cpu(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")


def set_conv_algorithm(network: nn.Module, conv: str) -> None:
    """Set the algorithm (direct, winograd or auto) of all convolutions of this module's classes in a network."""
    for module in network.modules():
        if isinstance(module, Convolution3x3 | UpConvolution | OutputConvolution):
            module.conv = conv


class Convolution3x3(nn.Conv2d):
    """A 3x3 convolution with stride 1, and zero padding of 0 or 1 pixels."""

    def __init__(
        self, in_channels: int, out_channels: int, *, bias: bool, padding: int = 0, conv: str = "auto"
    ) -> None:
        super().__init__(in_channels, out_channels, 3, bias=bias, padding=padding)
        self.conv = conv
        self._filters: tuple[object, Tensor] | None = None  # cache: version of the weights, transformed filters

    def forward(self, x: Tensor) -> Tensor:
        if self.conv == "direct" or (self.conv == "auto" and not self._winograd_is_faster(x)):
            return super().forward(x)
        pad = int(self.padding[0])
        x = F.pad(x, (pad, pad, pad, pad)) if pad else x
        if not torch.is_inference_mode_enabled():  # training changes the weights
            self._filters = None
            return winograd.convolve(x, self.weight, self.bias)
        return winograd.convolve_with(x, self._transformed_filters(), self.bias)

    def _winograd_is_faster(self, x: Tensor) -> bool:
        is_wide = min(self.in_channels, self.out_channels) >= MIN_CHANNELS
        return is_wide and _is_plain_cpu(x) and winograd.count_tiles(x.shape) >= MIN_TILES

    def _transformed_filters(self) -> Tensor:
        """The transformed filters, cached until the weights change."""
        version = (self.weight.data_ptr(), self.weight._version)
        if self._filters is None or self._filters[0] != version:
            self._filters = (version, winograd.transform_filters(self.weight))
        return self._filters[1]


class UpConvolution(nn.ConvTranspose2d):
    """A transposed 3x3 convolution with stride 2, which doubles height and width.

    On CPUs it converts channels-last inputs to contiguous (NCHW) memory format, for which its backward pass is faster.
    The gradients of the input are converted back to channels-last.
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
    """Bilinear upsampling by 2, then a 3x3 convolution with reflection padding: resize-convolution (Odena et al. 2016).

    All output pixels depend on equally many inputs, which avoids the checkerboard artifacts of transposed convolutions.
    """

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool) -> None:
        super().__init__(in_channels, out_channels, 3, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        return super().forward(reflect(x, (1, 1, 1, 1)))


class OutputConvolution(nn.Conv2d):
    """A convolution without padding to very few output channels, such as RGB.

    On CPUs, torch computes output channels in groups of 16, so that 3 channels waste most of the work. Here the filters
    are split into their columns, which become output channels of one convolution; its outputs are shifted and added.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, conv: str = "auto") -> None:
        super().__init__(in_channels, out_channels, kernel_size)
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        if self.conv == "direct" or self.out_channels > MAX_OUTPUT_CHANNELS or not _is_plain_cpu(x):
            return super().forward(x)
        out_channels, channels, height, columns = self.weight.shape
        filters = self.weight.permute(3, 0, 1, 2).reshape(columns * out_channels, channels, height, 1)
        width = x.shape[-1] - columns + 1
        by_column = F.conv2d(x, filters).split(out_channels, dim=1)
        y = sum(output[..., shift : shift + width] for shift, output in enumerate(by_column))
        return y if self.bias is None else y + self.bias.view(1, -1, 1, 1)
