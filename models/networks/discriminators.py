"""Discriminators: they map images (N, input_nc, H, W) in [-1, 1] to logits (N, 1, h, w), one for each patch.

The order of the layers determines the parameter names, which match published weight files.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from torch import Tensor, nn

from models.architectures import least_size
from models.networks import DISCRIMINATORS, build
from models.networks.layers import NORMS, downsample, leaky_relu, needs_bias
from util.errors import UserError


def create_discriminator(
    netD: str, *, input_nc: int, ndf: int = 64, n_layers_D: int = 3, norm: str = "instance"
) -> nn.Module:
    """Build the discriminator `netD` of DISCRIMINATORS, without initializing its weights.

    The registered function receives the keyword arguments that it accepts, out of: input_nc, channels of the image;
    ndf, filters of the first layer; norm, a key of layers.NORMS; n_layers.
    """
    return build(DISCRIMINATORS, netD, input_nc=input_nc, ndf=ndf, norm=norm, n_layers=n_layers_D)


def multiscale_from_options(opt: argparse.Namespace, input_nc: int) -> MultiscaleDiscriminator:
    """Build --num_D discriminators from the options, for an image pyramid of images with `input_nc` channels."""
    return MultiscaleDiscriminator([from_options(opt, input_nc) for _ in range(opt.num_D)])


def from_options(opt: argparse.Namespace, input_nc: int) -> nn.Module:
    """Build the discriminator from the options (--netD, --ndf, ...), for images with `input_nc` channels."""
    return create_discriminator(
        opt.netD, input_nc=input_nc, ndf=opt.ndf, n_layers_D=opt.n_layers_D, norm=opt.norm_D or opt.norm
    )


class PatchDiscriminator(nn.Module):
    """PatchGAN (Isola et al. 2017, section 3.2.2): classifies each patch of an image as real or fake."""

    def __init__(self, input_nc: int, *, ndf: int, n_layers: int, norm: str) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(input_nc, ndf, 4, stride=2, padding=1), nn.LeakyReLU(0.2, True)]
        channels = ndf
        for layer in range(1, n_layers + 1):
            stride = 2 if layer < n_layers else 1
            wider = ndf * min(2**layer, 8)
            layers += [
                nn.Conv2d(channels, wider, 4, stride=stride, padding=1, bias=needs_bias(norm)),
                NORMS[norm](wider),
                leaky_relu(norm),
            ]
            channels = wider
        layers.append(nn.Conv2d(channels, 1, 4, stride=1, padding=1))
        self.model = nn.Sequential(*layers)
        self.min_size = least_size(n_layers)

    def forward(self, x: Tensor) -> Tensor:
        """The logits (N, 1, h, w). Raises UserError for images smaller than `min_size`."""
        self._require_min_size(x)
        return self.model(x)

    def _require_min_size(self, x: Tensor) -> None:
        if min(x.shape[-2:]) < self.min_size:
            raise UserError(
                f"an image of {x.shape[-1]}x{x.shape[-2]} pixels is too small for this discriminator, which needs at "
                f"least {self.min_size}: use --netD n_layers with a smaller --n_layers_D, or --netD pixel"
            )

    def features(self, x: Tensor) -> list[Tensor]:
        """The activations of all layers, then the logits. Raises UserError for images smaller than `min_size`."""
        self._require_min_size(x)
        activations = []
        for layer in self.model:
            x = layer(x)
            if isinstance(layer, nn.LeakyReLU):
                activations.append(x)
        return [*activations, x]


def basic(input_nc: int, *, ndf: int, norm: str) -> PatchDiscriminator:
    """The 70x70 PatchGAN: 3 layers, with a receptive field of 70x70 pixels."""
    return PatchDiscriminator(input_nc, ndf=ndf, n_layers=3, norm=norm)


class MultiscaleDiscriminator(nn.Module):
    """PatchGANs on an image pyramid: full size, half, a quarter, ... (Wang et al. 2018, section 3.2)."""

    def __init__(self, scales: Sequence[nn.Module]) -> None:
        super().__init__()
        self.scales = nn.ModuleList(scales)
        self.min_size = max(int(getattr(scale, "min_size", 1)) * 2**i for i, scale in enumerate(scales))

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        """PatchDiscriminator.features of each scale, from fine to coarse."""
        features = []
        for i, scale in enumerate(self.scales):
            x = downsample(x) if i else x
            features.append(scale.features(x))  # type: ignore[operator]  # a method of PatchDiscriminator
        return features


class PixelDiscriminator(nn.Module):
    """PixelGAN: classifies each pixel on its own (Isola et al. 2017), so that it sees color but no structure."""

    def __init__(self, input_nc: int, *, ndf: int, norm: str) -> None:
        super().__init__()
        bias = needs_bias(norm)
        self.net = nn.Sequential(
            nn.Conv2d(input_nc, ndf, 1),
            nn.LeakyReLU(0.2, True),
            nn.Conv2d(ndf, 2 * ndf, 1, bias=bias),
            NORMS[norm](2 * ndf),
            leaky_relu(norm),
            nn.Conv2d(2 * ndf, 1, 1, bias=bias),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)
