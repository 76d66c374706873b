"""Generators: they map images (N, input_nc, H, W) in [-1, 1] to images (N, output_nc, H, W) in [-1, 1].

The order and nesting of the layers determine the parameter names, which match published weight files.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from models.networks import GENERATORS, build
from models.networks.convolutions import (
    Convolution3x3,
    OutputConvolution,
    ResizeConvolution,
    UpConvolution,
    set_conv_algorithm,
)
from models.networks.layers import NORMS, downsample, needs_bias, relu
from models.networks.padding import ReflectionPad2d
from util.errors import UserError


def create_generator(
    netG: str,
    *,
    input_nc: int,
    output_nc: int,
    ngf: int = 64,
    norm: str = "instance",
    use_dropout: bool = False,
    upsample: str = "basic",
    padding_type: str = "reflect",
    conv: str = "auto",
    grad_checkpoint: bool = False,
) -> nn.Module:
    """Build the generator `netG` of GENERATORS, without initializing its weights.

    The registered function receives the keyword arguments that it accepts, out of: input_nc and output_nc, channels of
    the input and output images; ngf, filters of the first and last layers; norm, a key of layers.NORMS; use_dropout,
    whether to use dropout (0.5); upsample, "basic" (transposed convolutions, as in the papers) or "bilinear";
    padding_type, of residual blocks, "reflect", "replicate" or "zero".

    conv: the algorithm of convolutions on CPUs, see models/networks/convolutions.py. grad_checkpoint: gradient
    checkpointing, which recomputes residual blocks in the backward pass.
    """
    network = build(
        GENERATORS,
        netG,
        input_nc=input_nc,
        output_nc=output_nc,
        ngf=ngf,
        norm=norm,
        use_dropout=use_dropout,
        upsample=upsample,
        padding_type=padding_type,
    )
    set_conv_algorithm(network, conv)
    for module in network.modules():
        if isinstance(module, ResnetBlock):
            module.recompute = grad_checkpoint
    return network


def from_options(opt: argparse.Namespace, *, backwards: bool = False) -> nn.Module:
    """Build the generator from the options (--netG, --ngf, ...); with `backwards`, for the direction B to A."""
    input_nc, output_nc = (opt.output_nc, opt.input_nc) if backwards else (opt.input_nc, opt.output_nc)
    return create_generator(
        opt.netG,
        input_nc=input_nc,
        output_nc=output_nc,
        ngf=opt.ngf,
        norm=opt.norm,
        use_dropout=not opt.no_dropout,
        upsample=opt.upsample,
        padding_type=opt.padding_type,
        conv=opt.conv,
        grad_checkpoint=getattr(opt, "grad_checkpoint", False),  # an option of training
    )


class ResnetBlock(nn.Module):
    """A residual block: two padded 3x3 convolutions and a skip connection (He et al. 2016).

    With `recompute`, the block uses gradient checkpointing: the backward pass recomputes its activations instead of
    storing them (Chen et al. 2016).
    """

    recompute = False

    def __init__(self, channels: int, *, norm: str, use_dropout: bool, padding_type: str = "reflect") -> None:
        super().__init__()
        layers = [*padded_convolution(channels, norm, padding_type), NORMS[norm](channels), relu(norm)]
        if use_dropout:
            layers.append(nn.Dropout(0.5))
        layers += [*padded_convolution(channels, norm, padding_type), NORMS[norm](channels)]
        self.conv_block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        if self.recompute and torch.is_grad_enabled():
            if next(self.buffers(), None) is not None:
                return self._checkpoint_with_buffers(x)
            return checkpoint(self._apply_block, x, use_reentrant=False)
        return self._apply_block(x)

    @torch.compiler.disable  # torch.compile does not support a context function
    def _checkpoint_with_buffers(self, x: Tensor) -> Tensor:
        result: Tensor = checkpoint(self._apply_block, x, use_reentrant=False, context_fn=self._contexts)
        return result

    def _contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """The contexts of the forward pass and of its recomputation, which must not update running statistics again."""
        return nullcontext(), self._preserve_buffers()

    @contextmanager
    def _preserve_buffers(self) -> Iterator[None]:
        saved = [buffer.clone() for buffer in self.buffers()]
        try:
            yield
        finally:  # torch stops the recomputation early with an exception
            for buffer, value in zip(self.buffers(), saved, strict=True):
                buffer.copy_(value)

    def _apply_block(self, x: Tensor) -> Tensor:
        return self.conv_block(x) + x  # in this order, the sum has the memory format of the convolutions


PADDINGS = {"reflect": ReflectionPad2d, "replicate": nn.ReplicationPad2d}


def padded_convolution(channels: int, norm: str, padding_type: str) -> list[nn.Module]:
    """A 3x3 convolution that keeps the size; for "zero" without a padding layer, as the convolution pads itself."""
    bias = needs_bias(norm)
    if padding_type == "zero":
        return [Convolution3x3(channels, channels, bias=bias, padding=1)]
    return [PADDINGS[padding_type](1), Convolution3x3(channels, channels, bias=bias)]


class ResnetGenerator(nn.Module):
    """ResNet generator: downsampling, residual blocks, upsampling (Johnson et al. 2016; Zhu et al. 2017, appendix 7.2).

    It downsamples by 2 ** num_downs: by 4 as published; by 16 as the global generator of pix2pixHD (Wang et al. 2018,
    section 3.2).
    """

    def __init__(
        self,
        input_nc: int,
        output_nc: int,
        *,
        ngf: int,
        norm: str,
        use_dropout: bool,
        n_blocks: int,
        num_downs: int = 2,
        upsample: str,
        padding_type: str = "reflect",
    ) -> None:
        super().__init__()
        self.multiple = 2**num_downs
        self.min_size = 2 * self.multiple  # a norm needs more than one value
        widths = [ngf * 2**i for i in range(num_downs + 1)]
        layers = first_layers(input_nc, ngf, norm)
        for channels in widths[:-1]:
            layers += down_layers(channels, norm)
        block = functools.partial(ResnetBlock, norm=norm, use_dropout=use_dropout, padding_type=padding_type)
        layers += [block(widths[-1]) for _ in range(n_blocks)]
        for channels in widths[:0:-1]:
            layers += up_layers(channels, norm, upsample)
        self.model = nn.Sequential(*layers, *last_layers(ngf, output_nc))
        self._feature_layers = self._find_feature_layers()

    def forward(self, x: Tensor, features: Literal["none", "also", "only"] = "none") -> Any:
        """Translate images. With num_downs=2, output sides are rounded up to multiples of 4; sides need 5 pixels.

        `features`: "only" for `encode`, "also" for `forward_with_features`. With more downsampling layers, raises
        UserError for sides that are not multiples of 2 ** num_downs.
        """
        if self.multiple > 4:
            require_multiple(x, self.multiple, "generator")
        if features == "none":
            return self.model(x)
        last = max(self._feature_layers) if features == "only" else len(self.model) - 1
        output, found = self._run_layers(x, last)
        return found if features == "only" else (output, found)

    def encode(self, x: Tensor) -> dict[str, Tensor]:
        """The encoder's features (N, channels, height, width), by the names of `feature_channels`.

        Layers after the last feature are not computed.
        """
        features: dict[str, Tensor] = self(x, features="only")  # by way of __call__, which --compile compiles
        return features

    def forward_with_features(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The results of `forward` and `encode`, in one pass."""
        result: tuple[Tensor, dict[str, Tensor]] = self(x, features="also")
        return result

    @property
    def feature_channels(self) -> dict[str, int]:
        """The number of channels of each feature of the encoder, the first half of the network, in layer order.

        "pixels" is the image itself. "down1" and "down2" are the outputs of the downsampling convolutions, before
        normalization. "first_block" and "middle_block" are the outputs of these residual blocks; of nine blocks, the
        fifth is the middle one (Park et al. 2020, section 3).
        """
        width = next(layer.in_channels for layer in self.model if isinstance(layer, nn.Conv2d))
        channels = {"pixels": width}
        for index, name in self._feature_layers.items():
            if isinstance(layer := self.model[index], nn.Conv2d):  # a residual block keeps the number of channels
                width = layer.out_channels
            channels[name] = width
        return channels

    def _find_feature_layers(self) -> dict[int, str]:
        """The names of the features, by the index of the layer whose output they are."""
        layers = list(enumerate(self.model))
        downs = [index for index, layer in layers if isinstance(layer, nn.Conv2d) and layer.stride == (2, 2)]
        blocks = [index for index, layer in layers if isinstance(layer, ResnetBlock)]
        names = {index: f"down{number}" for number, index in enumerate(downs, 1)}
        return names | {blocks[0]: "first_block", blocks[(len(blocks) - 1) // 2]: "middle_block"}

    def _run_layers(self, x: Tensor, last: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The output of the layer with index `last`, and the features up to there."""
        features = {"pixels": x}
        for index, layer in enumerate(self.model):
            if index > last:
                break
            x = layer(x)
            if name := self._feature_layers.get(index):
                # Without a norm, the next layer is an in-place ReLU, which would overwrite the features.
                features[name] = x.clone() if isinstance(self.model[index + 1], nn.Identity) else x
        return x, features


def first_layers(input_nc: int, ngf: int, norm: str) -> list[nn.Module]:
    """A 7x7 convolution with reflection padding, norm and ReLU."""
    convolution = nn.Conv2d(input_nc, ngf, 7, bias=needs_bias(norm))
    return [ReflectionPad2d(3), convolution, NORMS[norm](ngf), relu(norm)]


def down_layers(channels: int, norm: str) -> list[nn.Module]:
    """A convolution with stride 2, norm and ReLU: half the resolution, twice the channels."""
    convolution = nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1, bias=needs_bias(norm))
    return [convolution, NORMS[norm](2 * channels), relu(norm)]


def up_layers(channels: int, norm: str, upsample: str) -> list[nn.Module]:
    """An upsampling convolution, norm and ReLU: twice the resolution, half the channels."""
    up_convolution = ResizeConvolution if upsample == "bilinear" else UpConvolution
    convolution = up_convolution(channels, channels // 2, bias=needs_bias(norm))
    return [convolution, NORMS[norm](channels // 2), relu(norm)]


def last_layers(ngf: int, output_nc: int) -> list[nn.Module]:
    """A 7x7 convolution with reflection padding to `output_nc` channels, and tanh."""
    return [ReflectionPad2d(3), OutputConvolution(ngf, output_nc, 7), nn.Tanh()]


def require_multiple(x: Tensor, multiple: int, network: str) -> None:
    """Raise UserError for images (N, C, H, W) whose height or width is not a multiple of `multiple`."""
    if x.shape[-1] % multiple or x.shape[-2] % multiple:
        raise UserError(
            f"an image of {x.shape[-1]}x{x.shape[-2]} pixels does not fit this {network}, which needs multiples of "
            f"{multiple}: use a --preprocess that crops, and a --crop_size that is a multiple of {multiple}"
        )


class LocalEnhancer(nn.Module):
    """Local enhancer G2 of pix2pixHD around the global generator G1 (Wang et al. 2018, section 3.2, figure 3).

    G1 sees the image at half the resolution. Its features before the last convolution are added to the features of G2's
    front end. G1 has 2 ngf filters and the same parameter names as alone, so that the weights of a trained --netG
    global load into it.
    """

    LOCAL_BLOCKS = 3

    def __init__(
        self,
        input_nc: int,
        output_nc: int,
        *,
        ngf: int,
        norm: str,
        use_dropout: bool,
        n_blocks: int,
        num_downs: int,
        upsample: str,
        padding_type: str = "reflect",
    ) -> None:
        super().__init__()
        self.multiple = 2**num_downs
        self.min_size = 2 * self.multiple  # a norm needs more than one value
        global_generator = ResnetGenerator(
            input_nc,
            output_nc,
            ngf=2 * ngf,
            norm=norm,
            use_dropout=use_dropout,
            n_blocks=n_blocks,
            num_downs=num_downs - 1,
            upsample=upsample,
            padding_type=padding_type,
        )
        self.model = global_generator.model[: -len(last_layers(ngf, output_nc))]
        block = functools.partial(ResnetBlock, norm=norm, use_dropout=use_dropout, padding_type=padding_type)
        blocks = [block(2 * ngf) for _ in range(self.LOCAL_BLOCKS)]
        # Names as in published weights.
        self.model1_1 = nn.Sequential(*first_layers(input_nc, ngf, norm), *down_layers(ngf, norm))
        self.model1_2 = nn.Sequential(*blocks, *up_layers(2 * ngf, norm, upsample), *last_layers(ngf, output_nc))

    def forward(self, x: Tensor) -> Tensor:
        """Translate images. Raises UserError for sides that are not multiples of 2 ** num_downs."""
        require_multiple(x, self.multiple, "generator")
        return self.model1_2(self.model1_1(x) + self.model(downsample(x)))


class UnetGenerator(nn.Module):
    """U-Net: encoder and decoder with a skip connection at each resolution (Isola et al. 2017, appendix 6.1)."""

    def __init__(
        self,
        input_nc: int,
        output_nc: int,
        *,
        num_downs: int,
        ngf: int,
        norm: str,
        use_dropout: bool,
        upsample: str,
    ) -> None:
        super().__init__()
        self.multiple = 2**num_downs
        self.min_size = self.multiple // 2 + 1  # the smallest side that a reflection extends to the multiple
        make_level = functools.partial(UnetLevel, norm=norm, upsample=upsample)
        # Built from the innermost level outwards; each level contains the next inner one.
        level = make_level(8 * ngf, 8 * ngf, None)
        for _ in range(num_downs - 5):
            level = make_level(8 * ngf, 8 * ngf, level, use_dropout=use_dropout)
        for channels in (4 * ngf, 2 * ngf, ngf):
            level = make_level(channels, 2 * channels, level)
        self.model = make_level(output_nc, ngf, level, input_nc=input_nc, outermost=True)

    def forward(self, x: Tensor) -> Tensor:
        """Translate images. Raises UserError for sides that are not multiples of 2 ** num_downs."""
        require_multiple(x, self.multiple, "U-Net")
        return self.model(x)


class UnetLevel(nn.Module):
    """One level of a U-Net: downsampling, the inner levels, upsampling, and concatenation with the level's input."""

    def __init__(
        self,
        outer_nc: int,
        inner_nc: int,
        inner: UnetLevel | None,
        *,
        norm: str,
        upsample: str,
        use_dropout: bool = False,
        input_nc: int | None = None,
        outermost: bool = False,
    ) -> None:
        super().__init__()
        self.outermost = outermost
        bias = needs_bias(norm)
        down: list[nn.Module] = [nn.Conv2d(input_nc or outer_nc, inner_nc, 4, stride=2, padding=1, bias=bias)]
        if not outermost:
            # Not in place: the skip connection needs the input.
            down.insert(0, nn.LeakyReLU(0.2))
            if inner is not None:
                down.append(NORMS[norm](inner_nc))
        up_nc = inner_nc if inner is None else 2 * inner_nc
        up_convolution: nn.Module
        if upsample == "bilinear":
            up_convolution = ResizeConvolution(up_nc, outer_nc, bias=bias or outermost)
        else:
            up_convolution = nn.ConvTranspose2d(up_nc, outer_nc, 4, stride=2, padding=1, bias=bias or outermost)
        up: list[nn.Module] = [
            nn.ReLU(),
            up_convolution,
            nn.Tanh() if outermost else NORMS[norm](outer_nc),
        ]
        if use_dropout:
            up.append(nn.Dropout(0.5))
        self.model = nn.Sequential(*down, *([inner] if inner is not None else []), *up)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], dim=1)


# The entries of GENERATORS.
resnet_9blocks = functools.partial(ResnetGenerator, n_blocks=9)
resnet_6blocks = functools.partial(ResnetGenerator, n_blocks=6)
unet_256 = functools.partial(UnetGenerator, num_downs=8)
unet_128 = functools.partial(UnetGenerator, num_downs=7)
global_generator = functools.partial(ResnetGenerator, n_blocks=9, num_downs=4)
local_enhancer = functools.partial(LocalEnhancer, n_blocks=9, num_downs=5)
