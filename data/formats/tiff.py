"""Reading a TIFF by its tags where Pillow's mode does not have the meaning that they give the pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data.formats.samples import Samples
from data.formats.tiff_segments import RATIOS, describe, read_samples
from data.formats.tiff_tags import (
    ASSOCIATED,
    BLACK_IS_ZERO,
    CMYK,
    COLORS,
    DEFAULT_BLACK_WHITE,
    FLOAT,
    NO_COMPRESSION,
    PALETTE,
    RGB,
    SIGNED,
    UNASSOCIATED,
    WHITE_IS_ZERO,
    YCBCR,
    Tags,
)

READABLE = (*RATIOS,)  # values of Compression
MAX_SAMPLES = 2**30  # of all pixels together
NAMES = {4: "a transparency mask", 8: "CIE Lab", 9: "ICC Lab", 10: "ITU Lab", 32803: "a color filter array (raw)"}
NAMES |= {32844: "LogL", 32845: "LogLuv", 34892: "linear raw", 6: "YCbCr"}
BT_601 = (0.299, 0.587, 0.114)


def check_claim(path: Path | str, tags: Tags) -> None:
    """Raises ValueError, before anything is allocated, if a file of this size can't contain the pixels it declares."""
    size = Path(path).stat().st_size
    needed = tags.width * tags.height * sum(tags.bits) // 8
    ratio = RATIOS.get(tags.compression)
    # Chroma may be stored with fewer pixels.
    if ratio and needed > (4 if tags.photometric == YCBCR else 1) * ratio * size:
        raise ValueError(f"can't be decoded (cut off: {size} bytes can't contain {tags.width}x{tags.height} pixels)")


def decode(path: Path | str, tags: Tags) -> Samples:
    """The page's samples in 0..255: uint8 if it has at most 8 bits, else float32.

    Unsigned integers of n bits fill 0..2^n - 1 (of 32 bits: 0..65535, as in Pillow's mode I); signed integers are read
    on the scale of unsigned ones; floating point numbers fill 0..1.
    Raises ValueError if the page is damaged, of an unsupported kind, or has values outside its range.
    """
    photometric = BLACK_IS_ZERO if tags.photometric is None else tags.photometric
    if photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR):
        name = NAMES.get(photometric, f"PhotometricInterpretation {photometric}")
        raise ValueError(f"is {name} in {describe(tags)}, which is not supported")
    if tags.samples < COLORS[photometric]:
        raise ValueError(f"declares {tags.samples} samples per pixel, but its colors need {COLORS[photometric]}")
    if tags.width * tags.height * tags.samples > MAX_SAMPLES:
        raise ValueError("declares more pixels than are safe to decode")
    if photometric == YCBCR:
        values = _from_ycbcr(path, tags)
    elif photometric == PALETTE:
        values = _from_palette(read_samples(path, tags), tags)
    else:
        values = _scale(read_samples(path, tags), tags)
    if photometric == WHITE_IS_ZERO:
        values[..., 0] = 255 - values[..., 0]
    elif photometric == CMYK:
        values = _from_cmyk(values, tags)
    samples = _with_alpha(values, tags.extra_samples, 1 if photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO) else 3)
    samples.profile = tags.icc_profile
    return samples.turned(tags.orientation)


def stored_values(path: Path | str, tags: Tags) -> np.ndarray:
    """The integers (H, W) of a page with one sample, as they are stored: class ids, or indices into a palette."""
    if tags.samples != 1 or tags.formats[0] == FLOAT:
        raise ValueError(f"is not a map of class ids, which has a single channel: it has {describe(tags)}")
    values = read_samples(path, tags)
    return Samples(values, colors=1).turned(tags.orientation).values[..., 0]


def _maximum(tags: Tags) -> int:
    """The value of full intensity."""
    if tags.formats[0] == FLOAT:
        return 1
    return 2 ** (16 if tags.bits[0] == 32 else tags.bits[0]) - 1


def _scale(values: np.ndarray, tags: Tags) -> np.ndarray:
    """The values in 0..255. Raises ValueError if one is outside the range of its type."""
    maximum = _maximum(tags)
    if tags.formats[0] in (SIGNED, FLOAT) or tags.bits[0] == 32:
        lowest, highest = values.min(), values.max()
        if not (np.isfinite(lowest) and np.isfinite(highest) and lowest >= 0 and highest <= maximum):
            raise ValueError(f"has values outside 0..{maximum}")
    if tags.formats[0] == FLOAT:
        return values.astype(np.float32) * np.float32(255)
    if maximum == 255:
        return values.astype(np.uint8)
    if maximum < 255:
        return (values.astype(np.float32) * (255 / maximum)).round().astype(np.uint8)
    return values.astype(np.float32) * np.float32(255 / maximum)


