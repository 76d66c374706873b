"""Maps of class ids as what a network takes, and as something to look at."""

from __future__ import annotations

import colorsys

import torch
from torch import Tensor

GOLDEN = 0.618034  # of the colour circle: neighbouring ids get distant hues, however many there are


def one_hot(ids: Tensor, count: int) -> Tensor:
    """Class ids, uint8 (N, 1, H, W), as float32 (N, count, H, W): 1 in the channel of a pixel's class, else 0."""
    hot = torch.zeros(len(ids), count, *ids.shape[-2:], device=ids.device)
    return hot.scatter_(1, ids.long(), 1.0)


def to_colours(hot: Tensor) -> Tensor:
    """One-hot maps (N, count, H, W) as images (N, 3, H, W) in [-1, 1]: a colour for each class, black for 0."""
    hues = [colorsys.hsv_to_rgb(GOLDEN * i % 1, 0.7, 0.95) for i in range(hot.shape[1])]
    palette = torch.tensor([(0.0, 0.0, 0.0), *hues[1:]], device=hot.device)
    return 2 * palette[hot.argmax(dim=1)].permute(0, 3, 1, 2) - 1
