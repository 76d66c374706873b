"""Images of every kind, and files that are not images."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from data.formats.image_reader import IMAGE_EXTENSIONS, UnreadableImage, read_image
from tests.conftest import tile

Save = Callable[..., Path]
PICTURE = tile(1, 7, 5)
RGB = torch.from_numpy(np.array(PICTURE)).permute(2, 0, 1)
# Luma as Pillow computes it (ITU-R BT.601).
GRAY = (RGB * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(0, keepdim=True)


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Save an image and return its path."""

    def save(image: Image.Image, name: str = "image.png", **settings: Any) -> Path:
        image.save(tmp_path / name, **settings)
        return tmp_path / name

    return save


def near(one: Tensor, other: Tensor, difference: float = 0) -> bool:
    """Whether two images have the same shape and differ nowhere by more."""
    return one.shape == other.shape and float((one.float() - other.float()).abs().max()) <= difference


# Formats.


@pytest.mark.parametrize("extension", [".png", ".bmp", ".tif", ".tiff", ".ppm"])
def test_lossless_formats(save: Save, extension: str) -> None:
    image = read_image(save(PICTURE, f"image{extension}"), 3)
    assert image.dtype == torch.uint8 and near(image, RGB)


@pytest.mark.parametrize("extension", [".jpg", ".jpeg", ".webp"])
def test_lossy_formats(save: Save, extension: str) -> None:
    flat = Image.new("RGB", (16, 12), (200, 120, 40))
    image = read_image(save(flat, f"image{extension}", quality=95), 3)
    assert near(image, torch.tensor([200, 120, 40]).view(3, 1, 1).expand(3, 12, 16), 4)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "packbits"])
def test_compressed_tiff(save: Save, compression: str) -> None:
    assert near(read_image(save(PICTURE, "image.tif", compression=compression), 3), RGB)


def test_an_uppercase_or_wrong_extension_does_not_matter(save: Save) -> None:
    assert near(read_image(save(PICTURE, "IMAGE.PNG"), 3), RGB)
    assert near(read_image(save(PICTURE, "image.jpg", format="PNG"), 3), RGB)


def test_extensions_are_in_lower_case() -> None:
    assert all(extension == extension.lower() and extension.startswith(".") for extension in IMAGE_EXTENSIONS)


# Modes and channels.


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_color_image_with_each_number_of_channels(save: Save, channels: int) -> None:
    image = read_image(save(PICTURE), channels)
    opaque = torch.full_like(GRAY, 255)
    expected = {1: [GRAY], 2: [GRAY, opaque], 3: [RGB], 4: [RGB, opaque]}[channels]
    assert near(image, torch.cat(expected), 1)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_gray_image_with_each_number_of_channels(save: Save, channels: int) -> None:
    gray = PICTURE.convert("L")
    image = read_image(save(gray), channels)
    level = torch.from_numpy(np.array(gray))[None]
    expected = level.expand({1: 1, 2: 1, 3: 3, 4: 3}[channels], -1, -1)
    if channels in (2, 4):
        expected = torch.cat([expected, torch.full_like(level, 255)])
    assert near(image, expected)


def test_a_palette_is_looked_up(save: Save) -> None:
    quantized = PICTURE.quantize(8)
    expected = torch.from_numpy(np.array(quantized.convert("RGB"))).permute(2, 0, 1)
    assert near(read_image(save(quantized), 3), expected)


def test_black_and_white(save: Save) -> None:
    checks = Image.fromarray(np.indices((5, 7)).sum(0) % 2 == 0)
    assert checks.mode == "1"
    expected = torch.from_numpy(np.array(checks).astype(np.uint8) * 255)[None]
    for name in ("image.png", "image.pbm", "image.bmp"):
        assert near(read_image(save(checks, name), 1), expected)
        assert near(read_image(save(checks, name), 3), expected.expand(3, -1, -1))


def test_cmyk(save: Save) -> None:
    red = Image.new("CMYK", (6, 4), (0, 255, 255, 0))
    for channels, expected in ((3, [255, 0, 0]), (1, [76]), (4, [255, 0, 0, 255]), (2, [76, 255])):
        image = read_image(save(red, "image.tif"), channels)
        assert near(image, torch.tensor(expected).view(-1, 1, 1).expand(-1, 4, 6), 1)


# Transparency.


def transparent(mode: str) -> Image.Image:
    """Half black and opaque, half black and invisible."""
    alpha = Image.new("L", (8, 4), 255)
    alpha.paste(0, (4, 0, 8, 4))
    if mode == "P":
        image = Image.new("P", (8, 4), 1)
        image.putpalette([9, 9, 9, 0, 0, 0])
        image.paste(0, (4, 0, 8, 4))
        image.info["transparency"] = 0
        return image
    image = Image.new("RGB" if mode == "RGBA" else "L", (8, 4), 0)
    image.putalpha(alpha)
    assert image.mode == mode
    return image


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_images_are_composited_over_white(save: Save, mode: str, channels: int) -> None:
    messages = []
    image = read_image(save(transparent(mode)), channels, on_transparency=lambda: messages.append(True))
    assert image.shape == (channels, 4, 8)
    assert not image[..., :4].any() and (image[..., 4:] == 255).all()
    assert messages == [True]


