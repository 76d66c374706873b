"""The generator and the discriminator of DCGAN (Radford et al. 2016, section 3 and figure 1)."""

from __future__ import annotations

from torch import Tensor, nn

from models.networks.layers import NORMS, leaky_relu, needs_bias, relu

MAX_WIDTH_FACTOR = 8  # times ngf or ndf; with ngf 128 it gives the paper's 1,024 channels at 4x4 pixels


def widths(size: int, filters: int) -> list[int]:
    """The channels at 4x4, 8x8, ..., size/2 pixels: halved when the resolution doubles, `filters` at the last."""
    levels = size.bit_length() - 3
    return [filters * min(2**k, MAX_WIDTH_FACTOR) for k in reversed(range(levels))]


class LatentGenerator(nn.Module):
    """Maps latents (N, latent_size) to images (N, output_nc, size, size) in [-1, 1]; `size` is a power of 2, >= 8."""

    def __init__(self, latent_size: int, output_nc: int, *, size: int, ngf: int, norm: str) -> None:
        super().__init__()
        bias = needs_bias(norm)
        channels, *rest = widths(size, ngf)
        layers = [
            nn.ConvTranspose2d(latent_size, channels, 4, bias=bias),  # 1x1 to 4x4
            NORMS[norm](channels),
            relu(norm),
        ]
        for narrower in rest:
            layers += [
                nn.ConvTranspose2d(channels, narrower, 4, stride=2, padding=1, bias=bias),
                NORMS[norm](narrower),
                relu(norm),
            ]
            channels = narrower
        layers += [nn.ConvTranspose2d(channels, output_nc, 4, stride=2, padding=1), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        return self.model(z[:, :, None, None])


class ImageDiscriminator(nn.Module):
    """Maps images (N, input_nc, size, size) to logits (N, 1, 1, 1). The first and the last layer have no norm."""

    def __init__(self, input_nc: int, *, size: int, ndf: int, norm: str) -> None:
        super().__init__()
        first, *rest = reversed(widths(size, ndf))
        layers: list[nn.Module] = [nn.Conv2d(input_nc, first, 4, stride=2, padding=1), nn.LeakyReLU(0.2, True)]
        channels = first
        for wider in rest:
            layers += [
                nn.Conv2d(channels, wider, 4, stride=2, padding=1, bias=needs_bias(norm)),
                NORMS[norm](wider),
                leaky_relu(norm),
            ]
            channels = wider
        layers.append(nn.Conv2d(channels, 1, 4))
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)
