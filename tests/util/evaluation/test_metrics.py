"""Every metric by its specification, selecting metrics, and scores of sets of images."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.conftest import tile
from util.errors import UserError
from util.evaluation.metric import Metric, Needs, as_rgb, eight_bit
from util.evaluation.metrics import DEFAULT_METRICS, METRICS, default_metrics, find_metric, select_metrics
from util.evaluation.pair_metrics import MAE, mean_absolute_error
from util.evaluation.scores import Figure, Scores, text

NAMES = [name for name in METRICS if name != "lpips"]  # whose weights are not part of any package


class Means:
    """An extractor without a network: means and deviations of colors, and the colors of 8x8 places."""

    name = "Means, v1"

    def __call__(self, image: Tensor) -> np.ndarray | None:
        if (rgb := as_rgb(image)) is None:
            return None
        return np.concatenate([rgb.mean((1, 2)).numpy(), rgb.std((1, 2)).numpy()])

    def spatial(self, image: Tensor) -> Tensor | None:
        rgb = as_rgb(image)
        return None if rgb is None else torch.nn.functional.adaptive_avg_pool2d(rgb, 8) + 0.1


def picture(number: int, channels: int = 3) -> Tensor:
    """An image (C, 36, 40) in [-1, 1]."""
    values = np.asarray(tile(number, 40, 36), dtype=np.float32).transpose(2, 0, 1) / 127.5 - 1
    return torch.from_numpy(np.concatenate([values, values])[:channels])


def worse(image: Tensor) -> Tensor:
    """An image with noise, a shift of color, and mirrored."""
    noise = torch.from_numpy(np.random.default_rng(int(image.sum() * 99) % 97).normal(0, 0.2, image.shape))
    return (image.flip(2) * 0.7 + 0.2 + noise.float()).clamp(-1, 1)


def fill(scores: Scores, images: Sequence[int], change: bool) -> Scores:
    for i in images:
        real = picture(i)
        made = worse(real) if change else real
        scores.add("fake_B", f"{i:02}.png", made, source=real, truth=real)
        scores.add_real("fake_B", f"{i:02}.png", real)
    return scores


@pytest.fixture(scope="module")
def metrics() -> list[Metric]:
    return select_metrics(NAMES, Means())


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_is_as_its_specification_says(name: str) -> None:
    (metric,) = select_metrics([name], Means())
    assert metric.name == name and not metric.needs_extractor
    (best,), (bad,) = (fill(Scores([metric]), range(12), change).figures()["fake_B"] for change in (False, True))
    low, high = metric.value_range
    assert all(low - 1e-6 <= figure.value <= high + 1e-6 for figure in (best, bad))
    assert metric.is_better(best.value, bad.value) and not metric.is_better(bad.value, best.value)
    assert best.images == 12 and metric.text(best.value).startswith(metric.label)
    if name == "kid":  # unbiased: below 0 for sets that are equal
        assert best.value < 0
    else:
        ideal = high if metric.higher_is_better else low
        assert best.value == pytest.approx(ideal, abs=1e-6)


def test_figures_depend_neither_on_order_nor_on_repetition_nor_on_ranks(metrics: list[Metric]) -> None:
    whole = fill(Scores(metrics), range(12), True)
    parts = [fill(Scores(metrics), range(start, 12, 3), True) for start in (2, 0, 1)]
    merged = Scores(metrics)
    for part in [*parts, parts[0]]:
        merged.merge(part)
    again = fill(fill(Scores(metrics), range(11, -1, -1), True), [3, 4], True)
    expected = whole.figures(intervals=True)
    assert merged.figures(intervals=True) == again.figures(intervals=True) == expected
    assert merged.counts() == {"fake_B": 12}
    assert len(expected["fake_B"]) == len(NAMES)
    with_interval = {figure.metric.name for figure in expected["fake_B"] if figure.interval}
    assert with_interval == {"mae", "psnr", "ssim", "edges", "self_similarity", "kid"}


def test_scores_are_those_of_eight_bit_files(metrics: list[Metric]) -> None:
    image = picture(1)
    noise = torch.rand(image.shape, generator=torch.Generator().manual_seed(1)) / 400  # less than half a step
    exact, noisy = Scores(metrics), Scores(metrics)
    for i in range(5):
        fill(exact, [i], False)
        noisy.add("fake_B", f"{i:02}.png", picture(i) + noise, source=picture(i), truth=picture(i))
        noisy.add_real("fake_B", f"{i:02}.png", picture(i) - noise)
    assert noisy.figures() == exact.figures()
    assert eight_bit(torch.tensor([[[-2.0, 0.0, 2.0]]])).tolist() == [[[0, pytest.approx(128 / 255), 1]]]


def test_metrics_that_lack_images_are_left_out(metrics: list[Metric]) -> None:
    scores = Scores(metrics)
    scores.add("fake_B", "a", picture(1)[:, :6, :6], truth=picture(1)[:, :6, :6])
    names = [figure.metric.name for figure in scores.figures()["fake_B"]]
    assert names == ["mae", "psnr"]  # too small for SSIM and edges, and no real images
    five = Scores(metrics)
    for i in range(4):
        five.add("fake_B", str(i), picture(i, 5), source=picture(i, 5), truth=picture(i, 5))
        five.add_real("fake_B", str(i), picture(i, 5))
    names = [figure.metric.name for figure in five.figures()["fake_B"]]
    assert names == ["mae", "psnr", "ssim", "edges"]  # no network takes five channels
    assert Scores(metrics).figures() == {}


def test_an_extractor_is_part_of_key_and_label(metrics: list[Metric]) -> None:
    kid = next(metric for metric in metrics if metric.name == "kid")
    assert (kid.key, kid.label) == ("kid_x1000_means_v1", "KID x1000 (Means, v1)")
    assert text([Figure(kid, 3.14159, 120, (1.0, 5.128))]) == "KID x1000 (Means, v1) 3.14 [1.00, 5.13]"
    swd = next(metric for metric in metrics if metric.name == "swd")
    assert (swd.key, swd.label) == ("swd_x1000", "SWD x1000 (128 px)")
    assert len({metric.key for metric in metrics}) == len({metric.label for metric in metrics}) == len(metrics)


def test_selecting_without_an_extractor() -> None:
    assert [metric.name for metric in default_metrics(None)] == ["mae", "psnr", "ssim", "edges", "swd"]
    assert [metric.name for metric in default_metrics(Means())] == list(DEFAULT_METRICS)
    for name in ("kid", "fid", "precision", "recall", "self_similarity"):
        with pytest.raises(UserError, match=rf"^--metrics {name} compares features of a network, .*pip install effic"):
            select_metrics(["mae", name], None)


OWN = Metric("own", "own_key", "my error", Needs.PAIR, mean_absolute_error, (0, 1), higher_is_better=False)
SAME_KEY = Metric("mine", "ssim", "mine", Needs.PAIR, mean_absolute_error, (0, 1), higher_is_better=False)


def test_a_metric_of_your_own() -> None:
    assert select_metrics([f"{__name__}:OWN", "mae", "mae"], None) == [OWN, MAE]
    with pytest.raises(UserError, match=r"^--metrics maee is unknown: choose one of mae, psnr, .*did you mean mae\?$"):
        find_metric("maee")
    with pytest.raises(UserError, match=r"expected a util\.evaluation\.metric\.Metric, not function$"):
        find_metric(f"{__name__}:picture")
    with pytest.raises(UserError, match=r"another metric has the key ssim"):
        select_metrics(["ssim", f"{__name__}:SAME_KEY"], None)


def test_the_names_are_known_without_torch() -> None:
    code = (
        "from util.evaluation import metrics, extractors; import sys; print(list(metrics.METRICS), "
        "extractors.resolve('none', None).name, sorted({'torch', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == f"{list(METRICS)} none []\n", done.stderr
