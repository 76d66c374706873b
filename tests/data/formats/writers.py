"""Writers of TIFF, PNG and BMP files that Pillow can't write, byte by byte."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

RATIONAL = 5  # a TIFF type; 3 is SHORT, 4 is LONG, 7 is UNDEFINED


def tiff(
    path: Path,
    size: tuple[int, int],
    bits: Sequence[int],
    photometric: int | None,
    data: Sequence[bytes],
    *,
    rows: int | None = None,
    tile: tuple[int, int] | None = None,
    extra: Sequence[int] = (),
    order: str = "<",
    more: Sequence[tuple[int, int, Sequence[int]]] = (),
    big: bool = False,
    pages: int = 1,
) -> Path:
    """A TIFF of strips or tiles `data`; `size` and `tile`: height and width; `more`: (code, type, values)."""
    (height, width), samples = size, len(bits)
    tags: dict[int, tuple[int, Sequence[int]]] = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, list(bits)),
        259: (3, [1]),
        277: (3, [samples]),
        284: (3, [1]),
    }
    if photometric is not None:
        tags[262] = (3, [photometric])
    if tile:
        tags |= {322: (4, [tile[1]]), 323: (4, [tile[0]])}
    else:
        tags[278] = (4, [rows or height])
    offset_tag, count_tag = (324, 325) if tile else (273, 279)
    tags |= {offset_tag: (4, [0] * len(data)), count_tag: (4, [len(part) for part in data])}
    if extra:
        tags[338] = (3, list(extra))
    for code, kind, values in more:
        tags[code] = (kind, values)
    return _write(path, tags, data, offset_tag, order, big, pages)


def _write(
    path: Path,
    tags: dict[int, tuple[int, Sequence[int]]],
    data: Sequence[bytes],
    offset_tag: int,
    order: str,
    big: bool,
    pages: int,
) -> Path:
    start = 16 if big else 8
    offsets = []
    body = b""
    for part in data:
        offsets.append(start + len(body))
        body += part + bytes(len(part) % 2)
    tags[offset_tag] = (4, offsets)
    mark = b"II" if order == "<" else b"MM"
    letter, count_letter, entry, inline = ("Q", "Q", 20, 8) if big else ("I", "H", 12, 4)
    content = mark + (struct.pack(order + "HHHQ", 43, 8, 0, start + len(body)) if big else b"")
    content = content if big else mark + struct.pack(order + "HI", 42, start + len(body))
    content += body
    for page in range(pages):
        directory = len(content)
        size = struct.calcsize(order + count_letter) + entry * len(tags) + struct.calcsize(order + letter)
        table, values_at, values = b"", directory + size, b""
        for code, (kind, numbers) in sorted(tags.items()):
            form = {1: "B", 3: "H", 4: "I", RATIONAL: "I", 7: "B"}[kind]
            packed = struct.pack(f"{order}{len(numbers)}{form}", *numbers)
            count = len(numbers) // (2 if kind == RATIONAL else 1)
            field = packed.ljust(inline, b"\0")
            if len(packed) > inline:
                field = struct.pack(order + letter, values_at + len(values))
                values += packed + bytes(len(packed) % 2)
            table += struct.pack(order + "HH" + letter, code, kind, count) + field
        following = 0 if page == pages - 1 else values_at + len(values)
        content += (
            struct.pack(order + count_letter, len(tags)) + table + struct.pack(order + letter, following) + values
        )
    path.write_bytes(content)
    return path


def pack_bits(values: np.ndarray, bits: int) -> bytes:
    """Rows of integers (H, N) of `bits` bits, highest bit first, each row from a new byte on."""
    single = (values[..., None].astype(np.int64) >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(single.reshape(len(values), -1).astype(np.uint8), axis=1).tobytes()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    path: Path,
    values: np.ndarray,
    depth: int,
    color_type: int,
    before: bytes = b"",
    after: bytes = b"",
    interlaced: bool = False,
) -> Path:
    """A PNG of integers (H, W, samples); `before`, `after`: chunks around the pixels."""
    height, width = values.shape[:2]
    rows = pixel_rows(values, depth)
    if interlaced:  # Adam7
        steps = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
        rows = b"".join(pixel_rows(values[y::dy, x::dx], depth) for y, x, dy, dx in steps)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, interlaced))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + header + before + chunk(b"IDAT", zlib.compress(rows)) + after + chunk(b"IEND", b"")
    )
    return path


def pixel_rows(values: np.ndarray, depth: int) -> bytes:
    """Rows with PNG's filter 1 (differences to the left) where a sample has whole bytes."""
    if not values.size:
        return b""
    flat = values.reshape(len(values), -1)
    if depth < 8:
        packed = pack_bits(flat, depth)
        length = len(packed) // len(flat)
        return b"".join(b"\0" + packed[start : start + length] for start in range(0, len(packed), length))
    stored = np.ascontiguousarray(flat.astype(f">u{depth // 8}")).view(np.uint8).reshape(len(flat), -1)
    step = values.shape[2] * depth // 8
    left = np.pad(stored, ((0, 0), (step, 0)))[:, : stored.shape[1]]
    return b"".join(b"\1" + row.tobytes() for row in stored - left)


def bmp(
    path: Path,
    rows: np.ndarray,
    width: int,
    bits: int,
    *,
    masks: Sequence[int] = (),
    palette: bytes = b"",
    header: int = 40,
    compression: int | None = None,
    colors: int = 0,
    top_down: bool = False,
) -> Path:
    """A BMP of rows (H, bytes), uint8, from top to bottom and padded to 4 bytes here."""
    compression = (3 if masks else 0) if compression is None else compression
    rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)))
    pixels = (rows if top_down else rows[::-1]).tobytes()
    height = -len(rows) if top_down else len(rows)
    head = struct.pack("<IiiHHIIiiII", header, width, height, 1, bits, compression, len(pixels), 0, 0, colors, 0)
    packed = struct.pack(f"<{len(masks)}I", *masks)
    head = (head + packed).ljust(header, b"\0") if header > 40 else head + packed
    offset = 14 + len(head) + len(palette)
    path.write_bytes(b"BM" + struct.pack("<IHHI", offset + len(pixels), 0, 0, offset) + head + palette + pixels)
    return path
