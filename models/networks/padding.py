"""Reflection padding whose gradient can be deterministic on GPUs."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Widths = tuple[int, int, int, int]  # left, right, top, bottom: pixels, each less than the width or height of the image


class ReflectionPad2d(nn.ReflectionPad2d):
    """Reflection padding, see `reflect`."""

    def forward(self, x: Tensor) -> Tensor:
        return reflect(x, self.padding)


def reflect(x: Tensor, widths: Widths) -> Tensor:
    """Pad images (N, C, H, W) by reflection.

    On a GPU, torch sums the gradient in an arbitrary order (atomic additions), and refuses to do so under
    --deterministic. Then the gradient is computed here, with more operators.
    """
    if x.is_cpu or not torch.are_deterministic_algorithms_enabled():
        return F.pad(x, widths, mode="reflect")
    padded: Tensor = _DeterministicReflection.apply(x, widths)
    return padded


class _DeterministicReflection(torch.autograd.Function):
    """Reflection padding whose gradient is summed in a fixed order."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, widths: Widths) -> Tensor:
        ctx.widths = widths
        return F.pad(x, widths, mode="reflect")

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        left, right, top, bottom = ctx.widths
        return _fold(_fold(gradient, -2, top, bottom), -1, left, right), None


def _fold(gradient: Tensor, dim: int, before: int, after: int) -> Tensor:
    """Add the gradients of the reflected pixels, along one dimension, to those of the pixels that they copy."""
    size = gradient.shape[dim] - before - after
    inner = gradient.narrow(dim, before, size).clone()
    if before:
        inner.narrow(dim, 1, before).add_(gradient.narrow(dim, 0, before).flip(dim))
    if after:
        inner.narrow(dim, size - 1 - after, after).add_(gradient.narrow(dim, before + size, after).flip(dim))
    return inner