@pytest.mark.parametrize(("mode", "channels"), [("RGBA", 4), ("LA", 2), ("P", 4), ("RGBA", 2)])
def test_alpha_is_a_channel_of_two_or_four(save: Save, mode: str, channels: int) -> None:
    messages = []
    image = read_image(save(transparent(mode)), channels, on_transparency=lambda: messages.append(True))
    assert image.shape == (channels, 4, 8)
    assert (image[-1, :, :4] == 255).all() and not image[-1, :, 4:].any()
    assert not messages


def test_half_transparent_is_half_white(save: Save) -> None:
    image = read_image(save(Image.new("RGBA", (3, 3), (200, 0, 100, 51))), 3)
    assert near(image, torch.tensor([244, 204, 224]).view(3, 1, 1).expand(3, 3, 3), 1)


def test_an_opaque_image_with_alpha_is_not_reported(save: Save) -> None:
    messages = []
    image = read_image(save(PICTURE.convert("RGBA")), 3, on_transparency=lambda: messages.append(True))
    assert near(image, RGB) and not messages


# More than 8 bits.

DEEP = np.array([[0, 1, 257], [25700, 65534, 65535]], dtype=np.uint16)


@pytest.mark.parametrize("name", ["image.png", "image.tif", "image.pgm"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bits_of_gray_keep_their_steps(save: Save, name: str, channels: int) -> None:
    image = read_image(save(Image.fromarray(DEEP), name), channels)
    level = torch.from_numpy(DEEP.astype(np.float32) / 65535 * 255)[None]
    assert image.dtype == torch.float32
    assert near(image[: 1 if channels < 3 else 3], level.expand(1 if channels < 3 else 3, -1, -1), 1e-4)
    if channels in (2, 4):
        assert (image[-1] == 255).all()


def test_floating_point_tiff(save: Save) -> None:
    values = np.array([[0, 0.1], [0.5, 1]], dtype=np.float32)
    image = read_image(save(Image.fromarray(values), "image.tif"), 1)
    assert image.dtype == torch.float32 and near(image, torch.from_numpy(values * 255)[None], 1e-4)


@pytest.mark.parametrize("value", [-0.1, 1.5, np.nan, np.inf])
def test_floating_point_outside_its_range_is_unreadable(save: Save, value: float) -> None:
    path = save(Image.fromarray(np.array([[0, value]], dtype=np.float32)), "image.tif")
    with pytest.raises(UnreadableImage, match=r"image\.tif: has values outside 0\.\.1$"):
        read_image(path, 3)


# Pages of a TIFF.


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_five_channels_are_five_pages(save: Save, kind: type) -> None:
    white = {np.uint8: 255, np.uint16: 65535, np.float32: 1}[kind]
    levels = np.arange(5 * 4 * 6).reshape(5, 4, 6) / 120
    pages = [Image.fromarray((page * white).astype(kind)) for page in levels]
    image = read_image(save(pages[0], "image.tif", save_all=True, append_images=pages[1:]), 5)
    assert near(image, torch.from_numpy(levels * 255), 1)


def test_pages_that_do_not_fit_are_unreadable(save: Save) -> None:
    small, large = Image.new("L", (4, 4)), Image.new("L", (5, 4))
    with pytest.raises(UnreadableImage, match="has 2 pages, but 5 channels need a TIFF with one page each"):
        read_image(save(small, "image.tif", save_all=True, append_images=[small]), 5)
    with pytest.raises(UnreadableImage, match="has pages of different sizes"):
        read_image(save(small, "image.tif", save_all=True, append_images=[small] * 3 + [large]), 5)
    with pytest.raises(UnreadableImage, match="has 1 pages"):
        read_image(save(PICTURE), 5)


# Orientation.


@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_upright_according_to_exif(save: Save, orientation: int, extension: str) -> None:
    # A red mark at the top left of the upright picture, stored as by a camera in each orientation.
    upright = np.zeros((16, 32, 3), dtype=np.uint8)
    upright[:8, :8] = (255, 0, 0)
    side = upright.transpose(1, 0, 2)
    # EXIF 2.3, section 4.6.4: the sides of the picture at the first row and the first column of the file.
    stored = {
        1: upright,
        2: upright[:, ::-1],  # top, right
        3: upright[::-1, ::-1],  # bottom, right
        4: upright[::-1],  # bottom, left
        5: side,  # left, top
        6: side[::-1],  # right, top
        7: side[::-1, ::-1],  # right, bottom
        8: side[:, ::-1],  # left, bottom
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = read_image(save(Image.fromarray(np.ascontiguousarray(stored)), f"image{extension}", exif=exif), 3)
    assert image.shape == (3, 16, 32)
    red = (image[0].int() - image[1].int()) > 128
    assert red[1:7, 1:7].all() and not red[:, 10:].any() and not red[10:].any()


@pytest.mark.filterwarnings("ignore")  # Pillow warns about damaged blocks
def test_a_damaged_exif_block_does_not_spoil_a_good_image(save: Save) -> None:
    exif = Image.Exif()
    for tag, value in ((0x0112, 6), (0x010F, "a camera"), (0x011A, 72.0), (0x0132, "2020:01:01 00:00:00")):
        exif[tag] = value
    exif.get_ifd(0x8769)[0x829A] = 0.01
    exif.get_ifd(0x8825)[2] = (1.0, 2.0, 3.0)
    whole = exif.tobytes()
    random = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[random.integers(6, len(damaged))] = random.integers(256)
        image = read_image(save(PICTURE, "image.jpg", exif=bytes(damaged)), 3)
        assert image.shape in ((3, 5, 7), (3, 7, 5))  # the damaged byte may be the orientation


# Files that are not images.


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"this is a text file with the name of an image", "can't be decoded .*cannot identify image file"),
        (b"<html>403 Forbidden</html>", "can't be decoded"),
        (b"\x89PNG\r\n\x1a\n", "can't be decoded"),
    ],
)
def test_the_error_for_another_kind_of_file_names_it(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(content)
    with pytest.raises(UnreadableImage, match=reason) as caught:
        read_image(path, 3)
    assert caught.value.path == str(path)
    assert str(caught.value).count(str(path)) == 1


def test_the_error_for_a_missing_file_or_a_folder_names_it(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match=r"gone\.png: does not exist"):
        read_image(tmp_path / "gone.png", 3)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UnreadableImage, match=r"folder\.png: is not a regular file"):
        read_image(tmp_path / "folder.png", 3)
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    with pytest.raises(UnreadableImage, match=r"loop\.png: can't be opened: Too many levels of symbolic links"):
        read_image(tmp_path / "loop.png", 3)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no pipes in folders")
