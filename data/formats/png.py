"""PNG: what Pillow's mode lacks (16 bits per color, exact transparent colors), and good pixels beside bad metadata.

Specification: https://www.w3.org/TR/png-3/
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from data.formats import color_profile
from data.formats.opening import open_image
from data.formats.samples import Samples

SIGNATURE = b"\x89PNG\r\n\x1a\n"
ESSENTIAL = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")  # the chunks that pixels depend on
COMPRESSED = (b"zTXt", b"iTXt", b"iCCP")
MAX_INFLATED = 2**20  # bytes of a compressed chunk that Pillow accepts
MAX_PROFILE = 2**24
GRAY, RGB, GRAY_ALPHA = 0, 2, 4  # color types
MAX_RATIO = 1040  # of deflate


@dataclass
class Png:
    """A PNG file in memory: the bytes for Pillow, and what its chunks say beyond Pillow's mode."""

    content: bytes  # without the metadata that Pillow would fail at
    essential: bytes = b""  # with ESSENTIAL only
    depth: int = 8
    color_type: int = RGB
    transparent: tuple[int, ...] = ()  # the sample values of the transparent color
    profile: bytes = b""
    info: dict[bytes, bytes] = field(default_factory=dict)  # the data of gAMA, cHRM and sRGB
    pixels: list[bytes] = field(default_factory=list)  # the data of IDAT
    length: int = 0  # of the pixels, decompressed; 0: not known, as of an interlaced image


