"""Decoded samples of a pixel with their meaning, for files whose content no mode of Pillow describes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as Pillow converts to gray
TRANSPARENT = "is transparent everywhere"
_TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {  # an image (H, W, samples) upright, by orientation
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: image.transpose(1, 0, 2)[:, ::-1],
    7: lambda image: image.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda image: image.transpose(1, 0, 2)[::-1],
}


@dataclass
class Samples:
    """values: (H, W, samples), uint8 or float32 in 0..255: the colors, then alpha, then samples without a name."""

    values: np.ndarray
    colors: int  # 1 (gray) or 3 (RGB)
    has_alpha: bool = False  # unassociated: the colors are not multiplied by it
    profile: bytes = b""  # the ICC profile of the colors; empty: sRGB

    @property
    def count(self) -> int:
        return int(self.values.shape[2])

    def turned(self, orientation: int | None) -> Samples:
        """Upright according to EXIF's orientation, which is also that of TIFF 6.0, section 8."""
        if orientation not in _TURNS:
            return self
        return replace(self, values=np.ascontiguousarray(_TURNS[orientation](self.values)))

    def to_channels(self, channels: int, on_transparency: Callable[[], None]) -> np.ndarray:
        """(H, W, channels) in 0..255: see `data.formats.image_reader.read_image` for the meaning of `channels`.

        Raises ValueError if the samples can't be understood as that many channels, or nothing is visible.
        """
        if channels == self.count and not self.has_alpha:
            return self.values  # bands
        unnamed = self.count - self.colors - self.has_alpha
        if channels > 4 or (unnamed > 1 and self.colors == 1) or (unnamed and channels == 4 and self.colors == 3):
            what = "gray" if self.colors == 1 else "RGB"
            raise ValueError(
                f"has {self.count} samples per pixel ({what}{', alpha' if self.has_alpha else ''} and {unnamed} "
                f"without a name): they are read as {self.count} channels, not as {channels}"
            )
        colors = self.values[..., : self.colors]
        alpha = self.values[..., self.colors : self.colors + 1] if self.has_alpha else None
        if alpha is not None and channels in (1, 3):
            colors = _composite(colors, alpha, on_transparency)
        colors = _convert_colors(colors, 1 if channels < 3 else 3)
        if channels in (1, 3):
            return colors
        opaque = np.full_like(colors[..., :1], 255)
        return np.concatenate([colors, opaque if alpha is None else alpha], axis=2)


def _composite(colors: np.ndarray, alpha: np.ndarray, on_transparency: Callable[[], None]) -> np.ndarray:
    """The colors over white."""
    if alpha.min() >= 255:
        return colors
    if alpha.max() <= 0:
        raise ValueError(TRANSPARENT)
    on_transparency()
    opacity = alpha.astype(np.float32) / 255
    return _as_dtype(255 - (255 - colors.astype(np.float32)) * opacity, colors.dtype)


def _convert_colors(colors: np.ndarray, count: int) -> np.ndarray:
    if colors.shape[2] == count:
        return colors
    if count == 3:
        return np.repeat(colors, 3, axis=2)
    if colors.dtype == np.uint8:
        return np.asarray(Image.fromarray(np.ascontiguousarray(colors)).convert("L"))[..., None]
    return np.clip(colors @ LUMA, 0, 255)[..., None]


def _as_dtype(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Values in 0..255, rounded if the type is uint8."""
    return values.round().astype(dtype) if dtype == np.uint8 else np.clip(values, 0, 255).astype(dtype)
