"""Between tensors of networks and pictures on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


def to_array(image: Tensor) -> np.ndarray:
    """A picture, uint8 (H, W, 3), of an image (C, H, W) in [-1, 1]: grey for 1 or 2 channels, else the first three."""
    colours = image.detach()[: 3 if image.shape[0] >= 3 else 1]
    levels = ((colours.float().cpu() + 1) * 127.5).round().clamp(0, 255)
    return np.repeat(levels.numpy().astype(np.uint8), 3 // len(colours), axis=0).transpose(1, 2, 0)
