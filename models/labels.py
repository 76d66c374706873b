"""Label maps: class ids as one-hot maps for networks, and as color images for display."""

from __future__ import annotations

import colorsys

import torch
from torch import Tensor

from util import moved

HUE_STEP = 0.618034  # golden ratio - 1: consecutive class ids get distant hues, for any number of classes


def one_hot(ids: Tensor, count: int) -> Tensor:
    """Class ids, uint8 (N, 1, H, W), as float32 (N, count, H, W): 1 in the channel of a pixel's class, else 0."""
    hot = torch.zeros(len(ids), count, *ids.shape[-2:], device=ids.device)
    return hot.scatter_(1, ids.long(), 1.0)


def to_colors(hot: Tensor) -> Tensor:
    """One-hot maps (N, count, H, W) as RGB images (N, 3, H, W) in [-1, 1]: one color for each class, black for 0."""
    colors = [colorsys.hsv_to_rgb(HUE_STEP * i % 1, 0.7, 0.95) for i in range(hot.shape[1])]
    palette = torch.tensor([(0.0, 0.0, 0.0), *colors[1:]], device=hot.device)
    return 2 * palette[hot.argmax(dim=1)].permute(0, 3, 1, 2) - 1


__getattr__ = moved.old_names(__name__, to_colours="models.labels:to_colors")
