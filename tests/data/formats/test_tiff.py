"""TIFFs whose pixels Pillow's mode does not describe: right by value, or named with a reason."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from data.formats.image_reader import UnreadableImage, read_image, read_labels
from data.formats.tiff_segments import decompress
from tests.data.formats.writers import RATIONAL, pack_bits, tiff

RANDOM = np.random.default_rng(0)
SIZE = (9, 13)
ORDERS = ("<", ">")


def near(path: Path, channels: int, expected: Any, difference: float = 0.01) -> bool:
    """Whether the file is read as these values, (H, W, channels) or (H, W) or a pixel."""
    image = read_image(path, channels).permute(1, 2, 0).double().numpy()
    expected = np.asarray(expected, dtype=np.float64)
    if expected.ndim == 2:
        expected = expected[..., None]
    return bool(image.shape[2] == channels and np.abs(image - expected).max() <= difference)


def stored(values: np.ndarray, kind: str, order: str = "<") -> list[bytes]:
    return [values.astype(order + kind).tobytes()]


# The first samples: white is zero, packed bits, floating point.


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24])
def test_gray_of_any_depth(tmp_path: Path, order: str, photometric: int, bits: int) -> None:
    values = RANDOM.integers(0, 2**bits, SIZE)
    values[0, :2] = 0, 2**bits - 1
    if bits == 24:
        data = [np.ascontiguousarray(values.astype(order + "u4")).view(np.uint8).reshape(*SIZE, 4)]
        data = [(data[0][..., :3] if order == "<" else data[0][..., 1:]).tobytes()]
    elif bits in (8, 16):
        data = stored(values, f"u{bits // 8}", order)
    else:
        data = [pack_bits(values, bits)]
    path = tiff(tmp_path / "a.tif", SIZE, [bits], photometric, data, order=order)
    expected = values / (2**bits - 1) * 255
    assert near(path, 1, 255 - expected if photometric == 0 else expected, 0.51 if bits < 8 else 0.01)
    image = read_image(path, 3)
    assert image.shape == (3, *SIZE) and torch.equal(image[0], image[2])
    assert image.dtype == (torch.uint8 if bits <= 8 else torch.float32)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
def test_floating_point(tmp_path: Path, order: str, photometric: int, kind: str) -> None:
    values = RANDOM.random(SIZE)
    bits = 8 * int(kind[1])
    path = tiff(tmp_path / "a.tif", SIZE, [bits], photometric, stored(values, kind, order), order=order,
                more=[(339, 3, [3])])  # fmt: skip
    assert near(path, 1, 255 - values * 255 if photometric == 0 else values * 255, 0.1 if kind == "f2" else 0.01)
    values[0, 0] = 1.5
    tiff(path, SIZE, [bits], photometric, stored(values, kind, order), order=order, more=[(339, 3, [3])])
    with pytest.raises(UnreadableImage, match=r"a\.tif: has values outside 0\.\.1$"):
        read_image(path, 1)


def test_the_values_of_the_cases(tmp_path: Path) -> None:
    """16-bit and float WhiteIsZero as scanners write it, and a 12-bit camera's gray."""
    half = np.repeat(np.where(np.arange(64) < 32, 65535, 13107)[:, None], 64, 1)
    for path in (
        tiff(tmp_path / "w16.tif", (64, 64), [16], 0, stored(half, "u2")),
        tiff(tmp_path / "w8.tif", (64, 64), [8], 0, stored(half >> 8, "u1")),
        tiff(tmp_path / "wf.tif", (64, 64), [32], 0, stored(half / 65535, "f4"), more=[(339, 3, [3])]),
    ):
        assert near(path, 1, np.where(half == 65535, 0, 204))
    gray = np.where(half == 65535, 4095, 819)
    assert near(tiff(tmp_path / "12.tif", (64, 64), [12], 1, [pack_bits(gray, 12)]), 1, np.where(gray == 819, 51, 255))


