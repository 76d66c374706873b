"""The samples of a TIFF page as its file stores them: strips or tiles, decompressed, without prediction, unpacked."""

from __future__ import annotations

import io
import math
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import TiffImagePlugin

from data.formats.tiff_tags import COMPLEX, COMPLEX_FLOAT, FLOAT, NO_COMPRESSION, SIGNED, Tags

LZW, DEFLATE, OLD_DEFLATE, PACKBITS, LZMA, ZSTD = 5, 8, 32946, 32773, 34925, 50000
BY_PILLOW = (LZW, ZSTD, LZMA)  # decompressed by libtiff, as rows of bytes
# How many times smaller than the samples the data can be, at most.
RATIOS = {NO_COMPRESSION: 1, LZW: 2800, DEFLATE: 1040, OLD_DEFLATE: 1040, PACKBITS: 64, LZMA: 16000, ZSTD: 40000}
WITH_PREDICTOR = (LZW, DEFLATE, OLD_DEFLATE, LZMA, ZSTD)
MAX_UNPACKED = 2**26  # bytes of unpacked bits at a time
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def read_samples(path: Path | str, tags: Tags) -> np.ndarray:
    """(H, W, samples): unsigned, signed or floating point numbers as they are stored.

    Raises ValueError if the page is damaged, or stored in a way that is not supported.
    """
    _check(tags)
    bits, kind = tags.bits[0], tags.formats[0]
    planes = tags.samples if tags.planar == 2 else 1
    per_pixel = tags.samples // planes
    height, width = tags.segment
    across, down = -(-tags.width // width), -(-tags.height // height)
    file_size = Path(path).stat().st_size
    if tags.compression == NO_COMPRESSION:  # the lengths are known, and some programs write none
        rows = tags.segment[0] if tags.is_tiled else min(tags.segment[0], tags.height)
        size = rows * -(-tags.segment[1] * per_pixel * bits // 8)
        counts = tags.counts or (0,) * len(tags.offsets)
        tags = replace(tags, counts=tuple(count or size for count in counts))
    if len(tags.offsets) < across * down * planes or len(tags.counts) < across * down * planes:
        found = min(len(tags.offsets), len(tags.counts))
        raise ValueError(f"is damaged: it has {found} of {across * down * planes} strips or tiles")
    _check_amount(file_size, tags, across * down * planes)
    image = np.empty((tags.height, tags.width, tags.samples), _dtype(bits, kind))
    with open(path, "rb") as file:
        for number in range(across * down * planes):
            plane, place = divmod(number, across * down)
            top, left = place // across * height, place % across * width
            rows = height if tags.is_tiled else min(height, tags.height - top)
            file.seek(tags.offsets[number])
            data = file.read(min(tags.counts[number], file_size))
            segment = _decode(data, rows, width, per_pixel, tags)
            part = image[top : top + height, left : left + width, plane : plane + per_pixel]
            part[...] = segment[: part.shape[0], : part.shape[1]]
    return image


def _check(tags: Tags) -> None:
    """Raises ValueError for what `read_samples` does not support."""
    if tags.compression not in RATIOS:
        raise ValueError(f"has {describe(tags)}: not supported with TIFF compression {tags.compression}")
    if len(set(tags.bits)) > 1 or len(set(tags.formats)) > 1:
        raise ValueError(f"has samples of different types: {describe(tags)}")
    bits, kind = tags.bits[0], tags.formats[0]
    if kind in (COMPLEX, COMPLEX_FLOAT):
        raise ValueError("has complex numbers as samples")
    if not (bits in (16, 32, 64) if kind == FLOAT else 1 <= bits <= 32):
        raise ValueError(f"has {bits}-bit samples of SampleFormat {kind}, which are not supported")
    is_planar_known = tags.planar in (1, 2) or tags.samples == 1
    if not is_planar_known or tags.fill_order not in (1, 2) or min(*tags.segment, tags.width, tags.height) < 1:
        raise ValueError("has TIFF tags that contradict each other")
    predictor = tags.predictor if tags.compression in WITH_PREDICTOR else 1
    if not (predictor == 1 or (predictor == 2 and bits in (8, 16, 32, 64)) or (predictor == 3 and kind == FLOAT)):
        raise ValueError(f"has predictor {predictor} on {bits}-bit samples, which is not supported")


def _check_amount(file_size: int, tags: Tags, count: int) -> None:
    """Raises ValueError, before anything is allocated, if the file can't contain the image that it declares."""
    stored = 0
    for offset, length in zip(tags.offsets[:count], tags.counts[:count], strict=True):
        stored += max(0, min(length, file_size - offset))
    pixels = tags.width * tags.height
    if tags.is_tiled:
        pixels = max(pixels, math.prod(tags.segment) * count // (tags.samples if tags.planar == 2 else 1))
    if pixels * tags.samples * tags.bits[0] // 8 > RATIOS[tags.compression] * stored:
        raise ValueError(f"can't be decoded (cut off: {stored} bytes can't contain {tags.width}x{tags.height} pixels)")


def describe(tags: Tags) -> str:
    """The type of the samples, for a message."""
    bits = "/".join(map(str, dict.fromkeys(tags.bits)))
    kinds = {SIGNED: "signed ", FLOAT: "floating point ", COMPLEX: "complex ", COMPLEX_FLOAT: "complex "}
    plural = "s" if tags.samples > 1 else ""
    return f"{tags.samples} {kinds.get(tags.formats[0], '')}sample{plural} of {bits} bits"


def _dtype(bits: int, kind: int) -> np.dtype:
    """The smallest type of numpy that holds a sample."""
    size = next(size for size in (8, 16, 32, 64) if size >= bits)
    return np.dtype({FLOAT: "f", SIGNED: "i"}.get(kind, "u") + str(size // 8))


def _decode(data: bytes, rows: int, width: int, per_pixel: int, tags: Tags) -> np.ndarray:
    """The samples (rows, width, per_pixel) of a strip or tile."""
    bits, kind = tags.bits[0], tags.formats[0]
    row_bytes = -(-width * per_pixel * bits // 8)
    if tags.fill_order == 2:
        data = data.translate(_REVERSED)
    data = decompress(data, rows, row_bytes, tags.compression)
    array = np.frombuffer(data, np.uint8, rows * row_bytes).reshape(rows, row_bytes)
    predictor = tags.predictor if tags.compression in WITH_PREDICTOR else 1
    shape = (rows, width, per_pixel)
    if predictor == 3:
        return _undo_float_prediction(array, shape, bits)
    order: Literal["<", ">"] = ">" if tags.big_endian else "<"
    if bits not in (8, 16, 32, 64):
        unpacked = _unpack_24(array, shape, tags.big_endian) if bits == 24 else _unpack(array, shape, bits)
        return _extend_sign(unpacked, bits) if kind == SIGNED else unpacked
    stored = array.view(_dtype(bits, kind).newbyteorder(order)).reshape(shape)
    if predictor == 2:
        numbers = stored.view(f"{order}u{bits // 8}")
        numbers = np.cumsum(numbers, axis=1, dtype=f"u{bits // 8}")  # modulo 2^bits
        return numbers.view(_dtype(bits, kind))
    return stored


def decompress(data: bytes, rows: int, row_bytes: int, compression: int) -> bytes:
    """rows x row_bytes bytes. Raises ValueError, or the error of a library, if the data is damaged or too short."""
    size = rows * row_bytes
    if compression in (DEFLATE, OLD_DEFLATE):
        data = zlib.decompressobj().decompress(data, size)
    elif compression == PACKBITS:
        data = _unpack_bytes(data, size)
    elif compression in BY_PILLOW:
        data = _decompress_by_pillow(data, rows, row_bytes, compression)
    if len(data) < size:
        raise ValueError(f"can't be decoded (cut off: a strip or tile has {len(data)} of {size} bytes)")
    return data[:size]


def _unpack_bytes(data: bytes, size: int) -> bytes:
    """PackBits (TIFF 6.0, section 9)."""
    out, at = bytearray(), 0
    while len(out) < size and at < len(data):
        head = data[at]
        if head < 128:
            out += data[at + 1 : at + 2 + head]
            at += 2 + head
        else:
            if head > 128:
                out += data[at + 1 : at + 2] * (257 - head)
            at += 1 if head == 128 else 2
    return bytes(out)


def _decompress_by_pillow(data: bytes, rows: int, row_bytes: int, compression: int) -> bytes:
    """A strip or tile, by libtiff: in a TIFF of our own, as gray pixels of one byte each."""
    tags = [(256, row_bytes), (257, rows), (258, 8), (259, compression), (262, 1)]
    tags += [(273, 8 + 2 + 9 * 12 + 4), (277, 1), (278, rows), (279, len(data))]
    entries = b"".join(struct.pack("<HHII", code, 4, 1, value) for code, value in tags)
    content = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + data
    # Unlike Image.open, this has no limit on the number of pixels, which are bytes here.
    with TiffImagePlugin.TiffImageFile(io.BytesIO(content)) as image:
        return image.tobytes()


def _undo_float_prediction(array: np.ndarray, shape: tuple[int, int, int], bits: int) -> np.ndarray:
    """Predictor 3 (Adobe Photoshop TIFF Technical Note 3): a row has the first bytes of all numbers, then the second.

    Each byte is a difference to the one before of the same sample.
    """
    rows, width, per_pixel = shape
    summed = np.cumsum(array.reshape(rows, -1, per_pixel), axis=1, dtype=np.uint8)
    in_order = summed.reshape(rows, bits // 8, width * per_pixel).transpose(0, 2, 1)  # the highest byte first
    return np.ascontiguousarray(in_order).view(f">f{bits // 8}").reshape(shape)


def _unpack(array: np.ndarray, shape: tuple[int, int, int], bits: int) -> np.ndarray:
    """Numbers of `bits` bits each, the highest bit first; a row begins with a new byte (TIFF 6.0, section 7)."""
    rows, width, per_pixel = shape
    count = width * per_pixel
    dtype = _dtype(bits, 1)
    out = np.empty((rows, count), dtype)
    step = max(1, MAX_UNPACKED // max(1, count * bits))
    for top in range(0, rows, step):
        single = np.unpackbits(array[top : top + step], axis=1)[:, : count * bits].reshape(-1, count, bits)
        part = out[top : top + step]
        part[...] = single[..., 0]
        for bit in range(1, bits):
            part <<= 1
            part |= single[..., bit]
    return out.reshape(shape)


def _unpack_24(array: np.ndarray, shape: tuple[int, int, int], big_endian: bool) -> np.ndarray:
    triples = array.reshape(*shape, 3).astype(np.uint32)
    high, middle, low = (triples[..., index] for index in ((0, 1, 2) if big_endian else (2, 1, 0)))
    return high << 16 | middle << 8 | low


def _extend_sign(values: np.ndarray, bits: int) -> np.ndarray:
    signed = values.astype(np.int64)
    return signed - (signed >> (bits - 1) << bits)
