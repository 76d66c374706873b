"""Scores against scikit-image and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity as reference
from torch import Tensor

from util.errors import UserError
from util.evaluation.metrics import (
    METRICS,
    Metric,
    Scores,
    describe,
    find_metric,
    mean_absolute_error,
    structural_similarity,
)


def images(channels: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """A picture and a noisy version of it, in 0..1."""
    random = np.random.default_rng(channels * height + width)
    rows, columns = np.mgrid[:height, :width] / 10
    picture = np.stack([np.sin(rows + i) * np.cos(columns - i) for i in range(channels)]) / 2 + 0.5
    noisy = (picture + random.normal(0, 0.15, picture.shape)).clip(0, 1)
    return torch.from_numpy(picture).float(), torch.from_numpy(noisy).float()


@pytest.mark.parametrize("shape", [(3, 20, 31), (1, 7, 7), (3, 64, 8)])
def test_ssim_is_that_of_scikit_image(shape: tuple[int, int, int]) -> None:
    x, y = images(*shape)
    expected = reference(x.double().numpy(), y.double().numpy(), channel_axis=0, data_range=1.0)
    assert structural_similarity(x, y) == pytest.approx(expected, abs=1e-10)
    assert structural_similarity(x, x) == pytest.approx(1.0, abs=1e-12)


def test_ssim_of_flat_images_by_hand() -> None:
    black, gray = torch.zeros(1, 9, 9), torch.full((1, 9, 9), 0.5)
    assert structural_similarity(black, gray) == pytest.approx(0.0001 / (0.25 + 0.0001))


def test_mean_absolute_error_by_hand() -> None:
    x = torch.tensor([[[0.0, 0.5], [1.0, 0.25]]])
    y = torch.tensor([[[0.5, 0.5], [0.0, 0.0]]])
    assert mean_absolute_error(x, y) == pytest.approx((0.5 + 0 + 1 + 0.25) / 4)


def test_scores_are_those_of_eight_bit_files() -> None:
    scores = Scores()
    x, y = images(3, 16, 16)
    scores.add("fake_B", x * 2 - 1, y * 2 - 1)
    eight = [(image * 255).round().numpy().astype(np.uint8) for image in (x, y)]
    expected = np.abs(eight[0].astype(float) - eight[1]).mean() / 255
    means = scores.means()["fake_B"]
    assert means["mean_absolute_error"] == pytest.approx(expected, abs=1e-7)
    assert means["ssim"] == pytest.approx(reference(*eight, channel_axis=0, data_range=255), abs=1e-6)


def test_scores_are_means_over_the_images_of_each_visual() -> None:
    scores = Scores()
    zero = torch.zeros(3, 8, 8)
    for level in (0.0, 1.0):
        scores.add("fake_A", zero, torch.full_like(zero, level))
    scores.add("fake_B", zero, zero)
    means = scores.means()
    # Middle gray is level 128 of 255 in a file.
    assert means["fake_A"]["mean_absolute_error"] == pytest.approx((255 - 128) / 255 / 2)
    assert means["fake_A"]["images"] == 2
    assert means["fake_B"] == {"images": 1, "mean_absolute_error": 0.0, "ssim": pytest.approx(1.0)}
    assert describe(means["fake_B"]) == "mean absolute error 0.0000, SSIM 1.000"


def test_an_image_smaller_than_the_window_has_no_ssim() -> None:
    scores = Scores()
    scores.add("fake_B", torch.zeros(3, 6, 20), torch.zeros(3, 6, 20))
    assert scores.means() == {"fake_B": {"images": 1, "mean_absolute_error": 0.0}}
    assert describe(scores.means()["fake_B"]) == "mean absolute error 0.0000"
    assert Scores().means() == {}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_is_as_its_specification_says(metric: Metric) -> None:
    assert find_metric(metric.name) is metric
    size = max(metric.smallest_image, 2)
    x, y = images(3, size, size)
    best, worse = (metric.compute(*((x, other) if metric.needs_pairs else (other,))) for other in (x, y))
    low, high = metric.value_range
    assert low - 1e-9 <= worse <= high + 1e-9 and low - 1e-9 <= best <= high + 1e-9
    assert best > worse if metric.higher_is_better else best < worse
    scores = Scores([metric])
    scores.add("fake_B", x * 2 - 1, y * 2 - 1)
    means = scores.means()["fake_B"]
    assert set(means) == {"images", metric.key} and describe(means, [metric]).startswith(metric.label)


def test_names_and_keys_are_unique() -> None:
    assert len({metric.name for metric in METRICS}) == len({metric.key for metric in METRICS}) == len(METRICS)


OWN = Metric("own", "own_key", "my error", mean_absolute_error, (0, 1), higher_is_better=False)


def test_a_metric_of_your_own() -> None:
    assert find_metric(f"{__name__}:OWN") is OWN
    with pytest.raises(UserError, match=r"^unknown metric nothing: choose one of mae, ssim, or your own as "):
        find_metric("nothing")
    with pytest.raises(UserError, match=r"expected a util\.evaluation\.metrics\.Metric, not function"):
        find_metric(f"{__name__}:images")


def test_scores_of_ranks_are_merged() -> None:
    whole, total = Scores(), Scores()
    for level in (0.0, 0.5, 1.0):
        part = Scores()
        for scores in (whole, part):
            scores.add("fake_A", torch.zeros(3, 8, 8), torch.full((3, 8, 8), level))
        total.merge(part.values, part.counts)
    assert total.means() == whole.means()