def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(UnreadableImage, match=r"pipe\.png: is not a regular file"):
        read_image(tmp_path / "pipe.png", 3)


@pytest.mark.parametrize("extension", [".png", ".jpg", ".webp", ".bmp", ".tif", ".ppm"])
def test_the_error_for_a_truncated_file_names_it(save: Save, extension: str) -> None:
    path = save(tile(2, 64, 64), f"image{extension}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UnreadableImage, match=rf"image\{extension}: can't be decoded"):
        read_image(path, 3)


def test_a_header_with_too_many_pixels_is_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # as other code may set it
    path = tmp_path / "bomb.ppm"
    path.write_bytes(b"P6 100000 100000 255\n")
    with pytest.raises(UnreadableImage, match=r"bomb\.ppm: declares more pixels than are safe to decode"):
        read_image(path, 3)


def test_the_error_can_be_pickled_to_leave_a_worker() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(UnreadableImage(Path("a/b.png"), "is empty")))
    assert (error.path, error.reason, str(error)) == ("a/b.png", "is empty", "a/b.png: is empty")


MODES = {
    ".png": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    ".jpg": ["L", "RGB", "CMYK"],
    ".tif": ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F", "I", "LAB", "YCbCr"],
    ".webp": ["RGB", "RGBA"],
    ".bmp": ["1", "L", "P", "RGB"],
}


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """An image of any kind, possibly with damaged or missing bytes."""
    extension = draw(st.sampled_from(sorted(MODES)))
    mode = draw(st.sampled_from(MODES[extension]))
    width, height = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    if mode in ("I;16", "F", "I"):
        random = np.random.default_rng(width * 10 + height)
        kind = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
        image = Image.fromarray((random.random((height, width)) * (1 if mode == "F" else 65535)).astype(kind))
    else:
        image = tile(width * 10 + height, width, height).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, {".jpg": "JPEG", ".tif": "TIFF"}.get(extension, extension[1:].upper()))
    content = bytearray(buffer.getvalue())
    for place, value in draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=4)):
        content[place] = value
    return bytes(content[: draw(st.sampled_from([len(content), draw(st.integers(0, len(content)))]))])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
@given(content=files(), channels=st.integers(1, 5))
@pytest.mark.filterwarnings("ignore")  # Pillow warns about damaged files
def test_any_file_is_an_image_in_range_or_unreadable(tmp_path: Path, content: bytes, channels: int) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(content)
    try:
        image = read_image(path, channels)
    except UnreadableImage as error:
        assert error.path == str(path) and error.reason
        return
    assert image.dim() == 3 and image.shape[0] == channels and image.numel() > 0
    assert image.dtype in (torch.uint8, torch.float32)
    assert torch.isfinite(image.float()).all() and image.min() >= 0 and image.max() <= 255