@pytest.mark.parametrize(("bits", "kind"), [(8, "i1"), (16, "i2"), (32, "i4")])
def test_signed_numbers(tmp_path: Path, bits: int, kind: str) -> None:
    values = RANDOM.integers(0, 127, SIZE)
    path = tiff(tmp_path / "a.tif", SIZE, [bits], 1, stored(values, kind), more=[(339, 3, [2])])
    assert near(path, 1, values if bits == 8 else values / 257)
    values[1, 1] = -1
    tiff(path, SIZE, [bits], 1, stored(values, kind), more=[(339, 3, [2])])
    with pytest.raises(UnreadableImage, match=r"has values outside 0\.\.(255|65535)$"):
        read_image(path, 1)


def test_unsigned_32_bits_beyond_16_are_refused(tmp_path: Path) -> None:
    values = RANDOM.integers(0, 2**32, SIZE)
    with pytest.raises(UnreadableImage, match=r"has values outside 0\.\.65535"):
        read_image(tiff(tmp_path / "a.tif", SIZE, [32], 1, stored(values, "u4")), 1)
    assert near(tiff(tmp_path / "a.tif", SIZE, [32], 1, stored(values & 65535, "u4")), 1, (values & 65535) / 257)


@pytest.mark.parametrize(("kind", "sample_format"), [("c8", 6), ("u4", 5)])
def test_complex_numbers_are_refused(tmp_path: Path, kind: str, sample_format: int) -> None:
    bits = 64 if kind == "c8" else 32
    path = tiff(tmp_path / "a.tif", SIZE, [bits], 1, stored(np.ones(SIZE), kind), more=[(339, 3, [sample_format])])
    with pytest.raises(UnreadableImage, match="has complex numbers as samples"):
        read_image(path, 1)


# Colors, extra samples, planes.


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("planar", [1, 2])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_rgb(tmp_path: Path, order: str, planar: int, bits: int) -> None:
    values = RANDOM.integers(0, 2**bits, (*SIZE, 3))
    planes = [values.reshape(SIZE[0], -1)] if planar == 1 else [values[..., i] for i in range(3)]
    data = [pack_bits(p, bits) if bits == 12 else p.astype(f"{order}u{bits // 8}").tobytes() for p in planes]
    path = tiff(tmp_path / "a.tif", SIZE, [bits] * 3, 2, data, order=order, more=[(284, 3, [planar])])
    assert near(path, 3, values / (2**bits - 1) * 255)
    assert near(path, 1, values @ [0.299, 0.587, 0.114] / (2**bits - 1) * 255, 1)
    opaque = np.full((*SIZE, 1), 255)
    assert near(path, 4, np.concatenate([values / (2**bits - 1) * 255, opaque], axis=2))


@pytest.mark.parametrize("planar", [1, 2])
@pytest.mark.parametrize("extra", [(0,), ()])
@pytest.mark.parametrize("bits", [8, 16])
def test_rgb_and_near_infrared_is_not_rgba(tmp_path: Path, planar: int, extra: Sequence[int], bits: int) -> None:
    values = RANDOM.integers(0, 255, (*SIZE, 4))
    values[..., 3] = 77
    full = values * (257 if bits == 16 else 1)
    planes = [full] if planar == 1 else [full[..., i] for i in range(4)]
    data = [plane.astype(f"<u{bits // 8}").tobytes() for plane in planes]
    path = tiff(tmp_path / "a.tif", SIZE, [bits] * 4, 2, data, extra=extra, more=[(284, 3, [planar])])
    assert near(path, 4, values)
    told: list[None] = []
    assert torch.equal(read_image(path, 3, on_transparency=lambda: told.append(None)), read_image(path, 4)[:3])
    assert not told


