"""Reflection padding whose gradient can be deterministic on GPUs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ReflectionPad2d(nn.ReflectionPad2d):
    """Reflection padding, see `reflect`."""

    def forward(self, x: Tensor) -> Tensor:
        return reflect(x, self.padding)


def reflect(x: Tensor, padding: Sequence[int]) -> Tensor:
    """Pad images (N, C, H, W) by reflection with (left, right, top, bottom) pixels, each smaller than that side.

    On a GPU, torch sums the gradient in an arbitrary order (atomic additions), and refuses to do so under
    --deterministic. Slices, flips and concatenations then compute the same pixels, with a gradient of fixed order.
    """
    if x.is_cpu or not torch.are_deterministic_algorithms_enabled():
        return F.pad(x, tuple(padding), mode="reflect")
    left, right, top, bottom = padding
    return _reflect_along(_reflect_along(x, -1, left, right), -2, top, bottom)


def _reflect_along(x: Tensor, dim: int, before: int, after: int) -> Tensor:
    size = x.shape[dim]
    parts = [x.narrow(dim, 1, before).flip(dim), x, x.narrow(dim, size - 1 - after, after).flip(dim)]
    return torch.cat(parts, dim)
