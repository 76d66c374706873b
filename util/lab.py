"""Conversion between sRGB and CIE L*a*b*, which separates lightness from color."""

from __future__ import annotations

import torch
from torch import Tensor

from util import moved

# Linear sRGB to CIE XYZ (ITU-R BT.709 primaries), and the XYZ of white: illuminant D65, 2 degree observer.
XYZ_OF_RGB = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
RGB_OF_XYZ: list[list[float]] = torch.linalg.inv(torch.tensor(XYZ_OF_RGB, dtype=torch.float64)).tolist()
WHITE = (0.95047, 1.0, 1.08883)
# CIE 15:2004, section 8.2.1: a cube root, and below THRESHOLD ** 3 its tangent at that point.
THRESHOLD = 6 / 29


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """sRGB (..., 3, H, W) in 0..1 to L in 0..100 and a, b in about -108..99, of the same shape and dtype."""
    linear = torch.where(rgb > 0.04045, ((rgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    x, y, z = (_mix(linear, XYZ_OF_RGB) / _column(WHITE, rgb)).unbind(-3)
    fx, fy, fz = (
        torch.where(t > THRESHOLD**3, t.clamp(min=THRESHOLD**3) ** (1 / 3), t / (3 * THRESHOLD**2) + 4 / 29)
        for t in (x, y, z)
    )
    return torch.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], dim=-3)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """The inverse of `rgb_to_lab`; colors outside the sRGB gamut are clipped to 0..1."""
    lightness, a, b = lab.unbind(-3)
    fy = (lightness + 16) / 116
    f = torch.stack([fy + a / 500, fy, fy - b / 200], dim=-3)
    xyz = torch.where(f > THRESHOLD, f**3, 3 * THRESHOLD**2 * (f - 4 / 29)) * _column(WHITE, lab)
    linear = _mix(xyz, RGB_OF_XYZ)
    rgb = torch.where(linear > 0.0031308, 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055, 12.92 * linear)
    return rgb.clamp(0, 1)


def _mix(colors: Tensor, matrix: tuple[tuple[float, ...], ...] | list[list[float]]) -> Tensor:
    """The color (..., 3, H, W) of each pixel times a 3x3 matrix, without torch.matmul, which may use TF32 on GPUs."""
    channels = colors.unbind(-3)
    rows = (sum(weight * channel for weight, channel in zip(row, channels, strict=True)) for row in matrix)
    return torch.stack([torch.as_tensor(row) for row in rows], dim=-3)


def _column(values: tuple[float, ...], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None, None]


# The form in which networks use them: lightness as an image of one channel, color as one of two, in [-1, 1].


def split_colors(rgb: Tensor) -> tuple[Tensor, Tensor]:
    """Images (..., 3, H, W) in [-1, 1] to L / 50 - 1 (..., 1, H, W) and a, b / 110 (..., 2, H, W)."""
    lab = rgb_to_lab((rgb + 1) / 2)
    return lab[..., :1, :, :] / 50 - 1, lab[..., 1:, :, :] / 110


def join_colors(lightness: Tensor, colors: Tensor) -> Tensor:
    """The inverse of `split_colors`, to images in [-1, 1]; colors outside the sRGB gamut are clipped."""
    lab = torch.cat([(lightness + 1) * 50, colors * 110], dim=-3)
    return lab_to_rgb(lab) * 2 - 1


__getattr__ = moved.old_names(__name__, split_colours="util.lab:split_colors", join_colours="util.lab:join_colors")
