"""Reading an image file as a tensor (channels, height, width) with values in 0..255."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from data.formats import color_profile
from data.formats.decoding import REDUCTION, TOO_MANY_PIXELS, Decoded, Sizes, class_ids, decode, upright
from data.formats.opening import IMAGE_EXTENSIONS, MAX_PIXELS
from data.formats.samples import TRANSPARENT, Samples

__all__ = [
    "IMAGE_EXTENSIONS",
    "MAX_PIXELS",
    "ReadImage",
    "UnreadableImage",
    "read_image",
    "read_labels",
    "read_reduced",
]
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N", "I")
T = TypeVar("T")


class UnreadableImage(Exception):
    """A file that can't be used as an image: its path and the reason."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(str(path), reason)
        self.path, self.reason = str(path), reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True)
class ReadImage:
    """The pixels of a file (C, H, W), decoded at full size or at reduced scale."""

    pixels: Tensor
    size: tuple[int, int]
    """Height and width of the image in the file."""
    factor: int = 1
    """The sides of `pixels` are those of `size` divided by this factor, rounded up."""

    @classmethod
    def whole(cls, pixels: Tensor) -> ReadImage:
        """An image that was decoded at full size."""
        return cls(pixels, (pixels.shape[-2], pixels.shape[-1]))


def __getattr__(name: str) -> Any:
    """The earlier name of UnreadableImage, for datasets of users."""
    if name != "BadImage":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    warnings.warn("BadImage is now UnreadableImage", FutureWarning, stacklevel=2)
    return UnreadableImage


def read_image(
    path: Path | str,
    channels: int,
    *,
    on_transparency: Callable[[], None] = lambda: None,
    icc: str = "ignore",
    on_profile: Callable[[str], None] = lambda name: None,
) -> Tensor:
    """The image with `channels` channels, upright according to its EXIF orientation.

    1 channel is gray, 3 are RGB: transparent images are composited over white, and `on_transparency` is called.
    2 channels are gray and alpha, 4 are RGB and alpha. A TIFF with as many samples per pixel, of which none is alpha,
    is read as it is; any other number is also read from a TIFF with one gray page for each channel.
    A color profile other than sRGB is passed to `on_profile` by its name, and converted to sRGB if `icc` is "srgb".

    Returns (channels, H, W) with values in 0..255: uint8, or float32 if the file has more than 8 bits per sample.
    Raises UnreadableImage for a file that can't be decoded, and one that is transparent everywhere if its
    transparency is not a channel.
    """

    def convert(decoded: Decoded, count: int) -> Tensor:
        return _convert_decoded(decoded, count, on_transparency, icc, on_profile)

    def read() -> Tensor:
        if channels in (1, 2, 3, 4):
            return convert(decode(path)[0], channels)
        pages = decode(path, every_page=True)
        if len(pages) == 1 and isinstance(pages[0], Samples):
            return convert(pages[0], channels)
        return _stack_pages(pages, channels, convert)

    return _guard(path, read)


def read_reduced(
    path: Path | str,
    channels: int,
    needed: Sizes | None,
    *,
    on_transparency: Callable[[], None] = lambda: None,
    icc: str = "ignore",
    on_profile: Callable[[str], None] = lambda name: None,
) -> ReadImage:
    """The image as `read_image` returns it, but reduced if it is a JPEG whose sides are at least twice those needed.

    Such a JPEG is decoded at the smallest of 1/8, 1/4 and 1/2 that is at least `needed(height, width)`. libjpeg then
    computes the inverse cosine transform at that size, which averages pixels. If `needed` is None, nothing is reduced.

    Raises UnreadableImage, see `read_image`.
    """
    if needed is None or channels not in (1, 2, 3, 4):
        return ReadImage.whole(
            read_image(path, channels, on_transparency=on_transparency, icc=icc, on_profile=on_profile)
        )

    def read() -> ReadImage:
        decoded = decode(path, needed=needed)[0]
        pixels = _convert_decoded(decoded, channels, on_transparency, icc, on_profile)
        if isinstance(decoded, Samples) or REDUCTION not in decoded.info:
            return ReadImage.whole(pixels)
        factor, *size = decoded.info[REDUCTION]
        return ReadImage(pixels, (size[0], size[1]), factor)

    return _guard(path, read)


def _in_srgb(decoded: Decoded, icc: str, on_profile: Callable[[str], None]) -> Decoded:
    """Report a color profile other than sRGB, and convert its colors if `icc` is "srgb"."""
    profile = decoded.profile if isinstance(decoded, Samples) else decoded.info.get("icc_profile")
    if not isinstance(profile, bytes) or not profile or not (name := color_profile.name_if_not_srgb(profile)):
        return decoded
    on_profile(name)
    if icc != "srgb":
        return decoded
    if isinstance(decoded, Samples):
        return color_profile.samples_to_srgb(decoded)
    return color_profile.to_srgb(decoded, profile)


