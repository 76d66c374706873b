"""Discriminators: images (N, input_nc, H, W) in [-1, 1] to logits (N, 1, h, w), one for each patch.

The order of the layers gives the parameter names of the field's published weight files.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from torch import Tensor, nn

from models.architectures import least_size
from models.networks import DISCRIMINATORS
from models.networks.layers import NORMS, halve, needs_bias
from util.errors import UserError
from util.registry import call_with_accepted


def create_discriminator(
    netD: str, *, input_nc: int, ndf: int = 64, n_layers_D: int = 3, norm: str = "instance"
) -> nn.Module:
    """The discriminator that DISCRIMINATORS knows by that name, its weights not yet initialized.

    The discriminator's function gets those of these keyword arguments that it accepts: input_nc, the channels of the
    image; ndf, the filters of the first layer; norm, a key of layers.NORMS; n_layers.
    """
    network: nn.Module = call_with_accepted(
        DISCRIMINATORS.find(netD), input_nc=input_nc, ndf=ndf, norm=norm, n_layers=n_layers_D
    )
    return network


def multiscale_from_options(opt: argparse.Namespace, input_nc: int) -> MultiscaleDiscriminator:
    """--num_D of the discriminators that the options describe, for an image and for ever coarser copies of it."""
    return MultiscaleDiscriminator([from_options(opt, input_nc) for _ in range(opt.num_D)])


def from_options(opt: argparse.Namespace, input_nc: int) -> nn.Module:
    """The discriminator that the options describe, for images of so many channels."""
    return create_discriminator(
        opt.netD, input_nc=input_nc, ndf=opt.ndf, n_layers_D=opt.n_layers_D, norm=opt.norm_D or opt.norm
    )


class PatchDiscriminator(nn.Module):
    """PatchGAN (Isola et al. 2017, section 3.2.2): is each patch of the image real?"""

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
                nn.LeakyReLU(0.2, True),
            ]
            channels = wider
        layers.append(nn.Conv2d(channels, 1, 4, stride=1, padding=1))
        self.model = nn.Sequential(*layers)
        self.least = least_size(n_layers)

    def forward(self, x: Tensor) -> Tensor:
        """Raises UserError for images that are smaller than `least_size`."""
        self._refuse_small(x)
        return self.model(x)

    def _refuse_small(self, x: Tensor) -> None:
        if min(x.shape[-2:]) < self.least:
            raise UserError(
                f"an image of {x.shape[-1]}x{x.shape[-2]} pixels is too small for this discriminator, which needs "
                f"{self.least}: use --netD n_layers with a smaller --n_layers_D, or --netD pixel"
            )

    def features(self, x: Tensor) -> list[Tensor]:
        """What each layer gives, after its activation, and as the last one the logits; raises as `forward` does."""
        self._refuse_small(x)
        found = []
        for layer in self.model:
            x = layer(x)
            if isinstance(layer, nn.LeakyReLU):
                found.append(x)
        return [*found, x]


def basic(input_nc: int, *, ndf: int, norm: str) -> PatchDiscriminator:
    """A PatchDiscriminator with 3 layers: a receptive field of 70x70 pixels."""
    return PatchDiscriminator(input_nc, ndf=ndf, n_layers=3, norm=norm)


class MultiscaleDiscriminator(nn.Module):
    """PatchDiscriminators for an image and for copies of half the size, a quarter, ... (Wang et al. 2018, 3.2)."""

    def __init__(self, scales: Sequence[nn.Module]) -> None:
        super().__init__()
        self.scales = nn.ModuleList(scales)

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        """Of each scale, the finest first, what PatchDiscriminator.features gives."""
        found = []
        for i, scale in enumerate(self.scales):
            x = halve(x) if i else x
            found.append(scale.features(x))  # type: ignore[operator]  # of a PatchDiscriminator
        return found


class PixelDiscriminator(nn.Module):
    """PatchGAN with patches of a single pixel (Isola et al. 2017): judges colours, not structure."""

    def __init__(self, input_nc: int, *, ndf: int, norm: str) -> None:
        super().__init__()
        bias = needs_bias(norm)
        self.net = nn.Sequential(
            nn.Conv2d(input_nc, ndf, 1),
            nn.LeakyReLU(0.2, True),
            nn.Conv2d(ndf, 2 * ndf, 1, bias=bias),
            NORMS[norm](2 * ndf),
            nn.LeakyReLU(0.2, True),
            nn.Conv2d(2 * ndf, 1, 1, bias=bias),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)
