"""Pictures of tensors, and their names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from util.images import grid, name_below, to_array, to_rgb
from util.pages.html import write_picture


def test_minus_one_is_black_and_one_is_white() -> None:
    levels = torch.tensor([-1.0, 0.0, 1.0, -7.0, 7.0, 0.2]).view(1, 1, 6).expand(3, 1, 6)
    array = to_array(levels.requires_grad_())
    assert array.dtype == np.uint8 and array.shape == (1, 6, 3)
    assert array[0, :, 0].tolist() == [0, 128, 255, 0, 255, 153]


def test_an_eight_bit_image_survives_the_way_through_a_network() -> None:
    levels = torch.arange(256).view(1, 16, 16).repeat(3, 1, 1)
    assert np.array_equal(to_array(levels / 127.5 - 1), levels.permute(1, 2, 0).numpy())


@pytest.mark.parametrize(
    ("channels", "shown"), [(1, [0, 0, 0]), (2, [0, 1]), (3, [0, 1, 2]), (4, [0, 1, 2, 3]), (5, [0, 1, 2])]
)
def test_any_number_of_channels_can_be_shown(channels: int, shown: list[int]) -> None:
    image = torch.rand(channels, 4, 5) * 2 - 1
    expected = ((image[shown] + 1) * 127.5).round().permute(1, 2, 0).numpy()
    assert np.array_equal(to_array(image), expected)


@pytest.mark.parametrize(("channels", "mode"), [(2, "LA"), (4, "RGBA")])
def test_alpha_is_written_and_composited_for_monitors(tmp_path: Path, channels: int, mode: str) -> None:
    image = torch.full((channels, 4, 6), -1.0)
    image[-1, :, 3:] = 1.0  # black: transparent at the left, opaque at the right
    for aspect_ratio in (1.0, 2.0):
        array = to_array(image, aspect_ratio)
        write_picture(tmp_path / "a.png", array)
        with Image.open(tmp_path / "a.png") as picture:
            assert picture.mode == mode and np.array_equal(np.asarray(picture), array)
        rgb = to_rgb(array)
        assert rgb.shape == (*array.shape[:2], 3) and (rgb[:, 0] == 255).all() and not rgb[:, -1].any()


@pytest.mark.parametrize(("aspect_ratio", "size"), [(1.0, (6, 4)), (1.5, (6, 6)), (0.5, (12, 4))])
def test_an_aspect_ratio_stretches_one_side(aspect_ratio: float, size: tuple[int, int]) -> None:
    assert to_array(torch.zeros(3, 6, 4), aspect_ratio).shape == (*size, 3)


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (4, 4), (6, 2), (6, 3)])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_grid_is_filled_row_by_row(count: int, columns: int, channels: int) -> None:
    images = torch.rand(count, channels, 4, 5) * 2 - 1
    made = grid(images, columns)
    assert made.shape == (channels, count // columns * 4, columns * 5)
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        assert torch.equal(made[:, 4 * row : 4 * row + 4, 5 * column : 5 * column + 5], image)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("data/testA/a.png", "a.png"),
        ("data/testB/sub/a.png", "sub/a.png"),
        ("data/test/a.png", "a.png"),
        ("data/photos/a.png", "photos/a.png"),
        ("data/a.png", "a.png"),
        ("elsewhere/testA/a.png", "a.png"),
    ],
)
def test_names_are_those_within_a_domain(path: str, name: str) -> None:
    assert name_below(Path("data"), "test", path) == name
