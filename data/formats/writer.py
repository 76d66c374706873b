"""Write an image file with the depth, resolution and color profile of another file, in the format of its extension."""

from __future__ import annotations

import io
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from PIL import Image, JpegImagePlugin
from torch import Tensor

from data.formats import png
from data.formats.decoding import TIFF_HEADS
from data.formats.opening import FORMATS, open_image
from util.files import atomic_open

QUALITY = 95  # of JPEG and of lossy WebP
CHANNELS = {"JPEG": (1, 3), "PNG": (1, 2, 3, 4), "WEBP": (1, 2, 3, 4), "BMP": (1, 3, 4), "PPM": (1, 3)}  # TIFF: any
WITH_RESOLUTION, WITH_PROFILE = ("JPEG", "PNG", "BMP"), ("JPEG", "PNG", "WEBP")  # and TIFF
UINT8, UINT16, FLOAT32 = np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32)


@dataclass(frozen=True)
class Traits:
    """The properties of an image file that a translation of it keeps."""

    dtype: np.dtype = UINT8
    """uint8, uint16, or float32 for a TIFF of floating point numbers."""
    dpi: tuple[float, float] | None = None
    profile: bytes = b""
    """The ICC profile."""
    subsampling: int = -1
    """The chroma subsampling of a JPEG, in Pillow's numbering; -1: Pillow's default."""
    is_lossless: bool = False
    """Whether it is a lossless WebP."""
    has_bands: bool = False
    """Whether it is a TIFF whose samples beyond the colors are not alpha."""


def traits(path: Path, pixels: Tensor) -> Traits:
    """The traits of a file that `read_image` has read as `pixels`; damaged metadata is ignored."""
    with open(path, "rb") as file:
        head = file.read(4096)
    if head.startswith(TIFF_HEADS):
        return _traits_of_tiff(path, pixels)
    depth = UINT8 if pixels.dtype == torch.uint8 else UINT16
    with suppress(Exception), open_image(path) as image:
        dpi, profile = _resolution(image), image.info.get("icc_profile") or b""
        is_jpeg = isinstance(image, JpegImagePlugin.JpegImageFile)
        subsampling = JpegImagePlugin.get_sampling(image) if is_jpeg else -1
        return Traits(depth, dpi, profile, subsampling, is_lossless=image.format == "WEBP" and b"VP8L" in head)
    return Traits(depth)


def _traits_of_tiff(path: Path, pixels: Tensor) -> Traits:
    from data.formats import tiff_tags  # here: tifffile takes a tenth of a second to import

    depth: np.dtype = UINT8 if pixels.dtype == torch.uint8 else UINT16
    try:
        tags = tiff_tags.read_tags(path, every_page=False)[1][0]
    except Exception:
        return Traits(depth)
    if tags.formats[0] == tiff_tags.FLOAT:
        depth = FLOAT32
    dpi: tuple[float, float] | None = None
    with suppress(Exception), open_image(path) as image:
        dpi = _resolution(image)
    alpha = {tiff_tags.ASSOCIATED, tiff_tags.UNASSOCIATED, 999}
    has_bands = bool(tags.extra_samples) and not alpha & set(tags.extra_samples)
    return Traits(depth, dpi, tags.icc_profile, has_bands=has_bands)


def _resolution(image: Image.Image) -> tuple[float, float] | None:
    """Pixels per inch, horizontally and vertically, if every format can store them."""
    dpi = image.info.get("dpi")
    if dpi is None or not all(1 <= float(value) <= 32767 for value in dpi):  # also not NaN
        return None
    return float(dpi[0]), float(dpi[1])


def to_samples(image: Tensor, dtype: np.dtype) -> np.ndarray:
    """An image (C, H, W) in [-1, 1] as (H, W, C): 0..255 for uint8, 0..65535 for uint16, 0..1 for floating point."""
    values = image.detach().float() + 1
    if dtype.kind == "f":
        scaled = values.div_(2).clamp_(0, 1)
    else:
        maximum = np.iinfo(dtype).max
        scaled = values.mul_(maximum / 2).round_().clamp_(0, maximum)
    if dtype == UINT8:
        scaled = scaled.to(torch.uint8)  # on the device: less to copy
    return scaled.permute(1, 2, 0).contiguous().cpu().numpy().astype(dtype, copy=False)


