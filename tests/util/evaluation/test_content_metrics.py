"""Content metrics by hand: equal images, inverted contrast, moved edges, flat images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.conftest import tile
from util.evaluation.content_metrics import edge_distance, self_similarity_distance


def picture(number: int, width: int = 48, height: int = 40) -> Tensor:
    return torch.from_numpy(np.array(tile(number, width, height))).permute(2, 0, 1) / 255


def stripes(period: int, vertical: bool = True) -> Tensor:
    line = (torch.arange(48) // period % 2).float()
    return (line[None] if vertical else line[:, None]).expand(1, 48, 48)


def test_edges_do_not_depend_on_contrast_sign_or_color() -> None:
    image = picture(1)
    assert edge_distance(image, image) == 0
    assert edge_distance(1 - image, image) == pytest.approx(0, abs=1e-6)
    assert edge_distance(image * 0.8 + 0.1, image) < 0.03  # the faintest edges lose weight
    assert edge_distance(image[:1], image[:1].expand(3, -1, -1)) == pytest.approx(0, abs=1e-6)


def test_edges_by_hand() -> None:
    # Edges at a right angle have opposite doubled angles: where both have an edge, |e1 - e2| = |e1| + |e2|.
    assert edge_distance(stripes(8), stripes(8, vertical=False)) == pytest.approx(1.0, abs=0.15)
    flat = torch.full((3, 48, 48), 0.5)
    assert edge_distance(flat, flat) == 0
    assert edge_distance(flat, picture(1)) == pytest.approx(1)
    # A step moved by 24 pixels has no edge where it was.
    step = (torch.arange(48) >= 12).float().expand(3, 48, 48)
    moved = (torch.arange(48) >= 36).float().expand(3, 48, 48)
    assert edge_distance(step, moved) == pytest.approx(1)
    assert edge_distance(step, step.flip(0)) == 0


def test_edges_grow_with_displacement_and_noise() -> None:
    source = picture(2)
    moved = [edge_distance(source.roll(shift, 2), source) for shift in (0, 1, 4)]
    assert moved == sorted(moved) and moved[2] < edge_distance(picture(3), source) + 0.1
    noise = torch.randn(source.shape, generator=torch.Generator().manual_seed(0))
    assert edge_distance(source + 0.02 * noise, source) < edge_distance(source + 0.2 * noise, source)


def test_a_source_of_another_size_is_resized() -> None:
    image = picture(4)
    larger = torch.nn.functional.interpolate(image[None], scale_factor=2, mode="bilinear")[0]
    assert edge_distance(image, larger) < 0.35 < edge_distance(image, picture(5, 96, 80))


class Places:
    """Features: the colors of the pixels."""

    name = "pixels"

    def __call__(self, image: Tensor) -> np.ndarray:
        raise NotImplementedError

    def spatial(self, image: Tensor) -> Tensor | None:
        return image if len(image) == 3 else None


def test_self_similarity_by_hand() -> None:
    red, green = torch.tensor([1.0, 0, 0]), torch.tensor([0, 1.0, 0])
    source = torch.stack([red, red, green], 1)[:, None]  # similar: places 0 and 1
    recolored = torch.stack([green, green, red], 1)[:, None] * 0.3
    assert self_similarity_distance(Places(), source, source) == 0
    assert self_similarity_distance(Places(), recolored, source) == pytest.approx(0)
    other = torch.stack([red, green, green], 1)[:, None]  # similar: places 1 and 2
    assert self_similarity_distance(Places(), other, source) == pytest.approx(4 / 9)
    assert self_similarity_distance(Places(), torch.ones(5, 2, 2), source) is None
