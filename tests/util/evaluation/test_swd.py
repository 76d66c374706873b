"""The sliced Wasserstein distance against one-dimensional closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance

from tests.conftest import tile
from util.evaluation import swd
from util.evaluation.swd import LEVELS, PATCH, SIZE, Patches, directions, pyramid, quantiles, sliced_distance


def picture(number: int, width: int = 150, height: int = 110) -> torch.Tensor:
    return torch.from_numpy(np.array(tile(number, width, height))).permute(2, 0, 1) / 255


def patches(n: int, seed: int, size: int = 3 * PATCH * PATCH) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, LEVELS, 64, size)).astype(np.float32)


def test_the_distance_of_shifted_patches_is_the_mean_shift_along_the_directions() -> None:
    x = patches(6, 0)
    shift = np.zeros(x.shape[-1], dtype=np.float32)
    shift[5] = 0.8
    deviation = x[:, 0].reshape(6, 64, 3, -1)[:, :, 0].std()  # of the channel of value 5, at level 0
    level = swd._level_distance(x[:, 0] + shift, x[:, 0])
    assert level == pytest.approx(0.8 / deviation * np.abs(directions(x.shape[-1])[5]).mean(), rel=1e-4)
    assert sliced_distance(x, x[::-1]) == pytest.approx(0, abs=1e-4)


def test_sets_of_different_sizes() -> None:
    x, y = patches(5, 1), patches(8, 2) + 0.5
    flat_x, flat_y = x[:, 0].reshape(-1, 147), y[:, 0].reshape(-1, 147)
    channels = flat_y.reshape(-1, 3, 49)
    scale = np.repeat(channels.std((0, 2)), 49)
    vectors = directions(147)[:, :20]
    exact = [wasserstein_distance((flat_x / scale) @ v, (flat_y / scale) @ v) for v in vectors.T]
    full, few = swd._level_distance(x[:, 0], y[:, 0]), np.mean(exact)
    assert full == pytest.approx(few, rel=0.35)  # other directions
    assert sliced_distance(x, y) == pytest.approx(sliced_distance(np.concatenate([x, x]), y), rel=0.02)


def test_quantiles() -> None:
    rows = np.array([[0.0, 1.0, 5.0]])
    assert quantiles(rows, 3).tolist() == rows.tolist()
    assert quantiles(rows, 6) == pytest.approx(np.array([[0.0, 0.25, 0.75, 2.0, 4.0, 5.0]]))
    assert quantiles(np.array([[2.0]]), 3).tolist() == [[2.0, 2.0, 2.0]]


def test_the_pyramid_separates_scales() -> None:
    flat = torch.full((1, 3, SIZE, SIZE), 0.25)
    *differences, last = pyramid(flat)
    assert [level.shape[-1] for level in (*differences, last)] == [128, 64, 32, 16]
    assert all(float(level.abs().max()) < 1e-6 for level in differences)
    assert torch.allclose(last, torch.full_like(last, 0.25))
    checkerboard = (torch.arange(SIZE)[:, None] + torch.arange(SIZE)) % 2
    energy = [float(level.square().mean()) for level in pyramid(checkerboard.float().expand(1, 3, -1, -1))]
    assert energy[0] == pytest.approx(0.25, rel=0.05) and max(energy[1:3]) < 1e-3  # the last holds the mean


def test_the_descriptor_of_an_image() -> None:
    describe = Patches()
    image = picture(1)
    descriptor = describe(image)
    assert descriptor is not None
    assert descriptor.shape == (LEVELS, 64, 147) and descriptor.dtype == np.float32
    assert descriptor.nbytes * 200 < 60e6
    resized = torch.nn.functional.interpolate(image[None], size=(SIZE, SIZE), mode="bilinear", antialias=True)
    corner = pyramid(resized)[0][0, :, :PATCH, :PATCH]
    assert descriptor[0, 0] == pytest.approx(corner.flatten().numpy())
    gray = image[:1]
    assert np.array_equal(describe(gray), describe(gray.expand(3, -1, -1)))  # type: ignore[arg-type]
    assert np.array_equal(describe(torch.cat([image, gray])), descriptor)  # type: ignore[arg-type]
    assert describe(torch.zeros(5, 8, 8)) is None


def test_blur_noise_and_a_shift_of_color_increase_the_distance() -> None:
    describe = Patches()
    reals, others = ([picture(i + start) for i in range(16)] for start in (0, 100))
    noise = torch.Generator().manual_seed(1)

    def distance(change: object) -> float:
        made = [describe(change(image).clamp(0, 1)) for image in others]  # type: ignore[operator]
        return sliced_distance(np.array(made), np.array([describe(image) for image in reals]))

    same = distance(lambda image: image)
    assert distance(lambda image: image + 0.2) > 1.5 * same
    assert distance(lambda image: torch.nn.functional.avg_pool2d(image, 5, 1, 2)) > 1.5 * same
    assert distance(lambda image: image + torch.randn(image.shape, generator=noise) * 0.05) > 1.5 * same
