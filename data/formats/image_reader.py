"""Reading an image file as a tensor (channels, height, width) with values in 0..255."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image, ImageSequence
from torch import Tensor

IMAGE_EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
MAX_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 2**26)  # Pillow refuses larger images, and warns at half of it
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
_SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N", "I")
_UPRIGHT = {  # the transposition that turns an image upright, by EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnreadableImage(Exception):
    """A file that can't be used as an image: its path and the reason."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(str(path), reason)
        self.path, self.reason = str(path), reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def __getattr__(name: str) -> Any:
    """The earlier name of UnreadableImage, for datasets of users."""
    if name != "BadImage":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    warnings.warn("BadImage is now UnreadableImage", FutureWarning, stacklevel=2)
    return UnreadableImage


def read_image(path: Path | str, channels: int, *, on_transparency: Callable[[], None] = lambda: None) -> Tensor:
    """The image with `channels` channels, upright according to its EXIF orientation.

    1 channel is gray, 3 are RGB: transparent images are composited over white, and `on_transparency` is called.
    2 channels are gray and alpha, 4 are RGB and alpha. Any other number is read from a TIFF with one gray page for
    each channel.

    Returns (channels, H, W) with values in 0..255: uint8, or float32 if the file has more than 8 bits of gray.
    Raises UnreadableImage for a file that can't be decoded.
    """

    def to_pixels(image: Image.Image) -> Tensor:
        if channels not in (1, 2, 3, 4):
            return _read_pages(image, channels, on_transparency)
        return _to_tensor(_convert(_upright(image), channels, on_transparency), channels)

    return _decode(path, to_pixels)


def image_to_tensor(image: Image.Image, channels: int) -> Tensor:
    """A PIL image as `read_image` returns a file: (channels, H, W), for 1 to 4 channels, with values in 0..255.

    Raises ValueError for gray values outside the range of 16 bits, or of 0..1 for floating point.
    """
    return _to_tensor(_convert(_upright(image), channels, lambda: None), channels)


def read_labels(path: Path | str, count: int) -> Tensor:
    """Class ids 0..count-1 of a file with a single channel, uint8 (1, H, W); the indices of a file with a palette.

    Raises UnreadableImage for a file that can't be decoded, has several channels, or contains other ids.
    """

    def to_ids(image: Image.Image) -> Tensor:
        if image.mode not in ("1", "L", "P", *_SIXTEEN_BIT):
            raise ValueError(f"is not a map of class ids, which has a single channel: its pixels are {image.mode}")
        ids = np.array(_upright(image)).astype(np.int64)
        if not 0 <= ids.min() <= ids.max() < count:
            raise ValueError(
                f"contains class ids {ids.min()} to {ids.max()}, but --label_nc {count} allows 0 to {count - 1}"
            )
        return torch.from_numpy(ids.astype(np.uint8))[None]

    return _decode(path, to_ids)


def _decode(path: Path | str, read: Callable[[Image.Image], Tensor]) -> Tensor:
    """The result of `read` for the opened file. Raises UnreadableImage, with a reason, for any failure."""
    if not os.path.isfile(path) and os.path.exists(path):
        raise UnreadableImage(path, "is not a regular file")  # opening a pipe would block
    try:
        with Image.open(path) as image:
            return read(image)
    except UnreadableImage:
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableImage(path, "declares more pixels than are safe to decode") from error
    # A damaged file can make Pillow's decoders raise any exception.
    except Exception as error:
        raise UnreadableImage(path, _reason(path, error)) from error


def _reason(path: Path | str, error: Exception) -> str:
    """Why a file could not be decoded, as the end of a sentence that begins with its path."""
    if isinstance(error, FileNotFoundError):
        return "no longer exists"
    if isinstance(error, PermissionError):
        return "can't be opened: no permission"
    if isinstance(error, OSError) and error.strerror:  # Pillow's own OSErrors have no strerror
        return f"can't be opened: {error.strerror}"
    if isinstance(error, ValueError) and not isinstance(error, UnicodeError):
        return str(error)
    if Path(path).stat().st_size == 0:
        return "is empty (0 bytes)"
    return f"can't be decoded ({type(error).__name__}: {error})".replace(f" '{path}'", "")


def _upright(image: Image.Image) -> Image.Image:
    """The image, transposed according to its EXIF orientation.

    ImageOps.exif_transpose can't be used: it rewrites the whole EXIF block, and fails if a byte of it is damaged.
    """
    image.load()  # this already transposes a TIFF
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # the pixels are valid even if the EXIF block is not
        return image
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _read_pages(image: Image.Image, channels: int, on_transparency: Callable[[], None]) -> Tensor:
    """The pages of a TIFF as channels. Raises ValueError if their number or sizes don't fit."""
    count = getattr(image, "n_frames", 1)
    if count != channels:
        raise ValueError(f"has {count} pages, but {channels} channels need a TIFF with one page each")
    # Convert to arrays at once: Pillow yields the same object for every page.
    pages = [np.asarray(_convert(page, 1, on_transparency)) for page in ImageSequence.Iterator(image)]
    if len({page.shape for page in pages}) > 1:
        raise ValueError("has pages of different sizes")
    return torch.from_numpy(np.stack(pages))


def _convert(image: Image.Image, channels: int, on_transparency: Callable[[], None]) -> Image.Image:
    """The image in Pillow's mode with these channels; gray of more than 8 bits becomes mode F, in 0..255."""
    if image.mode in _SIXTEEN_BIT or image.mode == "F":
        return _convert_deep_gray(image)
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
    if channels in (1, 3) and image.has_transparency_data:
        with_alpha = image.convert("RGBA")
        if np.asarray(with_alpha.getchannel("A")).min() < 255:
            on_transparency()
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, with_alpha).convert(mode)
    return image if image.mode == mode else image.convert(mode)


def _convert_deep_gray(image: Image.Image) -> Image.Image:
    """Gray of 16 bits (0..65535) or floating point (0..1) as floating point in 0..255."""
    values = np.asarray(image, dtype=np.float32)
    maximum = 1.0 if image.mode == "F" else 65535.0
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= maximum):
        raise ValueError(f"has values outside 0..{maximum:g}")
    return Image.fromarray(values * (255.0 / maximum))


def _to_tensor(image: Image.Image, channels: int) -> Tensor:
    pixels = np.array(image)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    if len(tensor) == channels:
        return tensor
    # Deep gray in more channels: repeated for each color, and opaque.
    colors = tensor.expand(channels, -1, -1).clone()
    if channels in (2, 4):
        colors[-1] = 255
    return colors
