"""The tags of a TIFF page that determine the meaning of its pixels, and whether Pillow's mode agrees with them."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

UNSIGNED, SIGNED, FLOAT, UNDEFINED, COMPLEX, COMPLEX_FLOAT = 1, 2, 3, 4, 5, 6  # SampleFormat
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, MASK, CMYK, YCBCR, CIELAB = 0, 1, 2, 3, 4, 5, 6, 8  # Photometric...
COLORS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, MASK: 1, CMYK: 4, YCBCR: 3, CIELAB: 3}
ASSOCIATED, UNASSOCIATED = 1, 2  # values of ExtraSamples
NO_COMPRESSION, JPEG = 1, 7
DEFAULT_BLACK_WHITE = (0, 255, 128, 255, 128, 255)  # of YCbCr
MAX_SAMPLES = 1024  # per pixel
MAX_PAGES = 4096
logging.getLogger("tifffile").addHandler(logging.NullHandler())  # else its warnings are printed


@dataclass(frozen=True)
class Tags:
    """One page of a TIFF (TIFF 6.0; Adobe Photoshop Technical Notes for compression and predictor 3)."""

    width: int
    height: int
    bits: tuple[int, ...]  # of each sample
    formats: tuple[int, ...]  # SampleFormat of each sample
    photometric: int | None  # None: the tag is missing
    compression: int
    planar: int
    predictor: int
    fill_order: int
    extra: tuple[int, ...]  # ExtraSamples
    orientation: int
    big_endian: bool
    offsets: tuple[int, ...]  # of strips or tiles, in bytes from the start of the file
    counts: tuple[int, ...]  # their lengths in bytes
    is_tiled: bool
    segment: tuple[int, int]  # height and width of a strip or tile
    color_map: tuple[int, ...]
    ink_set: int
    subsampling: tuple[int, int] | None  # of YCbCr, horizontal and vertical; None: the tag is missing
    coefficients: tuple[float, ...]
    black_white: tuple[float, ...]
    subfile_type: int
    icc_profile: bytes

    @property
    def samples(self) -> int:
        return len(self.bits)

    @property
    def extra_samples(self) -> tuple[int, ...]:
        """The meaning of each sample after the colors; 0 (unspecified) if the file does not tell."""
        count = self.samples - COLORS.get(self.photometric or 0, 1)
        return (self.extra[-count:] if count > 0 else ()) or (0,) * count


def read_tags(path: Path | str, every_page: bool) -> tuple[int, list[Tags]]:
    """The index of the page to read and its tags; with `every_page`, 0 and the tags of all pages.

    The page to read is the first that is neither a reduced version of another one (NewSubfileType 1) nor a mask (4).
    Raises whatever tifffile raises for a damaged file, and ValueError for absurd values.
    """
    found: list[Tags] = []
    with tifffile.TiffFile(str(path)) as file:
        for index, page in enumerate(file.pages):
            if index == MAX_PAGES:
                raise ValueError(f"has more than {MAX_PAGES} pages")
            tags = page.tags if isinstance(page, tifffile.TiffPage) else page.aspage().tags
            found.append(create_tags(tags.valueof, file.byteorder == ">"))
            if not every_page and not found[-1].subfile_type & 5:
                return index, found[-1:]
    if not found:
        raise ValueError("has no pages")
    return 0, found if every_page else found[:1]


def create_tags(value_of: Callable[[int], Any], big_endian: bool) -> Tags:
    """The tags of a page by a function that returns the value of a tag by its code, or None."""

    def numbers(code: int, default: Sequence[Any] = ()) -> tuple[Any, ...]:
        value = value_of(code)
        if value is None or isinstance(value, (bytes, str)):
            return tuple(default)
        return tuple(np.ravel(np.asarray(value)).tolist())

    def number(code: int, default: int) -> int:
        return int((numbers(code) or (default,))[0])

    samples = number(277, 1)
    if not 1 <= samples <= MAX_SAMPLES:
        raise ValueError(f"declares {samples} samples per pixel")
    width, height = number(256, 0), number(257, 0)
    is_tiled = value_of(324) is not None
    segment = (number(323, 0), number(322, 0)) if is_tiled else (min(number(278, height), height), width)
    subsampling, profile = numbers(530), value_of(34675)
    return Tags(
        width=width,
        height=height,
        bits=_each(numbers(258, (1,)), samples),
        formats=_each(numbers(339, (UNSIGNED,)), samples),
        photometric=None if value_of(262) is None else number(262, 0),
        compression=number(259, NO_COMPRESSION),
        planar=number(284, 1),
        predictor=number(317, 1),
        fill_order=number(266, 1),
        extra=tuple(map(int, numbers(338))),
        orientation=number(274, 1),
        big_endian=big_endian,
        offsets=tuple(map(int, numbers(324 if is_tiled else 273))),
        counts=tuple(map(int, numbers(325 if is_tiled else 279))),
        is_tiled=is_tiled,
        segment=segment,
        color_map=tuple(map(int, numbers(320))),
        ink_set=number(332, 1),
        subsampling=(int(subsampling[0]), int(subsampling[1])) if len(subsampling) == 2 else None,
        coefficients=_rationals(numbers(529), 3),
        black_white=_rationals(numbers(532), 6),
        subfile_type=number(254, 0),
        icc_profile=profile if isinstance(profile, bytes) else b"",
    )


def _each(values: tuple[Any, ...], samples: int) -> tuple[int, ...]:
    """A value for each sample; a file may give one for all, or too many."""
    if len(values) == 1:
        values = values * samples
    if len(values) < samples:
        raise ValueError(f"has {samples} samples per pixel, but describes {len(values)}")
    return tuple(int(value) for value in values[:samples])


def _rationals(values: tuple[Any, ...], count: int) -> tuple[float, ...]:
    """`count` fractions as numbers; tifffile gives numerators and denominators in turn."""
    if len(values) == 2 * count:
        pairs = zip(values[::2], values[1::2], strict=True)
        return tuple(float(top) / float(bottom) if bottom else math.nan for top, bottom in pairs)
    return tuple(map(float, values)) if len(values) == count else ()


def describes_mode(tags: Tags) -> bool:
    """Whether Pillow's mode of this page, if it opens it at all, has the meaning that the tags give its pixels."""
    if len(set(tags.bits)) != 1 or len(set(tags.formats)) != 1:
        return False
    bits, kind, samples, photometric = tags.bits[0], tags.formats[0], tags.samples, tags.photometric or 0
    if tags.planar != 1 and tags.compression == NO_COMPRESSION:  # Pillow drops a part of its raw mode
        return False
    if samples == 1 and photometric <= BLACK_IS_ZERO:
        return _describes_gray(tags, bits, kind, photometric)
    if kind != UNSIGNED or (tags.planar != 1 and photometric != YCBCR and tags.compression != JPEG):
        return False
    if photometric == PALETTE:
        return samples == 1 and bits <= 8 and max(tags.color_map, default=0) > 255
    if bits != 8:
        return False
    return _describes_8_bits(tags, photometric)