def to_picture(image: Tensor, dtype: np.dtype = UINT8) -> Image.Image:
    """An image (C, H, W) in [-1, 1] as a PIL image: L, LA, RGB or RGBA.

    One channel of uint16 becomes I;16, and of floating point F; PIL has no color modes with more than 8 bits.
    Raises ValueError for more than 4 channels.
    """
    channels = len(image)
    if channels > 4:
        raise ValueError(f"the translation has {channels} channels, and a PIL image has at most 4: pass an array")
    if channels > 1:
        return Image.fromarray(to_samples(image, UINT8))
    return Image.fromarray(to_samples(image, FLOAT32 if dtype.kind == "f" else dtype)[..., 0])


def format_of(path: Path) -> str:
    """The format for a file name, a key of FORMATS. Raises KeyError for an extension that is not supported."""
    return {extension: name for name, extensions in FORMATS.items() for extension in extensions}[path.suffix.lower()]


def write_image(path: Path, image: Tensor, like: Traits = Traits()) -> None:
    """Write an image (C, H, W) in [-1, 1], in the format of the file's extension; a reader never sees a partial file.

    The depth of `like` is reduced to what the format supports: 16 bits for PNG and gray PPM, 8 for JPEG, WebP and BMP.
    Raises ValueError for a number of channels that the format can't store.
    """
    name, channels = format_of(path), len(image)
    if name in CHANNELS and channels not in CHANNELS[name]:
        raise ValueError(
            f"its translation has {channels} channels, which {name} can't store: convert the image to TIFF or PNG"
        )
    profile = like.profile if _fits(like.profile, channels) else b""
    with atomic_open(path) as file:
        if name == "TIFF":
            _write_tiff(file, to_samples(image, like.dtype), like, profile)
        elif name == "PNG" and like.dtype != UINT8:
            file.write(png.encode(to_samples(image, UINT16), profile, like.dpi))
        else:
            _write_by_pillow(file, image, name, like, profile)


def _fits(profile: bytes, channels: int) -> bool:
    """Whether an ICC profile is for the color space of an image with that many channels."""
    return profile[16:20] == (b"GRAY" if channels <= 2 else b"RGB ") and channels <= 4


def _write_by_pillow(file: BinaryIO, image: Tensor, name: str, like: Traits, profile: bytes) -> None:
    settings: dict[str, Any] = {}
    if name == "JPEG":
        settings = {"quality": QUALITY, "subsampling": like.subsampling if len(image) == 3 else -1}
    elif name == "WEBP":
        settings = {"quality": QUALITY, "lossless": like.is_lossless}
    if name in WITH_PROFILE and profile:
        settings["icc_profile"] = profile
    if name in WITH_RESOLUTION and like.dpi:
        settings["dpi"] = like.dpi
    is_deep = name == "PPM" and like.dtype != UINT8
    content = io.BytesIO()  # some of Pillow's writers seek
    to_picture(image, UINT16 if is_deep else UINT8).save(content, name, **settings)
    file.write(content.getvalue())


def _write_tiff(file: BinaryIO, samples: np.ndarray, like: Traits, profile: bytes) -> None:
    import tifffile

    channels = samples.shape[2]
    colors = 3 if channels in (3, 4) and not like.has_bands else 1
    kind = "unspecified" if channels > 4 or like.has_bands else "unassalpha"
    settings: dict[str, Any] = {"resolution": like.dpi, "resolutionunit": "INCH"} if like.dpi else {}
    tifffile.imwrite(
        file,
        samples if channels > 1 else samples[..., 0],
        photometric="rgb" if colors == 3 else "minisblack",
        planarconfig="contig" if channels > 1 else None,
        extrasamples=[kind] * (channels - colors) or None,
        iccprofile=profile or None,
        metadata=None,
        **settings,
    )