def _from_palette(indices: np.ndarray, tags: Tags) -> np.ndarray:
    """The colors of the palette: 16 bits each, or 8 if no entry needs more, as some programs write."""
    if tags.formats[0] in (SIGNED, FLOAT) or tags.bits[0] > 16:
        raise ValueError(f"has a palette for {describe(tags)}")
    count = 2 ** tags.bits[0]
    if len(tags.color_map) != 3 * count:
        raise ValueError(f"has a palette of {len(tags.color_map)} entries instead of {3 * count}")
    palette = np.array(tags.color_map, dtype=np.int64).reshape(3, count).T
    if palette.min() < 0 or palette.max() > 65535:
        raise ValueError("has a palette with values outside 0..65535")
    colors = (palette if palette.max() <= 255 else palette // 256).astype(np.uint8)
    rest = indices[..., 1:]
    scaled = [] if not rest.shape[2] else [_scale(rest, tags).astype(np.uint8)]
    return np.concatenate([colors[indices[..., 0]], *scaled], axis=2)


def _from_cmyk(values: np.ndarray, tags: Tags) -> np.ndarray:
    """RGB as Pillow converts CMYK, without a color profile; further samples stay."""
    if tags.ink_set != 1:
        raise ValueError("is printed in inks other than CMYK")
    key = 255 - values[..., 3:4].astype(np.float32)
    colors = (255 - values[..., :3].astype(np.float32)) * key / 255
    if values.dtype == np.uint8:
        colors = colors.round().astype(np.uint8)
    return np.concatenate([colors, values[..., 4:]], axis=2)


def _with_alpha(values: np.ndarray, extra: tuple[int, ...], colors: int) -> Samples:
    """The samples with alpha, if there is one, directly after the colors and not multiplied into them."""
    place = next((place for place, kind in enumerate(extra) if kind in (ASSOCIATED, UNASSOCIATED, 999)), None)
    if place is None:
        return Samples(values, colors)
    order = [*range(colors), colors + place, *(colors + i for i in range(len(extra)) if i != place)]
    values = values[..., order]
    if extra[place] == ASSOCIATED:
        alpha = values[..., colors : colors + 1].astype(np.float32)
        plain = np.minimum(values[..., :colors] * (255 / np.where(alpha > 0, alpha, 255)), 255)
        values[..., :colors] = plain.round() if values.dtype == np.uint8 else plain
    return Samples(values, colors, has_alpha=True)


# YCbCr.


def _from_ycbcr(path: Path | str, tags: Tags) -> np.ndarray:
    """RGB, uint8, of YCbCr that is not compressed (TIFF 6.0, sections 20 and 21)."""
    if tags.bits[0] != 8 or tags.formats[0] != 1 or tags.samples != 3 or tags.compression != NO_COMPRESSION:
        raise ValueError(f"is YCbCr in {describe(tags)}, compression {tags.compression}: not supported")
    full = tags.width * tags.height * 3
    horizontal, vertical = tags.subsampling or ((1, 1) if sum(tags.counts) >= full else (2, 2))
    if (horizontal, vertical) == (1, 1):
        values = read_samples(path, tags)
    else:
        values = _read_subsampled(path, tags, horizontal, vertical)
    low_y, high_y, low_cb, high_cb, low_cr, high_cr = tags.black_white or DEFAULT_BLACK_WHITE
    if not min(high_y - low_y, high_cb - low_cb, high_cr - low_cr) > 0:
        raise ValueError("has a ReferenceBlackWhite that makes no sense")
    luma = (values[..., 0].astype(np.float32) - low_y) * (255 / (high_y - low_y))
    blue = (values[..., 1].astype(np.float32) - low_cb) * (127 / (high_cb - low_cb))
    red = (values[..., 2].astype(np.float32) - low_cr) * (127 / (high_cr - low_cr))
    of_red, of_green, of_blue = tags.coefficients or BT_601
    if not of_green > 0:
        raise ValueError("has YCbCrCoefficients that make no sense")
    r = luma + red * (2 - 2 * of_red)
    b = luma + blue * (2 - 2 * of_blue)
    g = (luma - of_red * r - of_blue * b) / of_green
    return np.clip(np.stack([r, g, b], axis=-1), 0, 255).round().astype(np.uint8)


def _read_subsampled(path: Path | str, tags: Tags, horizontal: int, vertical: int) -> np.ndarray:
    """Y, Cb and Cr (H, W, 3) of strips in units of horizontal x vertical values of Y, one of Cb and one of Cr."""
    rows = tags.segment[0]
    is_supported = horizontal in (1, 2, 4) and vertical in (1, 2, 4) and not tags.is_tiled and tags.planar == 1
    if not is_supported or rows < 1 or (rows % vertical and rows != tags.height):
        raise ValueError(f"is YCbCr with a subsampling of {horizontal}x{vertical} that is not supported")
    if Path(path).stat().st_size < tags.width * tags.height or len(tags.offsets) < -(-tags.height // rows):
        raise ValueError(f"can't be decoded (cut off: it can't contain {tags.width}x{tags.height} pixels)")
    across = -(-tags.width // horizontal)
    image = np.empty((tags.height, tags.width, 3), np.uint8)
    with open(path, "rb") as file:
        for top, offset in zip(range(0, tags.height, rows), tags.offsets, strict=False):
            down = -(-min(rows, tags.height - top) // vertical)
            unit = horizontal * vertical + 2
            file.seek(offset)
            data = file.read(down * across * unit)
            if len(data) < down * across * unit:
                raise ValueError("can't be decoded (cut off)")
            units = np.frombuffer(data, np.uint8).reshape(down, across, unit)
            blocks = units[..., :-2].reshape(down, across, vertical, horizontal)
            luma = blocks.transpose(0, 2, 1, 3).reshape(down * vertical, across * horizontal)
            chroma = units[..., -2:].repeat(vertical, axis=0).repeat(horizontal, axis=1)
            part = image[top : top + rows]
            part[..., 0] = luma[: len(part), : tags.width]
            part[..., 1:] = chroma[: len(part), : tags.width]
    return image