def _describes_gray(tags: Tags, bits: int, kind: int, photometric: int) -> bool:
    """As `describes_mode`, for pages of gray without extra samples."""
    if kind == UNSIGNED and bits in (1, 2, 4, 8):
        return True
    if photometric != BLACK_IS_ZERO or tags.fill_order != 1:
        return False
    if kind == UNSIGNED and bits == 16:
        return True
    is_deep = (kind in (UNSIGNED, SIGNED) and bits in (16, 32)) or (kind, bits) == (FLOAT, 32)
    # libtiff returns decompressed numbers in the order of the machine, but Pillow expects that of the file.
    return is_deep and (tags.compression == NO_COMPRESSION or not tags.big_endian)


def _describes_8_bits(tags: Tags, photometric: int) -> bool:
    """As `describes_mode`, for pages of unsigned 8-bit samples in several colors or with alpha."""
    extra = tags.extra_samples
    if photometric == BLACK_IS_ZERO:
        return extra == (UNASSOCIATED,)
    if photometric == RGB:
        return extra in ((), (ASSOCIATED,), (UNASSOCIATED,), (999,))  # 999: alpha, by Corel Draw 10
    if photometric == CMYK:
        return not extra and tags.ink_set == 1
    if photometric == YCBCR:
        if tags.compression != NO_COMPRESSION:
            return not extra  # libtiff converts
        is_plain = tags.coefficients in ((), (0.299, 0.587, 0.114)) and tags.subsampling == (1, 1)
        return not extra and is_plain and tags.black_white in ((), DEFAULT_BLACK_WHITE)
    return photometric == CIELAB and not extra
