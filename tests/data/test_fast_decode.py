"""--fast_decode: large JPEGs are decoded at reduced scale, with the size and the geometry of the whole image."""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from data import PREPROCESS, create_dataset
from data.base_dataset import BaseDataset
from data.conversion import ImageConverter
from data.formats.image_reader import UnreadableImage, read_image, read_reduced
from data.transforms import Transform, resize, resize_read
from data.unaligned_dataset import UnalignedDataset
from options import TestOptions, TrainOptions
from tests.conftest import Options
from util.arguments import with_values
from util.stage import Stage


def waves(width: int, height: int) -> Image.Image:
    """Waves of 5 and 4 periods: in an image of 64 pixels, a shift by half a pixel changes values by up to 12 levels.

    A slope makes it asymmetric.
    """
    y, x = np.mgrid[:height, :width]
    y, x = (y + 0.5) / height, (x + 0.5) / width
    value = 110 + 50 * np.sin(2 * np.pi * 5 * x) + 50 * np.sin(2 * np.pi * 4 * y) + 40 * x - 20 * y
    return Image.fromarray(np.stack([value, 255 - value, value], -1).clip(0, 255).astype(np.uint8))


def write(path: Path, image: Image.Image, orientation: int = 1, **settings: Any) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=95, subsampling=0, exif=exif, **settings)
    return path


def largest_difference(one: Tensor, other: Tensor) -> float:
    """Without the last row and column, which depend on how the encoder filled the last blocks."""
    return float((one.float() - other.float())[:, :-1, :-1].abs().max())


def needs(height: int, width: int) -> Any:
    return lambda *_: (height, width)


def transform(preprocess: str, load_size: int, crop_size: int, fast_decode: bool = True) -> Transform:
    sizes = {"load_size": load_size, "crop_size": crop_size, "no_flip": True}
    return Transform(argparse.Namespace(preprocess=preprocess, fast_decode=fast_decode, **sizes), Stage.TRAIN)


# The scale.


