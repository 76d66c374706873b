"""Sizes, crops, flips and values."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from data import PREPROCESS
from data.transforms import CENTRAL, Choices, Transform, resize
from tests.conftest import tile
from util.stage import Stage

WIDE, TALL, SQUARE = (40, 90), (90, 40), (64, 64)  # height and width


def transform(preprocess: str, stage: Stage = Stage.TRAIN, **changed: Any) -> Transform:
    settings = {"load_size": 36, "crop_size": 32, "no_flip": False} | changed
    return Transform(argparse.Namespace(preprocess=preprocess, **settings), stage)


def image(height: int, width: int) -> Tensor:
    return torch.from_numpy(np.array(tile(height + width, width, height))).permute(2, 0, 1)


def columns(height: int, width: int) -> Tensor:
    """Columns numbered by their values, rows in the other channels, so that a crop shows its position."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    return torch.from_numpy(np.stack([columns, rows, rows]))


def place(made: Tensor) -> tuple[int, int]:
    """Top and left of a crop of `columns`."""
    return int((made[1, 0, 0] + 1) * 127.5 + 0.5), int((made[0, 0, 0] + 1) * 127.5 + 0.5)


@pytest.mark.parametrize(
    ("preprocess", "shape", "expected"),
    [
        ("resize_and_crop", WIDE, (32, 32)),
        ("resize_and_crop", TALL, (32, 32)),
        ("resize_and_crop", (10, 12), (32, 32)),
        ("crop", WIDE, (32, 32)),
        ("crop", SQUARE, (32, 32)),
        ("crop", (20, 90), (32, 32)),  # too small to crop from: scaled up first
        ("crop", (32, 32), (32, 32)),
        ("scale_width_and_crop", TALL, (32, 32)),
        ("scale_width_and_crop", WIDE, (32, 32)),
        ("scale_width", WIDE, (32, 36)),  # 36 wide, so 16 high: but at least crop_size
        ("scale_width", TALL, (80, 36)),  # 81 high: a multiple of 4
        ("scale_width", SQUARE, (36, 36)),
        ("none", WIDE, (40, 88)),  # 90 is as near to 88 as to 92: the even quarter
        ("none", (33, 47), (32, 48)),
        ("none", (1, 3), (4, 4)),
    ],
)
@pytest.mark.parametrize("stage", [Stage.TRAIN, Stage.TEST])
def test_sizes(preprocess: str, shape: tuple[int, int], expected: tuple[int, int], stage: Stage) -> None:
    made = transform(preprocess, stage)(image(*shape), np.random.default_rng(0))
    assert made.shape == (3, *expected)
    assert made.dtype == torch.float32
    assert made.untyped_storage().nbytes() == 4 * made.numel()  # not a view of the whole image
    assert -1 <= made.min() < made.max() <= 1


@pytest.mark.parametrize("preprocess", ["scale_width", "none"])
def test_sides_without_a_crop_are_multiples_of_four(preprocess: str) -> None:
    for height, width in np.random.default_rng(0).integers(1, 200, (30, 2)):
        for load_size in (33, 34, 35, 36):
            made = transform(preprocess, load_size=load_size).apply(torch.zeros(1, height, width), CENTRAL)
            assert made.shape[-1] % 4 == 0 and made.shape[-2] % 4 == 0
            wanted = load_size if preprocess == "scale_width" else width
            assert made.shape[-1] == 4 or abs(made.shape[-1] - wanted) <= 2


def test_values_span_minus_one_to_one() -> None:
    levels = torch.tensor([[[0, 51, 255, 128]] * 4], dtype=torch.uint8)
    made = transform("none").apply(levels, CENTRAL)
    torch.testing.assert_close(made[0, 0], torch.tensor([-1.0, -0.6, 1.0, 1 / 255]))
    deep = transform("none").apply(torch.full((1, 4, 4), 100.25), CENTRAL)
    torch.testing.assert_close(deep, torch.full((1, 4, 4), 100.25 / 127.5 - 1))


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        (Choices(left=0, top=0), (0, 0)),
        (Choices(left=0.999, top=0.999), (58, 8)),
        (Choices(left=0.5, top=0.25), (14, 4)),
        (CENTRAL, (29, 4)),
    ],
)
def test_the_choices_determine_the_position_of_the_crop(choices: Choices, expected: tuple[int, int]) -> None:
    made = transform("crop").apply(columns(90, 40), choices)
    assert place(made) == expected
    whole = columns(90, 40).float() / 127.5 - 1
    torch.testing.assert_close(made, whole[:, expected[0] : expected[0] + 32, expected[1] : expected[1] + 32])


def test_crops_in_training_reach_every_position_and_both_flips() -> None:
    random = np.random.default_rng(0)
    crops = [transform("crop")(columns(36, 36), random) for _ in range(400)]
    flipped = [bool(made[0, 0, 0] > made[0, 0, -1]) for made in crops]
    assert 160 < sum(flipped) < 240
    assert {place(made.flip(-1) if flip else made) for made, flip in zip(crops, flipped, strict=True)} == {
        (top, left) for top in range(5) for left in range(5)
    }