def image_to_tensor(image: Image.Image, channels: int, icc: str = "ignore") -> Tensor:
    """A PIL image as `read_image` returns a file: (channels, H, W), for 1 to 4 channels, with values in 0..255.

    Raises ValueError for gray values outside the range of 16 bits, or of 0..1 for floating point, and for an image that
    is transparent everywhere.
    """
    image.load()  # this turns a TIFF upright
    return _convert_decoded(upright(image), channels, lambda: None, icc, lambda name: None)


def _convert_decoded(
    decoded: Decoded, channels: int, on_transparency: Callable[[], None], icc: str, on_profile: Callable[[str], None]
) -> Tensor:
    """Decoded pixels as `read_image` returns them."""
    decoded = _in_srgb(decoded, icc, on_profile)
    if isinstance(decoded, Samples):
        pixels = decoded.to_channels(channels, on_transparency)
        return torch.from_numpy(np.require(pixels, requirements=["C", "W"])).permute(2, 0, 1)  # not read-only
    return _to_tensor(_convert(decoded, channels, on_transparency), channels)


def read_labels(path: Path | str, count: int) -> Tensor:
    """Class ids 0..count-1 of a file with a single channel, uint8 (1, H, W); the indices of a file with a palette.

    Raises UnreadableImage for a file that can't be decoded, has several channels, or contains other ids.
    """

    def read() -> Tensor:
        ids = class_ids(path)
        if not 0 <= ids.min() <= ids.max() < count:
            raise ValueError(
                f"contains class ids {ids.min()} to {ids.max()}, but --label_nc {count} allows 0 to {count - 1}"
            )
        return torch.from_numpy(ids.astype(np.uint8))[None]

    return _guard(path, read)


def _guard(path: Path | str, read: Callable[[], T]) -> T:
    """The result of `read` for the file. Raises UnreadableImage, with a reason, for any failure."""
    if not os.path.isfile(path) and os.path.exists(path):
        raise UnreadableImage(path, "is not a regular file")  # opening a pipe would block
    try:
        return read()
    except UnreadableImage:
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableImage(path, TOO_MANY_PIXELS) from error
    except MemoryError as error:
        raise UnreadableImage(path, "needs more memory than is available") from error
    # A damaged file can make decoders raise any exception.
    except Exception as error:
        raise UnreadableImage(path, _reason(path, error)) from error


def _reason(path: Path | str, error: Exception) -> str:
    """Why a file could not be decoded, as the end of a sentence that begins with its path."""
    if isinstance(error, FileNotFoundError):
        return "does not exist"
    if isinstance(error, PermissionError):
        return "can't be opened: no permission"
    if isinstance(error, OSError) and error.strerror:  # Pillow's own OSErrors have no strerror
        return f"can't be opened: {error.strerror}"
    if isinstance(error, ValueError) and not isinstance(error, UnicodeError):
        return str(error)
    if Path(path).stat().st_size == 0:
        return "is empty (0 bytes)"
    text = re.sub(r" (<_io\.BytesIO[^>]*>|'" + re.escape(str(path)) + "')", "", str(error))
    return f"can't be decoded ({type(error).__name__}: {text})"


def _stack_pages(pages: list[Decoded], channels: int, convert: Callable[[Decoded, int], Tensor]) -> Tensor:
    """The pages of a TIFF as channels. Raises ValueError if their number or sizes don't fit."""
    if len(pages) != channels:
        raise ValueError(f"has {len(pages)} pages, but {channels} channels need a TIFF with one page each")
    planes = [convert(page, 1) for page in pages]
    if len({plane.shape for plane in planes}) > 1:
        raise ValueError("has pages of different sizes")
    return torch.cat(planes)


def _convert(image: Image.Image, channels: int, on_transparency: Callable[[], None]) -> Image.Image:
    """The image in Pillow's mode with these channels; gray of more than 8 bits becomes mode F, in 0..255."""
    if image.mode in SIXTEEN_BIT or image.mode == "F":
        return _convert_deep_gray(image)
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
    if channels in (1, 3) and image.has_transparency_data:
        with_alpha = image.convert("RGBA")
        alpha = np.asarray(with_alpha.getchannel("A"))
        if alpha.max() == 0:
            raise ValueError(TRANSPARENT)
        if alpha.min() < 255:
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
