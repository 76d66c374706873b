"""BMP without compression whose masks or palette Pillow can't express, or gets wrong."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from data.formats.samples import Samples

RGB, BITFIELDS, ALPHA_BITFIELDS = 0, 3, 6  # values of Compression
DEFAULT_MASKS = {16: (0x7C00, 0x3E0, 0x1F, 0), 32: (0xFF0000, 0xFF00, 0xFF, 0)}
PLAIN_MASKS = {  # as Pillow reads them
    16: ((0x7C00, 0x3E0, 0x1F, 0), (0xF800, 0x7E0, 0x1F, 0)),
    32: (
        (0xFF0000, 0xFF00, 0xFF, 0),
        (0xFF000000, 0xFF0000, 0xFF00, 0),
        (0xFF000000, 0xFF00, 0xFF, 0),
        (0xFF0000, 0xFF00, 0xFF, 0xFF000000),
        (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
    ),
}
HEADERS = (12, 40, 52, 56, 64, 108, 124)


@dataclass(frozen=True)
class Header:
    """What the headers of a BMP say about its pixels."""

    width: int
    height: int
    is_top_down: bool
    bits: int
    compression: int
    offset: int  # of the pixels in the file
    masks: tuple[int, int, int, int]  # red, green, blue, alpha
    palette: np.ndarray  # (colors, 3), uint8, RGB

    @property
    def row_bytes(self) -> int:
        return (self.width * self.bits + 31) // 32 * 4


def parse(content: bytes) -> Header | None:
    """The headers; None if they are damaged or of an unknown kind, for which Pillow finds a reason."""
    if len(content) < 26 or content[:2] != b"BM":
        return None
    offset, size = struct.unpack_from("<I", content, 10)[0], struct.unpack_from("<I", content, 14)[0]
    if size not in HEADERS or len(content) < 14 + size:
        return None
    if size == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", content, 18)
        compression = colors = 0
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", content, 18)
        (colors,) = struct.unpack_from("<I", content, 46)
    after = 14 + size
    masks = DEFAULT_MASKS.get(bits, (0, 0, 0, 0))
    if compression in (BITFIELDS, ALPHA_BITFIELDS) and bits in DEFAULT_MASKS and size != 64:
        # In a header of 40 bytes they follow it; else they are in it, at the same place.
        with_alpha = size >= 56 or (size == 40 and compression == ALPHA_BITFIELDS)
        count = 4 if with_alpha else 3
        if len(content) < 54 + 4 * count:
            return None
        found = struct.unpack_from(f"<{count}I", content, 54)
        masks = (found[0], found[1], found[2], found[3] if with_alpha else 0)
        if bits == 32 and not any(masks):
            masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
        after += 4 * count if size == 40 else 0
    entry = 3 if size == 12 else 4
    count = min(colors or 2**bits, 2**bits) if bits <= 8 else 0
    palette = np.frombuffer(
        content, np.uint8, offset=after, count=max(0, min(count, (len(content) - after) // entry)) * entry
    )
    palette = palette.reshape(-1, entry)[:, 2::-1]
    return Header(width, abs(height), height < 0, bits, compression, offset or after, masks, palette)


def decode(content: bytes) -> Samples | None:
    """The pixels of a BMP for which Pillow's mode is not enough; None for all others, and damaged ones.

    Alpha that is 0 in the whole image counts as none: many programs leave the fourth byte empty.
    Raises ValueError if the file is cut off.
    """
    header = parse(content)
    if (
        header is None
        or header.width <= 0
        or not header.height
        or header.compression not in (RGB, BITFIELDS, ALPHA_BITFIELDS)
    ):
        return None
    if header.bits in DEFAULT_MASKS:
        is_plain = header.masks in PLAIN_MASKS[header.bits] and header.compression != ALPHA_BITFIELDS
        return None if is_plain or not all(header.masks[:3]) else _decode_masks(content, header)
    return _decode_palette(content, header) if _is_mistaken(header) else None


def _is_mistaken(header: Header) -> bool:
    """Whether Pillow can't read the palette, or takes the pixels to have as many bits as its grays need."""
    if header.bits == 2:
        return True
    count, is_gray = len(header.palette), (header.palette == header.palette[:, :1]).all()
    levels = header.palette[:, 0].tolist()
    if not is_gray or header.bits not in (4, 8):
        return False
    return (header.bits == 8 and count <= 2) or (header.bits == 4 and levels in ([0, 255], list(range(count))))


def _rows(content: bytes, header: Header) -> np.ndarray:
    """The rows from top to bottom, (H, bytes)."""
    size = header.row_bytes * header.height
    if len(content) < header.offset + size:
        raise ValueError(f"can't be decoded (cut off: it can't contain {header.width}x{header.height} pixels)")
    rows = np.frombuffer(content, np.uint8, size, header.offset).reshape(header.height, header.row_bytes)
    return rows if header.is_top_down else rows[::-1]


def _decode_masks(content: bytes, header: Header) -> Samples:
    """Colors by bit masks; more than 8 bits of one make float32."""
    rows = np.ascontiguousarray(_rows(content, header))
    pixels = rows.view(f"<u{header.bits // 8}")[:, : header.width]
    has_alpha = header.masks[3] != 0
    planes = [_extract(pixels, mask) for mask in header.masks[: 3 + has_alpha]]
    is_deep = any(int(mask).bit_count() > 8 for mask in header.masks)
    values = np.stack(planes, axis=2)
    if has_alpha and not values[..., 3].any():
        values, has_alpha = values[..., :3], False
    return Samples(values if is_deep else values.round().astype(np.uint8), colors=3, has_alpha=has_alpha)


def _extract(pixels: np.ndarray, mask: int) -> np.ndarray:
    """The bits of a mask as float32 in 0..255."""
    shift = (mask & -mask).bit_length() - 1
    maximum = mask >> shift
    return (pixels.astype(np.uint32) & mask).astype(np.float32) * np.float32(255 / (maximum << shift))


def _decode_palette(content: bytes, header: Header) -> Samples:
    rows = _rows(content, header)
    if header.bits == 8:
        indices = rows[:, : header.width]
    else:
        bits = np.unpackbits(rows, axis=1)[:, : header.width * header.bits].reshape(len(rows), -1, header.bits)
        indices = np.zeros(bits.shape[:2], np.uint8)
        for place in range(header.bits):
            indices = indices << 1 | bits[..., place]
    palette = np.zeros((256, 3), np.uint8)  # black, as Pillow has it, where the file has no color
    palette[: len(header.palette)] = header.palette
    return Samples(palette[indices], colors=3)
