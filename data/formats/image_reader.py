"""Reading an image file of any kind as a tensor (channels, height, width) with values in 0..255."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, ImageSequence
from torch import Tensor

IMAGE_EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
MOST_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 2**26)  # what Pillow refuses to open; below that it only warns
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
_SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N", "I")
_UPRIGHT = {  # by EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class BadImage(Exception):
    """A file that can't be used as an image: its path, and why."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(str(path), reason)
        self.path, self.reason = str(path), reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def read_image(path: Path | str, channels: int, *, on_transparency: Callable[[], None] = lambda: None) -> Tensor:
    """The image as it should be looked at: turned by its EXIF orientation, with `channels` channels.

    1 channel is grey, 3 are RGB, and both put transparent images over white (and call `on_transparency`);
    2 are grey with alpha, 4 RGB with alpha. Any other number is taken from a TIFF with as many pages of grey.

    Returns uint8, or float32 where the file has more than 8 bits of grey; (channels, H, W) in 0..255 either way.
    Raises BadImage for a file that can't be decoded.
    """

    def pixels_of(image: Image.Image) -> Tensor:
        if channels not in (1, 2, 3, 4):
            return _read_pages(image, channels, on_transparency)
        return _to_tensor(_convert(_upright(image), channels, on_transparency), channels)

    return _decode(path, pixels_of)


def _decode(path: Path | str, read: Callable[[Image.Image], Tensor]) -> Tensor:
    """What `read` makes of the opened file; raises BadImage, with a reason, whatever goes wrong."""
    if not os.path.isfile(path) and os.path.exists(path):
        raise BadImage(path, "is no file")  # a pipe would be waited for
    try:
        with Image.open(path) as image:
            return read(image)
    except BadImage:
        raise
    except Image.DecompressionBombError as error:
        raise BadImage(path, "claims more pixels than is safe to decode") from error
    # Pillow's decoders raise whatever a damaged file makes them stumble over.
    except Exception as error:
        raise BadImage(path, _reason(path, error)) from error


def read_labels(path: Path | str, count: int) -> Tensor:
    """Class ids 0..count-1, uint8 (1, H, W), of a file with a single channel; of one with a palette, the indices.

    Raises BadImage for a file that can't be decoded, has colours, or holds other ids.
    """

    def ids_of(image: Image.Image) -> Tensor:
        if image.mode not in ("1", "L", "P", *_SIXTEEN_BIT):
            raise ValueError(f"is no map of class ids, which has a single channel: its pixels are {image.mode}")
        ids = np.array(_upright(image)).astype(np.int64)
        if not 0 <= ids.min() <= ids.max() < count:
            raise ValueError(
                f"holds class ids {ids.min()} to {ids.max()}, and --label_nc {count} takes 0 to {count - 1}"
            )
        return torch.from_numpy(ids.astype(np.uint8))[None]

    return _decode(path, ids_of)


def _reason(path: Path | str, error: Exception) -> str:
    """Why a file could not be decoded, in words for the user."""
    if isinstance(error, FileNotFoundError):
        return "is no longer there"
    if isinstance(error, PermissionError):
        return "can't be opened: no permission"
    if isinstance(error, OSError) and error.strerror:  # of the system; Pillow's own have none
        return f"can't be opened: {error.strerror}"
    if isinstance(error, ValueError) and not isinstance(error, UnicodeError):
        return str(error)
    if Path(path).stat().st_size == 0:
        return "is empty (0 bytes)"
    return f"can't be decoded ({type(error).__name__}: {error})".replace(f" '{path}'", "")


def _upright(image: Image.Image) -> Image.Image:
    """The image turned by its EXIF orientation.

    Not by ImageOps.exif_transpose, which writes the whole EXIF block anew and fails where a byte of it is damaged.
    """
    image.load()  # turns a TIFF already
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # a good image need not have a good EXIF block
        return image
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _read_pages(image: Image.Image, channels: int, on_transparency: Callable[[], None]) -> Tensor:
    count = getattr(image, "n_frames", 1)
    if count != channels:
        raise ValueError(f"has {count} pages; {channels} channels are read from a TIFF with a page for each")
    # Arrays at once: Pillow gives every page as the same object.
    pages = [np.asarray(_convert(page, 1, on_transparency)) for page in ImageSequence.Iterator(image)]
    if len({page.shape for page in pages}) > 1:
        raise ValueError("has pages of different sizes")
    return torch.from_numpy(np.stack(pages))


def _convert(image: Image.Image, channels: int, on_transparency: Callable[[], None]) -> Image.Image:
    """The image in the mode that has these channels; deep grey stays in a mode of its own (F, in 0..255)."""
    if image.mode in _SIXTEEN_BIT or image.mode == "F":
        return _deep_grey(image)
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
    if channels in (1, 3) and image.has_transparency_data:
        with_alpha = image.convert("RGBA")
        if np.asarray(with_alpha.getchannel("A")).min() < 255:
            on_transparency()
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, with_alpha).convert(mode)
    return image if image.mode == mode else image.convert(mode)


def _deep_grey(image: Image.Image) -> Image.Image:
    """16 bits of grey (0..65535), or floating point (0..1), as floating point in 0..255."""
    values = np.asarray(image, dtype=np.float32)
    brightest = 1.0 if image.mode == "F" else 65535.0
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= brightest):
        raise ValueError(f"has values outside 0..{brightest:g}")
    return Image.fromarray(values * (255.0 / brightest))


def _to_tensor(image: Image.Image, channels: int) -> Tensor:
    pixels = np.array(image)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    if len(tensor) == channels:
        return tensor
    # Deep grey for more channels: the same in each colour, opaque.
    colours = tensor.expand(channels, -1, -1).clone()
    if channels in (2, 4):
        colours[-1] = 255
    return colours