@pytest.mark.parametrize("planar", [1, 2])
def test_five_bands_in_a_page(tmp_path: Path, planar: int) -> None:
    values = np.broadcast_to(np.arange(5) * 40, (*SIZE, 5))
    data = [values.astype("u1").tobytes()] if planar == 1 else [values[..., i].astype("u1").tobytes() for i in range(5)]
    path = tiff(tmp_path / "a.tif", SIZE, [8] * 5, 1, data, extra=[0] * 4, more=[(284, 3, [planar])])
    assert near(path, 5, values)
    for channels in (1, 2, 3, 4, 6):
        with pytest.raises(UnreadableImage, match=rf"has 5 samples per pixel .* read as 5 channels, not as {channels}"):
            read_image(path, channels)


def test_three_gray_bands_are_three_channels(tmp_path: Path) -> None:
    values = RANDOM.integers(0, 256, (*SIZE, 3))
    assert near(tiff(tmp_path / "a.tif", SIZE, [8] * 3, 1, stored(values, "u1"), extra=[0, 0]), 3, values)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", [1, 2])
@pytest.mark.parametrize("colors", [1, 3])
def test_alpha_that_is_or_is_not_multiplied_in(tmp_path: Path, bits: int, kind: int, colors: int) -> None:
    top = 2**bits - 1
    color, alpha = RANDOM.integers(0, top + 1, (*SIZE, colors)), RANDOM.integers(top // 2, top + 1, (*SIZE, 1))
    color = color * (alpha / top if kind == 1 else 1)
    values = np.concatenate([color.astype(int), alpha], axis=2)
    path = tiff(tmp_path / "a.tif", SIZE, [bits] * (colors + 1), 1 if colors == 1 else 2,
                stored(values, f"u{bits // 8}"), extra=[kind])  # fmt: skip
    opacity = values[..., -1:] / top
    plain = values[..., :-1] / opacity if kind == 1 else values[..., :-1]
    told: list[None] = []
    read_image(path, colors, on_transparency=lambda: told.append(None))
    assert told == [None]
    assert near(path, colors, 255 - (1 - plain / top) * opacity * 255, 2)
    assert near(path, colors + 1, np.concatenate([plain / top, opacity], axis=2) * 255, 2)


@pytest.mark.parametrize("bits", [8, 16])
def test_transparent_everywhere_is_named(tmp_path: Path, bits: int) -> None:
    values = RANDOM.integers(0, 256, (*SIZE, 4))
    values[..., 3] = 0
    path = tiff(tmp_path / "a.tif", SIZE, [bits] * 4, 2, stored(values, f"u{bits // 8}"), extra=[2])
    with pytest.raises(UnreadableImage, match=r"a\.tif: is transparent everywhere"):
        read_image(path, 3)
    assert not read_image(path, 4)[3].any()


@pytest.mark.parametrize("bits", [1, 4, 8, 16])
@pytest.mark.parametrize("scale", [257, 256, 1])
def test_palettes(tmp_path: Path, bits: int, scale: int) -> None:
    """Of 16 bits, 257 or 256 times those of 8 bits, or written with 8 bits by mistake."""
    palette, indices = RANDOM.integers(0, 256, (2**bits, 3)), RANDOM.integers(0, 2**bits, SIZE)
    palette[0] = 255
    data = stored(indices, "u2") if bits == 16 else [pack_bits(indices, bits)]
    more = [(320, 3, (palette * scale).T.ravel().tolist())]
    assert near(tiff(tmp_path / "a.tif", SIZE, [bits], 3, data, more=more), 3, palette[indices])


def test_cmyk(tmp_path: Path) -> None:
    for bits, scale in ((8, 1), (16, 257)):
        values = np.broadcast_to(np.array([0, 255, 255, 0]) * scale, (*SIZE, 4))
        for planar in (1, 2):
            data = stored(values if planar == 1 else values.transpose(2, 0, 1), f"u{bits // 8}")
            if planar == 2:
                step = len(data[0]) // 4
                data = [data[0][i * step : (i + 1) * step] for i in range(4)]
            path = tiff(tmp_path / "a.tif", SIZE, [bits] * 4, 5, data, more=[(284, 3, [planar])])
            assert near(path, 3, np.broadcast_to([255, 0, 0], (*SIZE, 3)))
    path = tiff(tmp_path / "a.tif", SIZE, [8] * 4, 5, stored(values & 255, "u1"), more=[(332, 3, [2])])
    with pytest.raises(UnreadableImage, match="printed in inks other than CMYK"):
        read_image(path, 3)


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 1), (2, 2), (4, 2)])
def test_ycbcr_without_compression(tmp_path: Path, subsampling: tuple[int, int]) -> None:
    across, down = subsampling
    color = np.array([[200, 40, 30], [20, 60, 220]])
    ycbcr = np.asarray(Image.fromarray(color.astype("u1")[None]).convert("YCbCr"))[0]
    top, bottom = (np.concatenate([np.repeat(pixel[:1], across * down), pixel[1:]]) for pixel in ycbcr)
    units = [np.broadcast_to(unit, (8 // down, 16 // across, len(unit))) for unit in (top, bottom)]
    data = [np.concatenate(units).astype("u1").tobytes()]
    path = tiff(tmp_path / "a.tif", (16, 16), [8] * 3, 6, data, more=[(530, 3, subsampling)])
    assert near(path, 3, np.repeat(color, 8, axis=0)[:, None], 2)


def test_ycbcr_by_its_own_range(tmp_path: Path) -> None:
    """Studio levels: black is 16, white is 235."""
    values = np.broadcast_to([235, 128, 128], (*SIZE, 3))
    more = [(530, 3, (1, 1)), (532, RATIONAL, [n for v in (16, 235, 128, 240, 128, 240) for n in (v, 1)])]
    assert near(tiff(tmp_path / "a.tif", SIZE, [8] * 3, 6, stored(values, "u1"), more=more), 3, 255)


@pytest.mark.parametrize("photometric", [8, 9, 10, 32803, 32844, 99])
def test_unknown_colors_are_named(tmp_path: Path, photometric: int) -> None:
    path = tiff(tmp_path / "a.tif", SIZE, [16] * 3, photometric, stored(np.ones((*SIZE, 3)), "u2"))
    with pytest.raises(UnreadableImage, match="which is not supported"):
        read_image(path, 3)


def test_samples_of_different_types_are_named(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", SIZE, [5, 6, 5], 2, [bytes(2 * 9 * 13)])
    with pytest.raises(UnreadableImage, match="has samples of different types: 3 samples of 5/6 bits"):
        read_image(path, 3)


# Storage: strips, tiles, orders of bits and bytes, compression, prediction.


def compressed(data: bytes, kind: int) -> bytes:
    if kind in (8, 32946):
        return zlib.compress(data)
    if kind == 34925:
        return lzma.compress(data)
    if kind == 32773:
        parts = [data[i : i + 128] for i in range(0, len(data), 128)]
        return b"".join(bytes([len(part) - 1]) + part for part in parts)
    return lzw(data) if kind == 5 else data


def lzw(data: bytes) -> bytes:
    """TIFF's LZW, with codes of 9 bits only: the table is cleared before it grows."""
    codes = []
    for start in range(0, len(data), 200):
        codes += [256, *data[start : start + 200]]
    return pack_bits(np.array([[*codes, 257]]), 9)


@pytest.mark.parametrize("compression", [1, 5, 8, 32946, 32773, 34925])
@pytest.mark.parametrize("layout", ["strips", "tiles"])
@pytest.mark.parametrize("predictor", [1, 2])
@pytest.mark.parametrize("order", ORDERS)
def test_storage_of_16_bit_color(tmp_path: Path, compression: int, layout: str, predictor: int, order: str) -> None:
    values = RANDOM.integers(0, 65536, (40, 37, 3))
    if layout == "strips":
        blocks, how = [values[top : top + 16] for top in range(0, 40, 16)], {"rows": 16}
    else:
        padded = np.pad(values, ((0, 8), (0, 11), (0, 0)))
        blocks = [padded[y : y + 16, x : x + 16] for y in range(0, 48, 16) for x in range(0, 48, 16)]
        how = {"tile": (16, 16)}
    if predictor == 2 and compression not in (1, 32773):
        blocks = [np.diff(block, axis=1, prepend=0) & 65535 for block in blocks]
    data = [compressed(block.astype(order + "u2").tobytes(), compression) for block in blocks]
    more = [(259, 3, [compression]), (317, 3, [predictor])]
    path = tiff(tmp_path / "a.tif", (40, 37), [16] * 3, 2, data, order=order, more=more, **how)  # type: ignore[arg-type]
    assert near(path, 3, values / 257)


@pytest.mark.parametrize("compression", [1, 5, 8])
@pytest.mark.parametrize("bits", [1, 8, 12, 16])
def test_bits_in_reverse_order(tmp_path: Path, compression: int, bits: int) -> None:
    values = RANDOM.integers(0, 2**bits, SIZE)
    data = compressed(values.astype("<u2").tobytes() if bits == 16 else pack_bits(values, bits), compression)
    data = data.translate(bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256)))
    more = [(259, 3, [compression]), (266, 3, [2])]
    path = tiff(tmp_path / "a.tif", SIZE, [bits], 1, [data], more=more)
    assert near(path, 1, values / (2**bits - 1) * 255, 0.01)


@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("bits", [1, 4, 8, 16])
def test_a_single_sample_in_planes(tmp_path: Path, bits: int, photometric: int) -> None:
    """Pillow takes the first letter of its raw mode for the plane, and loses the inversion."""
    values = RANDOM.integers(0, 2**bits, SIZE)
    data = stored(values, "u2") if bits == 16 else [pack_bits(values, bits)]
    expected = values / (2**bits - 1) * 255
    path = tiff(tmp_path / "a.tif", SIZE, [bits], photometric, data, more=[(284, 3, [2])])
    assert near(path, 1, 255 - expected if photometric == 0 else expected)


@pytest.mark.parametrize("compression", [1, 8])
def test_gray_and_alpha_in_planes(tmp_path: Path, compression: int) -> None:
    values = RANDOM.integers(0, 256, (*SIZE, 2))
    data = [compressed(values[..., i].astype("u1").tobytes(), compression) for i in range(2)]
    more = [(259, 3, [compression]), (284, 3, [2])]
    assert near(tiff(tmp_path / "a.tif", SIZE, [8, 8], 1, data, extra=[2], more=more), 2, values)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("compression", [1, 5, 8])
@pytest.mark.parametrize(("kind", "sample_format"), [("i2", 2), ("i4", 2), ("u4", 1), ("f4", 3)])
def test_compressed_numbers_in_either_order(
    tmp_path: Path, order: str, compression: int, kind: str, sample_format: int
) -> None:
    """Pillow expects the order of the file where libtiff returns that of the machine."""
    values = RANDOM.integers(0, 2**15, SIZE)
    data = compressed((values / 65535 if kind == "f4" else values).astype(order + kind).tobytes(), compression)
    more = [(259, 3, [compression]), (339, 3, [sample_format])]
    path = tiff(tmp_path / "a.tif", SIZE, [8 * int(kind[1])], 1, [data], order=order, more=more)
    assert near(path, 1, values / 257)


@pytest.mark.parametrize("samples", [1, 3])
def test_predicted_floating_point(tmp_path: Path, samples: int) -> None:
    values = RANDOM.random((*SIZE, samples)).astype(np.float32)
    in_bytes = values.reshape(SIZE[0], -1).astype(">f4").view("u1").reshape(SIZE[0], -1, 4)
    sorted_bytes = in_bytes.transpose(0, 2, 1).reshape(SIZE[0], -1).astype(int)
    sorted_bytes[:, samples:] -= sorted_bytes[:, :-samples].copy()
    data = zlib.compress((sorted_bytes % 256).astype("u1").tobytes())
    more = [(259, 3, [8]), (317, 3, [3]), (339, 3, [3] * samples)]
    path = tiff(tmp_path / "a.tif", SIZE, [32] * samples, 1 if samples == 1 else 2, [data], more=more)
    assert near(path, samples, values * 255)


@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_samples(tmp_path: Path, orientation: int, photometric: int) -> None:
    """As Pillow turns the same file with 8 bits."""
    values = RANDOM.integers(0, 256, SIZE)
    more = [(274, 3, [orientation])]
    plain = tiff(tmp_path / "8.tif", SIZE, [8], photometric, stored(values, "u1"), more=more)
    deep = tiff(tmp_path / "12.tif", SIZE, [16], photometric, stored(values * 257, "u2"), more=more)
    assert torch.equal(read_image(plain, 1).float(), read_image(deep, 1).round())


def test_big_tiff(tmp_path: Path) -> None:
    values = RANDOM.integers(0, 65536, SIZE)
    assert near(tiff(tmp_path / "a.tif", SIZE, [16], 0, stored(values, "u2"), big=True), 1, 255 - values / 257)


def test_jpeg_in_tiff_is_read_by_pillow(tmp_path: Path) -> None:
    Image.new("RGB", (32, 24), (200, 40, 30)).save(tmp_path / "a.tif", compression="jpeg", quality=95)
    assert near(tmp_path / "a.tif", 3, np.broadcast_to([200, 40, 30], (24, 32, 3)), 4)


def test_pages_of_white_is_zero_are_channels(tmp_path: Path) -> None:
    values = RANDOM.integers(0, 65536, SIZE)
    path = tiff(tmp_path / "a.tif", SIZE, [16], 0, stored(values, "u2"), pages=5)
    assert near(path, 5, np.repeat(255 - values[..., None] / 257, 5, axis=2))
    assert near(path, 1, 255 - values / 257)


def test_a_reduced_first_page_is_not_the_image(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(np.full((4, 4), 9, np.uint8), subfiletype=1)
        writer.write(np.full((8, 8), 200, np.uint8))
    assert near(tmp_path / "a.tif", 1, np.full((8, 8), 200))


# Class ids.


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 12, 16])
def test_class_ids_are_the_stored_numbers(tmp_path: Path, bits: int) -> None:
    values = RANDOM.integers(0, min(2**bits, 30), SIZE)
    data = stored(values, "u2") if bits == 16 else [pack_bits(values, bits)]
    path = tiff(tmp_path / "a.tif", SIZE, [bits], 1, data)
    assert np.array_equal(read_labels(path, 35)[0].numpy(), values)


# Damage and lies.


@pytest.mark.parametrize("compression", [1, 5, 8, 32773, 34925])
def test_a_cut_off_strip_is_named(tmp_path: Path, compression: int) -> None:
    data = compressed(RANDOM.integers(0, 256, 2 * 9 * 13).astype("u1").tobytes(), compression)
    path = tiff(tmp_path / "a.tif", SIZE, [16], 0, [data[: len(data) // 2]], more=[(259, 3, [compression])])
    with pytest.raises(UnreadableImage, match=r"a\.tif: "):
        read_image(path, 1)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("compression", [1, 5, 8, 32773])
def test_a_hostile_size_is_refused_before_anything_is_allocated(tmp_path: Path, bits: int, compression: int) -> None:
    for size in ((13_000, 13_000), (2**31, 3), (2**20, 2**20)):
        data = compressed(bytes(2000), compression)
        path = tiff(tmp_path / "a.tif", size, [bits] * 4, 2, [data], extra=[0], more=[(259, 3, [compression])])
        with pytest.raises(UnreadableImage, match=r"more pixels than are safe|cut off"):
            read_image(path, 4)


def test_decompression_is_bounded() -> None:
    bomb = zlib.compress(bytes(10_000_000))
    assert len(decompress(bomb, 10, 100, 8)) == 1000
