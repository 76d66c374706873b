"""Generators: images (N, input_nc, H, W) in [-1, 1] to images (N, output_nc, H, W) in [-1, 1].

The order and the nesting of the layers give the parameter names of the field's published weight files.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from models.networks import GENERATORS
from models.networks.convolutions import Convolution3x3, OutputConvolution, ResizeConvolution, UpConvolution, choose_way
from models.networks.layers import NORMS, halve, needs_bias
from util.errors import UserError
from util.registry import call_with_accepted


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
    """The generator that GENERATORS knows by that name, its weights not yet initialized.

    The generator's function gets those of these keyword arguments that it accepts:
    input_nc, output_nc: channels of the input and the output image. ngf: filters of the outer layers. norm: a key of
    layers.NORMS. use_dropout: whether there is dropout of 0.5. upsample: how sides are doubled, "basic" by transposed
    convolutions as in the papers, or "bilinear". padding_type: of residual blocks, "reflect", "replicate" or "zero".

    conv: the algorithm of convolutions on CPUs, see models/networks/convolutions.py. grad_checkpoint: recompute
    residual blocks in the backward pass.
    """
    network: nn.Module = call_with_accepted(
        GENERATORS.find(netG),
        input_nc=input_nc,
        output_nc=output_nc,
        ngf=ngf,
        norm=norm,
        use_dropout=use_dropout,
        upsample=upsample,
        padding_type=padding_type,
    )
    choose_way(network, conv)
    for module in network.modules():
        if isinstance(module, ResnetBlock):
            module.recompute = grad_checkpoint
    return network


def from_options(opt: argparse.Namespace, *, backwards: bool = False) -> nn.Module:
    """The generator that the options describe; `backwards` from the output's channels to the input's."""
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
    """Two padded 3x3 convolutions whose output is added to their input (He et al. 2016).

    With `recompute`, the backward pass makes what is inside anew, instead of having kept it (Chen et al. 2016).
    """

    recompute = False

    def __init__(self, channels: int, *, norm: str, use_dropout: bool, padding_type: str = "reflect") -> None:
        super().__init__()
        layers = [*padded_convolution(channels, norm, padding_type), NORMS[norm](channels), nn.ReLU(inplace=True)]
        if use_dropout:
            layers.append(nn.Dropout(0.5))
        layers += [*padded_convolution(channels, norm, padding_type), NORMS[norm](channels)]
        self.conv_block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(self._apply_block, x, use_reentrant=False, context_fn=self._contexts)
        return self._apply_block(x)

    def _contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """For the first time, and for the second, which leaves the statistics of norms as they are."""
        return nullcontext(), self._kept_statistics()

    @contextmanager
    def _kept_statistics(self) -> Iterator[None]:
        before = [buffer.clone() for buffer in self.buffers()]
        try:
            yield
        finally:  # torch leaves by an exception once it has what it needs
            for buffer, value in zip(self.buffers(), before, strict=True):
                buffer.copy_(value)

    def _apply_block(self, x: Tensor) -> Tensor:
        return self.conv_block(x) + x  # in this order the sum has the layout that the convolutions give


PADDINGS = {"reflect": nn.ReflectionPad2d, "replicate": nn.ReplicationPad2d}


def padded_convolution(channels: int, norm: str, padding_type: str) -> list[nn.Module]:
    """A 3x3 convolution that keeps the size. With "zero" it pads by itself: there is no padding layer."""
    bias = needs_bias(norm)
    if padding_type == "zero":
        return [Convolution3x3(channels, channels, bias=bias, padding=1)]
    return [PADDINGS[padding_type](1), Convolution3x3(channels, channels, bias=bias)]


class ResnetGenerator(nn.Module):
    """Down by 4, residual blocks, up by 4 (Johnson et al. 2016; Zhu et al. 2017, appendix 7.2).

    With 4 halvings, down and up by 16, it is the global generator of pix2pixHD (Wang et al. 2018, section 3.2).
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
        widths = [ngf * 2**i for i in range(num_downs + 1)]
        layers = first_layers(input_nc, ngf, norm)
        for channels in widths[:-1]:
            layers += down_layers(channels, norm)
        block = functools.partial(ResnetBlock, norm=norm, use_dropout=use_dropout, padding_type=padding_type)
        layers += [block(widths[-1]) for _ in range(n_blocks)]
        for channels in widths[:0:-1]:
            layers += up_layers(channels, norm, upsample)
        self.model = nn.Sequential(*layers, *last_layers(ngf, output_nc))

    def forward(self, x: Tensor) -> Tensor:
        """Sides that are no multiples of 4 come out rounded up to such; below 5 pixels, padding fails.

        With more than two halvings, raises UserError for sides that are no multiples of what they make.
        """
        if self.multiple > 4:
            require_multiple(x, self.multiple, "generator")
        return self.model(x)

    def encode(self, x: Tensor) -> dict[str, Tensor]:
        """The features of images by the names of `feature_channels`: (N, channels, height, width).

        No layer after the last of them is computed.
        """
        return self._walk(x, last=max(self._feature_places))[1]

    def translate(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """What `forward` gives and what `encode` gives, in one pass."""
        return self._walk(x, last=len(self.model) - 1)

    @property
    def feature_channels(self) -> dict[str, int]:
        """The channels of the features that the first half gives as an encoder, by name, in the order of the layers.

        "pixels" is the image itself; "down1" and "down2" are what the convolutions that halve give, before their norm;
        "first_block" and "middle_block" are what these residual blocks give. Of nine blocks, the fifth is the middle
        one (Park et al. 2020, section 3).
        """
        width = next(layer.in_channels for layer in self.model if isinstance(layer, nn.Conv2d))
        channels = {"pixels": width}
        for place, name in self._feature_places.items():
            if isinstance(layer := self.model[place], nn.Conv2d):  # a block leaves the width as it is
                width = layer.out_channels
            channels[name] = width
        return channels

    @functools.cached_property
    def _feature_places(self) -> dict[int, str]:
        """Which layers of the model give features, and their names."""
        kinds = list(enumerate(self.model))
        downs = [place for place, layer in kinds if isinstance(layer, nn.Conv2d) and layer.stride == (2, 2)]
        blocks = [place for place, layer in kinds if isinstance(layer, ResnetBlock)]
        places = {place: f"down{number}" for number, place in enumerate(downs, 1)}
        return places | {blocks[0]: "first_block", blocks[(len(blocks) - 1) // 2]: "middle_block"}

    def _walk(self, x: Tensor, last: int) -> tuple[Tensor, dict[str, Tensor]]:
        features = {"pixels": x}
        for place, layer in enumerate(self.model[: last + 1]):
            x = layer(x)
            if name := self._feature_places.get(place):
                # Where no norm makes a copy, the ReLU that follows would change it.
                features[name] = x.clone() if isinstance(self.model[place + 1], nn.Identity) else x
        return x, features


def first_layers(input_nc: int, ngf: int, norm: str) -> list[nn.Module]:
    """A padded 7x7 convolution, norm and ReLU."""
    convolution = nn.Conv2d(input_nc, ngf, 7, bias=needs_bias(norm))
    return [nn.ReflectionPad2d(3), convolution, NORMS[norm](ngf), nn.ReLU(inplace=True)]


def down_layers(channels: int, norm: str) -> list[nn.Module]:
    """Half the size, twice the channels."""
    convolution = nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1, bias=needs_bias(norm))
    return [convolution, NORMS[norm](2 * channels), nn.ReLU(inplace=True)]


def up_layers(channels: int, norm: str, upsample: str) -> list[nn.Module]:
    """Twice the size, half the channels."""
    kind = ResizeConvolution if upsample == "bilinear" else UpConvolution
    convolution = kind(channels, channels // 2, bias=needs_bias(norm))
    return [convolution, NORMS[norm](channels // 2), nn.ReLU(inplace=True)]


def last_layers(ngf: int, output_nc: int) -> list[nn.Module]:
    """A padded 7x7 convolution to an image."""
    return [nn.ReflectionPad2d(3), OutputConvolution(ngf, output_nc, 7), nn.Tanh()]


def require_multiple(x: Tensor, multiple: int, network: str) -> None:
    """Raise UserError for an image (N, C, H, W) whose sides are not multiples of that."""
    if x.shape[-1] % multiple or x.shape[-2] % multiple:
        raise UserError(
            f"an image of {x.shape[-1]}x{x.shape[-2]} pixels does not fit this {network}, which takes multiples of "
            f"{multiple}: choose --crop_size so, with a --preprocess that crops"
        )


class LocalEnhancer(nn.Module):
    """The global generator at half the size, and a shallow one around it (Wang et al. 2018, section 3.2, figure 3).

    What the global one has before its last convolution is added to what the local one makes of the image itself.
    The global part has 2 ngf filters and the parameter names that it has alone, so that it is trained first, at half
    the size, and its weights are taken over.
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
        whole = ResnetGenerator(
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
        self.model = whole.model[: -len(last_layers(ngf, output_nc))]
        block = functools.partial(ResnetBlock, norm=norm, use_dropout=use_dropout, padding_type=padding_type)
        blocks = [block(2 * ngf) for _ in range(self.LOCAL_BLOCKS)]
        # Named as in the published weights.
        self.model1_1 = nn.Sequential(*first_layers(input_nc, ngf, norm), *down_layers(ngf, norm))
        self.model1_2 = nn.Sequential(*blocks, *up_layers(2 * ngf, norm, upsample), *last_layers(ngf, output_nc))

    def forward(self, x: Tensor) -> Tensor:
        """Raises UserError for sides that are no multiples of 2 ** num_downs."""
        require_multiple(x, self.multiple, "generator")
        return self.model1_2(self.model1_1(x) + self.model(halve(x)))


class UnetGenerator(nn.Module):
    """Encoder and decoder with a skip connection at every size (Isola et al. 2017, appendix 6.1)."""

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
        make_level = functools.partial(UnetLevel, norm=norm, upsample=upsample)
        # Built from the innermost level outwards: each wraps the one inside it.
        level = make_level(8 * ngf, 8 * ngf, None)
        for _ in range(num_downs - 5):
            level = make_level(8 * ngf, 8 * ngf, level, use_dropout=use_dropout)
        for channels in (4 * ngf, 2 * ngf, ngf):
            level = make_level(channels, 2 * channels, level)
        self.model = make_level(output_nc, ngf, level, input_nc=input_nc, outermost=True)

    def forward(self, x: Tensor) -> Tensor:
        """Raises UserError for sides that are not multiples of 2 ** num_downs."""
        require_multiple(x, self.multiple, "U-Net")
        return self.model(x)


class UnetLevel(nn.Module):
    """One level of a U-Net: halve, go through the levels inside, double, and put the input beside the result."""

    def __init__(
        self,
        outer_nc: int,
        inner_nc: int,
        inside: UnetLevel | None,
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
            # Not in place: the input is still needed for the skip connection.
            down.insert(0, nn.LeakyReLU(0.2))
            if inside is not None:
                down.append(NORMS[norm](inner_nc))
        up_from = inner_nc if inside is None else 2 * inner_nc
        doubling: nn.Module
        if upsample == "bilinear":
            doubling = ResizeConvolution(up_from, outer_nc, bias=bias or outermost)
        else:
            doubling = nn.ConvTranspose2d(up_from, outer_nc, 4, stride=2, padding=1, bias=bias or outermost)
        up: list[nn.Module] = [
            nn.ReLU(),
            doubling,
            nn.Tanh() if outermost else NORMS[norm](outer_nc),
        ]
        if use_dropout:
            up.append(nn.Dropout(0.5))
        self.model = nn.Sequential(*down, *([inside] if inside is not None else []), *up)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], dim=1)


# What GENERATORS has by name.
resnet_9blocks = functools.partial(ResnetGenerator, n_blocks=9)
resnet_6blocks = functools.partial(ResnetGenerator, n_blocks=6)
unet_256 = functools.partial(UnetGenerator, num_downs=8)
unet_128 = functools.partial(UnetGenerator, num_downs=7)
global_generator = functools.partial(ResnetGenerator, n_blocks=9, num_downs=4)
local_enhancer = functools.partial(LocalEnhancer, n_blocks=9, num_downs=5)
