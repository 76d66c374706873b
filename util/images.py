"""Conversion of tensors in [-1, 1] to pictures, and the names of image files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from torchvision.utils import make_grid

if TYPE_CHECKING:
    from torch import Tensor


def to_array(image: Tensor, aspect_ratio: float = 1.0) -> np.ndarray:
    """An image (C, H, W) in [-1, 1] as uint8: (H, W, 3), or with alpha (H, W, 2) for 2 channels, (H, W, 4) for 4.

    1 channel is gray; of 5 and more channels the first three are shown.
    An aspect_ratio above 1 stretches the width, one below 1 the height.
    """
    channels = image.detach()[: image.shape[0] if image.shape[0] <= 4 else 3]
    levels = ((channels.float().cpu() + 1) * 127.5).round().clamp(0, 255)
    array = np.repeat(levels.numpy().astype(np.uint8), 3 if len(channels) == 1 else 1, axis=0).transpose(1, 2, 0)
    if aspect_ratio == 1.0:
        return array
    height, width = array.shape[:2]
    size = round(width * max(1.0, aspect_ratio)), round(height / min(1.0, aspect_ratio))
    return np.asarray(Image.fromarray(np.ascontiguousarray(array)).resize(size, Image.Resampling.BICUBIC))


def to_rgb(array: np.ndarray) -> np.ndarray:
    """A picture of `to_array` as (H, W, 3): composited over white if it has alpha. Live monitors expect that."""
    if array.shape[2] == 3:
        return array
    picture = Image.fromarray(np.ascontiguousarray(array)).convert("RGBA")
    return np.asarray(Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB"))


def grid(images: Tensor, columns: int) -> Tensor:
    """Images (N, C, H, W), N a multiple of `columns`, in rows of one image, (C, N / columns * H, columns * W)."""
    return make_grid(images, nrow=columns, padding=0)[: images.shape[1]]  # it turns one channel into three


def name_below(dataroot: Path, phase: str, path: str) -> str:
    """The path of a file relative to dataroot/<phase>A, <phase>B or <phase>, or to dataroot; elsewhere its name."""
    parts = Path(path).relative_to(dataroot).parts if Path(path).is_relative_to(dataroot) else (Path(path).name,)
    in_a_domain = len(parts) > 1 and parts[0] in (phase, f"{phase}A", f"{phase}B")
    return str(Path(*parts[in_a_domain:]))
