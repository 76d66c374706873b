"""PNG: 16 bits, transparent colors, and good pixels beside bad metadata."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

from data.formats.image_reader import UnreadableImage, read_image, read_labels
from tests.data.formats.test_tiff import near
from tests.data.formats.writers import chunk, pixel_rows, png

RANDOM = np.random.default_rng(0)
HALVES = np.where(np.arange(64)[:, None, None] < 32, [200, 40, 30], [20, 60, 220]) * np.ones((1, 64, 1), int)
TEXT = chunk(b"tEXt", b"Comment\0hello")
BROKEN_TEXT = TEXT[:-1] + bytes([TEXT[-1] ^ 1])
SAMPLES = {0: 1, 2: 3, 4: 2, 6: 4}  # by color type


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("color_type", SAMPLES)
def test_sixteen_bits(tmp_path: Path, color_type: int, interlaced: bool) -> None:
    count = SAMPLES[color_type]
    values = RANDOM.integers(0, 65536, (9, 13, count))
    path = png(tmp_path / "a.png", values, 16, color_type, interlaced=interlaced)
    assert near(path, count, values / 257) and read_image(path, count).dtype == torch.float32
    if color_type in (4, 6):
        alpha = values[..., -1:] / 65535
        assert near(path, count - 1, 255 - (255 - values[..., :-1] / 257) * alpha)


@pytest.mark.parametrize("color_type", [0, 2])
@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_a_transparent_color_is_exact(tmp_path: Path, depth: int, color_type: int) -> None:
    """Pillow compares it with pixels that it has scaled to 8 bits."""
    if color_type == 2 and depth < 8:
        return
    top = 2**depth - 1
    values = np.zeros((4, 6, SAMPLES[color_type]), int)
    values[:2], values[2:, :3] = top, top // 2
    values[2:, 3:] = top // 2 + 1 if depth < 16 else top // 2 - 1  # of one high byte with the transparent one
    values = np.minimum(values, top)
    key = values[3, 0]
    path = png(tmp_path / "a.png", values, depth, color_type, chunk(b"tRNS", struct.pack(f">{len(key)}H", *key)))
    told: list[None] = []
    image = read_image(path, 3, on_transparency=lambda: told.append(None))
    expected = np.where((values == key).all(axis=2, keepdims=True), 255, values / top * 255)
    assert told and np.abs(image.permute(1, 2, 0).numpy() - expected).max() < 0.01
    assert np.array_equal(read_image(path, 4)[3].numpy() == 0, (values == key).all(axis=2))


def test_a_palette_with_alpha(tmp_path: Path) -> None:
    values = np.arange(6).reshape(2, 3, 1) % 3
    more = chunk(b"PLTE", bytes([200, 40, 30, 20, 60, 220, 0, 0, 0])) + chunk(b"tRNS", bytes([255, 0, 128]))
    image = read_image(png(tmp_path / "a.png", values, 8, 3, more), 4)
    assert image[:, 0].T.tolist() == [[200, 40, 30, 255], [20, 60, 220, 0], [0, 0, 0, 128]]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_everywhere_is_named(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (4, 4), (9,) * len(mode[:-1]) + (0,)).save(tmp_path / "a.png")
    with pytest.raises(UnreadableImage, match=r"a\.png: is transparent everywhere"):
        read_image(tmp_path / "a.png", 3)
    assert not read_image(tmp_path / "a.png", 4)[3].any()


LARGE = zlib.compress(b"a" * 1_200_000)


@pytest.mark.parametrize(
    "metadata",
    [
        chunk(b"zTXt", b"Comment\0\0" + LARGE),
        chunk(b"iTXt", b"Comment\0\1\0\0\0" + LARGE),
        chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(1_500_000))),
        chunk(b"iCCP", b"icc\0\7" + b"unknown compression"),
        chunk(b"iCCP", b"icc\0\0" + zlib.compress(b"cut off")[:-4]),
        chunk(b"zTXt", b"Comment\0\7unknown compression"),
        chunk(b"tEXt", b"a" * 100) + chunk(b"tEXt", b"\0" * 9),
        chunk(b"iTXt", b"no separators"),
        BROKEN_TEXT,
        chunk(b"tIME", b"\0" * 7)[:-1] + b"\0",
        chunk(b"gAMA", b"\0"),
        chunk(b"cHRM", b"\0" * 8),
        chunk(b"sRGB", b""),
        chunk(b"pHYs", b"\0"),
        chunk(b"eXIf", b"no EXIF"),
        chunk(b"acTL", b"\0" * 3),
        chunk(b"fcTL", b"\0" * 3),
        chunk(b"prVt", b"private"),
    ],
    ids=lambda data: f"{data[4:8].decode()}-{len(data)}",
)
@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.filterwarnings("ignore")
def test_bad_metadata_beside_good_pixels(tmp_path: Path, metadata: bytes, place: str) -> None:
    path = png(tmp_path / "a.png", HALVES, 8, 2, **{place: metadata})
    assert near(path, 3, HALVES)


@pytest.mark.parametrize("kind", [b"IHDR", b"PLTE", b"IDAT", b"tRNS"])
def test_a_damaged_chunk_of_the_pixels_is_named(tmp_path: Path, kind: bytes) -> None:
    more = chunk(b"PLTE", bytes(range(6))) + chunk(b"tRNS", bytes([0, 255]))
    path = png(tmp_path / "a.png", np.indices((4, 4)).sum(0)[..., None] % 2, 8, 3, more)
    content = bytearray(path.read_bytes())
    place = content.index(kind)
    length = int.from_bytes(content[place - 4 : place])
    content[place + 4 + length + 3] ^= 1
    path.write_bytes(content)
    with pytest.raises(UnreadableImage, match=rf"is damaged: its {kind.decode()} chunk has a wrong checksum"):
        read_image(path, 3)


def test_an_orientation_in_text_still_counts(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", "\nexif\n" + str(len(exif.tobytes())) + "\n" + exif.tobytes().hex())
    Image.new("RGB", (4, 2)).save(tmp_path / "a.png", pnginfo=info)
    assert read_image(tmp_path / "a.png", 3).shape == (3, 4, 2)
    path = png(tmp_path / "16.png", np.zeros((2, 4, 3), int), 16, 2, chunk(b"eXIf", exif.tobytes()[6:]))
    assert read_image(path, 3).shape == (3, 4, 2)


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_class_ids_are_the_stored_numbers(tmp_path: Path, depth: int) -> None:
    ids = RANDOM.integers(0, min(2**depth, 30), (5, 7, 1))
    assert np.array_equal(read_labels(png(tmp_path / "a.png", ids, depth, 0), 35)[0].numpy(), ids[..., 0])


def test_an_animation_is_its_default_image(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (6, 4), color) for color in ((200, 40, 30), (20, 60, 220))]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "a.png", 3)[:, 0, 0].tolist() == [200, 40, 30]


def test_a_hostile_size_is_refused_before_anything_is_allocated(tmp_path: Path) -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 13_000, 13_000, 16, 6, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(pixel_rows(HALVES, 8)))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b""))
    with pytest.raises(UnreadableImage, match="cut off"):
        read_image(tmp_path / "a.png", 3)


@pytest.mark.parametrize("depth", [8, 16])
def test_pixels_that_end_early_are_not_black(tmp_path: Path, depth: int) -> None:
    path = png(tmp_path / "a.png", HALVES, depth, 2)
    content = bytearray(path.read_bytes())
    struct.pack_into(">I", content, 20, 70)  # the height
    struct.pack_into(">I", content, 29, zlib.crc32(content[12:29]))
    path.write_bytes(content)
    with pytest.raises(UnreadableImage, match=r"a\.png: .*cut off: its pixels have \d+ of \d+ bytes"):
        read_image(path, 3)
    dark = np.concatenate([HALVES, np.zeros((6, 64, 3), int)])
    assert near(png(path, dark, depth, 2), 3, dark if depth == 8 else dark / 257)
