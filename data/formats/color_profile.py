"""ICC profiles: whether a profile is another one than sRGB, its name, and the conversion to sRGB by littleCMS."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageCms

from data.formats.samples import Samples

CLOSE = 3  # levels by which a profile may differ from sRGB to count as such: profiles round their tables
GAMMA_TOLERANCE = 0.01
MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # Pillow's mode by the color space of a profile
SRGB_POINTS = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)  # x, y of white, red, green, blue
TO_D50 = np.array(  # Bradford's cone responses
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
D50 = np.array([0.9642, 1.0, 0.8249])


@lru_cache(maxsize=32)
def name_if_not_srgb(profile: bytes) -> str:
    """The name of the profile; empty if there is none, it can't be read, or its colors are those of sRGB."""
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        name = (ImageCms.getProfileDescription(opened) or "").strip() or "without a name"
        transform = _transform(profile)
    except Exception:  # littleCMS raises its own; a damaged profile is ignored
        return ""
    if transform is None or transform.input_mode == "CMYK":
        return "" if transform is None else name
    levels = np.indices((6, 6, 6)).reshape(3, -1).T.astype(np.uint8) * 51
    if transform.input_mode == "L":
        levels = np.repeat(levels[:, :1], 3, axis=1)
    patches = Image.fromarray(levels[None])
    converted = np.asarray(transform.apply(patches if transform.input_mode == "RGB" else patches.convert("L")))
    return name if np.abs(converted.astype(int) - levels).max() > CLOSE else ""


@lru_cache(maxsize=32)
def _transform(profile: bytes) -> ImageCms.ImageCmsTransform | None:
    """From the profile to sRGB; None if it is not one of an image. Raises what littleCMS raises for a damaged one."""
    opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    mode = MODES.get(opened.profile.xcolor_space.strip())
    if mode is None:
        return None
    return ImageCms.buildTransform(opened, ImageCms.createProfile("sRGB"), mode, "RGB")


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """The image in sRGB, in mode RGB or RGBA, if the profile fits its colors; else the image as it is."""
    try:
        transform = _transform(profile)
    except Exception:  # a damaged profile is ignored
        return image
    if transform is None or image.mode in ("F", "I") or image.mode.startswith("I;"):
        return image
    if image.mode == "CMYK" or transform.input_mode == "CMYK":
        return transform.apply(image) if image.mode == transform.input_mode else image
    has_alpha = image.has_transparency_data
    with_alpha = image.convert("RGBA") if has_alpha else image
    is_gray = image.mode in ("1", "L", "LA", "La")
    if transform.input_mode == "L" and not is_gray:
        return image
    converted = transform.apply(with_alpha.convert(transform.input_mode))
    if has_alpha:
        converted.putalpha(with_alpha.getchannel("A"))
    return converted


def samples_to_srgb(samples: Samples) -> Samples:
    """As `to_srgb`, for samples; littleCMS computes with 8 bits, so deep colors keep only 8 bits of precision."""
    try:
        transform = _transform(samples.profile)
    except Exception:
        return samples
    if transform is None or transform.input_mode != ("L" if samples.colors == 1 else "RGB"):
        return samples
    if samples.colors == 1:
        curve = np.asarray(transform.apply(Image.fromarray(np.arange(256, dtype=np.uint8)[None])))[0, :, 0]
        gray = np.interp(samples.values[..., :1], np.arange(256), curve.astype(np.float32))
        colors = gray.round() if samples.values.dtype == np.uint8 else gray
    else:
        rounded = np.ascontiguousarray(samples.values[..., :3].round().astype(np.uint8))
        colors = np.asarray(transform.apply(Image.fromarray(rounded)))
    values = samples.values.copy()
    values[..., : samples.colors] = colors
    return Samples(values, samples.colors, samples.has_alpha)


def from_gamma(gamma: float, chromaticities: Sequence[float] | None) -> bytes:
    """An ICC profile for PNG's gAMA (the exponent of the encoding) and cHRM; empty if they describe sRGB, or nothing.

    `chromaticities`: x and y of the white point, red, green and blue.
    """
    points = np.array(chromaticities or SRGB_POINTS)
    is_srgb = abs(gamma - 1 / 2.2) < GAMMA_TOLERANCE and np.abs(points - SRGB_POINTS).max() < GAMMA_TOLERANCE
    if is_srgb or not 0.01 < gamma < 10 or points[1::2].min() <= 0:
        return b""
    xyz = np.stack([points[::2] / points[1::2], np.ones(4), (1 - points[::2] - points[1::2]) / points[1::2]])
    white, primaries = xyz[:, 0], xyz[:, 1:]
    try:
        primaries = primaries * np.linalg.solve(primaries, white)
    except np.linalg.LinAlgError:
        return b""
    if not np.isfinite(primaries).all() or np.abs(primaries).max() > 1000:
        return b""
    adapt = np.linalg.inv(TO_D50) @ np.diag((TO_D50 @ D50) / (TO_D50 @ white)) @ TO_D50
    return _write_profile(f"gamma {gamma:.4g} of a PNG", adapt @ primaries, 1 / gamma)


def _write_profile(name: str, primaries: np.ndarray, gamma: float) -> bytes:
    """An ICC profile of version 2: the XYZ of red, green and blue (columns) and one gamma (ICC.1:2001-04)."""

    def fixed(values: ArrayLike) -> bytes:
        return b"".join(struct.pack(">i", round(float(value) * 65536)) for value in np.asarray(values))

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, min(65535, round(gamma * 256))) + b"\0\0"
    text = b"desc\0\0\0\0" + struct.pack(">I", len(name) + 1) + name.encode() + bytes(79)
    tags: dict[bytes, bytes | np.ndarray] = {
        b"desc": text + bytes(-len(text) % 4),
        b"cprt": b"text\0\0\0\0none\0\0\0\0",
        b"wtpt": D50,
    }
    tags |= {b"rXYZ": primaries[:, 0], b"gXYZ": primaries[:, 1], b"bXYZ": primaries[:, 2]}
    tags |= {b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    table, data, start = b"", b"", 128 + 4 + 12 * len(tags)
    for key, value in tags.items():
        content = value if isinstance(value, bytes) else b"XYZ \0\0\0\0" + fixed(value)
        table += key + struct.pack(">II", start + len(data), len(content))
        data += content
    body = struct.pack(">I", len(tags)) + table + data
    head = struct.pack(">I4sI4s4s4s", 128 + len(body), b"lcms", 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    head = (head + bytes(12) + b"acsp").ljust(68, b"\0") + fixed(D50)
    return head.ljust(128, b"\0") + body
