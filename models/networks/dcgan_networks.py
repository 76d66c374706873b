"""A generator from noise and its mirror, a discriminator of whole images (Radford et al. 2016, section 3, figure 1)."""

from __future__ import annotations

from torch import Tensor, nn

from models.networks.layers import NORMS, needs_bias

WIDEST = 8  # times ngf or ndf: the paper's 1,024 channels at 4x4 pixels, with ngf 128


def widths(size: int, filters: int) -> list[int]:
    """Channels at 4x4, 8x8, ... pixels, to half of `size`: halved at each doubling, `filters` at the last."""
    doublings = size.bit_length() - 3
    return [filters * min(2**k, WIDEST) for k in reversed(range(doublings))]


class LatentGenerator(nn.Module):
    """Latents (N, latent_size) to images (N, output_nc, size, size) in [-1, 1]; `size` is a power of two from 8 on."""

    def __init__(self, latent_size: int, output_nc: int, *, size: int, ngf: int, norm: str) -> None:
        super().__init__()
        bias = needs_bias(norm)
        channels, *rest = widths(size, ngf)
        layers = [
            nn.ConvTranspose2d(latent_size, channels, 4, bias=bias),  # a pixel becomes 4x4
            NORMS[norm](channels),
            nn.ReLU(inplace=True),
        ]
        for narrower in rest:
            layers += [
                nn.ConvTranspose2d(channels, narrower, 4, stride=2, padding=1, bias=bias),
                NORMS[norm](narrower),
                nn.ReLU(inplace=True),
            ]
            channels = narrower
        layers += [nn.ConvTranspose2d(channels, output_nc, 4, stride=2, padding=1), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        return self.model(z[:, :, None, None])


class ImageDiscriminator(nn.Module):
    """Images (N, input_nc, size, size) to a logit each, (N, 1, 1, 1); no norm in the first layer nor the last."""

    def __init__(self, input_nc: int, *, size: int, ndf: int, norm: str) -> None:
        super().__init__()
        first, *rest = reversed(widths(size, ndf))
        layers: list[nn.Module] = [nn.Conv2d(input_nc, first, 4, stride=2, padding=1), nn.LeakyReLU(0.2, True)]
        channels = first
        for wider in rest:
            layers += [
                nn.Conv2d(channels, wider, 4, stride=2, padding=1, bias=needs_bias(norm)),
                NORMS[norm](wider),
                nn.LeakyReLU(0.2, True),
            ]
            channels = wider
        layers.append(nn.Conv2d(channels, 1, 4))
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)