def test_a_flip_swaps_left_and_right() -> None:
    straight = transform("resize_and_crop").apply(image(*WIDE), Choices(0.3, 0.7, flip=False))
    mirrored = transform("resize_and_crop").apply(image(*WIDE), Choices(0.3, 0.7, flip=True))
    assert torch.equal(mirrored, straight.flip(-1)) and not torch.equal(mirrored, straight)


def test_no_flip_forbids_them() -> None:
    still = transform("none", no_flip=True)
    expected = still.apply(image(*WIDE), Choices(flip=False))
    assert torch.equal(still.apply(image(*WIDE), Choices(flip=True)), expected)


@pytest.mark.parametrize("stage", [Stage.VALIDATE, Stage.TEST])
@pytest.mark.parametrize("preprocess", PREPROCESS)
def test_validation_and_testing_are_not_random(preprocess: str, stage: Stage) -> None:
    testing = transform(preprocess, stage)
    random = np.random.default_rng(0)
    made = [testing(image(*WIDE), random) for _ in range(4)]
    assert all(torch.equal(one, made[0]) for one in made)
    assert torch.equal(made[0], testing.apply(image(*WIDE), CENTRAL))
    assert random.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize("preprocess", PREPROCESS)
def test_training_follows_the_generator(preprocess: str) -> None:
    def made(seed: int) -> list[Tensor]:
        random = np.random.default_rng(seed)
        return [transform(preprocess)(image(*WIDE), random) for _ in range(5)]

    assert all(torch.equal(one, other) for one, other in zip(made(1), made(1), strict=True))
    assert not all(torch.equal(one, other) for one, other in zip(made(1), made(2), strict=True))


@pytest.mark.parametrize("shape", [WIDE, TALL, SQUARE, (200, 300), (13, 9), (1, 1)])
@pytest.mark.parametrize("size", [(36, 36), (128, 100), (16, 200)])
def test_resizing_agrees_with_pillow(shape: tuple[int, int], size: tuple[int, int]) -> None:
    picture = image(*shape)
    height, width = size

    def pillow(of: Image.Image) -> Tensor:
        return torch.from_numpy(np.array(of.resize((width, height), Image.Resampling.BICUBIC)))

    made = resize(picture, height, width).float()
    expected = pillow(Image.fromarray(picture.permute(1, 2, 0).numpy())).permute(2, 0, 1).float()
    assert made.shape == (3, height, width)
    assert (made - expected).abs().max() <= 2

    deep = resize(picture.float(), height, width)
    expected = torch.stack([pillow(Image.fromarray(channel.float().numpy())) for channel in picture])
    assert (deep - expected.clamp(0, 255)).abs().max() <= 0.001


@pytest.mark.parametrize(("height", "width"), [(48, 1), (1, 48), (1, 1)])
def test_a_gray_image_one_pixel_wide_is_resized_like_the_others(height: int, width: int) -> None:
    """Its strides don't tell channels first from channels last; torch alone then reads uint8 from wrong places."""
    gray = image(height, width)[:1].contiguous()
    made = resize(gray, 31, 20)
    expected = resize(gray.expand(3, -1, -1), 31, 20)
    assert torch.equal(made, expected[:1]) and torch.equal(made, expected[1:2])


@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_sharp_edges_stay_in_range(kind: torch.dtype, channels: int) -> None:
    edges = torch.zeros(channels, 30, 30, dtype=kind)
    edges[:, :, ::3] = 255
    made = resize(edges, 71, 71)
    assert made.dtype == kind and made.shape == (channels, 71, 71)
    assert made.min() == 0 and made.max() == 255
    assert (made[0] == made[-1]).all()


@pytest.mark.parametrize("preprocess", PREPROCESS)
def test_validation_in_a_training_run_scales_as_testing_does(preprocess: str) -> None:
    """test.py's --load_size is by default --crop_size."""
    validating = transform(preprocess, Stage.VALIDATE, load_size=48)
    testing = transform(preprocess, Stage.TEST, load_size=32)
    assert torch.equal(validating.apply(image(*WIDE), CENTRAL), testing.apply(image(*WIDE), CENTRAL))
    assert validating.scaling == testing.scaling  # entries of a cache are shared


def test_an_old_call_without_a_stage_is_that_of_the_program() -> None:
    opt = argparse.Namespace(preprocess="crop", load_size=36, crop_size=32, no_flip=False, is_train=True)
    with pytest.warns(FutureWarning, match=r"^Transform\(opt\) is now Transform\(opt, stage\)$"):
        assert Transform(opt).is_random


def test_without_augmentation_training_sees_the_center_as_it_is() -> None:
    bare, testing = transform("crop", augment="none"), transform("crop", Stage.TEST)
    assert bare.choose(np.random.default_rng(0)) == CENTRAL
    assert torch.equal(bare(image(40, 90), np.random.default_rng(0)), testing(image(40, 90), np.random.default_rng(0)))
    assert transform("crop", augment="basic").choose(np.random.default_rng(0)) != CENTRAL
