"""Which formats are opened, and JPEGs whose metadata is damaged."""

from __future__ import annotations

import ast
import io
import os
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.formats import jpeg, opening
from data.formats.image_reader import UnreadableImage, read_image
from tests.conftest import tile

ROOT = Path(__file__).parents[3]
POSTSCRIPT = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.mark.parametrize("name", ["logo.png", "logo.jpg", "logo.tif"])
def test_postscript_starts_no_program(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / name).write_text(POSTSCRIPT)
    (tmp_path / "gs").write_text(f"#!/bin/sh\necho started > {tmp_path}/gs.log\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def refuse(*arguments: object, **settings: object) -> None:
        raise AssertionError(f"started {arguments}")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(UnreadableImage, match=rf"{name}: can't be decoded"):
        read_image(tmp_path / name, 3)
    assert not (tmp_path / "gs.log").exists()


@pytest.mark.parametrize("kind", ["TGA", "ICO", "PCX", "SGI", "IM", "JPEG2000", "EPS", "PDF", "MSP", "DDS"])
def test_other_formats_are_not_opened(tmp_path: Path, kind: str) -> None:
    image = tile(1, 32, 32)
    (image.convert("1") if kind == "MSP" else image).save(tmp_path / "a.png", kind)
    with pytest.raises(UnreadableImage, match=r"a\.png: can't be decoded"):
        read_image(tmp_path / "a.png", 3)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM", "GIF", "MPO"])
def test_a_format_is_read_under_any_extension(tmp_path: Path, kind: str) -> None:
    image = Image.new("RGB", (16, 16), (200, 40, 30))
    more = {"save_all": True, "append_images": [image]} if kind == "MPO" else {}
    for extension in opening.IMAGE_EXTENSIONS:
        image.save(tmp_path / f"a{extension}", kind, **more)
        assert abs(read_image(tmp_path / f"a{extension}", 3)[:, 8, 8].int().numpy() - [200, 40, 30]).max() < 6


def test_every_image_is_opened_by_the_table() -> None:
    """Image.open without `formats` tries every format that Pillow has."""
    for folder in ("data", "models", "options", "util", "scripts", "."):
        for file in (ROOT / folder).glob("*.py" if folder == "." else "**/*.py"):
            for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "Image.open":
                    assert "formats" in [keyword.arg for keyword in call.keywords], f"{file}, line {call.lineno}"


# Metadata of JPEG.


def jpeg_bytes(**settings: object) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (32, 24), (200, 40, 30)).save(out, "JPEG", quality=95, **settings)
    return out.getvalue()


def segment(marker: int, data: bytes, length: int | None = None) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2 if length is None else length) + data


SEGMENTS = {
    "EXIF without a header": segment(0xE1, b"Exif\0\0"),
    "EXIF of garbage": segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(range(200))),
    "EXIF that loops": segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\x01\0\x69\x87\x04\0\x01\0\0\0\x08\0\0\0\0\0\0\0"),
    "a part of an ICC profile": segment(0xE2, b"ICC_PROFILE\0\x01\x03" + bytes(30)),
    "an ICC profile of garbage": segment(0xE2, b"ICC_PROFILE\0\x01\x01" + bytes(range(150))),
    "no part of an ICC profile": segment(0xE2, b"ICC_PROFILE\0"),
    "MPF of garbage": segment(0xE2, b"MPF\0II*\0\x08\0\0\0\xff\xff" + bytes(40)),
    "MPF without a header": segment(0xE2, b"MPF\0"),
    "Photoshop of garbage": segment(0xED, b"Photoshop 3.0\0008BIM\x04\x04\0\0\xff\xff\xff\xff"),
    "Photoshop without a length": segment(0xED, b"Photoshop 3.0\0008BIM\x03\xed"),
    "JFIF without a version": segment(0xE0, b"JFIF"),
    "a comment that is empty": segment(0xFE, b""),
    "FlashPix": segment(0xE2, b"FPXR\0" + bytes(3)),
    "a segment that is too long": segment(0xE5, b"short", 60000),
    "a segment that is too short": segment(0xE6, b"a longer text than its length", 5),
    "a segment without a length": segment(0xE7, b"", 0),
}


@pytest.mark.parametrize("name", SEGMENTS)
@pytest.mark.filterwarnings("ignore")
def test_damaged_segments_beside_good_pixels(tmp_path: Path, name: str) -> None:
    content = jpeg_bytes()
    (tmp_path / "a.jpg").write_bytes(content[:2] + SEGMENTS[name] + content[2:])
    assert np.abs(read_image(tmp_path / "a.jpg", 3).int().numpy().T - [200, 40, 30]).max() < 4


@pytest.mark.parametrize("garbage", [b"\0" * 9000, bytes(range(256)) * 9, b"\xff\xd8\xff\xe0"])
def test_garbage_after_the_image(tmp_path: Path, garbage: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg_bytes() + garbage)
    assert read_image(tmp_path / "a.jpg", 3).shape == (3, 24, 32)


def test_metadata_is_removed_and_pixels_stay() -> None:
    content = jpeg_bytes(comment=b"hello", exif=Image.Exif().tobytes() or b"Exif\0\0")
    plain = jpeg.without_metadata(content)
    assert plain is not None and b"hello" not in plain and b"JFIF" in plain and len(plain) < len(content)
    assert np.array_equal(*(np.asarray(Image.open(io.BytesIO(data))) for data in (content, plain)))
    assert jpeg.without_metadata(plain) is None and jpeg.without_metadata(b"\xff\xd8\xff") is None


def test_colors_of_adobe_stay(tmp_path: Path) -> None:
    """APP14 tells that CMYK is inverted, and must not be removed with a damaged segment."""
    out = io.BytesIO()
    Image.new("CMYK", (32, 24), (0, 255, 255, 0)).save(out, "JPEG", quality=95)
    for more in (b"", SEGMENTS["a segment that is too long"], SEGMENTS["a segment that is too short"]):
        (tmp_path / "a.jpg").write_bytes(out.getvalue()[:2] + more + out.getvalue()[2:])
        assert np.abs(read_image(tmp_path / "a.jpg", 3).int().numpy().T - [255, 0, 0]).max() < 4


@pytest.mark.parametrize("extension", [".tif", ".webp", ".jpg", ".png"])
@pytest.mark.filterwarnings("ignore")
def test_damaged_profiles_beside_good_pixels(tmp_path: Path, extension: str) -> None:
    for profile in (b"garbage", bytes(200), bytes(range(256)) * 3):
        told: list[str] = []
        Image.new("RGB", (16, 16), (200, 40, 30)).save(tmp_path / f"a{extension}", icc_profile=profile)
        for icc in ("ignore", "srgb"):
            image = read_image(tmp_path / f"a{extension}", 3, icc=icc, on_profile=told.append)
            assert np.abs(image.int().numpy().T - [200, 40, 30]).max() < 6 and not told
