"""Color profiles: reported if they are not sRGB, and converted on request."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from data.formats import color_profile
from data.formats.image_reader import read_image
from tests.data.formats.writers import chunk, png, tiff

HALVES = np.where(np.arange(64)[:, None, None] < 32, [200, 40, 30], [20, 60, 220]) * np.ones((1, 64, 1), int)
ADOBE_POINTS = (0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
ADOBE = color_profile.from_gamma(1 / 2.19921875, ADOBE_POINTS)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
IN_SRGB = [(233, 35, 23), (0, 57, 225)]  # the halves, from Adobe RGB


def pixels(path: Path, channels: int = 3, icc: str = "srgb") -> tuple[list[list[float]], list[str]]:
    """The first and the last pixel, and the reported names."""
    told: list[str] = []
    image = read_image(path, channels, icc=icc, on_profile=told.append)
    return [image[:, 0, 0].tolist(), image[:, -1, -1].tolist()], told


@pytest.mark.parametrize("extension", [".png", ".tif", ".webp"])
def test_adobe_rgb(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"a{extension}"
    Image.fromarray(HALVES.astype("u1")).save(path, icc_profile=ADOBE, lossless=True)
    ignored, told = pixels(path, icc="ignore")
    assert ignored == [[200, 40, 30], [20, 60, 220]] and len(told) == 1
    converted, told = pixels(path)
    assert np.abs(np.array(converted) - IN_SRGB).max() <= 1 and len(told) == 1


def test_adobe_rgb_in_a_jpeg_and_with_alpha(tmp_path: Path) -> None:
    Image.fromarray(HALVES.astype("u1")).save(tmp_path / "a.jpg", icc_profile=ADOBE, quality=100, subsampling=0)
    assert np.abs(np.array(pixels(tmp_path / "a.jpg")[0]) - IN_SRGB).max() <= 3
    image = Image.fromarray(HALVES.astype("u1")).convert("RGBA")
    image.putalpha(128)
    image.save(tmp_path / "a.png", icc_profile=ADOBE)
    assert np.abs(np.array(pixels(tmp_path / "a.png", 4)[0]) - [(*color, 128) for color in IN_SRGB]).max() <= 1
    over_white = 255 - (255 - np.array(IN_SRGB)) * 128 / 255
    assert np.abs(np.array(pixels(tmp_path / "a.png")[0]) - over_white).max() <= 1.5
    gray = np.array(IN_SRGB) @ [0.299, 0.587, 0.114]
    assert np.abs(np.array(pixels(tmp_path / "a.jpg", 1)[0])[:, 0] - gray).max() <= 3


def test_a_palette_and_deep_colors(tmp_path: Path) -> None:
    Image.fromarray(HALVES.astype("u1")).quantize(2).save(tmp_path / "a.png", icc_profile=ADOBE)
    assert np.abs(np.array(pixels(tmp_path / "a.png")[0]) - IN_SRGB).max() <= 3
    gray = tiff(tmp_path / "g.tif", (64, 64), [16], 1, [np.full((64, 64), 30000, "<u2").tobytes()],
                more=[(34675, 7, list(ADOBE))])  # fmt: skip
    assert pixels(gray)[0] == pixels(gray, icc="ignore")[0]  # a profile of colors does not fit gray
    deep = tiff(tmp_path / "d.tif", (64, 64), [16] * 3, 2, [(HALVES * 257).astype("<u2").tobytes()],
                more=[(34675, 7, list(ADOBE))])  # fmt: skip
    converted, told = pixels(deep)
    assert np.abs(np.array(converted) - IN_SRGB).max() <= 1 and len(told) == 1


def test_srgb_is_not_reported_and_not_changed(tmp_path: Path) -> None:
    Image.fromarray(HALVES.astype("u1")).save(tmp_path / "a.png", icc_profile=SRGB)
    assert pixels(tmp_path / "a.png") == ([[200, 40, 30], [20, 60, 220]], [])


@pytest.mark.parametrize("gamma", [1.0, 0.55])
@pytest.mark.parametrize("depth", [8, 16])
def test_the_gamma_of_a_png(tmp_path: Path, gamma: float, depth: int) -> None:
    values = HALVES * (257 if depth == 16 else 1)
    path = png(tmp_path / "a.png", values, depth, 2, chunk(b"gAMA", struct.pack(">I", round(gamma * 100000))))
    converted, told = pixels(path)
    linear = (np.array([[200, 40, 30], [20, 60, 220]]) / 255) ** (1 / gamma)
    expected = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
    assert np.abs(np.array(converted) - expected).max() <= 2 and told == [f"gamma {gamma:.4g} of a PNG"]
    assert np.abs(np.array(pixels(path, icc="ignore")[0]) - [[200, 40, 30], [20, 60, 220]]).max() < 0.01


@pytest.mark.parametrize("more", [b"", chunk(b"cHRM", struct.pack(">8I", *(round(v * 1e5) for v in
                                                                       color_profile.SRGB_POINTS)))])  # fmt: skip
def test_the_gamma_of_srgb_is_nothing_to_report(tmp_path: Path, more: bytes) -> None:
    before = chunk(b"gAMA", struct.pack(">I", 45455)) + more
    assert pixels(png(tmp_path / "a.png", HALVES, 8, 2, before)) == ([[200, 40, 30], [20, 60, 220]], [])
    before = chunk(b"gAMA", struct.pack(">I", 100000)) + chunk(b"sRGB", b"\0")
    assert not pixels(png(tmp_path / "a.png", HALVES, 8, 2, before))[1]


@pytest.mark.parametrize("points", [(0,) * 8, (0.3, 0, 0.6, 0.3, 0.3, 0.6, 0.1, 0.1), (0.3,) * 8, (42949,) * 8])
def test_absurd_chromaticities_are_ignored(tmp_path: Path, points: tuple[float, ...]) -> None:
    before = chunk(b"gAMA", struct.pack(">I", 50000))
    before += chunk(b"cHRM", struct.pack(">8I", *(round(value * 1e5) for value in points)))
    assert pixels(png(tmp_path / "a.png", HALVES, 8, 2, before)) == ([[200, 40, 30], [20, 60, 220]], [])


def test_the_profile_that_is_written_is_read() -> None:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(ADOBE))
    assert color_profile.name_if_not_srgb(ADOBE).startswith("gamma 0.4547")
    assert np.allclose(np.array(profile.profile.red_primary[0]), (0.60974, 0.31111, 0.01947), atol=2e-3)
    assert color_profile.name_if_not_srgb(SRGB) == "" == color_profile.name_if_not_srgb(b"garbage")