@pytest.mark.parametrize(
    ("size", "least", "factor"),
    [
        ((128, 192), (64, 96), 2),
        ((128, 192), (65, 96), 1),
        ((128, 192), (64, 97), 1),
        ((135, 135), (67, 67), 2),
        ((135, 135), (16, 16), 8),  # 16.9 pixels
        ((135, 135), (17, 16), 4),
        ((135, 135), (1, 1), 8),
        ((128, 192), (256, 10), 1),
    ],
)
def test_the_smallest_scale_that_suffices(
    tmp_path: Path, size: tuple[int, int], least: tuple[int, int], factor: int
) -> None:
    image = read_reduced(write(tmp_path / "a.jpg", waves(size[1], size[0])), 3, needs(*least))
    assert (image.factor, image.size) == (factor, size)
    assert image.pixels.shape == (3, -(-size[0] // factor), -(-size[1] // factor))


@pytest.mark.parametrize("preprocess", PREPROCESS)
def test_no_preprocess_scales_reduced_pixels_up(tmp_path: Path, preprocess: str) -> None:
    random, factors = np.random.default_rng(0), set()
    for height, width in random.integers(20, 400, (25, 2)).tolist():
        path = write(tmp_path / "a.jpg", Image.new("RGB", (width, height)))
        fast = transform(preprocess, load_size=int(random.integers(16, 60)), crop_size=16)
        image = read_reduced(path, 3, fast.needed_size)
        target = fast.target_size(height, width)
        assert fast.scale_read(image).shape == (3, *target)
        if image.factor > 1:
            assert image.pixels.shape[-2] >= target[0] and image.pixels.shape[-1] >= target[1]
        factors.add(image.factor)
    assert factors == {1} if preprocess in ("crop", "none") else {1, 2, 4, 8}


# The pixels.


@pytest.mark.parametrize("side", [512, 509, 515, 519])  # multiples of 8, and nearly the next or the last one
@pytest.mark.parametrize("factor", [2, 4, 8])
def test_no_point_moves(tmp_path: Path, side: int, factor: int) -> None:
    path = write(tmp_path / "a.jpg", waves(side, side - 8))
    whole = resize(read_image(path, 3), 56, 60).float()
    image = read_reduced(path, 3, needs((side - 8) // factor, side // factor))
    assert image.factor == factor
    assert largest_difference(resize_read(image, 56, 60), whole) <= 4
    ignoring = resize(image.pixels, 56, 60).float()  # as if the last pixels were inside the image
    assert side % factor == 0 or factor == 2 or largest_difference(ignoring, whole) > 4


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(512, 384), (509, 387)])
def test_orientation(tmp_path: Path, orientation: int, size: tuple[int, int]) -> None:
    path = write(tmp_path / "a.jpg", waves(*size), orientation)
    whole = read_image(path, 3)
    image = read_reduced(path, 3, needs(40, 40))
    assert image.size == whole.shape[-2:]
    assert image.factor == (8 if size == (512, 384) or orientation == 1 else 1)
    assert largest_difference(resize_read(image, 64, 48), resize(whole, 64, 48)) <= 4


@pytest.mark.parametrize("kind", ["gray", "CMYK", "progressive", "MPO"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_kinds_of_jpegs(tmp_path: Path, kind: str, channels: int) -> None:
    image = waves(256, 192)
    image = image.convert("L") if kind == "gray" else image.convert("CMYK") if kind == "CMYK" else image
    settings: dict[str, Any] = {"progressive": True} if kind == "progressive" else {}
    if kind == "MPO":
        settings = {"format": "MPO", "save_all": True, "append_images": [Image.new("RGB", (256, 192))]}
    path = write(tmp_path / "a.jpg", image, **settings)
    reduced = read_reduced(path, channels, needs(48, 64))
    assert reduced.factor == 4 and reduced.pixels.shape == (channels, 48, 64)
    whole = resize(read_image(path, channels), 48, 64)
    assert (reduced.pixels.float() - whole.float()).abs().mean() < 2


def test_other_images_are_read_whole(tmp_path: Path) -> None:
    for extension in (".png", ".webp", ".bmp", ".tif", ".ppm"):
        path = tmp_path / f"a{extension}"
        waves(128, 96).save(path)
        image = read_reduced(path, 3, needs(12, 16))
        assert image.factor == 1 and torch.equal(image.pixels, read_image(path, 3))


def test_errors_are_those_of_the_whole_image(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jpg", waves(128, 96))
    for content in (path.read_bytes()[:2000], path.read_bytes()[:100], b""):
        path.write_bytes(content)
        with pytest.raises(UnreadableImage) as whole:
            read_image(path, 3)
        with pytest.raises(UnreadableImage) as reduced:
            read_reduced(path, 3, needs(12, 16))
        assert str(reduced.value) == str(whole.value)


def test_damaged_metadata(tmp_path: Path) -> None:
    out = io.BytesIO()
    waves(128, 96).save(out, "JPEG", quality=95)
    content = out.getvalue()
    (tmp_path / "a.jpg").write_bytes(content[:2] + b"\xff\xe1\xff\xffExif\0\0" + content[2:])
    image = read_reduced(tmp_path / "a.jpg", 3, needs(12, 16))
    assert image.pixels.shape == (3, 12, 16) and image.size == (96, 128)


# Datasets.


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A dataroot with JPEGs of 256x200 and 130x131 pixels, and a PNG."""
    for folder in ("trainA", "trainB", "testA", "testB"):
        write(tmp_path / "photographs" / folder / "0.jpg", waves(256, 200))
        write(tmp_path / "photographs" / folder / "1.jpg", waves(130, 131))
        waves(256, 200).save(tmp_path / "photographs" / folder / "2.png")
    return tmp_path / "photographs"


def images(opt: argparse.Namespace, stage: Stage = Stage.TRAIN, phase: str = "train") -> list[Tensor]:
    loader = create_dataset(opt, stage, phase)
    loader.print_message = lambda message: pytest.fail(message)
    return [batch[domain] for batch in loader for domain in "AB"]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return len(one) == len(other) and all(map(torch.equal, one, other))


@pytest.mark.parametrize("stage", list(Stage))
def test_a_dataset_decodes_large_jpegs_faster(options: Options, photographs: Path, stage: Stage) -> None:
    flags = ("--dataroot", photographs, "--serial_batches", "--augment", "none")
    whole, fast = (images(options(*flags, *more), stage) for more in ((), ("--fast_decode",)))
    for number, (a, b) in enumerate(zip(whole, fast, strict=True)):
        is_jpeg = number < 4
        assert torch.equal(a, b) == (not is_jpeg) and a.shape == b.shape
        assert (a - b).abs().mean() < 2 / 127.5
    assert same(images(options(*flags, "--fast_decode", "--no_fast_decode"), stage), whole)


@pytest.mark.parametrize("kind", ["ram", "disk"])
def test_a_cache_does_not_mix_them(options: Options, photographs: Path, kind: str) -> None:
    flags = ("--dataroot", photographs, "--serial_batches")
    whole, fast = images(options(*flags)), images(options(*flags, "--fast_decode"))
    assert not same(whole, fast)
    for _ in range(2):
        assert same(images(options(*flags, "--cache", kind)), whole)
        assert same(images(options(*flags, "--cache", kind, "--fast_decode")), fast)


def test_a_dataset_with_its_own_decoder_decodes_whole_images(
    options: Options, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def inverted(dataset: UnalignedDataset, path: Path, channels: int) -> Tensor:
        return 255 - BaseDataset.decode(dataset, path, channels)

    monkeypatch.setattr(UnalignedDataset, "decode", inverted)
    whole, fast = (images(options("--dataroot", photographs, *more)) for more in ((), ("--fast_decode",)))
    assert same(whole, fast)


@pytest.mark.parametrize("preprocess", ["crop", "none"])
def test_a_preprocess_that_needs_every_pixel_is_noted(options: Options, photographs: Path, preprocess: str) -> None:
    flags = ("--dataroot", photographs, "--preprocess", preprocess)
    note = f"note: --fast_decode has no effect with --preprocess {preprocess}, which needs every pixel"
    loader = create_dataset(options(*flags, "--fast_decode"))
    assert note in loader.summary() and note not in create_dataset(options(*flags)).summary()
    assert same(images(options(*flags, "--fast_decode")), images(options(*flags)))


def test_an_elongated_image_is_judged_by_its_whole_size(options: Options, photographs: Path) -> None:
    write(photographs / "trainA" / "thin.jpg", Image.new("RGB", (2, 30_000)))
    loader = create_dataset(
        options("--dataroot", photographs, "--preprocess", "scale_width", "--load_size", 128, "--fast_decode")
    )
    printed: list[str] = []
    loader.print_message = printed.append
    list(loader)
    assert "would be resized to 128x1920000 pixels: too elongated" in printed[0]


# Pairs.


def pairs(options: Options, root: Path, *flags: object) -> list[dict[str, Any]]:
    loader = create_dataset(options("--model", "pix2pix", "--dataroot", root, "--no_flip", "--serial_batches", *flags))
    return list(loader)


def test_the_parts_of_a_file_do_not_mix(options: Options, tmp_path: Path) -> None:
    halves = np.hstack([np.zeros((128, 136, 3), np.uint8), np.full((128, 136, 3), 255, np.uint8)])
    write(tmp_path / "joined" / "train" / "0.jpg", Image.fromarray(halves))  # 17 blocks of 8 pixels each
    write(tmp_path / "joined" / "train" / "1.jpg", waves(264, 128))  # 16.5 blocks each: decoded whole
    for (fast, whole), is_whole in zip(
        zip(pairs(options, tmp_path / "joined", "--fast_decode"), pairs(options, tmp_path / "joined"), strict=True),
        (False, True),
        strict=True,
    ):
        for domain in "AB":
            assert (fast[domain] - whole[domain]).abs().max() < 3 / 127.5
            assert not is_whole or torch.equal(fast[domain], whole[domain])
    first = pairs(options, tmp_path / "joined", "--fast_decode")[0]
    assert first["A"].max() < -0.97 and first["B"].min() > 0.97


def test_a_jpeg_and_a_png_are_a_pair_of_the_same_size(options: Options, tmp_path: Path) -> None:
    write(tmp_path / "pairs" / "trainA" / "0.jpg", waves(259, 203))
    (tmp_path / "pairs" / "trainB").mkdir()
    waves(259, 203).save(tmp_path / "pairs" / "trainB" / "0.png")
    (fast,) = pairs(options, tmp_path / "pairs", "--fast_decode", "--load_size", 64)
    assert (fast["A"] - fast["B"]).abs().max() < 6 / 127.5  # they are aligned
    (whole,) = pairs(options, tmp_path / "pairs", "--load_size", 64)
    assert torch.equal(fast["B"], whole["B"]) and not torch.equal(fast["A"], whole["A"])


def test_sizes_in_messages_are_those_of_the_files(options: Options, tmp_path: Path) -> None:
    write(tmp_path / "pairs" / "trainA" / "0.jpg", waves(256, 200))
    write(tmp_path / "pairs" / "trainB" / "0.jpg", waves(128, 100))
    dataset = create_dataset(options("--model", "pix2pix", "--dataroot", tmp_path / "pairs", "--fast_decode")).dataset
    with pytest.raises(UnreadableImage, match=r"has 128x100 pixels, but its pair .* has 256x200"):
        dataset.load(0, np.random.default_rng(0))


# Runs and inference.


def test_a_run_keeps_it(
    options: Options, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    opt = options("--dataroot", photographs, "--fast_decode")
    run = tmp_path / "checkpoints" / opt.name
    run.mkdir(parents=True)
    TrainOptions().save(opt, run, {})
    common = ["--dataroot", str(photographs), "--checkpoints_dir", str(tmp_path / "checkpoints"), "--name", opt.name]
    assert TrainOptions().parse([*common, "--continue_train"]).fast_decode
    assert TestOptions().parse(common).fast_decode
    assert not TestOptions().parse([*common, "--no_fast_decode"]).fast_decode
    capsys.readouterr()
    assert not TrainOptions().parse([*common, "--continue_train", "--no_fast_decode"]).fast_decode
    assert "--fast_decode" in capsys.readouterr().err


def test_inference_reads_files_as_a_test_does(options: Options, photographs: Path) -> None:
    opt = with_values(options("--dataroot", photographs, "--fast_decode"), load_size=32)
    tested = images(opt, Stage.TEST, "test")[0][0]
    converter = ImageConverter(opt, 3, original_size=False, padded=False)
    x, _ = converter.file(photographs / "testA" / "0.jpg")
    assert torch.equal(x, tested)
    original = ImageConverter(opt, 3, original_size=True, padded=False)
    whole = read_image(photographs / "testA" / "0.jpg", 3)
    torch.testing.assert_close(original.file(photographs / "testA" / "0.jpg")[0], whole / 127.5 - 1)
