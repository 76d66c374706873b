"""BMP: masks, alpha that is 0 everywhere, and palettes whose depth Pillow mistakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.formats.image_reader import UnreadableImage, read_image
from tests.data.formats.test_tiff import near
from tests.data.formats.writers import bmp, pack_bits

RANDOM = np.random.default_rng(0)
SIZE = (9, 13)
BGRA, RGBA = (0xFF0000, 0xFF00, 0xFF, 0xFF000000), (0xFF, 0xFF00, 0xFF0000, 0xFF000000)


def pixels(values: np.ndarray, masks: tuple[int, ...], bits: int) -> np.ndarray:
    """Rows of bytes of colors and alpha (H, W, 3 or 4), each as large as its mask."""
    packed = np.zeros(values.shape[:2], np.int64)
    for place, mask in enumerate(masks):
        if mask:
            packed |= values[..., place] << ((mask & -mask).bit_length() - 1)
    return packed.astype(f"<u{bits // 8}").view(np.uint8).reshape(len(values), -1)


@pytest.mark.parametrize("top_down", [False, True])
@pytest.mark.parametrize("header", [40, 52, 56, 108, 124])
@pytest.mark.parametrize(
    ("bits", "masks"),
    [
        (16, (0xF800, 0x7E0, 0x1F)),
        (16, (0x7C00, 0x3E0, 0x1F)),
        (16, (0xF00, 0xF0, 0xF)),
        (16, (0x1F, 0x7E0, 0xF800)),
        (32, (0xFF0000, 0xFF00, 0xFF)),
        (32, (0xFF, 0xFF00, 0xFF0000)),
        (32, (0x3FF00000, 0xFFC00, 0x3FF)),
        (32, (0xFFE00000, 0x1FF800, 0x7FF)),
    ],
)
def test_masks(tmp_path: Path, bits: int, masks: tuple[int, ...], header: int, top_down: bool) -> None:
    tops = np.array([mask // (mask & -mask) for mask in masks])
    values = RANDOM.integers(0, tops + 1, (*SIZE, 3))
    path = bmp(tmp_path / "a.bmp", pixels(values, masks, bits), 13, bits, masks=masks, header=header, top_down=top_down)
    assert near(path, 3, values / tops * 255, 1)


@pytest.mark.parametrize("masks", [BGRA, RGBA])
def test_alpha_that_is_zero_everywhere_is_none(tmp_path: Path, masks: tuple[int, ...]) -> None:
    values = np.zeros((64, 64, 4), int)
    values[:32, :, :3], values[32:, :, :3] = (200, 40, 30), (20, 60, 220)
    path = bmp(tmp_path / "a.bmp", pixels(values, masks, 32), 64, 32, masks=masks, header=108)
    told: list[None] = []
    assert read_image(path, 3, on_transparency=lambda: told.append(None))[:, 0, 0].tolist() == [200, 40, 30]
    assert not told
    assert near(path, 3, values[..., :3]) and (read_image(path, 4)[3] == 255).all()
    values[0, 0, 3] = 128
    bmp(path, pixels(values, masks, 32), 64, 32, masks=masks, header=108)
    assert near(path, 4, values) and (read_image(path, 3)[:, 1:] == 255).all()


def test_masks_of_zero_and_other_depths_of_alpha(tmp_path: Path) -> None:
    values = RANDOM.integers(0, 256, (*SIZE, 4))
    path = bmp(tmp_path / "a.bmp", pixels(values, BGRA, 32), 13, 32, masks=(0, 0, 0, 0), header=108)
    assert near(path, 4, values)
    masks, tops = (0x7C00, 0x3E0, 0x1F, 0x8000), np.array([31, 31, 31, 1])
    values = RANDOM.integers(0, tops + 1, (*SIZE, 4))
    path = bmp(tmp_path / "a.bmp", pixels(values, masks, 16), 13, 16, masks=masks, header=108)
    assert near(path, 4, values / tops * 255, 1)
    path = bmp(tmp_path / "a.bmp", pixels(values, masks, 16), 13, 16, masks=masks, header=40, compression=6)
    assert near(path, 4, values / tops * 255, 1)


def test_without_masks_16_bits_are_555_and_the_fourth_byte_of_32_is_nothing(tmp_path: Path) -> None:
    values = RANDOM.integers(0, 32, (*SIZE, 3))
    path = bmp(tmp_path / "a.bmp", pixels(values, (0x7C00, 0x3E0, 0x1F), 16), 13, 16)
    assert near(path, 3, values * 255 / 31, 1)
    values = RANDOM.integers(0, 256, (*SIZE, 4))
    path = bmp(tmp_path / "a.bmp", pixels(values, BGRA, 32), 13, 32)
    assert near(path, 3, values[..., :3])


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("colors", ["random", "gray steps", "black and white", "gray"])
@pytest.mark.parametrize("is_declared", [False, True])
def test_palettes(tmp_path: Path, bits: int, colors: str, is_declared: bool) -> None:
    count = 2 if colors == "black and white" else 2**bits
    palette = {
        "random": RANDOM.integers(0, 256, (count, 3)),
        "gray steps": np.arange(count)[:, None].repeat(3, 1),
        "black and white": np.array([[0] * 3, [255] * 3]),
        "gray": np.linspace(0, 255, count).astype(int)[:, None].repeat(3, 1),
    }[colors]
    if not is_declared and count < 2**bits:
        return
    indices = RANDOM.integers(0, count, SIZE)
    rows = np.frombuffer(pack_bits(indices, bits), np.uint8).reshape(SIZE[0], -1)
    table = np.pad(palette[:, ::-1], ((0, 0), (0, 1))).astype("u1").tobytes()
    path = bmp(tmp_path / "a.bmp", rows, 13, bits, palette=table, colors=count if is_declared else 0)
    assert near(path, 3, palette[indices])


def test_half_a_file_is_named(tmp_path: Path) -> None:
    values = RANDOM.integers(0, 16, (*SIZE, 3))
    path = bmp(tmp_path / "a.bmp", pixels(values, (0xF00, 0xF0, 0xF), 16), 13, 16, masks=(0xF00, 0xF0, 0xF))
    path.write_bytes(path.read_bytes()[:150])
    with pytest.raises(UnreadableImage, match=r"a\.bmp: .*cut off"):
        read_image(path, 3)


def test_a_hostile_size_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.bmp")
    content = bytearray((tmp_path / "a.bmp").read_bytes())
    for width in (13_000, 2**31 - 1):
        content[18:26] = width.to_bytes(4, "little") + (13_000).to_bytes(4, "little")
        (tmp_path / "a.bmp").write_bytes(content)
        with pytest.raises(UnreadableImage, match=r"cut off|more pixels than are safe"):
            read_image(tmp_path / "a.bmp", 3)