def parse(content: bytes) -> Png:
    """Check the chunks. Raises ValueError if one that the pixels depend on is damaged."""
    chunks = list(_chunks(content))
    if not chunks or chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        return Png(content)  # Pillow finds a reason
    width, height, depth, color_type = struct.unpack(">IIBB", chunks[0][1][:10])
    for kind, _, is_intact in chunks:
        if kind in ESSENTIAL and not is_intact:
            raise ValueError(f"is damaged: its {kind.decode()} chunk has a wrong checksum")
    samples = {GRAY: 1, RGB: 3, GRAY_ALPHA: 2, 6: 4}.get(color_type, 1)
    stored = sum(len(data) for kind, data, _ in chunks if kind in (b"IDAT", b"fdAT"))
    if width * height * samples * depth // 8 > MAX_RATIO * (stored + 1024):
        raise ValueError(f"can't be decoded (cut off: {stored} bytes can't contain {width}x{height} pixels)")
    png = Png(content, depth=depth, color_type=color_type)
    png.pixels = [data for kind, data, _ in chunks if kind == b"IDAT"]
    is_interlaced = chunks[0][1][12]
    png.length = 0 if is_interlaced else height * (1 + (width * samples * depth + 7) // 8)
    kept = [(kind, data) for kind, data, is_intact in chunks if is_intact and not _is_too_large(kind, data)]
    if len(kept) < len(chunks):
        png.content = _join(kept)
    png.essential = _join([(kind, data) for kind, data, _ in chunks if kind in ESSENTIAL])
    for kind, data, is_intact in chunks:
        if kind == b"tRNS" and color_type in (GRAY, RGB) and len(data) >= 2 * samples:
            png.transparent = tuple(value & 2**depth - 1 for value in struct.unpack_from(f">{samples}H", data))
        elif kind in (b"gAMA", b"cHRM", b"sRGB") and is_intact:
            png.info[kind] = data
        elif kind == b"iCCP" and is_intact:
            png.profile = _inflate_profile(data)
    if not png.profile:
        png.profile = _profile_by_chunks(png.info)
    return png


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Type, data and whether the checksum is right, of each chunk up to the first that is cut off."""
    at = len(SIGNATURE)
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        kind, end = content[at + 4 : at + 8], at + 8 + length
        if end + 4 > len(content) or not kind.isalpha():
            return
        yield kind, content[at + 8 : end], content[end : end + 4] == zlib.crc32(content[at + 4 : end]).to_bytes(4)
        if kind == b"IEND":
            return
        at = end + 4


def _join(chunks: list[tuple[bytes, bytes]]) -> bytes:
    parts = [SIGNATURE]
    for kind, data in chunks:
        parts += [len(data).to_bytes(4), kind, data, zlib.crc32(data, zlib.crc32(kind)).to_bytes(4)]
    return b"".join(parts)


def encode(samples: np.ndarray, profile: bytes = b"", dpi: tuple[float, float] | None = None) -> bytes:
    """A PNG file with 16 bits per sample, which Pillow writes for gray only: uint16 (H, W, C), C from 1 to 4."""
    height, width, channels = samples.shape
    color_type = (GRAY, GRAY_ALPHA, RGB, 6)[channels - 1]
    rows = samples.astype(">u2").view(np.uint8).reshape(height, -1)
    above = np.vstack([np.zeros_like(rows[:1]), rows[:-1]])
    filtered = np.hstack([np.full((height, 1), 2, np.uint8), rows - above])  # filter type 2: the difference to above
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0))]
    if profile:
        chunks.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(profile)))
    if dpi and all(0 < value < 2**24 for value in dpi):
        chunks.append((b"pHYs", struct.pack(">IIB", *(round(value / 0.0254) for value in dpi), 1)))
    return _join([*chunks, (b"IDAT", zlib.compress(filtered.tobytes())), (b"IEND", b"")])


def _is_too_large(kind: bytes, data: bytes) -> bool:
    """Whether Pillow would refuse the whole image for the size of this chunk's text or profile."""
    if kind not in COMPRESSED or len(data) * MAX_RATIO < MAX_INFLATED:
        return False
    start = data.find(b"\0") + (2 if kind != b"iTXt" else 3)
    if kind == b"iTXt":
        start = data.find(b"\0", data.find(b"\0", start) + 1) + 1
    try:
        return len(zlib.decompressobj().decompress(data[start:], MAX_INFLATED + 1)) > MAX_INFLATED
    except zlib.error:
        return False


def _inflate_profile(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data[data.find(b"\0") + 2 :], MAX_PROFILE)
    except zlib.error:
        return b""


def _profile_by_chunks(info: dict[bytes, bytes]) -> bytes:
    """The ICC profile that gAMA and cHRM describe; empty if they describe sRGB, or are not there."""
    if b"sRGB" in info or len(info.get(b"gAMA", b"")) != 4:
        return b""
    gamma = struct.unpack(">I", info[b"gAMA"])[0] / 100_000
    points = info.get(b"cHRM", b"")
    chromaticities = [value / 100_000 for value in struct.unpack(">8I", points)] if len(points) == 32 else None
    return color_profile.from_gamma(gamma, chromaticities)


def decode(png: Png, image: Image.Image) -> Image.Image | Samples:
    """The pixels of an opened PNG: Pillow's image, or samples for what its mode can't express. Not yet upright."""
    if png.depth == 16 and png.color_type != 3 and (png.color_type != GRAY or png.transparent):
        return _decode_deep(png, image)
    if png.transparent and image.mode in ("L", "RGB"):
        scale = 255 // (2**png.depth - 1) if png.depth < 8 else 1  # Pillow scales the pixels, but not the color
        key = tuple(value * scale for value in png.transparent)
        image.info["transparency"] = key[0] if image.mode == "L" else key
    image.load()
    _check_end(png, np.asarray(image.crop((0, image.height - 1, image.width, image.height))))
    return image


def _check_end(png: Png, last_row: np.ndarray) -> None:
    """Raises ValueError if the pixels end early: Pillow leaves the missing rows black."""
    if last_row.any() or not png.length:
        return
    inflate, found = zlib.decompressobj(), 0
    for data in png.pixels:
        while data and found < png.length:
            found += len(inflate.decompress(data, 2**20))
            data = inflate.unconsumed_tail
    if found < png.length:
        raise ValueError(f"can't be decoded (cut off: its pixels have {found} of {png.length} bytes)")


def _decode_deep(png: Png, image: Image.Image) -> Samples:
    """16 bits per sample, as float32 in 0..255: the high bytes by one of Pillow's raw modes, the low by another."""
    if png.color_type == GRAY:
        values = np.asarray(image)[..., None].astype(np.int64)
    elif png.color_type == GRAY_ALPHA:
        stored = _decode_as(png, "RGBA").astype(np.int64)  # two bytes for gray, two for alpha
        values = stored[..., ::2] << 8 | stored[..., 1::2]
    else:
        mode = "RGB" if png.color_type == RGB else "RGBA"
        # "L" is little endian, of which Pillow takes the second byte: the low one here.
        values = _decode_as(png, f"{mode};16B").astype(np.int64) << 8 | _decode_as(png, f"{mode};16L")
    _check_end(png, values[-1])
    scaled = values.astype(np.float32) * np.float32(255 / 65535)
    colors = 1 if png.color_type in (GRAY, GRAY_ALPHA) else 3
    has_alpha = png.color_type in (GRAY_ALPHA, 6)
    if png.transparent and len(png.transparent) == colors:
        opaque = (values != np.array(png.transparent)).any(axis=2, keepdims=True)
        scaled, has_alpha = np.concatenate([scaled, opaque.astype(np.float32) * 255], axis=2), True
    return Samples(scaled, colors, has_alpha, png.profile)


def _decode_as(png: Png, raw_mode: str) -> np.ndarray:
    with open_image(io.BytesIO(png.content)) as image:
        image.tile = [(*tile[:3], raw_mode) for tile in image.tile]  # type: ignore[attr-defined]
        return np.asarray(image)


def stored_levels(png: Png, ids: np.ndarray) -> np.ndarray:
    """The numbers in the file of gray pixels that Pillow scaled to 0..255."""
    return ids // (255 // (2**png.depth - 1)) if png.color_type == GRAY and png.depth in (2, 4) else ids
